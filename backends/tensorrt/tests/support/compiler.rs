//! Compiling C++ against NVIDIA's headers, once for each source and set of headers.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the scripts put things; elsewhere on a machine to which they were carried.
fn target() -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tensorrt");
    std::env::var_os("NERITE_TENSORRT_FILES").map_or_else(here, PathBuf::from)
}

/// The headers of a version, `tensorrt-10.16` for instance.
pub(crate) fn headers(version: &str) -> PathBuf {
    let headers = target().join("headers").join(version);
    assert!(
        headers.exists(),
        "these tests compile against NVIDIA's headers, which are not in {}: run scripts/fetch-tensorrt-headers",
        headers.display()
    );
    headers
}

/// A real library that the scripts have fetched; `None` if they have not.
#[allow(dead_code)]
pub(crate) fn real_library(name: &str) -> Option<PathBuf> {
    Some(target().join("lib").join(name)).filter(|path| path.exists())
}

/// What is to be compiled.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    /// A header of that name and text beside it.
    pub(crate) header: Option<(&'a str, String)>,
    pub(crate) headers: PathBuf,
    pub(crate) flags: Vec<String>,
    /// The name of what it becomes.
    pub(crate) name: &'a str,
}

impl Source<'_> {
    /// What it becomes. Several processes may ask at once: one compiles, and the others wait.
    pub(crate) fn compile(&self) -> PathBuf {
        let mut digest = DefaultHasher::new();
        // Wherever the headers are, so that what was compiled can be carried along.
        let headers = self.headers.file_name();
        (self.text, &self.header, headers, &self.flags, self.name).hash(&mut digest);
        let folder = target().join("counterfeits").join(format!("{:016x}", digest.finish()));
        fs::create_dir_all(&folder).unwrap();
        let made = folder.join(self.name);
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        if made.exists() {
            return made;
        }
        let source = folder.join("source.cpp");
        fs::write(&source, self.text).unwrap();
        if let Some((name, text)) = &self.header {
            fs::write(folder.join(name), text).unwrap();
        }
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned());
        let part = folder.join("part");
        let mut command = Command::new(&compiler);
        command.args(["-std=c++17", "-w", "-O1", "-I"]).arg(&self.headers).arg("-I").arg(&folder);
        command.args(&self.flags).arg(&source).arg("-o").arg(&part).arg("-ldl");
        let output = command.output().unwrap_or_else(|error| {
            panic!(
                "these tests need a C++ compiler, and {compiler} cannot be run ({error}): apt-get install g++"
            )
        });
        assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
        fs::rename(&part, &made).unwrap();
        made
    }
}
