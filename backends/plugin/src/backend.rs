//! A loaded backend.

use std::ffi::{CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::ExecutionPolicy;
use nerite_plugin_abi::entry::BackendFn;

use crate::boundary::EntryPoint;
use crate::c_api::backend::attribute::{self, Attributes};
use crate::c_api::backend::memory::MemoryManager;
use crate::c_api::server::error::c_string;
use crate::c_api::server::message::Message;
use crate::handle::{self, Owned, object};
use crate::library::Library;
use crate::pointer::Kept;

/// A plugin that is loaded: what `TRITONBACKEND_Backend` stands for.
pub(crate) struct Backend {
    /// Its name.
    pub(crate) name: CString,
    /// The directory of its library.
    pub(crate) directory: CString,
    /// Its code.
    pub(crate) library: Library,
    /// Its settings, as a message of the C API.
    pub(crate) config: Owned<Message>,
    /// Where it gets memory.
    pub(crate) memory_manager: Owned<MemoryManager>,
    /// What it keeps for itself.
    pub(crate) state: AtomicPtr<c_void>,
    /// When its instances may execute: a number of [`ExecutionPolicy`].
    pub(crate) execution_policy: AtomicU32,
    attributes: OnceLock<Attributes>,
    handle: OnceLock<Kept<abi::Backend>>,
}

object!(Arc<Backend>, Backend, "TRITONBACKEND_Backend");

impl Backend {
    /// Loads the library at that path and has it initialise itself. `config` are its settings in JSON.
    pub(crate) fn open(name: &str, path: PathBuf, config: String) -> Result<Arc<Backend>, BackendError> {
        let library = Library::open(path)?;
        let directory = library.path.parent().unwrap_or(Path::new("/"));
        let backend = Arc::new(Backend {
            name: c_string(name),
            directory: c_string(directory.as_os_str().as_bytes()),
            config: Owned::export(Message { json: config })?,
            memory_manager: Owned::export(MemoryManager::default())?,
            state: AtomicPtr::new(ptr::null_mut()),
            execution_policy: AtomicU32::new(ExecutionPolicy::BLOCKING.0),
            attributes: OnceLock::new(),
            handle: OnceLock::new(),
            library,
        });
        let handle = handle::export(Arc::clone(&backend))?;
        backend.handle.get_or_init(|| Kept(handle));
        if let Err(problem) = backend.call(backend.library.initialize) {
            if !backend.state.load(Ordering::Acquire).is_null() {
                backend.finalize();
            }
            backend.forget();
            return Err(BackendError::new(
                problem.code,
                format!(
                    "backend '{name}' ({}) failed to initialise: {}",
                    backend.library.path.display(),
                    problem.message
                ),
            ));
        }
        if backend.library.batches {
            tracing::warn!(
                "backend '{name}' has rules of its own for what goes into a batch, which are not supported: batches \
                 are formed as the models' configurations say"
            );
        }
        let attributes = attribute::ask(&backend);
        backend.attributes.get_or_init(|| attributes);
        tracing::info!("backend '{name}' is loaded from '{}'", backend.library.path.display());
        Ok(backend)
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> *mut abi::Backend {
        self.handle.get().map_or(ptr::null_mut(), |handle| handle.0)
    }

    /// Its name, for logs.
    pub(crate) fn name(&self) -> &str {
        self.name.to_str().unwrap_or_default()
    }

    /// Whether several instances may be made at a time.
    pub(crate) fn makes_instances_in_parallel(&self) -> bool {
        self.attributes.get().is_some_and(|attributes| attributes.parallel_instance_loading)
    }

    fn finalize(&self) {
        if let Err(problem) = self.call(self.library.finalize) {
            tracing::error!("backend '{}' failed to finalise: {problem}", self.name());
        }
    }

    /// Its handle is no good from now on.
    fn forget(&self) {
        drop(handle::take::<Arc<Backend>>(self.handle()));
    }

    fn call(&self, entry_point: Option<EntryPoint<BackendFn>>) -> Result<(), BackendError> {
        let Some(entry_point) = entry_point else { return Ok(()) };
        // SAFETY: it is called with what the C API says, when it says so.
        unsafe { entry_point.call(&self.name, self.handle()) }
    }
}
