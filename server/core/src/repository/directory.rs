use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A model's directory in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelDirectory {
    /// The model's name, which is the directory's.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The versions that are there, in rising order.
    pub versions: Vec<u64>,
    /// Subdirectories that nothing is known of, perhaps misspelt versions, for the log.
    pub ignored: Vec<String>,
}

impl ModelDirectory {
    /// The directory of a version.
    pub fn version_path(&self, version: u64) -> PathBuf {
        self.path.join(version.to_string())
    }
}

/// Subdirectories with a meaning of their own, whether or not this server knows what to do with them.
const KNOWN: [&str; 3] = ["configs", "initial_state", "warmup"];

/// What a look at the repositories found.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The models by name.
    pub models: BTreeMap<String, ModelDirectory>,
    /// Directories that cannot be served, by name, with the reason.
    pub refused: BTreeMap<String, String>,
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
                Err(lossy) => {
                    scanned
                        .refused
                        .insert(lossy, "the name of a model's directory must be valid UTF-8".into());
                }
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
        if let Some(other) = self.models.remove(&name) {
            let reason = format!(
                "model '{name}' is not unique across all model repositories: it is in '{}' and in '{}'",
                other.path.display(),
                repository.join(&name).display()
            );
            self.refused.insert(name, reason);
            return;
        }
        match model_directory(repository, &name) {
            Ok(model) => drop(self.models.insert(name, model)),
            Err(error) => drop(self.refused.insert(name, format!("its directory cannot be read: {error}"))),
        }
    }
}

fn model_directory(repository: &Path, name: &str) -> io::Result<ModelDirectory> {
    let path = repository.join(name);
    let (mut versions, mut ignored) = (Vec::new(), Vec::new());
    for entry in subdirectories(&path)? {
        match entry.map(|name| (version_number(&name), name)) {
            Ok((Some(version), _)) => versions.push(version),
            Ok((None, name)) if KNOWN.contains(&name.as_str()) => {}
            Ok((None, name)) | Err(name) => ignored.push(name),
        }
    }
    versions.sort_unstable();
    Ok(ModelDirectory { name: name.to_owned(), path, versions, ignored })
}

/// The version that a directory of this name holds: digits alone, without a leading zero, within an `i64` (which is
/// what the protocol's clients use).
fn version_number(name: &str) -> Option<u64> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = name.len() > 1 && name.starts_with('0');
    name.parse().ok().filter(|&version| digits && !leading_zero && version <= i64::MAX as u64)
}

/// The names of the subdirectories (links to directories count), sorted; `Err` holds a name that is not UTF-8.
fn subdirectories(path: &Path) -> io::Result<Vec<Result<String, String>>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let is_directory = match entry.file_type()? {
            kind if kind.is_symlink() => entry.path().is_dir(),
            kind => kind.is_dir(),
        };
        let name = entry.file_name();
        if is_directory && !name.as_encoded_bytes().starts_with(b".") {
            names.push(name.into_string().map_err(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
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
}
