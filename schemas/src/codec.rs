//! The wire form of a sample: an envelope (magic, version, kind, length, CRC32C) around bincode with a limit.
//!
//! ```text
//! 0..2 magic "WK" | 2 version | 3 kind | 4..8 length of the body, LE | 8..12 CRC32C of 2..8 and the body, LE | body
//! ```
//! This module and `wire` alone know bincode (unmaintained: RUSTSEC-2025-0141; version 3 does not build).

use crate::catalogue;
use crate::ids::{HostId, TeamId, is_custom_name};
use crate::sample::Sample;
use crate::subjects::SampleSubject;
use bincode::config;
use bincode::enc::write::SizeWriter;

/// Largest frame, envelope included; SAMPLES refuses larger messages too.
pub const FRAME_BYTES_MAX: usize = 8192;
/// Room that is made at first; a larger sample is written again into [`FRAME_BYTES_MAX`].
const FRAME_BYTES_USUAL: usize = 1024;
/// Bytes before the body.
pub const ENVELOPE_BYTES: usize = 12;
/// The version that is written.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 2] = *b"WK";
const KIND_SAMPLE: u8 = 1;
/// Earliest and latest moment that a sample may claim, in milliseconds since 1970: 2020 and 2100.
const TIME_MS: std::ops::Range<u64> = 1_577_836_800_000..4_102_444_800_000;
/// Shortest and longest interval between samples, in milliseconds.
const INTERVAL_MS: std::ops::RangeInclusive<u32> = 100..=3_600_000;

/// What is wrong with an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too short, or the magic is missing: not ours.
    #[error("not a Watchkeeper frame")]
    Foreign,
    /// Written by a newer program.
    #[error("format version {0} is unknown: expected 1")]
    Version(u8),
    /// Of a kind that does not belong here.
    #[error("kind {0} is unknown: expected 1 (sample)")]
    Kind(u8),
    /// More or fewer bytes than the envelope says, or more than the limit.
    #[error("the envelope says {said} bytes of body, there are {found} (at most {max})", max = FRAME_BYTES_MAX - ENVELOPE_BYTES)]
    Length {
        /// What the envelope says.
        said: u32,
        /// What is there.
        found: usize,
    },
    /// Damaged on the way.
    #[error("the checksum does not match")]
    Checksum,
}

/// Why a payload is no sample that may be used.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The envelope is wrong.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The body is no sample.
    #[error("the body is no sample")]
    Body(#[source] bincode::error::DecodeError),
    /// Bytes follow the sample.
    #[error("{0} bytes follow the sample")]
    Trailing(usize),
    /// A field says what cannot be.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// It speaks for another host than its subject.
    #[error("the sample is of {team}.{host}, its subject of another")]
    WrongHost {
        /// The team inside.
        team: TeamId,
        /// The host inside.
        host: HostId,
    },
}

impl DecodeError {
    /// A word for counting: stable, of a closed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Frame(FrameError::Foreign) => "not_a_frame",
            Self::Frame(FrameError::Version(_)) => "unknown_version",
            Self::Frame(FrameError::Kind(_)) => "unknown_kind",
            Self::Frame(FrameError::Length { .. }) => "wrong_length",
            Self::Frame(FrameError::Checksum) => "bad_checksum",
            Self::Body(_) | Self::Trailing(_) => "bad_body",
            Self::OutOfRange(_) => "out_of_range",
            Self::WrongHost { .. } => "wrong_host",
        }
    }
}

/// Why a sample cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It does not fit into a frame.
    #[error("the sample needs {0} bytes, a frame holds {FRAME_BYTES_MAX}")]
    TooLarge(usize),
    /// It cannot be written at all.
    #[error("the sample cannot be written")]
    Body(#[source] bincode::error::EncodeError),
}

/// Writes a sample as a frame into `out`, which is cleared first.
///
/// # Errors
/// When the frame would be larger than [`FRAME_BYTES_MAX`].
pub fn encode(sample: &Sample, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let body = [FRAME_BYTES_USUAL, FRAME_BYTES_MAX].into_iter().find_map(|room| {
        out.clear();
        out.resize(room, 0);
        match bincode::encode_into_slice(sample, &mut out[ENVELOPE_BYTES..], config::standard()) {
            Err(bincode::error::EncodeError::UnexpectedEnd) => None,
            done => Some(done),
        }
    });
    let body =
        body.ok_or_else(|| EncodeError::TooLarge(size_of_frame(sample)))?.map_err(EncodeError::Body)?;
    out.truncate(ENVELOPE_BYTES + body);
    let length = (out.len() - ENVELOPE_BYTES) as u32;
    out[0..2].copy_from_slice(&MAGIC);
    out[2] = VERSION;
    out[3] = KIND_SAMPLE;
    out[4..8].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(out);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// What a frame would need if it had no limit.
#[cold]
fn size_of_frame(sample: &Sample) -> usize {
    let mut size = SizeWriter::default();
    let counted = bincode::encode_into_writer(sample, &mut size, config::standard());
    ENVELOPE_BYTES + counted.map_or(FRAME_BYTES_MAX, |()| size.bytes_written)
}

/// Reads a frame that came on `subject`; what is not a finite number is dropped and counted, the sample lives.
///
/// # Errors
/// Says what is wrong with the frame, the body, a range or the host; never panics, never allocates beyond the frame.
pub fn decode(subject: &SampleSubject, bytes: &[u8]) -> Result<Sample, DecodeError> {
    let sample = decode_any_host(bytes)?;
    if sample.team != subject.team || sample.host != subject.host {
        return Err(DecodeError::WrongHost { team: sample.team, host: sample.host });
    }
    Ok(sample)
}

/// Reads a frame without a subject to hold it against: for tools that look at files.
///
/// # Errors
/// As [`decode`], but for the host.
pub fn decode_any_host(bytes: &[u8]) -> Result<Sample, DecodeError> {
    let (version, body) = open(bytes)?;
    let mut sample = match version {
        // Version 2 will decode its own struct here, and version 1 be lifted into it.
        1 => decode_v1(body)?,
        other => return Err(FrameError::Version(other).into()),
    };
    sample.drop_non_finite();
    check_ranges(&sample)?;
    Ok(sample)
}

/// Checks the envelope; returns the version and the body.
fn open(bytes: &[u8]) -> Result<(u8, &[u8]), FrameError> {
    let (envelope, body) = bytes.split_first_chunk::<ENVELOPE_BYTES>().ok_or(FrameError::Foreign)?;
    if envelope[0..2] != MAGIC {
        return Err(FrameError::Foreign);
    }
    if envelope[2] != VERSION {
        return Err(FrameError::Version(envelope[2]));
    }
    if envelope[3] != KIND_SAMPLE {
        return Err(FrameError::Kind(envelope[3]));
    }
    let said = u32::from_le_bytes([envelope[4], envelope[5], envelope[6], envelope[7]]);
    if said as usize != body.len() || bytes.len() > FRAME_BYTES_MAX {
        return Err(FrameError::Length { said, found: body.len() });
    }
    if checksum(bytes) != u32::from_le_bytes([envelope[8], envelope[9], envelope[10], envelope[11]]) {
        return Err(FrameError::Checksum);
    }
    Ok((envelope[2], body))
}

fn decode_v1(body: &[u8]) -> Result<Sample, DecodeError> {
    let config = config::standard().with_limit::<FRAME_BYTES_MAX>();
    let (sample, read) = bincode::decode_from_slice::<Sample, _>(body, config).map_err(DecodeError::Body)?;
    if read == body.len() { Ok(sample) } else { Err(DecodeError::Trailing(body.len() - read)) }
}

/// CRC32C of everything but the magic and the checksum itself. `frame` holds at least an envelope.
fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[2..8]), &frame[ENVELOPE_BYTES..])
}

fn check_ranges(sample: &Sample) -> Result<(), DecodeError> {
    let whole = [
        ("seq", sample.seq >= 1 && sample.seq < 1 << 53),
        ("time", TIME_MS.contains(&sample.time.0)),
        ("interval_ms", INTERVAL_MS.contains(&sample.interval_ms)),
        ("lost_samples", sample.lost_samples < 1 << 53),
    ];
    if let Some((field, _)) = whole.iter().find(|(_, holds)| !holds) {
        return Err(DecodeError::OutOfRange(field));
    }
    let named = sample.custom.iter().all(|custom| is_custom_name(custom.name.as_str()));
    let impossible = if named { catalogue::first_out_of_range(sample) } else { Some("custom.name") };
    impossible.map_or(Ok(()), |field| Err(DecodeError::OutOfRange(field)))
}
