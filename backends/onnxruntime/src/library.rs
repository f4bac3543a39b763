//! Where ONNX Runtime's library is, and loading it.

use std::error::Error;
use std::path::{Path, PathBuf};

use nerite_backend::{BackendError, Code};
use ort::LoadDynamicError;

const FILE: &str = "libonnxruntime.so";
const REMEDY: &str = "run scripts/fetch-onnxruntime, or name the library with the environment variable ORT_DYLIB_PATH \
                      or with --backend-config=onnxruntime,library=PATH";

/// Loads the library for the rest of the process's life, unless that was done before, and says where it is. A failure
/// may be tried again.
pub(crate) fn load(named: Option<&Path>) -> Result<PathBuf, BackendError> {
    let path = match named {
        Some(path) => path.to_path_buf(),
        None => search()?,
    };
    // A path with a directory is meant from here; a bare name is the loader's to find.
    let is_bare = path.components().count() == 1 && !path.is_absolute();
    let path = if is_bare { path } else { std::path::absolute(&path).unwrap_or(path) };
    // The builder that this gives is not needed: the environment is made by hand.
    match ort::init_from(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(explain(&path, error)),
    }
}

/// The library's place if no option names it.
fn search() -> Result<PathBuf, BackendError> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let directory = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_path_buf()));
    let Some(directory) = directory else {
        return Err(BackendError::new(
            Code::NotFound,
            format!(
                "cannot tell where ONNX Runtime's library is, because this program's own place is unknown: {REMEDY}"
            ),
        ));
    };
    let places = [directory.join("../onnxruntime/lib").join(FILE), directory.join(FILE)];
    Ok(places.into_iter().find(|place| place.exists()).unwrap_or_else(|| PathBuf::from(FILE)))
}

fn explain(path: &Path, error: LoadDynamicError) -> BackendError {
    let path = path.display();
    match error {
        LoadDynamicError::Dlopen { error, .. } => {
            // What the loader says is one level down.
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            let message = format!("ONNX Runtime's library '{path}' cannot be loaded ({why}): {REMEDY}");
            BackendError::new(Code::NotFound, message)
        }
        LoadDynamicError::BadVersion { version_str, .. } => BackendError::new(
            Code::Unsupported,
            format!(
                "'{path}' is ONNX Runtime {version_str}, and 1.{} or newer is needed: {REMEDY}",
                ort::MINOR_VERSION
            ),
        ),
        LoadDynamicError::MissingApi { .. } | LoadDynamicError::InvalidVersionString => {
            BackendError::new(Code::Unsupported, format!("'{path}' is not ONNX Runtime's library: {REMEDY}"))
        }
    }
}
