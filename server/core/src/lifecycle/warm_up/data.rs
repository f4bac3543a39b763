use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use nerite_backend::DType;

use crate::model::{WarmUpData, WarmUpInput};

/// The most bytes that the samples of a version may have together.
const MOST_BYTES: usize = 2 << 30;

/// The most bytes of a file of strings, whose size the shape does not tell.
const MOST_STRING_BYTES: usize = 64 << 20;

/// What an empty string takes: its length.
const EMPTY_STRING: usize = 4;

/// How many bytes the samples of a version may still take.
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Room {
        Room(MOST_BYTES)
    }
}

impl Room {
    /// Room for so many bytes for each of the rows; how many that is in all.
    fn take(&mut self, row: usize, rows: u32) -> Result<usize, String> {
        let size = usize::try_from(rows).ok().and_then(|rows| row.checked_mul(rows));
        let left = size.and_then(|size| self.0.checked_sub(size));
        let (Some(size), Some(left)) = (size, left) else {
            return Err(format!(
                "takes {row} bytes for each of {rows} rows, but the samples of a model may take {MOST_BYTES} bytes \
                 together; use smaller dims, a smaller batch_size or fewer samples"
            ));
        };
        self.0 = left;
        Ok(size)
    }
}

/// The elements of an input of so many rows, in wire layout. An error is the rest of a sentence about the input.
pub(super) fn make(input: &WarmUpInput, rows: u32, room: &mut Room) -> Result<Bytes, String> {
    let size = input.dtype.size().unwrap_or(EMPTY_STRING);
    let row = input.dims.elements().and_then(|elements| elements.checked_mul(size)).ok_or_else(|| {
        format!("has the shape {}, which is more elements than can be counted; use smaller dims", input.dims)
    })?;
    match &input.data {
        WarmUpData::Zero => Ok(vec![0; room.take(row, rows)?].into()),
        WarmUpData::Random => {
            let mut bytes = vec![0; room.take(row, rows)?];
            fill(&mut bytes, input.dtype);
            Ok(bytes.into())
        }
        WarmUpData::File(path) => {
            let row = read(path, input, row)
                .map_err(|what| format!("has the file {}, which {what}", path.display()))?;
            room.take(row.len(), rows)?;
            Ok(if rows == 1 { row.into() } else { row.repeat(rows as usize).into() })
        }
    }
}

/// The bytes of a row, which are `size` unless they are strings.
fn read(path: &Path, input: &WarmUpInput, size: usize) -> Result<Vec<u8>, String> {
    let is_fixed = input.dtype.size().is_some();
    let most = if is_fixed { size.min(MOST_BYTES) } else { MOST_STRING_BYTES };
    let unreadable = |error| format!("cannot be read: {error}; put it into the model's folder 'warmup'");
    // Looked at before it is opened: to open a pipe would wait for ever.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a plain file; put one in its place".to_owned());
    }
    let mut bytes = Vec::new();
    // One more than expected, to tell a file that is just as large from one that is larger.
    if metadata.len() <= most as u64 {
        File::open(path)
            .and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
    }
    let found = metadata.len().max(bytes.len() as u64);
    let (dims, dtype) = (&input.dims, input.dtype);
    if is_fixed && found != size as u64 {
        return Err(format!(
            "has {found} bytes, but one row of shape {dims} and type {dtype} has {size}; write the raw elements of \
             one row"
        ));
    }
    if found > most as u64 {
        return Err(format!(
            "has {found} bytes, but a row of strings may have {most}; use fewer or shorter ones"
        ));
    }
    Ok(bytes)
}

/// Fills zeroed bytes with elements of that type, the same in every process.
fn fill(bytes: &mut [u8], dtype: DType) {
    let mut random = Random(0);
    match dtype {
        DType::Bytes => {}
        DType::F16 => each(bytes, |_| half(random.bits(11)).to_le_bytes()),
        // As many digits as the type has: rounding to 1 is then impossible.
        DType::BF16 => each(bytes, |_| {
            let bits = (random.bits(8) as f32 / 256.0).to_bits();
            ((bits >> 16) as u16).to_le_bytes()
        }),
        DType::F32 => each(bytes, |_| (random.bits(24) as f32 / (1u64 << 24) as f32).to_le_bytes()),
        DType::F64 => each(bytes, |_| (random.bits(53) as f64 / (1u64 << 53) as f64).to_le_bytes()),
        DType::Bool | DType::U8 | DType::I8 => each(bytes, |_| [random.bits(1) as u8]),
        DType::U16 | DType::I16 => each(bytes, |_| (random.bits(1) as u16).to_le_bytes()),
        DType::U32 | DType::I32 => each(bytes, |_| (random.bits(1) as u32).to_le_bytes()),
        DType::U64 | DType::I64 => each(bytes, |_| random.bits(1).to_le_bytes()),
    }
}

fn each<const N: usize>(bytes: &mut [u8], mut element: impl FnMut(&[u8; N]) -> [u8; N]) {
    let (elements, _) = bytes.as_chunks_mut::<N>();
    elements.iter_mut().for_each(|place| *place = element(place));
}

/// The half-precision number that is `parts` 2048ths, which are below 2048: it holds them exactly.
fn half(parts: u64) -> u16 {
    let Some(highest) = parts.checked_ilog2() else { return 0 };
    let fraction = (parts << (10 - highest)) & 0x3ff;
    ((u64::from(highest) + 4) << 10 | fraction) as u16
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// So many random bits, from 1 to 64.
    fn bits(&mut self, count: u32) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) >> (64 - count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_2048th_is_the_half_of_that_value() {
        for parts in 0..2048 {
            let bits = half(parts);
            let (exponent, fraction) = (i32::from(bits >> 10), f64::from(bits & 0x3ff));
            let value =
                if exponent == 0 { 0.0 } else { (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15) };
            assert_eq!((value * 2048.0, bits >> 15), (parts as f64, 0), "{parts}");
        }
    }

    #[test]
    fn random_elements_stay_in_their_range_and_are_not_all_alike() {
        let filled = |dtype: DType| {
            let mut bytes = vec![0; 64 * dtype.size().unwrap_or(EMPTY_STRING)];
            fill(&mut bytes, dtype);
            bytes
        };
        for dtype in DType::ALL {
            let bytes = filled(dtype);
            let size = dtype.size().unwrap_or(EMPTY_STRING);
            let numbers = bytes.chunks(size).map(|element| {
                let mut wide = [0; 8];
                wide[..size].copy_from_slice(element);
                u64::from_le_bytes(wide)
            });
            // Floats that are not negative are in the order of their bits.
            let below = match dtype {
                DType::F16 => 0x3c00,
                DType::BF16 => 0x3f80,
                DType::F32 => u64::from(1f32.to_bits()),
                DType::F64 => 1f64.to_bits(),
                DType::Bytes => 1,
                _ => 2,
            };
            assert!(numbers.clone().all(|number| number < below), "{dtype}");
            let first = numbers.clone().next();
            assert_eq!(numbers.clone().all(|number| Some(number) == first), dtype == DType::Bytes, "{dtype}");
            assert_eq!(bytes, filled(dtype), "{dtype}");
        }
    }
}
