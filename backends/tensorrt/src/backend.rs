use std::sync::Arc;

use nerite_backend::{Artifact, Backend, BackendError, Cancel, Model};
use nerite_cuda::Driver;
use parking_lot::Mutex;

use crate::config::Config;
use crate::library::Library;
use crate::model::{Parts, TrtModel};
use crate::options::Options;
use crate::plan::Plan;

const NO_GPU: &str = "a TensorRT model needs an NVIDIA GPU and its driver: install the driver, give a container the \
                      GPU (docker run --gpus all), or serve the model as ONNX with backend: \"onnxruntime\"";

/// TensorRT as an engine.
///
/// Making one costs nothing: the driver and the library are loaded with the first model, and what fails is tried again
/// with the next.
pub struct TensorRt {
    options: Options,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    driver: Option<Arc<Driver>>,
    library: Option<Arc<Library>>,
}

impl TensorRt {
    /// An engine with these options.
    pub fn new(options: Options) -> TensorRt {
        TensorRt { options, loaded: Mutex::default() }
    }

    /// The driver and the library. Both are tried, so that one error tells all that is missing.
    fn loaded(&self) -> Result<(Arc<Driver>, Arc<Library>), BackendError> {
        let mut loaded = self.loaded.lock();
        let Loaded { driver, library } = &mut *loaded;
        let driver = once(driver, || {
            Driver::load(self.options.driver.as_deref())
                .map_err(|error| BackendError { message: format!("{error}: {NO_GPU}"), ..error })
        });
        let library = once(library, || Library::load(&self.options));
        match (driver, library) {
            (Ok(driver), Ok(library)) => Ok((driver, library)),
            (Err(driver), Err(library)) => {
                Err(BackendError::new(driver.code, format!("{driver}. Besides, {library}")))
            }
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        }
    }
}

/// What was loaded before, or is now.
fn once<T>(
    kept: &mut Option<Arc<T>>,
    load: impl FnOnce() -> Result<T, BackendError>,
) -> Result<Arc<T>, BackendError> {
    if let Some(kept) = kept {
        return Ok(Arc::clone(kept));
    }
    Ok(Arc::clone(kept.insert(Arc::new(load()?))))
}

impl Backend for TensorRt {
    /// Loads `model.plan`, or the file that the artifact names. Nothing of it is needed once it is loaded, but for an
    /// instance on a device that has none yet.
    fn load(&self, artifact: &Artifact<'_>, cancel: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        let config = Config::read(artifact.configuration)?;
        let plan = Plan::find(artifact)?;
        let (driver, library) = self.loaded()?;
        if cancel.is_cancelled() {
            return Err(BackendError::load_cancelled());
        }
        let parts = Parts { driver, library, plan, host_code: self.options.version_compatible };
        let configuration = if artifact.auto_complete { artifact.configuration } else { "" };
        Ok(Arc::new(TrtModel::load(parts, config, configuration)?))
    }
}
