use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use nerite_backend::is_hidden;

use super::Sighting;
use super::fingerprint::{Fingerprint, MAX_ENTRIES, Walk, listing};

/// A model's directory in a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelDirectory {
    /// The model's name, which is the directory's.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The versions that are there, in rising order.
    pub versions: Vec<u64>,
    /// Subdirectories that nothing is known of, perhaps misspelt versions, for the log.
    pub ignored: Vec<String>,
    /// What its files were like.
    pub fingerprint: Fingerprint,
}

impl ModelDirectory {
    /// The directory of a version.
    pub fn version_path(&self, version: u64) -> PathBuf {
        self.path.join(version.to_string())
    }
}

/// Subdirectories with a meaning of their own, whether or not this server knows what to do with them.
const KNOWN: [&str; 3] = ["configs", "initial_state", "warmup"];

/// Why a directory whose name is not UTF-8 cannot be served.
const NOT_UTF_8: &str = "the name of a model's directory must be valid UTF-8";

/// What a look at the repositories found.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The models by name.
    pub models: BTreeMap<String, ModelDirectory>,
    /// Directories that cannot be served, by name, with the reason.
    pub refused: BTreeMap<String, String>,
}

impl Scanned {
    /// All that was found, by name.
    pub fn into_sightings(self) -> BTreeMap<String, Sighting> {
        let models = self.models.into_iter().map(|(name, directory)| (name, Sighting::Model(directory)));
        let refused = self.refused.into_iter().map(|(name, reason)| (name, Sighting::Refused(reason)));
        models.chain(refused).collect()
    }
}

/// A repository that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read model repository '{}': {reason}", path.display())]
pub struct ScanError {
    /// The repository.
    pub path: PathBuf,
    /// What the system said.
    pub reason: io::Error,
}

/// Looks at every repository. A model's name must be found in one of them only; names that begin with a dot are passed
/// over, as are plain files.
pub fn scan(repositories: &[PathBuf]) -> Result<Scanned, ScanError> {
    let mut scanned = Scanned::default();
    for repository in repositories {
        let directories =
            subdirectories(repository).map_err(|reason| ScanError { path: repository.clone(), reason })?;
        for directory in directories {
            match directory {
                Ok(name) => scanned.add(repository, name),
                Err(lossy) => drop(scanned.refused.insert(lossy, NOT_UTF_8.to_owned())),
            }
        }
    }
    Ok(scanned)
}

impl Scanned {
    fn add(&mut self, repository: &Path, name: String) {
        if self.refused.contains_key(&name) {
            return;
        }
        let path = repository.join(&name);
        if let Some(other) = self.models.remove(&name) {
            let reason = not_unique(&name, &other.path, &path);
            self.refused.insert(name, reason);
            return;
        }
        match look_at(&name, path) {
            Found::Model(model) => drop(self.models.insert(name, model)),
            Found::Refused(reason) => drop(self.refused.insert(name, reason)),
            Found::Absent => {}
        }
    }
}

/// What a look for one model found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its directory.
    Model(ModelDirectory),
    /// A directory of that name that cannot be served, and why.
    Refused(String),
    /// No directory of that name.
    Absent,
}

/// Looks for one model in every repository, as [`scan`] would find it. What is no name of a model is absent, and a
/// repository that cannot be read has no models.
pub fn find(repositories: &[PathBuf], name: &str) -> Found {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Found::Absent;
    }
    if name.contains(char::REPLACEMENT_CHARACTER) && is_lossy(repositories, name) {
        return Found::Refused(NOT_UTF_8.to_owned());
    }
    let mut found: Option<PathBuf> = None;
    for path in repositories.iter().map(|repository| repository.join(name)) {
        match (&found, directory_metadata(&path)) {
            (_, Ok(None)) => {}
            (Some(other), _) => return Found::Refused(not_unique(name, other, &path)),
            (None, _) => found = Some(path),
        }
    }
    found.map_or(Found::Absent, |path| look_at(name, path))
}

/// The names of the models' directories, sorted, each once. A repository that cannot be read contributes none; names that
/// are not UTF-8 appear as nearly as they can be written.
pub fn names(repositories: &[PathBuf]) -> Vec<String> {
    let directories = repositories.iter().filter_map(|repository| subdirectories(repository).ok()).flatten();
    let names: BTreeSet<String> = directories.map(|name| name.unwrap_or_else(|lossy| lossy)).collect();
    names.into_iter().collect()
}

/// Whether a directory in one of the repositories has a name that is not UTF-8 and would be written like this.
fn is_lossy(repositories: &[PathBuf], name: &str) -> bool {
    let directories = repositories.iter().filter_map(|repository| subdirectories(repository).ok()).flatten();
    directories.into_iter().any(|directory| directory.is_err_and(|lossy| lossy == name))
}

fn not_unique(name: &str, first: &Path, second: &Path) -> String {
    format!(
        "model '{name}' is not unique across all model repositories: it is in '{}' and in '{}'; remove or rename one of \
         them",
        first.display(),
        second.display()
    )
}

fn look_at(name: &str, path: PathBuf) -> Found {
    match model_directory(name, path) {
        Ok(Some(model)) => Found::Model(model),
        Ok(None) => Found::Absent,
        Err(error) => Found::Refused(format!(
            "its directory cannot be read: {error}; let the server's user read and search it, and a link lead to a model"
        )),
    }
}

/// The model in a directory, if it is one.
fn model_directory(name: &str, path: PathBuf) -> io::Result<Option<ModelDirectory>> {
    let Some(metadata) = directory_metadata(&path)? else { return Ok(None) };
    let mut model = ModelDirectory { name: name.to_owned(), path, ..ModelDirectory::default() };
    let mut shared = Walk::new(&model.path);
    shared.enter(&metadata);
    for entry in listing(&model.path)? {
        let directory = entry.is_directory().then_some(&entry.name);
        match directory.and_then(|name| name.to_str()).and_then(version_number) {
            Some(version) => drop(model.fingerprint.versions.insert(version, shared.aside(&entry))),
            None => shared.take(&entry),
        }
        if shared.is_cut() {
            return Err(io::Error::other(format!(
                "there are more than {MAX_ENTRIES} files and directories in it"
            )));
        }
        model.ignored.extend(directory.filter(|name| is_unknown(name)).map(|name| lossy(name)));
    }
    model.versions = model.fingerprint.versions.keys().copied().collect();
    model.fingerprint.shared = shared.digest();
    Ok(Some(model))
}

/// Whether nothing is known of a subdirectory of this name.
fn is_unknown(name: &OsStr) -> bool {
    name.to_str().is_none_or(|name| version_number(name).is_none() && !KNOWN.contains(&name))
}

/// What the system knows of a directory or a link to one; nothing where there is none.
fn directory_metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata).filter(Metadata::is_dir)),
        Err(error) if leads_nowhere(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether this says that there is nothing under a path, and not that it could not be looked at.
fn leads_nowhere(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    let is_loop = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_loop || matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | InvalidInput)
}

/// The version that a directory of this name holds: digits alone, without a leading zero, within an `i64` (which is
/// what the protocol's clients use).
pub(crate) fn version_number(name: &str) -> Option<u64> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = name.len() > 1 && name.starts_with('0');
    name.parse().ok().filter(|&version| digits && !leading_zero && version <= i64::MAX as u64)
}

/// The names of the subdirectories, sorted; `Err` holds a name that is not UTF-8. Links to directories count, and links
/// that cannot be followed because of something else than that they lead nowhere.
fn subdirectories(path: &Path) -> io::Result<Vec<Result<String, String>>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_directory = |kind: fs::FileType| match kind.is_symlink() {
            true => !matches!(directory_metadata(&entry.path()), Ok(None)),
            false => kind.is_dir(),
        };
        if !is_hidden(Path::new(&name)) && is_directory(entry.file_type()?) {
            names.push(name.into_string().map_err(|name| lossy(&name)));
        }
    }
    names.sort();
    Ok(names)
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn repository(directories: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in directories {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        root
    }

    #[test]
    fn versions_are_whole_numbers_and_anything_else_is_noted() {
        let root =
            repository(&["m/3", "m/10", "m/01", "m/v1", "m/-1", "m/99999999999999999999", "m/0", ".git/1"]);
        fs::write(root.path().join("README.md"), "").unwrap();
        fs::write(root.path().join("m/4"), "").unwrap();
        let scanned = scan(&[root.path().into()]).unwrap();
        assert_eq!(scanned.models.keys().collect::<Vec<_>>(), ["m"]);
        assert_eq!(scanned.models["m"].versions, [0, 3, 10]);
        assert_eq!(scanned.models["m"].ignored, ["-1", "01", "99999999999999999999", "v1"]);
    }

    #[test]
    fn folders_that_have_a_meaning_of_their_own_are_no_misspelt_versions() {
        let root = repository(&["m/1", "m/configs", "m/warmup", "m/initial_state", "m/config"]);
        assert_eq!(scan(&[root.path().into()]).unwrap().models["m"].ignored, ["config"]);
    }

    #[test]
    fn a_name_in_two_repositories_is_served_from_neither() {
        let (first, second, third) =
            (repository(&["a/1", "b/1"]), repository(&["b/1"]), repository(&["b/1"]));
        let paths = [&first, &second, &third].map(|root| root.path().to_owned());
        let scanned = scan(&paths).unwrap();
        assert_eq!(scanned.models.keys().collect::<Vec<_>>(), ["a"]);
        assert!(scanned.refused["b"].contains("not unique across all model repositories"));
    }

    #[test]
    fn a_repository_that_is_not_there_is_an_error_that_names_it() {
        let error = scan(&["/no/such/repository".into()]).unwrap_err();
        assert!(error.to_string().contains("/no/such/repository"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_to_a_directory_is_a_directory_and_a_dangling_one_is_nothing() {
        let root = repository(&["real/1"]);
        std::os::unix::fs::symlink(root.path().join("real"), root.path().join("link")).unwrap();
        std::os::unix::fs::symlink(root.path().join("nowhere"), root.path().join("dangling")).unwrap();
        let scanned = scan(&[root.path().into()]).unwrap();
        assert_eq!(scanned.models.keys().collect::<Vec<_>>(), ["link", "real"]);
        assert_eq!(scanned.models["link"].versions, [1]);
    }

    #[test]
    fn each_part_of_a_model_has_a_digest_of_its_own() {
        let root = repository(&["m/1", "m/2", "m/configs"]);
        let look = || scan(&[root.path().into()]).unwrap().models.remove("m").unwrap().fingerprint;
        let before = look();
        assert_eq!(before.versions.keys().collect::<Vec<_>>(), [&1, &2]);
        assert_eq!(before.versions[&2], super::super::digest(&root.path().join("m/2")));

        fs::write(root.path().join("m/2/model.onnx"), "").unwrap();
        let version_written = look();
        assert_eq!(version_written.shared, before.shared);
        assert_eq!(version_written.versions[&1], before.versions[&1]);
        assert_ne!(version_written.versions[&2], before.versions[&2]);

        for path in ["m/config.pbtxt", "m/configs/gpu.pbtxt"] {
            let before = look();
            fs::write(root.path().join(path), "").unwrap();
            assert_ne!(look().shared, before.shared, "{path}");
            assert_eq!(look().versions, before.versions, "{path}");
        }
    }

    #[test]
    fn a_version_that_links_to_its_own_model_has_the_digest_that_a_look_at_it_alone_has() {
        let root = repository(&["m/1"]);
        std::os::unix::fs::symlink("..", root.path().join("m/1/loop")).unwrap();
        let scanned = scan(&[root.path().into()]).unwrap();
        let model = &scanned.models["m"];
        assert_eq!(model.fingerprint.versions[&1], super::super::digest(&model.version_path(1)));
    }

    #[test]
    fn one_model_is_found_as_the_scan_finds_it() {
        use std::os::unix::ffi::OsStrExt;

        let (first, second) = (repository(&["a/1", "b/1", ".hidden/1", "c/2"]), repository(&["b/1", "d/v1"]));
        fs::write(first.path().join("plain"), "").unwrap();
        std::os::unix::fs::symlink("loop", first.path().join("loop")).unwrap();
        std::os::unix::fs::symlink("a", first.path().join("link")).unwrap();
        fs::create_dir(first.path().join(OsStr::from_bytes(b"bad\xff"))).unwrap();
        let repositories = [first.path().to_owned(), second.path().to_owned()];
        let scanned = scan(&repositories).unwrap();
        for (name, model) in &scanned.models {
            assert_eq!(find(&repositories, name), Found::Model(model.clone()), "{name}");
        }
        for (name, reason) in &scanned.refused {
            assert_eq!(find(&repositories, name), Found::Refused(reason.clone()), "{name}");
        }
        let mut all: Vec<_> = scanned.models.keys().chain(scanned.refused.keys()).cloned().collect();
        all.sort();
        assert_eq!(names(&repositories), all);
        assert_eq!(all, ["a", "b", "bad\u{fffd}", "c", "d", "link"]);
    }

    #[test]
    fn what_is_no_name_of_a_model_is_found_nowhere() {
        let root = repository(&["a/1", ".hidden/1"]);
        fs::write(root.path().join("plain"), "").unwrap();
        let long = "x".repeat(5000);
        for name in ["", ".", "..", ".hidden", "a/1", "a/", "a\0", "plain", "x", "\u{fffd}", long.as_str()] {
            assert_eq!(find(&[root.path().to_owned()], name), Found::Absent, "{name}");
        }
    }

    #[test]
    fn what_has_more_files_than_any_model_is_refused_and_not_looked_at_to_the_end() {
        let root = repository(&["m/1", "m/2", "m/3", "small/1"]);
        for version in 1..=3 {
            for file in 0..=MAX_ENTRIES / 2 {
                fs::File::create(root.path().join(format!("m/{version}/{file}"))).unwrap();
            }
        }
        let scanned = scan(&[root.path().to_owned()]).unwrap();
        assert!(scanned.refused["m"].contains("more than 100000 files"), "{:?}", scanned.refused);
        assert_eq!(scanned.models.keys().collect::<Vec<_>>(), ["small"]);
    }

    #[test]
    fn a_repository_that_is_not_there_contributes_no_names() {
        let root = repository(&["a/1"]);
        let repositories = ["/no/such".into(), root.path().to_owned()];
        assert_eq!(names(&repositories), ["a"]);
        assert!(matches!(find(&repositories, "a"), Found::Model(_)));
    }
}
