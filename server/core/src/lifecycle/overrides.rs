use std::any::Any;
use std::env;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::Source;
use crate::model::LoadError;
use crate::repository::{Found, find};

/// What the names of the directories begin with in which given files are kept.
const PREFIX: &str = "nerite-model-";

/// A directory is new for so long.
const NEW: Duration = Duration::from_secs(60);

/// What whoever asks for a load gives in place of what is in the repository.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The configuration in JSON.
    pub config: Option<Arc<str>>,
    /// Files by their paths in the model's directory. If there are any, they are the whole model.
    pub files: Vec<(PathBuf, Bytes)>,
}

impl Overrides {
    /// Checks what can be told without a disk: files come with a configuration, stay within the model's directory, and do
    /// not need a directory where another is a file.
    pub fn check(&self, model: &str) -> Result<(), LoadError> {
        if !self.files.is_empty() && self.config.is_none() {
            return Err(LoadError::invalid(format!(
                "files for model '{model}' were given without its configuration: give the load parameter 'config' too"
            )));
        }
        if let Some((path, _)) = self.files.iter().find(|(path, _)| !is_inside(path)) {
            return Err(LoadError::invalid(format!(
                "load parameter 'file:{}' leads out of the directory of model '{model}': give a path like \
                 'file:1/model.onnx'",
                path.display()
            )));
        }
        if let Some((path, remedy)) = self.files.iter().find_map(|(path, _)| Some((path, unusable(path)?))) {
            return Err(LoadError::invalid(format!(
                "load parameter 'file:{}' of model '{model}' names no file: {remedy}",
                path.display()
            )));
        }
        let mut paths: Vec<&Path> = self.files.iter().map(|(path, _)| path.as_path()).collect();
        // What is below a path comes right after it.
        paths.sort_unstable();
        match paths.array_windows().find(|[above, path]| path.starts_with(above)) {
            None => Ok(()),
            Some([above, path]) => Err(LoadError::invalid(format!(
                "load parameters 'file:{}' and 'file:{}' of model '{model}' cannot both be files: give each a path of \
                 its own",
                above.display(),
                path.display()
            ))),
        }
    }

    /// Where a model is loaded from whose directory in the repositories is, or is not, that. Files are written to a
    /// directory that lives as long as anything of the model does. It blocks.
    pub fn apply(self, model: &str, found: Found) -> Result<Source, LoadError> {
        self.check(model)?;
        if self.files.is_empty() {
            return match found {
                Found::Model(directory) => Ok(Source::from(directory).with_config(self.config)),
                Found::Refused(reason) => Err(LoadError::internal(reason)),
                Found::Absent => Err(LoadError::new(
                    nerite_backend::Code::NotFound,
                    format!(
                        "there is no directory '{model}' in any model repository; copy the model's directory into one, or \
                         correct the name"
                    ),
                )),
            };
        }
        if model.starts_with('.') {
            return Err(LoadError::invalid(format!(
                "a model's name must not begin with a dot: give model '{model}' another"
            )));
        }
        let source = self.write(model);
        source.map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::InvalidFilename => "give them shorter paths, and the model a shorter name",
                _ => "free some space there, or name another directory by TMPDIR",
            };
            LoadError::internal(format!(
                "the files given for model '{model}' cannot be stored in '{}': {error}; {remedy}",
                std::env::temp_dir().display()
            ))
        })
    }

    fn write(self, model: &str) -> io::Result<Source> {
        let root = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        // For as long as this process lives, however it ends.
        let lock = File::open(root.path())?;
        lock.try_lock()?;
        let directory = root.path().join(model);
        for (path, content) in &self.files {
            let path = directory.join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, content)?;
        }
        let Found::Model(directory) = find(&[root.path().to_owned()], model) else {
            return Err(io::Error::other("they cannot be found there any more"));
        };
        let keep: Arc<dyn Any + Send + Sync> = Arc::new((root, lock));
        Ok(Source::kept(directory, self.config, keep))
    }
}

/// Whether a path leads to a file below its start, by names alone.
fn is_inside(path: &Path) -> bool {
    let is_plain = |component| matches!(component, Component::Normal(_));
    path.components().next().is_some() && path.components().all(is_plain)
}

/// Removes what daemons have left behind that were killed while models were served whose files had been given to them.
pub fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in
        entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()))
    {
        // One that has just been made may not have been locked yet.
        let is_old = |metadata: Metadata| {
            metadata.is_dir() && metadata.modified().is_ok_and(|at| at + NEW < SystemTime::now())
        };
        if !entry.metadata().is_ok_and(is_old) {
            continue;
        }
        // Whoever lives holds the lock.
        let is_left = File::open(entry.path()).is_ok_and(|directory| directory.try_lock().is_ok());
        if is_left && fs::remove_dir_all(entry.path()).is_ok() {
            tracing::info!("removed '{}', which a daemon that was killed has left", entry.path().display());
        }
    }
}

/// What to do about a path that no file can have.
fn unusable(path: &Path) -> Option<&'static str> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.contains(&0) {
        return Some("give it a path without NUL");
    }
    let is_directory = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
    is_directory.then_some("give it a path that ends with a file's name, like 'file:1/model.onnx'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_daemon_left_is_removed_and_what_a_living_one_has_is_not() {
        let directory = || tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
        let (left, new, held) = (directory(), directory(), directory());
        let lock = File::open(held.path()).unwrap();
        lock.try_lock().unwrap();
        for old in [&left, &held] {
            fs::write(old.path().join("file"), "weights").unwrap();
            File::open(old.path()).unwrap().set_modified(SystemTime::now() - 2 * NEW).unwrap();
        }
        remove_leftovers();
        assert_eq!([&left, &new, &held].map(|directory| directory.path().exists()), [false, true, true]);
    }

    fn overrides(paths: &[&str]) -> Overrides {
        let files = paths.iter().map(|path| (PathBuf::from(path), Bytes::from_static(b"x"))).collect();
        Overrides { config: Some("{}".into()), files }
    }

    #[test]
    fn the_files_that_are_given_are_the_whole_model_for_as_long_as_it_lives() {
        let source =
            overrides(&["1/model.onnx", "2/deep/er", "labels.txt"]).apply("m", Found::Absent).unwrap();
        let path = source.directory.path.clone();
        assert_eq!((source.directory.name.as_str(), &source.directory.versions[..]), ("m", &[1, 2][..]));
        assert!(path.join("2/deep/er").is_file() && path.join("labels.txt").is_file());
        drop(source);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_that_leads_out_of_the_model_is_refused() {
        for path in ["../1/model.onnx", "/etc/passwd", "1/../../x", "1/./../x", "", "..", "1/../1/x"] {
            let error = overrides(&["1/fine", path]).apply("m", Found::Absent).unwrap_err();
            assert!(error.message.contains("leads out of the directory of model 'm'"), "{path}: {error}");
        }
    }

    #[test]
    fn a_path_that_no_file_can_have_is_refused_with_its_own_remedy() {
        for (path, told) in [
            ("1/mo\0del", "of model 'm' names no file: give it a path without NUL"),
            ("1/model.onnx/", "of model 'm' names no file: give it a path that ends with a file's name"),
            ("1/model.onnx/.", "of model 'm' names no file: give it a path that ends with a file's name"),
            (&format!("1/{}", "n".repeat(5000)), "give them shorter paths, and the model a shorter name"),
        ] {
            let error = overrides(&["1/fine", path]).apply("m", Found::Absent).unwrap_err();
            assert!(error.message.contains(told), "{path}: {error}");
            assert!(!error.message.contains("free some space"), "{path}: {error}");
        }
    }

    #[test]
    fn files_that_cannot_be_there_together_are_refused() {
        let refused = |paths: &[&str]| overrides(paths).check("m").map_err(|error| error.message).err();
        assert_eq!(refused(&["1/a", "1/b", "1.txt", "10/a", "2"]), None);
        let text = "load parameters 'file:1' and 'file:1/b/c' of model 'm' cannot both be files: give each a path of its \
                    own";
        assert_eq!(refused(&["1/b/c", "1.txt", "1"]).as_deref(), Some(text));
        assert!(refused(&["1/a", "1//a"]).is_some());
    }

    #[test]
    fn a_name_that_begins_with_a_dot_is_refused() {
        let error = overrides(&["1/model.onnx"]).apply(".m", Found::Absent).unwrap_err();
        assert!(error.message.contains("must not begin with a dot"), "{error}");
    }

    #[test]
    fn files_without_a_configuration_are_refused() {
        let overrides = Overrides { config: None, ..overrides(&["1/model.onnx"]) };
        assert!(overrides.apply("m", Found::Absent).unwrap_err().message.contains("'config'"));
    }

    #[test]
    fn a_model_that_is_in_no_repository_or_in_two_is_refused_with_that_reason() {
        let nothing = Overrides::default;
        assert!(nothing().apply("m", Found::Absent).unwrap_err().message.contains("in any model repository"));
        assert_eq!(nothing().apply("m", Found::Refused("twice".into())).unwrap_err().message, "twice");
    }
}
