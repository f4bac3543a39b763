use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A repository's directory, as the watcher knows it.
pub(super) struct Root {
    /// As it was configured.
    pub(super) path: PathBuf,
    /// The same directory without links on the way, when it was last there.
    pub(super) real: PathBuf,
    /// Whether it can be read.
    pub(super) is_there: bool,
    /// Whether it is looked at from time to time, since notification does not tell of everything in it.
    pub(super) is_polled: bool,
    /// Device and inode when it was last there.
    identity: Option<(u64, u64)>,
}

/// What has become of a repository's directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing new.
    Same,
    /// It cannot be read any more.
    Lost,
    /// It can be read, and could not before or is another one.
    New,
}

impl Root {
    pub(super) fn new(path: PathBuf) -> Root {
        Root { real: path.clone(), path, is_there: false, is_polled: false, identity: None }
    }

    /// Asks what has become of it. Where a file system was mounted there and an empty directory is left, it is not there.
    pub(super) fn check(&mut self) -> Fate {
        let Some(identity) = self.identity_now() else {
            return if std::mem::take(&mut self.is_there) { Fate::Lost } else { Fate::Same };
        };
        if self.is_there && self.identity == Some(identity) {
            return Fate::Same;
        }
        let Ok(real) = self.path.canonicalize() else { return Fate::Same };
        (self.real, self.is_there, self.identity) = (real, true, Some(identity));
        Fate::New
    }

    fn identity_now(&self) -> Option<(u64, u64)> {
        // What is in the directory may be looked up, or this fails.
        let metadata = fs::metadata(self.path.join(".")).ok()?;
        let was_unmounted = self.identity.is_some_and(|(device, _)| device != metadata.dev())
            && fs::read_dir(&self.path).ok()?.next().is_none();
        (!was_unmounted).then(|| (metadata.dev(), metadata.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_goes_and_comes_back_is_new() {
        let parent = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (parent.path().join("models"), parent.path().join("elsewhere"));
        let mut root = Root::new(path.clone());
        assert_eq!((root.check(), root.is_there), (Fate::Same, false));
        fs::create_dir(&path).unwrap();
        assert_eq!((root.check(), root.check(), root.is_there), (Fate::New, Fate::Same, true));
        fs::rename(&path, &elsewhere).unwrap();
        assert_eq!((root.check(), root.check(), root.is_there), (Fate::Lost, Fate::Same, false));
        fs::rename(&elsewhere, &path).unwrap();
        assert_eq!((root.check(), root.is_there), (Fate::New, true));
    }

    #[test]
    fn another_directory_in_its_place_is_new() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("models");
        fs::create_dir(&path).unwrap();
        let mut root = Root::new(path.clone());
        root.check();
        fs::rename(&path, parent.path().join("old")).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(root.check(), Fate::New);
    }

    #[test]
    fn an_empty_directory_on_another_device_is_what_an_unmounted_file_system_leaves() {
        let path = tempfile::tempdir().unwrap();
        let mut root = Root::new(path.path().to_owned());
        root.check();
        root.identity = root.identity.map(|(device, inode)| (device + 1, inode));
        assert_eq!(root.check(), Fate::Lost);
        fs::create_dir(path.path().join("m")).unwrap();
        assert_eq!(root.check(), Fate::New);
    }
}
