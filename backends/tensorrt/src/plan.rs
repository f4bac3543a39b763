//! A model's file.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nerite_backend::{Artifact, BackendError, Code};

const DEFAULT_NAME: &str = "model.plan";

/// A serialized engine on disk. It is read anew for each device that it is loaded on, and held against what it was.
#[derive(Debug)]
pub(crate) struct Plan {
    path: PathBuf,
    stamp: Stamp,
}

/// Which file it is and when it was last changed.
type Stamp = (u64, u64, u64, i64, i64);

impl Plan {
    /// The file that the artifact names, or `model.plan`.
    pub(crate) fn find(artifact: &Artifact<'_>) -> Result<Plan, BackendError> {
        let name = artifact.filename.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAME);
        let path = artifact.directory.join(name);
        let metadata = std::fs::metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BackendError::new(
                Code::NotFound,
                format!(
                    "unable to find '{}' for model '{}': copy the file there, or name another with default_model_filename",
                    path.display(),
                    artifact.model
                ),
            ),
            _ => unreadable(&path, &error),
        })?;
        if !metadata.is_file() {
            return Err(BackendError::invalid(format!(
                "'{}' is not a file: put the model's file there",
                path.display()
            )));
        }
        if metadata.len() == 0 {
            return Err(BackendError::invalid(format!(
                "'{}' is empty: copy the model's file again",
                path.display()
            )));
        }
        Ok(Plan { stamp: stamp(&metadata), path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it; fails if that is not what was there when it was found.
    pub(crate) fn read(&self) -> Result<Vec<u8>, BackendError> {
        let unreadable = |error: io::Error| unreadable(&self.path, &error);
        let mut file = File::open(&self.path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        let len = usize::try_from(self.stamp.2).unwrap_or(usize::MAX);
        if bytes.try_reserve_exact(len).is_err() {
            return Err(BackendError::new(
                Code::Unavailable,
                format!("no memory for the {len} bytes of '{}': give the process more", self.path.display()),
            ));
        }
        (&mut file).take(self.stamp.2.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        let is_same =
            file.metadata().is_ok_and(|metadata| stamp(&metadata) == self.stamp) && bytes.len() == len;
        if is_same {
            Ok(bytes)
        } else {
            Err(BackendError::new(
                Code::Unavailable,
                format!(
                    "'{}' was changed while it was loaded: load the model again when it is whole",
                    self.path.display()
                ),
            ))
        }
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn unreadable(path: &Path, error: &io::Error) -> BackendError {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "let the server's user read the file and search its directories",
        io::ErrorKind::NotADirectory => "a part of the path is not a directory: correct the path or the link",
        _ => "check the file and the file system that it is on",
    };
    BackendError::new(Code::Unavailable, format!("unable to read '{}': {error}: {remedy}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(directory: &Path) -> Artifact<'_> {
        Artifact { model: "m", directory, ..Artifact::default() }
    }

    #[test]
    fn a_plan_that_changed_since_it_was_found_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("model.plan");
        std::fs::write(&file, b"plan").unwrap();
        let plan = Plan::find(&artifact(directory.path())).unwrap();
        assert_eq!(plan.read().unwrap(), b"plan");
        std::fs::write(&file, b"another plan").unwrap();
        assert!(plan.read().unwrap_err().message.contains("was changed while it was loaded"));
        std::fs::remove_file(&file).unwrap();
        assert!(plan.read().unwrap_err().message.contains("unable to read"));
    }

    #[test]
    fn what_is_in_the_place_of_a_plan_is_told_with_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("model.plan");
        let refused = || Plan::find(&artifact(directory.path())).unwrap_err();
        assert_eq!(refused().code, Code::NotFound);
        assert!(refused().message.contains("for model 'm': copy the file there"));
        std::fs::write(&file, b"").unwrap();
        assert!(refused().message.contains("is empty: copy the model's file again"));
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(refused().message.contains("is not a file"));
        let named = Artifact { filename: Some("other.plan"), ..artifact(directory.path()) };
        assert!(Plan::find(&named).unwrap_err().message.contains("other.plan"));
    }
}
