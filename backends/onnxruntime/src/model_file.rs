//! A model's file: where it is, and what is wrong with one that ONNX Runtime cannot read.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nerite_backend::{Artifact, BackendError, Code};

use crate::protobuf::{Reader, Value};

const DEFAULT_NAME: &str = "model.onnx";

/// What the system says of a link that leads to itself. (`ErrorKind` has no stable name for it.)
const ELOOP: i32 = 40;

/// The file to load. A directory stands for the `model.onnx` in it.
pub(crate) fn find(artifact: &Artifact<'_>) -> Result<PathBuf, BackendError> {
    let name = artifact.filename.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAME);
    let mut file = artifact.directory.join(name);
    let is_directory = file.is_dir();
    if is_directory {
        file.push(DEFAULT_NAME);
    }
    let shown = file.display();
    let metadata = std::fs::metadata(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BackendError::new(
            Code::NotFound,
            format!(
                "unable to find '{shown}' for model '{}': {}",
                artifact.model,
                absent(&file, is_directory)
            ),
        ),
        _ => unreadable(&file, &error),
    })?;
    if !metadata.is_file() {
        return Err(BackendError::invalid(format!("'{shown}' is not a file: put the model's file there")));
    }
    if metadata.len() == 0 {
        return Err(BackendError::invalid(format!("'{shown}' is empty: copy the model's file again")));
    }
    File::open(&file).map_err(|error| unreadable(&file, &error))?;
    Ok(file)
}

/// What to do about a file that is not there.
fn absent(file: &Path, is_in_directory: bool) -> String {
    match std::fs::read_link(file) {
        Ok(target) => {
            format!("it is a link to '{}', which does not exist: correct the link", target.display())
        }
        Err(_) if is_in_directory => {
            "there is a directory of the model's name, without that file in it: put the file there".to_owned()
        }
        Err(_) => "copy the file there, or name another with default_model_filename".to_owned(),
    }
}

/// The error for a file that is there and cannot be read.
pub(crate) fn unreadable(file: &Path, error: &io::Error) -> BackendError {
    let message = format!("unable to read '{}': {error}: {}", file.display(), remedy(error));
    BackendError::new(Code::Unavailable, message)
}

/// What to do about an error of the system.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if error.raw_os_error() == Some(ELOOP) => "it is a link that leads to itself: correct the link",
        io::ErrorKind::PermissionDenied => "let the server's user read the file and search its directories",
        io::ErrorKind::NotADirectory => "a part of the path is not a directory: correct the path or the link",
        io::ErrorKind::NotFound => "it has just been removed: put it back",
        io::ErrorKind::InvalidFilename => "give it a shorter name",
        _ => "check the file system that it is on",
    }
}

/// Which file that is and when it was last changed, to tell whether it was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// The stamp of a file.
    pub(crate) fn of(file: &Path) -> Result<Stamp, BackendError> {
        std::fs::metadata(file)
            .map(|metadata| Stamp::new(&metadata))
            .map_err(|error| unreadable(file, &error))
    }

    pub(crate) fn new(metadata: &Metadata) -> Stamp {
        Stamp {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fails if the file of that name is another now, or has changed.
    pub(crate) fn verify(&self, file: &Path) -> Result<(), BackendError> {
        match std::fs::metadata(file) {
            Ok(metadata) if Stamp::new(&metadata) == *self => Ok(()),
            _ => Err(BackendError::new(
                Code::Unavailable,
                format!(
                    "'{}' was changed while it was loaded: load the model again when it is whole",
                    file.display()
                ),
            )),
        }
    }
}

/// What can be seen to be wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// Git has only what stands for the file.
    #[error(
        "is a Git LFS pointer and not the file itself: run `git lfs pull` in its repository and copy it again"
    )]
    LfsPointer,
    /// What a server sends for a file that it does not have.
    #[error("is not an ONNX model but an HTML or XML page: download the file itself")]
    Page,
    /// It begins like a model and ends too early.
    #[error("is truncated: {missing} bytes or more are missing at its end: copy it again")]
    Truncated {
        /// How much its last field lacks at least.
        missing: u64,
    },
    /// There is nothing but zeros where a field ought to begin.
    #[error("holds zeros from byte {at} on, as where a copy broke off or has not come yet: copy it again")]
    Zeros {
        /// Where they begin.
        at: u64,
    },
    /// It does not look like a `ModelProto` at all.
    #[error("is not an ONNX model: put the model's file there")]
    NotOnnx,
}

/// Looks at how the file begins, and at its outermost layer, a `ModelProto` message. `None` if nothing is wrong there, or
/// the file cannot be read.
pub(crate) fn flaw(file: &Path) -> Option<Flaw> {
    let file = File::open(file).ok()?;
    if is_lfs_pointer(&file) {
        return Some(Flaw::LfsPointer);
    }
    let mut first = [0];
    if file.read_exact_at(&mut first, 0).is_ok() && first == *b"<" {
        return Some(Flaw::Page);
    }
    let len = file.metadata().ok()?.len();
    scan(BufReader::new(file), len).ok()?.err()
}

/// Whether the rest of the file is zeros, as far as is worth looking.
fn is_zeros(file: impl BufRead) -> io::Result<bool> {
    let mut bytes = Vec::new();
    file.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes.iter().all(|&byte| byte == 0))
}

/// Whether the file holds what Git has in the place of a large one.
pub(crate) fn is_lfs_pointer(file: &File) -> bool {
    const BEGINNING: &[u8] = b"version https://git-lfs";
    let mut beginning = [0; BEGINNING.len()];
    file.read_exact_at(&mut beginning, 0).is_ok() && beginning == BEGINNING
}

/// The fields of `ModelProto` that are numbers, and those that carry their length.
const NUMBERS: [u64; 2] = [1, 5];
const LENGTH_DELIMITED: [u64; 10] = [2, 3, 4, 6, 7, 8, 14, 20, 25, 26];

fn scan(file: impl BufRead + Seek, len: u64) -> io::Result<Result<(), Flaw>> {
    let mut reader = Reader::new(file);
    while reader.position() < len {
        let at = reader.position();
        let Some(key) = reader.number()? else {
            return Ok(Err(Flaw::Truncated { missing: 1 }));
        };
        if key == 0 {
            let is_zeros = is_zeros(reader.into_rest())?;
            return Ok(Err(if is_zeros { Flaw::Zeros { at } } else { Flaw::NotOnnx }));
        }
        let (field, wire_type) = (key >> 3, key & 7);
        let is_known = match wire_type {
            0 => NUMBERS.contains(&field),
            2 => LENGTH_DELIMITED.contains(&field),
            _ => false,
        };
        if !is_known {
            return Ok(Err(Flaw::NotOnnx));
        }
        let Some(number) = reader.number()? else {
            return Ok(Err(Flaw::Truncated { missing: 1 }));
        };
        if wire_type == 2 {
            let available = len - reader.position();
            if number > available {
                return Ok(Err(Flaw::Truncated { missing: number - available }));
            }
            reader.skip(Value::Bytes { end: reader.position() + number })?;
        }
    }
    Ok(Ok(()))
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
        assert_eq!(scan_all(&[0; 10_000]), Some(Flaw::Zeros { at: 0 }));
        assert_eq!(scan_all(&[&MODEL[..], &[0; 3]].concat()), Some(Flaw::Zeros { at: 7 }));
        for garbage in [
            &b"<html>"[..],
            b"\x89PNG\r\n",
            b"\0asm\x01\0\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(scan_all(garbage), Some(Flaw::NotOnnx), "{garbage:?}");
        }
    }
}
