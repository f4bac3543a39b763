//! A model's file: where it is, and what is wrong with one that ONNX Runtime cannot read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use nerite_backend::{Artifact, BackendError, Code};

const DEFAULT_NAME: &str = "model.onnx";

/// The file to load. A directory stands for the `model.onnx` in it.
pub(crate) fn find(artifact: &Artifact<'_>) -> Result<PathBuf, BackendError> {
    let name = artifact.filename.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAME);
    let mut file = artifact.directory.join(name);
    if file.is_dir() {
        file.push(DEFAULT_NAME);
    }
    let shown = file.display();
    let metadata = std::fs::metadata(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BackendError::new(
            Code::NotFound,
            format!("unable to find '{shown}' for model '{}'", artifact.model),
        ),
        _ => BackendError::new(Code::Unavailable, format!("unable to read '{shown}': {error}")),
    })?;
    if !metadata.is_file() {
        return Err(BackendError::invalid(format!("'{shown}' is not a file")));
    }
    if metadata.len() == 0 {
        return Err(BackendError::invalid(format!("'{shown}' is empty")));
    }
    File::open(&file).map_err(|error| {
        BackendError::new(Code::Unavailable, format!("unable to read '{shown}': {error}"))
    })?;
    Ok(file)
}

/// What can be seen to be wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// It begins like a model and ends too early.
    #[error("is truncated: {missing} bytes or more are missing at its end")]
    Truncated {
        /// How much its last field lacks at least.
        missing: u64,
    },
    /// It does not look like a `ModelProto` at all.
    #[error("is not an ONNX model")]
    NotOnnx,
}

/// Looks at the outermost layer of the file, a `ModelProto` message. `None` if nothing is wrong there, or the file
/// cannot be read.
pub(crate) fn flaw(file: &Path) -> Option<Flaw> {
    let file = File::open(file).ok()?;
    let len = file.metadata().ok()?.len();
    scan(BufReader::new(file), len).ok()?.err()
}

/// The fields of `ModelProto` that are numbers, and those that carry their length.
const NUMBERS: [u64; 2] = [1, 5];
const LENGTH_DELIMITED: [u64; 10] = [2, 3, 4, 6, 7, 8, 14, 20, 25, 26];

fn scan(mut file: impl BufRead + Seek, len: u64) -> io::Result<Result<(), Flaw>> {
    let mut position = 0;
    while position < len {
        let Some(key) = varint(&mut file, &mut position)? else {
            return Ok(Err(Flaw::Truncated { missing: 1 }));
        };
        let (field, wire_type) = (key >> 3, key & 7);
        let is_known = match wire_type {
            0 => NUMBERS.contains(&field),
            2 => LENGTH_DELIMITED.contains(&field),
            _ => false,
        };
        if !is_known {
            return Ok(Err(Flaw::NotOnnx));
        }
        let Some(number) = varint(&mut file, &mut position)? else {
            return Ok(Err(Flaw::Truncated { missing: 1 }));
        };
        if wire_type == 2 {
            let available = len - position;
            if number > available {
                return Ok(Err(Flaw::Truncated { missing: number - available }));
            }
            position += number;
            file.seek(SeekFrom::Start(position))?;
        }
    }
    Ok(Ok(()))
}

/// A number in protobuf's encoding; `None` if the file ends in it.
fn varint(file: &mut impl BufRead, position: &mut u64) -> io::Result<Option<u64>> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        if file.read(&mut byte)? == 0 {
            return Ok(None);
        }
        *position += 1;
        number |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            break;
        }
    }
    Ok(Some(number))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// `ir_version` 8 and a graph of three bytes.
    const MODEL: [u8; 7] = [0x08, 8, 0x3a, 3, 1, 2, 3];

    fn scan_all(bytes: &[u8]) -> Option<Flaw> {
        scan(Cursor::new(bytes), bytes.len() as u64).unwrap().err()
    }

    #[test]
    fn a_file_that_ends_within_a_field_is_truncated_and_one_of_other_fields_is_no_model() {
        assert_eq!(scan_all(&MODEL), None);
        assert_eq!(scan_all(&MODEL[..5]), Some(Flaw::Truncated { missing: 2 }));
        assert_eq!(scan_all(&MODEL[..1]), Some(Flaw::Truncated { missing: 1 }));
        for garbage in
            [&b"<html>"[..], b"\x89PNG\r\n", b"\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(scan_all(garbage), Some(Flaw::NotOnnx), "{garbage:?}");
        }
    }
}
