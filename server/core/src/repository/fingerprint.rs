use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nerite_backend::is_hidden;

/// How deep a look goes below a directory. What lies deeper is not told apart.
pub(super) const MAX_DEPTH: usize = 32;

/// How many files and directories a look takes in of a model; a link may lead to a whole file system.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// What a model's files were like at a look. Two looks that give the same found the same files: a file written to,
/// replaced, renamed or touched between them makes the second another, whatever its size and its times were set to.
///
/// Names that begin with a dot are passed over, as in a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Everything in the model's directory outside of its versions' directories.
    pub shared: Digest,
    /// Everything in the directory of each version.
    pub versions: BTreeMap<u64, Digest>,
}

/// What the files in a directory were like, in short. It means something only within this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest(u64);

/// What the files in a directory, at any depth, are like now. Links are followed. What cannot be looked at counts as that.
///
/// For a version's directory this is what [`Fingerprint::versions`] holds.
pub fn digest(path: &Path) -> Digest {
    let mut walk = Walk::new(path);
    walk.here(&fs::metadata(path));
    walk.digest()
}

/// Something in a directory.
pub(super) struct Entry {
    pub(super) name: OsString,
    /// Of what a link leads to.
    pub(super) metadata: io::Result<Metadata>,
}

impl Entry {
    pub(super) fn is_directory(&self) -> bool {
        self.metadata.as_ref().is_ok_and(Metadata::is_dir)
    }
}

/// What is in a directory, sorted by name, but for names that begin with a dot.
pub(super) fn listing(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_hidden(Path::new(&name)) {
            continue;
        }
        // The entry's own metadata are those of the link; asked through the open directory, which is cheaper than by path.
        let metadata = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()),
            Ok(_) => entry.metadata(),
            Err(error) => Err(error),
        };
        entries.push(Entry { name, metadata });
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// A look at the files below one directory.
pub(super) struct Walk {
    hasher: DefaultHasher,
    /// Where the walk is.
    path: PathBuf,
    /// The directories that the walk is in, by device and inode: a link to one of them is a loop.
    inside: Vec<(u64, u64)>,
    /// How much it still takes in.
    left: usize,
    /// Whether there was more than it takes in.
    is_cut: bool,
}

impl Walk {
    /// A walk that begins at this directory and takes in [`MAX_ENTRIES`] files and directories at most.
    pub(super) fn new(path: &Path) -> Walk {
        Walk {
            hasher: DefaultHasher::new(),
            path: path.to_owned(),
            inside: Vec::new(),
            left: MAX_ENTRIES,
            is_cut: false,
        }
    }

    /// Whether there was more than it takes in.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Takes in the directory itself; what is in it is for [`Walk::take`].
    pub(super) fn enter(&mut self, metadata: &Metadata) {
        self.mark(b'd');
        self.hasher.write_u32(metadata.mode());
        self.inside.push((metadata.dev(), metadata.ino()));
    }

    /// Takes in something that is in the directory where the walk is, with all that is in it.
    pub(super) fn take(&mut self, entry: &Entry) {
        if self.left == 0 {
            self.is_cut = true;
            return self.mark(b'l');
        }
        self.left -= 1;
        entry.name.hash(&mut self.hasher);
        self.path.push(&entry.name);
        self.here(&entry.metadata);
        self.path.pop();
    }

    /// The digest of something that is in the directory where the walk is, which the walk itself does not take in; it
    /// counts with what it does.
    pub(super) fn aside(&mut self, entry: &Entry) -> Digest {
        let mut walk = Walk { left: self.left, ..Walk::new(&self.path.join(&entry.name)) };
        walk.here(&entry.metadata);
        self.left = walk.left;
        self.is_cut |= walk.is_cut;
        walk.digest()
    }

    pub(super) fn digest(self) -> Digest {
        Digest(self.hasher.finish())
    }

    fn here(&mut self, metadata: &io::Result<Metadata>) {
        match metadata {
            Ok(metadata) if metadata.is_dir() => self.directory(metadata),
            Ok(metadata) => self.file(metadata),
            Err(error) => self.failure(error),
        }
    }

    fn file(&mut self, metadata: &Metadata) {
        self.mark(b'f');
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        (metadata.size(), times, metadata.ino(), metadata.dev()).hash(&mut self.hasher);
    }

    fn directory(&mut self, metadata: &Metadata) {
        let is_loop = self.inside.contains(&(metadata.dev(), metadata.ino()));
        if is_loop || self.inside.len() >= MAX_DEPTH {
            return self.mark(b'l');
        }
        self.enter(metadata);
        match listing(&self.path) {
            Ok(entries) => entries.iter().for_each(|entry| self.take(entry)),
            Err(error) => self.failure(&error),
        }
        self.mark(b'.');
        self.inside.pop();
    }

    fn failure(&mut self, error: &io::Error) {
        self.mark(b'e');
        error.raw_os_error().hash(&mut self.hasher);
    }

    fn mark(&mut self, kind: u8) {
        self.hasher.write_u8(kind);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A directory with a file in it.
    fn directory() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("sub")).unwrap();
        fs::write(root.path().join("sub/model.onnx"), "weights").unwrap();
        root
    }

    /// Files' times advance with the kernel's clock, in steps of some ms.
    fn let_time_pass() {
        thread::sleep(Duration::from_millis(15));
    }

    #[test]
    fn what_does_not_change_has_one_digest_however_often_it_is_read() {
        let root = directory();
        let before = digest(root.path());
        fs::read(root.path().join("sub/model.onnx")).unwrap();
        assert_eq!(digest(root.path()), before);
    }

    #[test]
    fn any_change_to_a_file_gives_another_digest() {
        type Act = fn(&Path);
        let changes: [(&str, Act); 8] = [
            ("written in place, times restored", |path| {
                let times = fs::metadata(path).unwrap().modified().unwrap();
                fs::write(path, "WEIGHTS").unwrap();
                File::options().write(true).open(path).unwrap().set_modified(times).unwrap();
            }),
            ("appended to", |path| fs::write(path, "weights!").unwrap()),
            ("touched", |path| File::open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap()),
            ("removed", |path| fs::remove_file(path).unwrap()),
            ("renamed", |path| fs::rename(path, path.with_file_name("other")).unwrap()),
            ("another beside it", |path| fs::write(path.with_file_name("labels.txt"), "").unwrap()),
            ("a directory instead", |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
            ("its directory closed", |path| {
                fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o711)).unwrap();
            }),
        ];
        for (what, change) in changes {
            let root = directory();
            let before = digest(root.path());
            let_time_pass();
            change(&root.path().join("sub/model.onnx"));
            assert_ne!(digest(root.path()), before, "{what}");
        }
    }

    #[test]
    fn the_order_in_which_files_were_made_does_not_matter() {
        let root = directory();
        let names = ["a", "b", "c"].map(|name| root.path().join("sub").join(name));
        let make = |order: [usize; 3]| {
            fs::create_dir_all(root.path().join("sub")).unwrap();
            order.iter().for_each(|&i| symlink("/nowhere", &names[i]).unwrap());
            let found = digest(&root.path().join("sub"));
            names.iter().for_each(|name| fs::remove_file(name).unwrap());
            found
        };
        assert_eq!(make([0, 1, 2]), make([2, 0, 1]));
    }

    #[test]
    fn names_that_begin_with_a_dot_are_passed_over_at_every_level() {
        let root = directory();
        let before = digest(root.path());
        fs::write(root.path().join(".hidden"), "").unwrap();
        fs::create_dir_all(root.path().join("sub/.git/objects")).unwrap();
        assert_eq!(digest(root.path()), before);
    }

    #[test]
    fn what_a_link_leads_to_counts() {
        let (root, target) = (directory(), directory());
        symlink(target.path(), root.path().join("sub/link")).unwrap();
        let before = digest(root.path());
        let_time_pass();
        fs::write(target.path().join("sub/model.onnx"), "WEIGHTS").unwrap();
        assert_ne!(digest(root.path()), before);
    }

    #[test]
    fn a_link_that_leads_nowhere_or_to_itself_or_to_its_parent_ends_the_walk_and_counts() {
        for target in ["nowhere", "link", ".", ".."] {
            let root = directory();
            let before = digest(root.path());
            symlink(target, root.path().join("sub/link")).unwrap();
            assert_ne!(digest(root.path()), before, "{target}");
            assert_eq!(digest(root.path()), digest(root.path()), "{target}");
        }
    }

    #[test]
    fn a_chain_of_directories_that_never_ends_is_followed_only_so_far() {
        let root = directory();
        let mut path = root.path().to_owned();
        for _ in 0..2 * MAX_DEPTH {
            path.push("deeper");
        }
        fs::create_dir_all(&path).unwrap();
        let before = digest(root.path());
        fs::write(path.join("far"), "").unwrap();
        assert_eq!(digest(root.path()), before);
    }

    #[test]
    fn a_directory_that_is_not_there_has_a_digest_too() {
        assert_eq!(digest(Path::new("/no/such")), digest(Path::new("/no/such")));
        assert_ne!(digest(Path::new("/no/such")), digest(directory().path()));
    }
}
