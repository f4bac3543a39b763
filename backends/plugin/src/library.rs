//! A plugin's library and its entry points.

use std::ffi::CStr;
use std::fs;
use std::mem::ManuallyDrop;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};
use nerite_backend::{BackendError, Code};
use nerite_plugin_abi::entry::{
    self, BackendFn, GetBackendAttributeFn, ModelBatchIncludeRequestFn, ModelBatcherInitializeFn, ModelFn,
    ModelInstanceExecuteFn, ModelInstanceFn,
};

use crate::boundary::{EntryPoint, GetExceptions};
use crate::elf::Elf;
use crate::{stand_in, uncaught};

/// A plugin's library. It stays loaded for as long as the process lives: a plugin may have threads that are still in
/// it.
pub(crate) struct Library {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Which file it was loaded from.
    identity: Option<Identity>,
    /// Called once, before all else.
    pub(crate) initialize: Option<EntryPoint<BackendFn>>,
    /// Called last.
    pub(crate) finalize: Option<EntryPoint<BackendFn>>,
    /// Asked for attributes.
    pub(crate) get_attribute: Option<EntryPoint<GetBackendAttributeFn>>,
    /// Called with each model.
    pub(crate) model_initialize: Option<EntryPoint<ModelFn>>,
    /// Called when a model goes.
    pub(crate) model_finalize: Option<EntryPoint<ModelFn>>,
    /// Called with each instance.
    pub(crate) instance_initialize: Option<EntryPoint<ModelInstanceFn>>,
    /// Called when an instance goes.
    pub(crate) instance_finalize: Option<EntryPoint<ModelInstanceFn>>,
    /// Called with each batch.
    pub(crate) execute: EntryPoint<ModelInstanceExecuteFn>,
    /// Asked whether an instance can execute.
    pub(crate) ready: Option<EntryPoint<ModelInstanceFn>>,
    /// Whether it has rules of its own for what goes into a batch.
    pub(crate) batches: bool,
}

/// What tells a file from another of the same path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> Option<Identity> {
        let file = fs::metadata(path).ok()?;
        Some(Identity { inode: file.ino(), size: file.size(), modified: (file.mtime(), file.mtime_nsec()) })
    }
}

impl Library {
    /// Loads the library at that path, which runs what it does when it is loaded.
    pub(crate) fn open(path: PathBuf) -> Result<Library, BackendError> {
        let identity = Identity::of(&path);
        let elf = Elf::read(&path).map_err(|problem| unusable(&path, &problem))?;
        if !elf.knows(entry::MODEL_INSTANCE_EXECUTE.to_bytes()) {
            return Err(unusable(
                &path,
                &"has no function TRITONBACKEND_ModelInstanceExecute, which every backend exports; build it as a \
                  backend of Triton's C API, with that function visible",
            ));
        }
        elf.needed
            .iter()
            .filter(|needed| stand_in::is_server(needed))
            .try_for_each(|needed| stand_in::load(needed))?;
        // SAFETY: to load a library is to run its code. That it does no harm is for whoever put it there to see to; the
        // documentation says so.
        let loaded = uncaught::while_loading(|| unsafe { Loaded::open(Some(&path), RTLD_NOW | RTLD_LOCAL) });
        // Never closed, whatever comes of it.
        let loaded = ManuallyDrop::new(loaded.map_err(|problem| unloadable(&path, &reason(&problem)))?);
        let loaded = &*loaded;
        uncaught::keep_the_process(loaded);

        let runtime = symbol(loaded, c"__cxa_get_globals");
        let execute = entry_point(loaded, entry::MODEL_INSTANCE_EXECUTE, runtime).ok_or_else(|| {
            unusable(
                &path,
                &"does not export its function TRITONBACKEND_ModelInstanceExecute; make that visible (in C++: extern \
                  \"C\", and no visibility=hidden), and build it again",
            )
        })?;
        let include: Option<ModelBatchIncludeRequestFn> = symbol(loaded, entry::MODEL_BATCH_INCLUDE_REQUEST);
        let batcher: Option<ModelBatcherInitializeFn> = symbol(loaded, entry::MODEL_BATCHER_INITIALIZE);
        Ok(Library {
            identity,
            initialize: entry_point(loaded, entry::INITIALIZE, runtime),
            finalize: entry_point(loaded, entry::FINALIZE, runtime),
            get_attribute: entry_point(loaded, entry::GET_BACKEND_ATTRIBUTE, runtime),
            model_initialize: entry_point(loaded, entry::MODEL_INITIALIZE, runtime),
            model_finalize: entry_point(loaded, entry::MODEL_FINALIZE, runtime),
            instance_initialize: entry_point(loaded, entry::MODEL_INSTANCE_INITIALIZE, runtime),
            instance_finalize: entry_point(loaded, entry::MODEL_INSTANCE_FINALIZE, runtime),
            execute,
            ready: entry_point(loaded, entry::MODEL_INSTANCE_READY, runtime),
            batches: include.is_some() || batcher.is_some(),
            path,
        })
    }

    /// Whether the file that it was loaded from has since been replaced by another.
    pub(crate) fn is_replaced(&self) -> bool {
        Identity::of(&self.path).is_some_and(|now| self.identity.is_some_and(|then| then != now))
    }
}

/// An entry point, if the library exports one of that name.
fn entry_point<F: Copy>(
    library: &Loaded,
    name: &'static CStr,
    runtime: Option<GetExceptions>,
) -> Option<EntryPoint<F>> {
    Some(EntryPoint { function: symbol(library, name)?, name, runtime })
}

/// A function, if the library or what it needs exports one of that name.
fn symbol<F: Copy>(library: &Loaded, name: &CStr) -> Option<F> {
    // SAFETY: the C API, or that of C++, says that what has this name has this type; that it does is for the plugin's
    // author to see to.
    // Null is no function, and libloading tells it from one.
    let symbol = unsafe { library.get_singlethreaded::<Option<F>>(name.to_bytes_with_nul()) }.ok()?;
    *symbol
}

fn unusable(path: &Path, problem: &dyn std::fmt::Display) -> BackendError {
    BackendError::invalid(format!("backend library '{}' {problem}", path.display()))
}

/// What the loader says, which libloading keeps as a cause.
fn reason(problem: &libloading::Error) -> String {
    let cause = std::error::Error::source(problem).map(ToString::to_string);
    cause.unwrap_or_else(|| problem.to_string())
}

/// What the loader says, and what to do about it.
fn unloadable(path: &Path, reason: &str) -> BackendError {
    let remedy = if reason.contains("undefined symbol: TRITON") {
        "it is built for a later version of Triton's API than this server has (backend API 1.19); build it against \
         that, or use an older release of it"
    } else if reason.contains("undefined symbol") {
        "link it with the library that has the symbol"
    } else if reason.contains("cannot open shared object file") {
        "install the library that it needs, put it beside this one and link with -Wl,-rpath,'$ORIGIN', or name its \
         directory in LD_LIBRARY_PATH"
    } else if reason.contains("version `") {
        "it is built on a newer system than this one; build it here, or on an older one"
    } else {
        "see to it that it can be loaded"
    };
    BackendError::new(
        Code::Internal,
        format!("backend library '{}' could not be loaded: {reason}; {remedy}", path.display()),
    )
}
