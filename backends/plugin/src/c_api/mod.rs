//! The functions that plugins call, by the objects that they are about.

// The names are the C API's, and the linker's visibility is not the compiler's.
#![allow(non_snake_case, unreachable_pub)]

pub(crate) mod backend;
pub(crate) mod server;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::{fs, io};

    /// The names of the functions that the files below define.
    fn defined(directory: &Path, names: &mut BTreeSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                defined(&path, names)?;
                continue;
            }
            let text = fs::read_to_string(path)?;
            let functions = text.lines().filter_map(|line| {
                let line = line.trim_start().trim_start_matches("pub unsafe extern \"C\" ");
                line.strip_prefix("fn ")?.split('(').next()
            });
            names.extend(functions.filter(|name| name.starts_with("TRITON")).map(str::to_owned));
        }
        Ok(())
    }

    #[test]
    fn every_function_of_the_api_is_there_and_no_other() {
        let mut names = BTreeSet::new();
        defined(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/c_api"), &mut names).unwrap();
        let list = include_str!("../../api-1.19.txt").lines();
        let list: BTreeSet<String> =
            list.filter(|name| name.starts_with("TRITON")).map(str::to_owned).collect();
        let differing: Vec<&String> = names.symmetric_difference(&list).collect();
        assert!(differing.is_empty(), "{differing:?}");
    }
}
