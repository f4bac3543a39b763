//! Weights that a model keeps in files beside it, read into memory.
//!
//! Left to itself, ONNX Runtime maps such files, and computes from the mapping as long as the session lives: whoever
//! overwrites a file then changes the answers of a version that is being served, and whoever truncates one ends the
//! process. What it is given in memory it copies, tensor by tensor, while it makes the session. (It can also be told to
//! use the memory as it is. That saves the copy, but then all of it has to be kept, with the weights of which a kernel has
//! made a copy in an order that suits it: of a model that is all matrix products, twice as much.)

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use nerite_backend::{BackendError, Cancel, Code, is_hidden};

use crate::external::{self, External};
use crate::model_file::{self, Flaw, Stamp};
use crate::room;
use crate::session_options::SessionOptions;

/// How much is read at once; between two parts a load can be cancelled.
const PART: usize = 16 << 20;

/// The files beside a model.
pub(crate) struct Weights {
    /// The files that were read, and when they were last changed.
    files: Vec<(PathBuf, Stamp)>,
}

impl Weights {
    /// Reads what the model in that file keeps in others, for the session that is made with these options, unless all of
    /// it is more than the process may use of memory. A file that is not a model has nothing there.
    pub(crate) fn read(
        model: &Path,
        options: &mut SessionOptions,
        may_use: Option<u64>,
        cancel: &Cancel,
    ) -> Result<Weights, BackendError> {
        let tensors = match external::find(model) {
            Ok(tensors) => tensors,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => match model_file::flaw(model) {
                Some(flaw @ Flaw::Zeros { .. }) => {
                    return Err(BackendError::invalid(format!("'{}' {flaw}", model.display())));
                }
                _ => Vec::new(),
            },
            Err(error) => return Err(model_file::unreadable(model, &error)),
        };
        let mut files: BTreeMap<&str, Beside> = BTreeMap::new();
        for tensor in &tensors {
            if !files.contains_key(tensor.location.as_str()) {
                files.insert(&tensor.location, Beside::open(model, &tensor.location)?);
            }
            files[tensor.location.as_str()].check(tensor)?;
        }
        if let Some(tensor) = tensors.iter().find(|tensor| tensor.is_inner) {
            tracing::warn!(
                file = tensor.location,
                tensor = tensor.name,
                "weights of a branch or a loop are used from the file itself, which must not be changed while the model is \
                 loaded: replace it by renaming another, or export the model with these weights in the model's file"
            );
        }
        let mut given: Vec<&str> =
            tensors.iter().filter(|tensor| !tensor.is_inner).map(|tensor| tensor.location.as_str()).collect();
        given.sort_unstable();
        given.dedup();
        let beside = given.iter().fold(0u64, |sum, location| sum.saturating_add(files[location].len));
        room::check(model, Stamp::of(model)?.len(), beside, may_use)?;
        let mut contents = Vec::with_capacity(given.len());
        for location in given {
            contents.push((c_string(location)?, files[location].read(cancel)?));
        }
        options.add_files(contents)?;
        Ok(Weights { files: files.into_values().map(|beside| (beside.path, beside.stamp)).collect() })
    }

    /// The files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(file, _)| file.as_path())
    }

    /// Fails if a file was changed since it was read, so that what was loaded may be half of the one and half of the
    /// other.
    pub(crate) fn verify(&self) -> Result<(), BackendError> {
        self.files.iter().try_for_each(|(file, stamp)| stamp.verify(file))
    }
}

fn c_string(name: &str) -> Result<CString, BackendError> {
    CString::new(name).map_err(|_| BackendError::invalid(format!("there is a NUL in the name {name:?}")))
}

/// A file beside a model.
struct Beside {
    path: PathBuf,
    file: File,
    stamp: Stamp,
    len: u64,
}

impl Beside {
    /// Opens the file of that name for the model in that other file.
    fn open(model: &Path, location: &str) -> Result<Beside, BackendError> {
        let refuse = |why: &str| {
            Err(BackendError::invalid(format!(
                "'{}' keeps weights in '{location}', {why}: put that file beside the model, and export the model with a \
                 location relative to it",
                model.display()
            )))
        };
        let relative = Path::new(location);
        let leaves =
            relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
        if location.is_empty() {
            return refuse("a location without a name");
        }
        if relative.is_absolute() {
            return refuse("an absolute path");
        }
        if leaves {
            return refuse("which may lead out of the model's directory");
        }
        if location.contains('\0') {
            return Err(BackendError::invalid(format!(
                "'{}' keeps weights in {location:?}, and no file's name has a NUL: export the model with another location",
                model.display()
            )));
        }
        if is_hidden(relative) {
            return Err(BackendError::invalid(format!(
                "'{}' keeps weights in '{location}', and what has a name that begins with a dot is passed over when the \
                 server looks for changes: rename it, and export the model with the new location",
                model.display()
            )));
        }
        let directory = model.parent().unwrap_or(Path::new("."));
        let path = directory.join(relative);
        let failed = |error: io::Error| unavailable(model, &path, &error);
        if !std::fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(BackendError::invalid(format!(
                "'{}', in which '{}' keeps weights, is not a file: put the file there",
                path.display(),
                model.display()
            )));
        }
        if !is_inside(directory, model, &path) {
            return refuse("a link that leads out of the model's directory");
        }
        let file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let refuse = |what: String| Err(BackendError::invalid(format!("'{}' {what}", path.display())));
        if metadata.len() == 0 {
            return refuse("is empty, and the model keeps weights in it: copy it again".to_owned());
        }
        if model_file::is_lfs_pointer(&file) {
            return refuse(Flaw::LfsPointer.to_string());
        }
        Ok(Beside { path, file, stamp: Stamp::new(&metadata), len: metadata.len() })
    }

    /// Whether the tensor can be in this file.
    fn check(&self, tensor: &External) -> Result<(), BackendError> {
        let number = |text: &str, what: &str| match text.parse::<u64>() {
            _ if text.is_empty() => Ok(0),
            Ok(number) => Ok(number),
            Err(_) => Err(BackendError::invalid(format!(
                "initializer '{}' has '{text}' for its {what} in '{}', and a number of bytes is needed: export the model \
                 anew",
                tensor.name, tensor.location
            ))),
        };
        let end = number(&tensor.offset, "offset")?.saturating_add(number(&tensor.length, "length")?);
        match end > self.len {
            true => Err(self.truncated(end)),
            false => Ok(()),
        }
    }

    fn read(&self, cancel: &Cancel) -> Result<Vec<u8>, BackendError> {
        let refused = || room::refused(&self.path, self.len);
        let len = usize::try_from(self.len).map_err(|_| refused())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| refused())?;
        while bytes.len() < len {
            if cancel.is_cancelled() {
                return Err(BackendError::load_cancelled());
            }
            let begin = bytes.len();
            bytes.resize(len.min(begin + PART), 0);
            self.file.read_exact_at(&mut bytes[begin..], begin as u64).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::UnexpectedEof => self.truncated(self.len),
                    _ => model_file::unreadable(&self.path, &error),
                }
            })?;
        }
        Ok(bytes)
    }

    /// The error for a file that does not reach to there.
    fn truncated(&self, end: u64) -> BackendError {
        BackendError::invalid(format!(
            "'{}' is truncated: the model keeps weights in it up to byte {end}, and it has {}: copy it again",
            self.path.display(),
            self.len
        ))
    }
}

/// Whether the file is, links followed, in the model's directory, or in that of what the model links to, as ONNX Runtime
/// wants it of files that it opens itself.
fn is_inside(directory: &Path, model: &Path, path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let of_the_link = directory.canonicalize().ok();
    let of_the_target = model.canonicalize().ok().and_then(|model| Some(model.parent()?.to_path_buf()));
    [of_the_link, of_the_target].into_iter().flatten().any(|directory| path.starts_with(directory))
}

fn unavailable(model: &Path, path: &Path, error: &io::Error) -> BackendError {
    let (model, path) = (model.display(), path.display());
    match error.kind() {
        io::ErrorKind::NotFound => BackendError::new(
            Code::NotFound,
            format!("unable to find '{path}', in which '{model}' keeps weights: copy it there"),
        ),
        _ => BackendError::new(
            Code::Unavailable,
            format!(
                "unable to read '{path}', in which '{model}' keeps weights: {error}: {}",
                model_file::remedy(error)
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_no_memory_can_hold_is_refused_before_it_is_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let metadata = file.as_file().metadata().expect("its metadata");
        let beside = Beside {
            path: file.path().to_path_buf(),
            file: file.reopen().expect("the file"),
            stamp: Stamp::new(&metadata),
            // More than any address space has.
            len: 1 << 62,
        };
        let error = beside.read(&Cancel::default()).expect_err("it is refused");
        assert_eq!(error.code, Code::Unavailable);
        assert!(error.message.starts_with("there is no memory for the 4194304.0 TiB of"), "{error}");
        assert!(
            error.message.ends_with("give the process more memory, or serve fewer or smaller models"),
            "{error}"
        );
    }
}
