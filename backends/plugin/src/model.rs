//! A loaded model.

use std::ffi::{CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};

use nerite_backend::{Artifact, BackendError, Declaration, Instance, InstanceSpec, Model as Serve};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::ExecutionPolicy;
use nerite_plugin_abi::entry::ModelFn;
use parking_lot::Mutex;

use crate::backend::Backend;
use crate::boundary::EntryPoint;
use crate::c_api::server::error::c_string;
use crate::declaration::Tensors;
use crate::handle::{self, object};
use crate::instance;
use crate::pointer::Kept;

/// A version of a model: what `TRITONBACKEND_Model` stands for.
pub(crate) struct Model {
    /// What it is a model of.
    pub(crate) backend: Arc<Backend>,
    /// Its name.
    pub(crate) name: CString,
    /// Its version.
    pub(crate) version: u64,
    /// The model's directory, in which that of the version lies.
    pub(crate) repository: CString,
    /// Whether the plugin may complete the configuration.
    pub(crate) auto_complete: bool,
    /// Its configuration.
    pub(crate) config: Mutex<Config>,
    /// What the plugin keeps for itself.
    pub(crate) state: AtomicPtr<c_void>,
    /// Held while one of its instances is made, where they are made one at a time. As in Triton, another model's may be
    /// made meanwhile.
    pub(crate) loading: Mutex<()>,
    /// Held while one of its instances executes, where they take turns.
    pub(crate) turn: Option<Mutex<()>>,
    tensors: OnceLock<Tensors>,
    handle: OnceLock<Kept<abi::Model>>,
}

/// A configuration on its way.
pub(crate) struct Config {
    /// In protobuf's JSON.
    pub(crate) json: Arc<str>,
    /// Whether the plugin may set it now.
    pub(crate) open: bool,
    /// Whether the plugin has set it.
    pub(crate) completed: bool,
}

object!(Arc<Model>, Model, "TRITONBACKEND_Model");

impl Model {
    /// Has the backend initialise a model.
    pub(crate) fn load(backend: Arc<Backend>, artifact: &Artifact<'_>) -> Result<Loaded, BackendError> {
        let repository =
            std::path::absolute(artifact.repository).unwrap_or_else(|_| artifact.repository.into());
        let policy = backend.execution_policy.load(Ordering::Acquire);
        let model = Arc::new(Model {
            name: c_string(artifact.model),
            version: artifact.version,
            repository: c_string(repository.as_os_str().as_bytes()),
            auto_complete: artifact.auto_complete,
            config: Mutex::new(Config { json: artifact.configuration.into(), open: true, completed: false }),
            state: AtomicPtr::new(ptr::null_mut()),
            loading: Mutex::default(),
            turn: (policy == ExecutionPolicy::DEVICE_BLOCKING.0).then(Mutex::default),
            tensors: OnceLock::new(),
            handle: OnceLock::new(),
            backend,
        });
        let handle = handle::export(Arc::clone(&model))?;
        model.handle.get_or_init(|| Kept(handle));
        // From here on, whatever goes wrong, what was begun is ended.
        let mut loaded = Loaded { model, initialised: false };
        let library = &loaded.model.backend.library;
        loaded.model.call(library.model_initialize)?;
        loaded.initialised = true;
        let (json, completed) = {
            let mut config = loaded.model.config.lock();
            config.open = false;
            (Arc::clone(&config.json), config.completed)
        };
        let tensors = Tensors::read(&json, completed)?;
        loaded.model.tensors.get_or_init(|| tensors);
        Ok(loaded)
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> *mut abi::Model {
        self.handle.get().map_or(ptr::null_mut(), |handle| handle.0)
    }

    /// Its tensors. There are none while the plugin initialises it.
    pub(crate) fn tensors(&self) -> &Tensors {
        self.tensors.get().unwrap_or(Tensors::none())
    }

    /// Its name, for logs.
    pub(crate) fn name(&self) -> &str {
        self.name.to_str().unwrap_or_default()
    }

    fn call(&self, entry_point: Option<EntryPoint<ModelFn>>) -> Result<(), BackendError> {
        let Some(entry_point) = entry_point else { return Ok(()) };
        // SAFETY: it is called with what the C API says, when it says so.
        unsafe { entry_point.call(&self.backend.name, self.handle()) }
    }
}

/// A model that the plugin has been told of, until it is told that it goes.
pub(crate) struct Loaded {
    pub(crate) model: Arc<Model>,
    initialised: bool,
}

/// What the server sees of it. Instances keep it as well.
pub(crate) struct Served(pub(crate) Arc<Loaded>);

impl Serve for Served {
    fn declaration(&self) -> &Declaration {
        &self.0.model.tensors().declaration
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        Ok(Box::new(instance::PluginInstance::new(Arc::clone(&self.0), spec)?))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let model = &self.model;
        // Triton finalises also what failed to initialise. A plugin that has kept nothing has nothing to give back, and
        // may not expect that.
        let has_state = !model.state.load(Ordering::Acquire).is_null();
        if (self.initialised || has_state)
            && let Err(problem) = model.call(model.backend.library.model_finalize)
        {
            tracing::error!(
                "model '{}' version {} failed to finalise: {problem}",
                model.name(),
                model.version
            );
        }
        drop(handle::take::<Arc<Model>>(model.handle()));
    }
}
