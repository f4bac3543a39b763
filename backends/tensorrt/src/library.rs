//! Where TensorRT's library is, and loading it.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use nerite_backend::{BackendError, Code};
use nerite_cuda::why;

use crate::logger::Logger;
use crate::options::Options;
use crate::version::{Layout, Product, Version};
use crate::vtable::Methods;

/// In this order: the newest that can build engines too, then those that only run them.
const FILES: [&str; 5] = [
    "libnvinfer.so.11",
    "libnvinfer.so.10",
    "libnvinfer_lean.so.11",
    "libnvinfer_lean.so.10",
    "libtensorrt_rtx.so.1",
];
const REMEDY: &str = "install TensorRT 10 or 11 (Debian package libnvinfer10 or libnvinfer11, or Python package tensorrt), and \
                      name its library with --backend-config=tensorrt,library=PATH or put its directory into \
                      LD_LIBRARY_PATH";

/// TensorRT, ready for use. It stays loaded: its objects may outlive any model.
#[derive(Debug)]
pub(crate) struct Library {
    path: PathBuf,
    version: Version,
    layout: Layout,
    logger: &'static Logger,
    create_runtime: unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void,
}

impl Library {
    /// Loads the library that the options name, or else the first that there is, and the plugins.
    pub(crate) fn load(options: &Options) -> Result<Library, BackendError> {
        let (path, library) = match &options.library {
            Some(path) => (path.clone(), open(path).map_err(|error| not_loaded(path, &error))?),
            None => search()?,
        };
        let shown = path.display();
        let foreign = |error: libloading::Error| {
            let message = format!("'{shown}' is not TensorRT's library ({}): {REMEDY}", why(&error));
            BackendError::new(Code::Unsupported, message)
        };
        // SAFETY: both are what NvInferRuntime.h declares under these names, in all versions.
        let (version, create_runtime) = unsafe {
            let version =
                library.get::<unsafe extern "C" fn() -> i32>("getInferLibVersion").map_err(foreign)?;
            let create = library.get("createInferRuntime_INTERNAL").map_err(foreign)?;
            (Version::of_number(version()), *create)
        };
        let layout = version.layout().ok_or_else(|| {
            let message = format!(
                "'{shown}' is {version}, and TensorRT 10 or 11, or TensorRT for RTX 1.5 or newer, is needed: {REMEDY}"
            );
            BackendError::new(Code::Unsupported, message)
        })?;
        let logger = Logger::new(layout);
        let loaded = Library { path, version, layout, logger, create_runtime };
        loaded.load_plugins(&options.plugins)?;
        tracing::info!("TensorRT's library is '{}', {version}", loaded.path.display());
        Ok(loaded)
    }

    /// Its version.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// In which slots its methods are.
    pub(crate) fn methods(&self) -> &'static Methods {
        Methods::of(self.layout)
    }

    /// Its own path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `createInferRuntime`: null, or a small number, where it fails.
    pub(crate) fn create_runtime(&self) -> *mut c_void {
        // SAFETY: the logger lives as long as the process and is laid out for this library, of which the number is the
        // version that its caller must know.
        unsafe { (self.create_runtime)(self.logger.as_ptr(), self.version.number) }
    }

    /// TensorRT's own plugins, if they lie beside it, and the models'.
    fn load_plugins(&self, named: &[PathBuf]) -> Result<(), BackendError> {
        if self.version.product == Product::TensorRt {
            let own = self.path.with_file_name(format!("libnvinfer_plugin.so.{}", self.version.major));
            // Engines without plugins do without this library, and the lean runtime has none.
            if let Ok(plugins) = open(&own) {
                self.register(&plugins);
            }
        }
        for path in named {
            let plugins = open(path).map_err(|error| {
                let message = format!(
                    "the library of TensorRT plugins '{}' cannot be loaded ({}): correct \
                     --backend-config=tensorrt,plugins",
                    path.display(),
                    why(&error)
                );
                BackendError::new(Code::NotFound, message)
            })?;
            self.register(&plugins);
        }
        Ok(())
    }

    /// Has a library register its plugins, if it has the function for that; others do so as they are loaded.
    fn register(&self, plugins: &libloading::Library) {
        type Register = unsafe extern "C" fn(*mut c_void, *const c_char) -> bool;
        // SAFETY: this is what NvInferPlugin.h declares under that name; logger and text live as long as the process.
        let registered = unsafe {
            let register = plugins.get::<Register>("initLibNvInferPlugins");
            register.is_ok_and(|register| register(self.logger.as_ptr(), c"".as_ptr()))
        };
        tracing::debug!(registered, "a library of TensorRT plugins is loaded");
    }
}

/// Opens a library for the rest of the process's life.
fn open(path: &Path) -> Result<ManuallyDrop<libloading::Library>, libloading::Error> {
    // SAFETY: loading runs the library's initializers, which TensorRT and its plugins have for this purpose. Whoever
    // can set the path can have the process execute what they like anyway.
    unsafe { libloading::Library::new(path) }.map(ManuallyDrop::new)
}

/// The first library that the system's loader finds.
fn search() -> Result<(PathBuf, ManuallyDrop<libloading::Library>), BackendError> {
    let mut reasons = Vec::new();
    for file in FILES {
        match open(Path::new(file)) {
            Ok(library) => return Ok((PathBuf::from(file), library)),
            Err(error) => reasons.push(why(&error)),
        }
    }
    let message = format!("TensorRT's library cannot be loaded ({}): {REMEDY}", reasons.join("; "));
    Err(BackendError::new(Code::NotFound, message))
}

fn not_loaded(path: &Path, error: &libloading::Error) -> BackendError {
    let message =
        format!("TensorRT's library '{}' cannot be loaded ({}): {REMEDY}", path.display(), why(error));
    BackendError::new(Code::NotFound, message)
}
