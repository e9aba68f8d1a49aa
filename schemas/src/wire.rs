//! How a sample lies inside a frame of version 1: its fields in a fixed order, integers as short as they are.
//!
//! ```text
//! integer  as many leading one bits as bytes follow, then the number, big-endian: 1 byte below 128, 2 below 16,384 ... 9
//! signed   zigzag, then as an integer
//! Num      integer 1 + zigzag(hundredths) where that is exact, else 0 and the f32, LE
//! Text     one byte: a length up to 128 and so many bytes, or 129 + the place of a well-known name
//! option   0, or 1 and the value        list  integer: how many, then each
//! ```
//! Reader, writer, limit and errors are bincode's. The order of [`fields!`] below is the format: never edit a line of
//! version 1, version 2 gets its own.

use crate::ids::{BootId, HostId, TeamId};
use crate::quantity::{Kib, Num, Pct, TEXT_BYTES_MAX, Text, UnixMs};
use crate::sample::{
    Core, Cpu, Custom, Disk, DiskIo, Inventory, Load, Memory, MountedDisk, Network, Pressure, Processes,
    Sample, Swap, System, Temperature,
};
use crate::well_known;
use bincode::de::{Decode, Decoder, read::Reader};
use bincode::enc::{Encode, Encoder, write::Writer};
use bincode::error::{DecodeError, EncodeError};

/// Rows for which room is made before they are read; more grow as they come.
const ROWS_EXPECTED_MAX: usize = 64;

/// Whether the buffer had no room left; what is written after that does not count.
type Full = bool;

/// What is no sample of version 1.
#[derive(Clone, Copy)]
enum Malformed {
    Ends,
    TooLarge,
    Option,
    Name,
    Text,
}

/// The first thing that was malformed. Fields read after it are empty and the sample is thrown away: one look at the
/// end, instead of one at each of a hundred fields, halves the time.
#[derive(Default)]
struct Fault(Option<Malformed>);

impl Fault {
    #[cold]
    fn note(&mut self, malformed: Malformed) {
        self.0.get_or_insert(malformed);
    }
}

impl From<Malformed> for DecodeError {
    fn from(malformed: Malformed) -> Self {
        Self::Other(match malformed {
            Malformed::Ends => "the body ends within a field",
            Malformed::TooLarge => "a number is too large for its field",
            Malformed::Option => "an option is neither there nor absent",
            Malformed::Name => "a name has no known place",
            Malformed::Text => "a text or an id is not valid",
        })
    }
}

trait Wire: Sized {
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full);
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self;
}

impl Encode for Sample {
    #[inline]
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        let mut full = false;
        self.put(to.writer(), &mut full);
        if full { Err(EncodeError::UnexpectedEnd) } else { Ok(()) }
    }
}

impl<Context> Decode<Context> for Sample {
    #[inline]
    fn decode<D: Decoder<Context = Context>>(from: &mut D) -> Result<Self, DecodeError> {
        let mut fault = Fault::default();
        let sample = Self::take(from.reader(), &mut fault);
        fault.0.map_or(Ok(sample), |malformed| Err(malformed.into()))
    }
}

/// Declares how structs travel: every field, in this order.
macro_rules! fields {
    ($($name:ident { $($field:ident),* $(,)? })*) => { $(
        impl Wire for $name {
            #[inline]
            fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
                let Self { $($field),* } = self;
                $($field.put(to, full);)*
            }
            #[inline]
            fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
                $(let $field = Wire::take(from, fault);)*
                Self { $($field),* }
            }
        }
    )* };
}

fields! {
    Sample {
        team, host, boot, seq, time, interval_ms, clock_step_ms, lost_samples, dropped_values, cpu, cores, load, memory,
        swap, disks, disk_io, networks, temperatures, processes, pressure, system, custom, inventory,
    }
    Cpu {
        usage_pct, user_pct, system_pct, iowait_pct, steal_pct, nice_pct, irq_pct, frequency_mhz,
        context_switches_per_s, interrupts_per_s,
    }
    Core { core, usage_pct }
    Load { avg_1, avg_5, avg_15 }
    Memory { total, available, cached, buffers, shared, slab, dirty }
    Swap { total, used, in_pages_per_s, out_pages_per_s }
    Disk { mount, total, used, free, inodes_used_pct }
    DiskIo {
        device, read_bytes_per_s, write_bytes_per_s, reads_per_s, writes_per_s, read_latency_us, write_latency_us, busy_pct,
    }
    Network {
        interface, rx_bytes_per_s, tx_bytes_per_s, rx_packets_per_s, tx_packets_per_s, rx_errors, tx_errors, rx_drops,
        tx_drops,
    }
    Temperature { sensor, celsius }
    Processes { total, threads, running, blocked }
    Pressure { cpu_pct, memory_pct, io_pct }
    System { uptime_s, open_files, tcp_connections }
    Custom { name, value }
    Inventory {
        hostname, os, kernel, arch, cpu_model, cores, memory_bytes, virtualization, agent_version, boot_time, disks,
    }
    MountedDisk { mount, device, fs }
}

impl Wire for u64 {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        let bytes = self.to_be_bytes();
        // Lengths known to the compiler: what is left of each arm is a store.
        match self {
            0..0x80 => write(to, full, &[bytes[7]]),
            0x80..0x4000 => write(to, full, &[0x80 | bytes[6], bytes[7]]),
            0x4000..0x20_0000 => write(to, full, &[0xc0 | bytes[5], bytes[6], bytes[7]]),
            0x20_0000..0x1000_0000 => write(to, full, &[0xe0 | bytes[4], bytes[5], bytes[6], bytes[7]]),
            0x1000_0000..0x8_0000_0000 => {
                write(to, full, &[0xf0 | bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            }
            0x8_0000_0000..0x400_0000_0000 => {
                write(to, full, &[0xf8 | bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            }
            _ => {
                write(to, full, &[0xff]);
                write(to, full, &bytes);
            }
        }
    }

    #[inline]
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        // Branches that the processor can guess, so that the next number need not wait for the length of this one.
        if let Some(&[a, b, c, d, e, f, g, h]) = from.peek_read(8) {
            let (length, value) = match a {
                0..0x80 => (1, u32::from(a)),
                0x80..0xc0 => (2, u32::from_be_bytes([0, 0, a & 0x3f, b])),
                0xc0..0xe0 => (3, u32::from_be_bytes([0, a & 0x1f, b, c])),
                0xe0..0xf0 => (4, u32::from_be_bytes([a & 0x0f, b, c, d])),
                0xf0..0xfe => {
                    let extra = a.leading_ones();
                    from.consume(extra as usize + 1);
                    let word = Self::from_be_bytes([a, b, c, d, e, f, g, h]);
                    return (word << (extra + 1)) >> (57 - 7 * extra);
                }
                0xfe.. => return take_slowly(from, fault),
            };
            from.consume(length);
            return value.into();
        }
        take_slowly(from, fault)
    }
}

/// Near the end of the body, or a number of nine bytes.
#[cold]
fn take_slowly<R: Reader>(from: &mut R, fault: &mut Fault) -> u64 {
    let [first] = take_array(from, fault);
    let extra = first.leading_ones() as usize;
    let mut bytes = [0; 8];
    read(from, fault, &mut bytes[8 - extra..]);
    if extra < 8 {
        bytes[7 - extra] = first & (0x7f >> extra);
    }
    u64::from_be_bytes(bytes)
}

/// Integers that travel as a u64.
macro_rules! narrow {
    ($($name:ty),*) => { $(
        impl Wire for $name {
            #[inline]
            fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
                u64::from(*self).put(to, full);
            }
            #[inline]
            fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
                u64::take(from, fault).try_into().unwrap_or_else(|_| {
                    fault.note(Malformed::TooLarge);
                    0
                })
            }
        }
    )* };
}
narrow!(u16, u32);

/// Quantities that travel as the number inside.
macro_rules! transparent {
    ($($name:ident),*) => { $(
        impl Wire for $name {
            #[inline]
            fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
                self.0.put(to, full);
            }
            #[inline]
            fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
                Self(Wire::take(from, fault))
            }
        }
    )* };
}
transparent!(Pct, Kib, UnixMs, BootId);

impl Wire for i64 {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        (((self << 1) ^ (self >> 63)) as u64).put(to, full);
    }
    #[inline]
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        let zigzag = u64::take(from, fault);
        (zigzag >> 1) as Self ^ -((zigzag & 1) as Self)
    }
}

impl Wire for f64 {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        write(to, full, &self.to_le_bytes());
    }
    #[inline]
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        Self::from_le_bytes(take_array(from, fault))
    }
}

impl Wire for [u8; 16] {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        write(to, full, self);
    }
    #[inline]
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        take_array(from, fault)
    }
}

#[inline]
fn take_array<R: Reader, const N: usize>(from: &mut R, fault: &mut Fault) -> [u8; N] {
    let mut bytes = [0; N];
    read(from, fault, &mut bytes);
    bytes
}

#[inline]
fn read<R: Reader>(from: &mut R, fault: &mut Fault, bytes: &mut [u8]) {
    if from.read(bytes).is_err() {
        fault.note(Malformed::Ends);
    }
}

#[inline]
fn write<W: Writer>(to: &mut W, full: &mut Full, bytes: &[u8]) {
    if to.write(bytes).is_err() {
        *full = true;
    }
}

/// Largest number of hundredths for which an f32 still tells neighbours apart.
const HUNDREDTHS_MAX: f32 = 1_000_000.0;

fn of_hundredths(hundredths: i64) -> f32 {
    (hundredths as f64 / 100.0) as f32
}

impl Wire for Num {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        let scaled = self.0 * 100.0;
        let hundredths = (scaled + 0.5_f32.copysign(scaled)) as i64;
        if scaled.abs() < HUNDREDTHS_MAX && of_hundredths(hundredths).to_bits() == self.0.to_bits() {
            return (((hundredths << 1) ^ (hundredths >> 63)) as u64 + 1).put(to, full);
        }
        0_u64.put(to, full);
        write(to, full, &self.0.to_le_bytes());
    }
    #[inline]
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        match u64::take(from, fault).checked_sub(1) {
            Some(zigzag) => Self(of_hundredths((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))),
            None => Self(f32::from_le_bytes(take_array(from, fault))),
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        match self {
            None => write(to, full, &[0]),
            Some(value) => {
                write(to, full, &[1]);
                value.put(to, full);
            }
        }
    }
    #[inline]
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        match take_array(from, fault) {
            [0] => None,
            [1] => Some(T::take(from, fault)),
            [_] => {
                fault.note(Malformed::Option);
                None
            }
        }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        (**self).put(to, full);
    }
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        Self::new(T::take(from, fault))
    }
}

impl<T: Wire> Wire for Vec<T> {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        (self.len() as u64).put(to, full);
        self.iter().for_each(|row| row.put(to, full));
    }
    #[inline]
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        // A row has at least a byte, so the body ends before this could grow beyond it.
        let count = u64::take(from, fault);
        let mut rows = Self::with_capacity((count as usize).min(ROWS_EXPECTED_MAX));
        for _ in 0..count {
            rows.push(T::take(from, fault));
            if fault.0.is_some() {
                break;
            }
        }
        rows
    }
}

impl Wire for Text {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
        match well_known::place(self.as_str()) {
            Some(place) => write(to, full, &[WELL_KNOWN + place]),
            None => put_str(self.as_str(), to, full),
        }
    }
    #[inline]
    fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
        let [first] = take_array(from, fault);
        let Some(place) = first.checked_sub(WELL_KNOWN) else {
            return with_str(from, fault, first, Self::parse).unwrap_or_default();
        };
        let name = well_known::NAMES.get(usize::from(place)).unwrap_or_else(|| {
            fault.note(Malformed::Name);
            &""
        });
        Self::well_known(name)
    }
}

/// The first byte of a text beyond its lengths.
const WELL_KNOWN: u8 = TEXT_BYTES_MAX as u8 + 1;

#[inline]
fn put_str<W: Writer>(text: &str, to: &mut W, full: &mut Full) {
    write(to, full, &[text.len() as u8]);
    write(to, full, text.as_bytes());
}

#[inline]
fn with_str<R: Reader, T>(
    from: &mut R,
    fault: &mut Fault,
    length: u8,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let length = usize::from(length);
    let Some(bytes) = from.peek_read(length) else {
        fault.note(Malformed::Ends);
        return None;
    };
    let parsed = std::str::from_utf8(bytes).ok().and_then(parse);
    from.consume(length);
    if parsed.is_none() {
        fault.note(Malformed::Text);
    }
    parsed
}

/// Ids travel as one byte of length and the text; what does not parse is no sample.
macro_rules! ids {
    ($($name:ident),*) => { $(
        impl Wire for $name {
            #[inline]
            fn put<W: Writer>(&self, to: &mut W, full: &mut Full) {
                put_str(self.as_str(), to, full);
            }
            #[inline]
            fn take<R: Reader>(from: &mut R, fault: &mut Fault) -> Self {
                let [length] = take_array(from, fault);
                with_str(from, fault, length, |text| text.parse().ok()).unwrap_or_else(Self::unread)
            }
        }
    )* };
}
ids!(TeamId, HostId);
