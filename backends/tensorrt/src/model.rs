use std::collections::BTreeMap;
use std::sync::Arc;

use nerite_backend::{BackendError, Code, Declaration, Instance, InstanceKind, InstanceSpec, Model};
use nerite_cuda::{Device, DeviceInstance, Driver};
use parking_lot::Mutex;

use crate::compute::TrtCompute;
use crate::config::Config;
use crate::declaration;
use crate::engine::{Engine, EngineError};
use crate::library::Library;
use crate::plan::Plan;
use crate::runtime::Runtime;

/// A model version: its plan, and an engine for each device that has instances of it.
pub(crate) struct TrtModel {
    parts: Parts,
    config: Config,
    declaration: Declaration,
    engines: Mutex<BTreeMap<u32, Arc<Engine>>>,
}

/// What it takes to make an engine.
pub(crate) struct Parts {
    pub(crate) driver: Arc<Driver>,
    pub(crate) library: Arc<Library>,
    pub(crate) plan: Plan,
    pub(crate) host_code: bool,
}

impl TrtModel {
    /// Loads the plan on the device of the first instance. `configuration` is to be completed; empty if it is not.
    pub(crate) fn load(parts: Parts, config: Config, configuration: &str) -> Result<TrtModel, BackendError> {
        let ordinal = config.first_gpu();
        let engine = parts.engine(&parts.driver.device(ordinal)?)?;
        declaration::check_batches(&config, &engine)?;
        let declaration = declaration::of(&engine, configuration);
        let engines = Mutex::new(BTreeMap::from([(ordinal, Arc::new(engine))]));
        Ok(TrtModel { parts, config, declaration, engines })
    }

    /// The engine on that device, loaded there if it is not yet.
    fn engine_on(&self, ordinal: u32) -> Result<Arc<Engine>, BackendError> {
        let device = self.parts.driver.device(ordinal)?;
        let mut engines = self.engines.lock();
        if let Some(engine) = engines.get(&ordinal).filter(|engine| Arc::ptr_eq(engine.device(), &device)) {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(self.parts.engine(&device)?);
        engines.insert(ordinal, Arc::clone(&engine));
        Ok(engine)
    }
}

impl Parts {
    fn engine(&self, device: &Arc<Device>) -> Result<Engine, BackendError> {
        let bytes = self.plan.read()?;
        device.enter()?;
        let mut runtime = Runtime::new(&self.library, device)?;
        if self.host_code {
            runtime.allow_host_code();
        }
        Engine::new(runtime, &bytes).map_err(|error| self.explain(error, device))
    }

    fn explain(&self, error: EngineError, device: &Device) -> BackendError {
        let (path, version, label) = (self.plan.path().display(), self.library.version(), device.label());
        match error {
            EngineError::Unserved(what) => BackendError::new(Code::Unsupported, format!("'{path}': {what}")),
            EngineError::Refused(why) => {
                let allow = if self.host_code {
                    "build it with --versionCompatible"
                } else {
                    "build it with --versionCompatible and allow it with \
                     --backend-config=tensorrt,version-compatible=true"
                };
                BackendError::invalid(format!(
                    "{version} ('{}') cannot load '{path}' on {label}: {why}. An engine runs with the version of TensorRT and \
                     on the kind of GPU that it was built with: build it anew with this version on such a GPU (trtexec \
                     --saveEngine), or for other versions {allow}",
                    self.library.path().display()
                ))
            }
        }
    }
}

impl Model for TrtModel {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        let InstanceKind::Gpu(ordinal) = spec.kind else {
            return Err(BackendError::new(
                Code::Unsupported,
                format!(
                    "instance '{}' is to run on {}, and TensorRT runs on GPUs alone: set the kind of its group to KIND_GPU",
                    spec.name,
                    if spec.kind == InstanceKind::Cpu { "the CPU" } else { "what the model chooses" }
                ),
            ));
        };
        let engine = self.engine_on(ordinal)?;
        let profiles = self.config.profiles(&spec.name, engine.profiles.len())?;
        let device = Arc::clone(engine.device());
        Ok(Box::new(DeviceInstance::new(TrtCompute::new(engine, profiles)?, &device, spec)))
    }
}
