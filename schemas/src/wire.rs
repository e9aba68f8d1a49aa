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

/// The buffer has no room left.
struct Full;

/// What is no sample of version 1. Small and plain, so that the way through a hundred fields stays in registers.
#[derive(Clone, Copy)]
enum Malformed {
    Ends,
    TooLarge,
    Option,
    Name,
    Text,
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
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full>;
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed>;
}

impl Encode for Sample {
    #[inline]
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        self.put(to.writer()).map_err(|Full| EncodeError::UnexpectedEnd)
    }
}

impl<Context> Decode<Context> for Sample {
    #[inline]
    fn decode<D: Decoder<Context = Context>>(from: &mut D) -> Result<Self, DecodeError> {
        Self::take(from.reader()).map_err(DecodeError::from)
    }
}

/// Declares how structs travel: every field, in this order.
macro_rules! fields {
    ($($name:ident { $($field:ident),* $(,)? })*) => { $(
        impl Wire for $name {
            #[inline]
            fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
                let Self { $($field),* } = self;
                $($field.put(to)?;)*
                Ok(())
            }
            #[inline]
            fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
                $(let $field = Wire::take(from)?;)*
                Ok(Self { $($field),* })
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
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        let bytes = self.to_be_bytes();
        // Lengths known to the compiler: what is left of each arm is a store.
        match self {
            0..0x80 => write(to, &[bytes[7]]),
            0x80..0x4000 => write(to, &[0x80 | bytes[6], bytes[7]]),
            0x4000..0x20_0000 => write(to, &[0xc0 | bytes[5], bytes[6], bytes[7]]),
            0x20_0000..0x1000_0000 => write(to, &[0xe0 | bytes[4], bytes[5], bytes[6], bytes[7]]),
            0x1000_0000..0x8_0000_0000 => {
                write(to, &[0xf0 | bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            }
            0x8_0000_0000..0x400_0000_0000 => {
                write(to, &[0xf8 | bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            }
            _ => {
                write(to, &[0xff])?;
                write(to, &bytes)
            }
        }
    }

    #[inline]
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
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
                    return Ok((word << (extra + 1)) >> (57 - 7 * extra));
                }
                0xfe.. => return take_slowly(from),
            };
            from.consume(length);
            return Ok(value.into());
        }
        take_slowly(from)
    }
}

/// Near the end of the body, or a number of nine bytes.
#[cold]
fn take_slowly<R: Reader>(from: &mut R) -> Result<u64, Malformed> {
    let [first] = take_array(from)?;
    let extra = first.leading_ones() as usize;
    let mut bytes = [0; 8];
    read(from, &mut bytes[8 - extra..])?;
    if extra < 8 {
        bytes[7 - extra] = first & (0x7f >> extra);
    }
    Ok(u64::from_be_bytes(bytes))
}

/// Integers that travel as a u64.
macro_rules! narrow {
    ($($name:ty),*) => { $(
        impl Wire for $name {
            #[inline]
            fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
                u64::from(*self).put(to)
            }
            #[inline]
            fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
                u64::take(from)?.try_into().map_err(|_| Malformed::TooLarge)
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
            fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
                self.0.put(to)
            }
            #[inline]
            fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
                Wire::take(from).map(Self)
            }
        }
    )* };
}
transparent!(Pct, Kib, UnixMs, BootId);

impl Wire for i64 {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        (((self << 1) ^ (self >> 63)) as u64).put(to)
    }
    #[inline]
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
        let zigzag = u64::take(from)?;
        Ok((zigzag >> 1) as Self ^ -((zigzag & 1) as Self))
    }
}

impl Wire for f64 {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        write(to, &self.to_le_bytes())
    }
    #[inline]
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
        Ok(Self::from_le_bytes(take_array(from)?))
    }
}

impl Wire for [u8; 16] {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        write(to, self)
    }
    #[inline]
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
        take_array(from)
    }
}

#[inline]
fn take_array<R: Reader, const N: usize>(from: &mut R) -> Result<[u8; N], Malformed> {
    let mut bytes = [0; N];
    read(from, &mut bytes)?;
    Ok(bytes)
}

#[inline]
fn read<R: Reader>(from: &mut R, bytes: &mut [u8]) -> Result<(), Malformed> {
    from.read(bytes).map_err(|_| Malformed::Ends)
}

#[inline]
fn write<W: Writer>(to: &mut W, bytes: &[u8]) -> Result<(), Full> {
    to.write(bytes).map_err(|_| Full)
}

/// Largest number of hundredths for which an f32 still tells neighbours apart.
const HUNDREDTHS_MAX: f32 = 1_000_000.0;

fn of_hundredths(hundredths: i64) -> f32 {
    (hundredths as f64 / 100.0) as f32
}

impl Wire for Num {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        let scaled = self.0 * 100.0;
        let hundredths = (scaled + 0.5_f32.copysign(scaled)) as i64;
        if scaled.abs() < HUNDREDTHS_MAX && of_hundredths(hundredths).to_bits() == self.0.to_bits() {
            return (((hundredths << 1) ^ (hundredths >> 63)) as u64 + 1).put(to);
        }
        0_u64.put(to)?;
        write(to, &self.0.to_le_bytes())
    }
    #[inline]
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
        match u64::take(from)?.checked_sub(1) {
            Some(zigzag) => Ok(Self(of_hundredths((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)))),
            None => Ok(Self(f32::from_le_bytes(take_array(from)?))),
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        match self {
            None => write(to, &[0]),
            Some(value) => {
                write(to, &[1])?;
                value.put(to)
            }
        }
    }
    #[inline]
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
        match take_array(from)? {
            [0] => Ok(None),
            [1] => T::take(from).map(Some),
            [_] => Err(Malformed::Option),
        }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        (**self).put(to)
    }
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
        T::take(from).map(Self::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        (self.len() as u64).put(to)?;
        self.iter().try_for_each(|row| row.put(to))
    }
    #[inline]
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
        // A row has at least a byte, so the body ends before this could grow beyond it.
        let count = u64::take(from)?;
        let mut rows = Self::with_capacity((count as usize).min(ROWS_EXPECTED_MAX));
        for _ in 0..count {
            rows.push(T::take(from)?);
        }
        Ok(rows)
    }
}

impl Wire for Text {
    #[inline]
    fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
        match well_known::place(self.as_str()) {
            Some(place) => write(to, &[WELL_KNOWN + place]),
            None => put_str(self.as_str(), to),
        }
    }
    #[inline]
    fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
        let [first] = take_array(from)?;
        match first.checked_sub(WELL_KNOWN) {
            Some(place) => well_known::NAMES
                .get(usize::from(place))
                .map(|name| Self::well_known(name))
                .ok_or(Malformed::Name),
            None => with_str(from, first, Self::parse),
        }
    }
}

/// The first byte of a text beyond its lengths.
const WELL_KNOWN: u8 = TEXT_BYTES_MAX as u8 + 1;

#[inline]
fn put_str<W: Writer>(text: &str, to: &mut W) -> Result<(), Full> {
    write(to, &[text.len() as u8])?;
    write(to, text.as_bytes())
}

#[inline]
fn with_str<R: Reader, T>(
    from: &mut R,
    length: u8,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Malformed> {
    let length = usize::from(length);
    let bytes = from.peek_read(length).ok_or(Malformed::Ends)?;
    let parsed = std::str::from_utf8(bytes).ok().and_then(parse).ok_or(Malformed::Text)?;
    from.consume(length);
    Ok(parsed)
}

/// Ids travel as one byte of length and the text; what does not parse is no sample.
macro_rules! ids {
    ($($name:ident),*) => { $(
        impl Wire for $name {
            #[inline]
            fn put<W: Writer>(&self, to: &mut W) -> Result<(), Full> {
                put_str(self.as_str(), to)
            }
            #[inline]
            fn take<R: Reader>(from: &mut R) -> Result<Self, Malformed> {
                let [length] = take_array(from)?;
                with_str(from, length, |text| text.parse().ok())
            }
        }
    )* };
}
ids!(TeamId, HostId);
