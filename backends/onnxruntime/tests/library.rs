//! Libraries that are not there, not ONNX Runtime or too old. Alone in its process, which can have only one.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use nerite_backend::{Artifact, Backend, BackendError, Cancel, Code};
use nerite_onnxruntime::{OnnxRuntime, Options};
use support::onnx::{element, identity};
use support::{Version, library};

fn load_with(library: &Path, version: &Version) -> Result<(), BackendError> {
    let artifact = Artifact { model: "test", directory: version.directory.path(), ..Artifact::default() };
    let options = Options { library: Some(library.to_path_buf()), ..Options::default() };
    OnnxRuntime::new(options).load(&artifact, &Cancel::default()).map(drop)
}

/// A library that says it is ONNX Runtime 1.17.
fn counterfeit(directory: &Path) -> PathBuf {
    let (source, library) = (directory.join("old.c"), directory.join("libonnxruntime.so"));
    let text = "static const void *api(unsigned v) { (void)v; return 0; }\n\
                static const char *version(void) { return \"1.17.3\"; }\n\
                static const struct { const void *(*a)(unsigned); const char *(*v)(void); } base = {api, version};\n\
                const void *OrtGetApiBase(void) { return &base; }\n";
    std::fs::write(&source, text).unwrap();
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(status.expect("this test needs a C compiler, as Rust does").success());
    library
}

#[test]
fn a_library_that_will_not_do_is_an_error_that_says_what_to_do_and_the_right_one_loads_after_it() {
    let version = Version::new(&identity(element::FLOAT, &[1]));
    let nowhere = version.directory.path().join("nowhere/libonnxruntime.so");
    let old = counterfeit(version.directory.path());
    for (library, code, part) in [
        (nowhere.as_path(), Code::NotFound, "nowhere/libonnxruntime.so"),
        (Path::new("libonnxruntime-that-nobody-has.so"), Code::NotFound, "libonnxruntime-that-nobody-has.so"),
        (Path::new("libc.so.6"), Code::Unsupported, "is not ONNX Runtime's library"),
        (old.as_path(), Code::Unsupported, "is ONNX Runtime 1.17.3, and 1.24 or newer is needed"),
    ] {
        let error = load_with(library, &version).unwrap_err();
        assert!(error.code == code && error.message.contains(part), "{:?}: {error}", error.code);
        for remedy in
            ["scripts/fetch-onnxruntime", "ORT_DYLIB_PATH", "--backend-config=onnxruntime,library=PATH"]
        {
            assert!(error.message.contains(remedy), "{error}");
        }
    }
    load_with(&library(), &version).unwrap();
}
