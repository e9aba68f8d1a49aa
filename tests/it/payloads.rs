//! Hostile and broken messages are parked with their reason and counted, while everybody else's samples flow on.

use crate::load::{Load, fleet_connection, frame, sample};
use crate::running::{Running, WITHOUT_AGENT, as_processors, start};
use std::collections::BTreeSet;
use std::time::Duration;
use watchkeeper_schemas::parked::Parked;
use watchkeeper_schemas::quantity::Num;
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::PARKED;

/// Broken in one way each; with the reason that is to be told.
fn broken_messages() -> Vec<(Vec<u8>, &'static str)> {
    let (_, good) = frame(&sample("hostile", 1));
    let changed = |place: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[place] = value;
        bytes
    };
    let mut absurd = sample("hostile", 2);
    absurd.interval_ms = 1;
    let mut long = changed(4, 0xff);
    long[5..8].fill(0xff);
    vec![
        (br#"{"stream":"SAMPLES","seq":1}"#.to_vec(), "not_a_frame"),
        ((0..500).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect(), "not_a_frame"),
        (Vec::new(), "not_a_frame"),
        (good[..good.len() / 2].to_vec(), "wrong_length"),
        (long, "wrong_length"),
        (changed(2, 9), "unknown_version"),
        (changed(3, 7), "unknown_kind"),
        (changed(good.len() - 1, good[good.len() - 1] ^ 1), "bad_checksum"),
        (frame(&sample("somebody-else", 1)).1, "wrong_host"),
        (frame(&absurd).1, "out_of_range"),
        (vec![b'W'; 8192], "not_a_frame"),
    ]
}

#[test]
fn what_cannot_be_read_is_parked_with_its_reason_while_others_flow_on() {
    let running = start(&WITHOUT_AGENT);
    let load = Load::start(&running, 10, Duration::from_millis(250));
    let broken = broken_messages();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(send(&running, &broken));

    let expected: BTreeSet<_> = broken.iter().map(|(_, reason)| (*reason).to_owned()).collect();
    let parked = running.wait("both processors have parked all of it", 30, |running| {
        let parked = runtime.block_on(parked(running)).map_err(|error| error.to_string())?;
        if parked.len() == 2 * broken.len() {
            Ok(Some(parked))
        } else {
            Err(format!("{} are parked", parked.len()))
        }
    });
    let told: BTreeSet<_> = parked.iter().map(|parked| parked.reason.clone()).collect();
    assert_eq!(told, expected);
    let hostile = SampleSubject::live("default".parse().unwrap(), "hostile".parse().unwrap()).to_string();
    for parked in &parked {
        assert_eq!(parked.subject, hostile);
        assert!(
            !parked.detail.is_empty() && parked.head_hex.len() <= 2 * 4096 && parked.sequence > 0,
            "{parked:?}"
        );
    }
    assert_eq!(running.get("/api/v1/system")["parked"]["total"], 2 * broken.len());

    the_sender_still_counts(&running, &runtime, broken.len() as u64);
    crate::faults::all_is_stored_once_and_newest(&running, &load.stop());
}

async fn send(running: &Running, messages: &[(Vec<u8>, &'static str)]) {
    let connected = fleet_connection(&running.nats_url(), &running.creds().fleet).await;
    let subject = SampleSubject::live("default".parse().unwrap(), "hostile".parse().unwrap()).to_string();
    for (bytes, reason) in messages {
        let answer = connected.client.request(subject.clone(), bytes.clone().into()).await.unwrap();
        assert!(answer.payload.starts_with(b"{\"stream\""), "{reason}: {:?}", answer.payload);
    }
    let answer = connected.client.request(subject, vec![0; 8193].into()).await;
    let refused =
        answer.is_err() || answer.is_ok_and(|answer| answer.payload.windows(7).any(|w| w == b"\"error\""));
    assert!(refused, "a message beyond the limit was stored");
}

/// A good sample of the same host is shown, with the number of its broken ones; infinite values are left out.
fn the_sender_still_counts(running: &Running, runtime: &tokio::runtime::Runtime, broken: u64) {
    let mut good = sample("hostile", 100);
    good.temperatures[0].celsius = Num(f32::INFINITY);
    let temperatures = good.temperatures.len();
    let (subject, bytes) = frame(&good);
    runtime.block_on(async {
        let connected = fleet_connection(&running.nats_url(), &running.creds().fleet).await;
        connected.client.request(subject, bytes.into()).await.unwrap();
    });
    running.wait("the good sample is shown", 10, |running| {
        let (status, view) = running.try_get("/api/v1/hosts/hostile")?;
        if status != 200 {
            return Err(view.to_string());
        }
        assert_eq!(view["unreadable_samples"], broken, "{view}");
        assert_eq!(view["dropped_values"], 1);
        assert_eq!(view["temperatures"].as_array().map(Vec::len), Some(temperatures - 1));
        Ok(Some(()))
    });
}

async fn parked(running: &Running) -> Result<Vec<Parked>, Box<dyn std::error::Error + Send + Sync>> {
    let connected = as_processors(running, &running.creds().processors).await;
    let context = jetstream(connected.client);
    let mut parked = Vec::new();
    rebuild::read(&context, PARKED, &[], Begin::First, |event| {
        parked.push(serde_json::from_slice(&event.payload))
    })
    .await?;
    Ok(parked.into_iter().collect::<Result<_, _>>()?)
}
