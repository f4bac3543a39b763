use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use nerite_backend::is_hidden;

use super::fingerprint::{MAX_DEPTH, MAX_ENTRIES};

/// How many links are followed to one file, as many as the system would.
const MAX_LINKS: usize = 40;

/// Somewhere that a model's files can change. Paths lead through no link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A directory that holds files of the model.
    Directory(PathBuf),
    /// A file that a link of the model leads to.
    File(PathBuf),
    /// A link on the way to a file or directory of the model, or what is missing where one leads.
    Link(PathBuf),
}

impl Place {
    /// Which path stands for the place: what happens there, or in it, concerns the model.
    pub(super) fn path(&self) -> &Path {
        let (Place::Directory(path) | Place::File(path) | Place::Link(path)) = self;
        path
    }

    /// What is to be watched in order to know what happens there.
    pub(super) fn watched(&self) -> &Path {
        match self {
            Place::Directory(path) | Place::File(path) => path,
            Place::Link(path) => path.parent().unwrap_or(path),
        }
    }
}

/// Where a model's files are: every directory that a look at it reads, and everything that links lead to. The path must
/// lead to the model's directory through no link, though that directory may be one.
pub(super) fn places(model: &Path) -> Vec<Place> {
    let mut search = Search::default();
    match fs::symlink_metadata(model) {
        Ok(metadata) if metadata.is_symlink() => search.follow(model, 0),
        _ => search.directory(model.to_owned(), 0),
    }
    while let Some((directory, depth)) = search.unread.pop() {
        search.read(&directory, depth);
    }
    search.places
}

#[derive(Default)]
struct Search {
    places: Vec<Place>,
    found: HashSet<PathBuf>,
    /// Directories to read, and how deep they lie.
    unread: Vec<(PathBuf, usize)>,
}

impl Search {
    fn directory(&mut self, path: PathBuf, depth: usize) {
        if depth < MAX_DEPTH && self.places.len() < MAX_ENTRIES && self.found.insert(path.clone()) {
            self.places.push(Place::Directory(path.clone()));
            self.unread.push((path, depth));
        }
    }

    fn read(&mut self, directory: &Path, depth: usize) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if is_hidden(Path::new(&entry.file_name())) {
                continue;
            }
            if kind.is_symlink() {
                self.follow(&entry.path(), depth + 1);
            } else if kind.is_dir() {
                self.directory(entry.path(), depth + 1);
            }
        }
    }

    /// Goes where a link leads, and takes note of every link on the way. The link itself is reached through none.
    fn follow(&mut self, link: &Path, depth: usize) {
        let mut at = link.parent().unwrap_or(link).to_owned();
        let mut rest: VecDeque<OsString> = link.file_name().map(OsString::from).into_iter().collect();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(name);
            let Ok(target) = fs::read_link(&at) else { continue };
            links += 1;
            if links > MAX_LINKS {
                return;
            }
            self.places.push(Place::Link(at.clone()));
            at.pop();
            for component in target.components().rev() {
                match component {
                    Component::Normal(name) => rest.push_front(name.to_owned()),
                    Component::ParentDir => rest.push_front("..".into()),
                    Component::RootDir => at = PathBuf::from("/"),
                    Component::CurDir | Component::Prefix(_) => {}
                }
            }
        }
        match fs::metadata(&at) {
            Ok(metadata) if metadata.is_dir() => self.directory(at, depth),
            Ok(_) => self.places.push(Place::File(at)),
            Err(_) => self.places.push(Place::Link(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The places of the model `m` below a directory that holds these directories and links, sorted and without its path.
    fn found(directories: &[&str], links: &[(&str, &str)]) -> Vec<Place> {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().canonicalize().unwrap();
        for directory in directories {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        for (target, link) in links {
            symlink(target.replace("ROOT", base.to_str().unwrap()), base.join(link)).unwrap();
        }
        let short = |path: PathBuf| path.strip_prefix(&base).unwrap().to_owned();
        let shortened = places(&base.join("m")).into_iter().map(|place| match place {
            Place::Directory(path) => Place::Directory(short(path)),
            Place::File(path) => Place::File(short(path)),
            Place::Link(path) => Place::Link(short(path)),
        });
        let mut places: Vec<Place> = shortened.collect();
        places.sort();
        places
    }

    fn directory(path: &str) -> Place {
        Place::Directory(path.into())
    }

    fn link(path: &str) -> Place {
        Place::Link(path.into())
    }

    #[test]
    fn every_directory_is_one_but_for_hidden_ones() {
        let places = found(&["m/1/assets", "m/2", "m/.git/objects", "other"], &[]);
        assert_eq!(places, ["m", "m/1", "m/1/assets", "m/2"].map(directory));
    }

    #[test]
    fn links_are_followed_one_by_one_and_each_is_a_place() {
        let places = found(
            &["m", "releases/v7/1/assets"],
            &[("ROOT/releases/current/./1", "m/1"), ("v7", "releases/current")],
        );
        let expected = [
            directory("m"),
            directory("releases/v7/1"),
            directory("releases/v7/1/assets"),
            link("m/1"),
            link("releases/current"),
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn the_model_itself_may_be_a_link() {
        let places = found(&["store/1"], &[("store", "m")]);
        assert_eq!(places, [directory("store"), directory("store/1"), link("m")]);
    }

    #[test]
    fn what_is_missing_where_a_link_leads_is_a_place_and_loops_end() {
        let places = found(&["m/1", "store"], &[("../store/x", "m/x"), ("..", "m/1/up"), ("loop", "m/loop")]);
        let (loops, places): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| place == &link("m/loop"));
        assert!(!loops.is_empty());
        assert_eq!(places, [directory("m"), directory("m/1"), link("m/1/up"), link("m/x"), link("store/x")]);
    }
}
