use std::fs;
use std::path::Path;

use crate::model::{LoadError, VersionPolicy};
use crate::repository::{ModelDirectory, version_number};

/// The most names that a reason lists.
const LISTED: usize = 10;

/// Why a policy that selects none of a model's versions serves nothing, and what to do about it. It looks at the disk.
pub(super) fn no_version(directory: &ModelDirectory, policy: &VersionPolicy) -> LoadError {
    let ModelDirectory { name, versions, .. } = directory;
    let remedy = match (directory.why_no_version(), policy) {
        (Some(why), _) => why,
        (None, VersionPolicy::Specific(wanted)) => format!(
            "its version_policy names {}, and its directory has {}; change version_policy, or add the folder of a \
             version \
             that it names",
            if wanted.is_empty() { "none".to_owned() } else { listed(wanted.iter().map(i64::to_string)) },
            listed(versions.iter().map(u64::to_string)),
        ),
        (None, _) => "change version_policy".to_owned(),
    };
    LoadError::invalid(format!(
        "at least one version must be available under the version policy of model '{name}'; {remedy}"
    ))
}

impl ModelDirectory {
    /// Why it has no version, and what to do about it; nothing if it has one. It looks at the disk.
    pub fn why_no_version(&self) -> Option<String> {
        let ModelDirectory { versions, ignored, .. } = self;
        if !versions.is_empty() {
            return None;
        }
        let in_the_way = no_directories(&self.path);
        Some(match (&in_the_way[..], &ignored[..]) {
            ([], []) => {
                "its directory has no version; put the model's files into a folder '1' in it".to_owned()
            }
            ([], _) => format!(
                "its directory has no version: {} {}; name the folder of a version by a whole number without leading \
                 zeros, \
                 such as 1",
                listed(ignored.iter().map(|folder| format!("'{folder}'"))),
                if ignored.len() == 1 { "is none" } else { "are none" },
            ),
            _ => format!(
                "its directory has no version: {} {}; put a folder with the model's files there",
                listed(in_the_way.iter().map(|name| format!("'{name}'"))),
                if in_the_way.len() == 1 {
                    "is neither a directory nor a link to one"
                } else {
                    "are neither directories nor links to any"
                },
            ),
        })
    }
}

/// What is named like a version in a model's directory, and is none.
fn no_directories(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let names = entries
        .filter(|entry| !entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| version_number(name).is_some()).collect();
    names.sort_unstable();
    names
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let mut listed = names.take(LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        listed.push_str(&format!(" and {more} more"));
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_says_what_is_there_and_what_to_do() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let specific = VersionPolicy::Specific;
        let rest = "change version_policy, or add the folder of a version that it names";
        let table = [
            (
                vec![],
                names(&[]),
                VersionPolicy::All,
                "its directory has no version; put the model's files into a folder '1' in it".to_owned(),
            ),
            (
                vec![],
                names(&["01"]),
                VersionPolicy::Latest(1),
                "its directory has no version: '01' is none; name the folder of a version by a whole number without \
                 leading zeros, such as 1"
                    .to_owned(),
            ),
            (
                vec![],
                names(&["-1", "v1"]),
                specific(vec![1]),
                "its directory has no version: '-1', 'v1' are none; name the folder of a version by a whole number \
                 without leading zeros, such as 1"
                    .to_owned(),
            ),
            (
                vec![1, 3],
                names(&["v2"]),
                specific(vec![2, 4]),
                format!("its version_policy names 2, 4, and its directory has 1, 3; {rest}"),
            ),
            (
                vec![1],
                names(&[]),
                specific(vec![-1]),
                format!("its version_policy names -1, and its directory has 1; {rest}"),
            ),
            (
                (1..=12).collect(),
                names(&[]),
                specific(vec![]),
                format!(
                    "its version_policy names none, and its directory has 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more; \
                     {rest}"
                ),
            ),
        ];
        for (versions, ignored, policy, expected) in table {
            let directory = ModelDirectory { versions, ignored, ..crate::mock::directory("m", &[]) };
            let beginning = "at least one version must be available under the version policy of model 'm'; ";
            assert_eq!(no_version(&directory, &policy).message, format!("{beginning}{expected}"));
        }
    }

    #[test]
    fn what_is_named_like_a_version_and_is_no_directory_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("1"), "").unwrap();
        let directory = ModelDirectory { path: root.path().to_owned(), ..crate::mock::directory("m", &[]) };
        let reason = || no_version(&directory, &VersionPolicy::All).message;
        let one = "has no version: '1' is neither a directory nor a link to one; put a folder with the model's files there";
        assert!(reason().ends_with(one), "{}", reason());
        std::os::unix::fs::symlink("2", root.path().join("2")).unwrap();
        std::os::unix::fs::symlink(".", root.path().join("3")).unwrap();
        assert!(reason().contains(": '1', '2' are neither directories nor links to any;"), "{}", reason());
    }
}
