//! The wire form: round trips, and everything that is no sample is refused by kind and never a panic.

use crate::any_sample::any_sample;
use proptest::prelude::*;
use watchkeeper_schemas::catalogue::CATALOGUE;
use watchkeeper_schemas::codec::{self, ENVELOPE_BYTES, EncodeError, FRAME_BYTES_MAX};
use watchkeeper_schemas::quantity::{Kib, Num, Pct, Text, UnixMs};
use watchkeeper_schemas::sample::{Custom, Sample};
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_schemas::usual_host::{usual_host, usual_inventory};

fn subject_of(sample: &Sample) -> SampleSubject {
    SampleSubject::live(sample.team.clone(), sample.host.clone())
}

fn frame_of(sample: &Sample) -> Vec<u8> {
    let mut frame = Vec::new();
    codec::encode(sample, &mut frame).unwrap();
    frame
}

/// Decodes on the sample's own subject after `change`; what it is refused for, or "fine".
fn refusal(change: impl FnOnce(&mut Sample)) -> String {
    let mut sample = usual_host("web-1").unwrap();
    change(&mut sample);
    codec::decode(&subject_of(&sample), &frame_of(&sample))
        .map_or_else(|e| format!("{}: {e}", e.reason()), |_| "fine".into())
}

proptest! {
    #[test]
    fn any_sample_reads_back_as_it_was_written(sample in any_sample()) {
        let mut frame = Vec::new();
        prop_assume!(codec::encode(&sample, &mut frame).is_ok());
        prop_assert_eq!(codec::decode(&subject_of(&sample), &frame).unwrap(), sample);
    }

    #[test]
    fn any_sample_reads_back_from_json(sample in any_sample()) {
        let json = serde_json::to_value(&sample).unwrap();
        let read: Sample = serde_json::from_value(json.clone()).unwrap();
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), json);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(codec::decode_any_host(&bytes).is_err());
    }

    #[test]
    fn any_body_behind_a_true_envelope_never_panics(body in proptest::collection::vec(any::<u8>(), 0..600)) {
        drop(codec::decode_any_host(&sealed(&body)));
    }

    #[test]
    fn any_change_of_a_true_body_never_panics(at in 0..300_usize, to in any::<u8>(), cut in 0..300_usize) {
        let mut body = frame_of(&usual_host("web-1").unwrap()).split_off(ENVELOPE_BYTES);
        let end = body.len();
        body[at % end] = to;
        drop(codec::decode_any_host(&sealed(&body)));
        drop(codec::decode_any_host(&sealed(&body[..cut % end])));
    }
}

/// Puts an envelope with the right length and checksum around any body.
fn sealed(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    let covered = [&[1, 1], &length[..], body].concat();
    [b"WK", &covered[..2], &length, &crc32c::crc32c(&covered).to_le_bytes(), body].concat()
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    let mut sample = usual_host("web-1").unwrap();
    sample.inventory = Some(Box::new(usual_inventory()));
    let frame = frame_of(&sample);
    for end in 0..frame.len() {
        assert!(codec::decode_any_host(&frame[..end]).is_err(), "cut to {end} bytes");
    }
    for bit in 0..frame.len() * 8 {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(codec::decode_any_host(&damaged).is_err(), "bit {bit} flipped");
    }
    let longer = [&frame[..], b"x"].concat();
    assert_eq!(codec::decode_any_host(&longer).unwrap_err().reason(), "wrong_length");
}

#[test]
fn what_is_no_frame_of_ours_is_refused_by_kind() {
    let frame = frame_of(&usual_host("web-1").unwrap());
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = frame.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        codec::decode_any_host(&changed).unwrap_err().reason()
    };
    assert_eq!(with(0, b"XX"), "not_a_frame");
    assert_eq!(with(2, &[2]), "unknown_version");
    assert_eq!(with(3, &[9]), "unknown_kind");
    assert_eq!(with(4, &[0xff; 4]), "wrong_length");
    assert_eq!(with(8, &[0; 4]), "bad_checksum");
    let reason = |bytes: &[u8]| codec::decode_any_host(bytes).unwrap_err().reason();
    assert_eq!(reason(b""), "not_a_frame");
    assert_eq!(reason(br#"{"stream":"SAMPLES","seq":1}"#), "not_a_frame");
    assert_eq!(reason(&sealed(b"")), "bad_body");
    assert_eq!(reason(&sealed(&[0; 40])), "bad_body");
    assert_eq!(reason(&sealed(&[&frame[ENVELOPE_BYTES..], b"x"].concat())), "bad_body");
    assert_eq!(reason(&sealed(&vec![0; FRAME_BYTES_MAX])), "wrong_length");
}

#[test]
fn a_list_that_claims_more_rows_than_the_body_holds_is_refused() {
    let sample = usual_host("web-1").unwrap();
    let mut body = frame_of(&Sample::empty(&subject_of(&sample), sample.boot, 1, sample.time, 5000))
        .split_off(ENVELOPE_BYTES);
    // The last byte but one is the number of custom gauges: now 2^62 of them.
    let end = body.len();
    body.splice(end - 2..end - 1, [0xff, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(codec::decode_any_host(&sealed(&body)).unwrap_err().reason(), "bad_body");
}

#[test]
fn a_sample_speaks_only_for_the_host_of_its_subject() {
    let sample = usual_host("web-1").unwrap();
    let frame = frame_of(&sample);
    let other = SampleSubject::live(sample.team.clone(), "web-2".parse().unwrap());
    assert_eq!(codec::decode(&other, &frame).unwrap_err().reason(), "wrong_host");
    let other = SampleSubject::live("rivals".parse().unwrap(), sample.host.clone());
    assert_eq!(codec::decode(&other, &frame).unwrap_err().reason(), "wrong_host");
}

#[test]
fn numbers_that_cannot_be_true_are_refused_by_name() {
    assert_eq!(refusal(|_| ()), "fine");
    assert_eq!(refusal(|it| it.seq = 0), "out_of_range: seq is out of range");
    assert_eq!(refusal(|it| it.time = UnixMs(0)), "out_of_range: time is out of range");
    assert_eq!(refusal(|it| it.interval_ms = 1), "out_of_range: interval_ms is out of range");
    assert_eq!(refusal(|it| it.lost_samples = u64::MAX), "out_of_range: lost_samples is out of range");
    assert_eq!(
        refusal(|it| it.cores[2].usage_pct = Pct(1001)),
        "out_of_range: core.usage_pct is out of range"
    );
    assert_eq!(
        refusal(|it| it.disks[1].free = Kib(u64::MAX)),
        "out_of_range: disk.free_bytes is out of range"
    );
    assert_eq!(
        refusal(|it| it.networks[2].rx_errors = 1 << 60),
        "out_of_range: net.rx_errors is out of range"
    );
    assert_eq!(
        refusal(|it| it.disk_io[0].read_bytes_per_s = u64::MAX),
        "out_of_range: disk_io.read_bytes_per_s is out of range"
    );
    assert_eq!(
        refusal(|it| it.temperatures[5].celsius = Num(-300.0)),
        "out_of_range: temp.celsius is out of range"
    );
    assert_eq!(
        refusal(|it| it.load.as_mut().unwrap().avg_5 = Num(-1.0)),
        "out_of_range: load.avg_5 is out of range"
    );
    assert_eq!(
        refusal(|it| it.cpu.as_mut().unwrap().frequency_mhz = Some(u32::MAX)),
        "out_of_range: cpu.frequency_mhz is out of range"
    );
    let custom = |name: &str| Custom { name: Text::fit(name), value: 1.0 };
    assert_eq!(refusal(|it| it.custom = vec![custom("queue.depth")]), "fine");
    for name in ["", "Queue", "queue depth", "queue.", "a\"} 1"] {
        assert_eq!(refusal(|it| it.custom = vec![custom(name)]), "out_of_range: custom.name is out of range");
    }
}

#[test]
fn what_is_not_a_number_is_left_out_and_counted_and_the_sample_lives() {
    let mut sample = usual_host("web-1").unwrap();
    sample.load.as_mut().unwrap().avg_5 = Num(f32::NAN);
    sample.temperatures[0].celsius = Num(f32::INFINITY);
    let custom = |name: &str, value| Custom { name: Text::fit(name), value };
    sample.custom = vec![custom("lost", f64::NAN), custom("kept", 7.0), custom("gone", f64::NEG_INFINITY)];
    let read = codec::decode(&subject_of(&sample), &frame_of(&sample)).unwrap();
    assert_eq!(read.dropped_values, 4);
    assert_eq!(read.custom, [custom("kept", 7.0)]);
    assert_eq!(read.temperatures, sample.temperatures[1..]);
    let load = read.load.unwrap();
    assert!(load.avg_5.0.is_nan());
    assert_eq!([load.avg_1, load.avg_15], [Num(1.42), Num(0.97)]);
}

#[test]
fn a_sample_beyond_a_frame_is_an_error_and_one_just_within_is_whole() {
    let mut sample = usual_host("web-1").unwrap();
    let row = sample.disks[2].clone();
    sample.disks = vec![row.clone(); 300];
    let frame = frame_of(&sample);
    assert!(frame.len() > 4096 && frame.len() <= FRAME_BYTES_MAX, "{}", frame.len());
    assert_eq!(codec::decode_any_host(&frame).unwrap(), sample);
    sample.disks = vec![row; 1000];
    let refused = codec::encode(&sample, &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, EncodeError::TooLarge(10_000..30_000)), "{refused}");
}

#[test]
fn a_usual_host_fits_into_400_bytes() {
    let sample = usual_host("web-1").unwrap();
    let mut values = 0;
    CATALOGUE.iter().for_each(|metric| metric.values(&sample, |_, _| values += 1));
    let bytes = frame_of(&sample).len();
    assert!(values >= 100 && bytes <= 400, "{values} values in {bytes} bytes");
}
