use std::sync::Arc;

use nerite_backend::{Artifact, Backend, BackendError, Cancel, Model};

use crate::environment;
use crate::gpus::Gpus;
use crate::model::OnnxModel;
use crate::model_file;
use crate::options::Options;
use crate::parameters::Parameters;
use crate::place::Place;
use crate::source::{Machine, Source};

/// ONNX Runtime as an engine.
///
/// Making one costs nothing: the library is loaded with the first model, and NVIDIA's driver with the first that is to
/// be on a GPU. There is one environment in a process, with the options of whichever `OnnxRuntime` loaded a model
/// first.
#[derive(Clone, Debug, Default)]
pub struct OnnxRuntime {
    options: Options,
    gpus: Arc<Gpus>,
}

impl OnnxRuntime {
    /// An engine with these options.
    pub fn new(options: Options) -> OnnxRuntime {
        let gpus = Arc::new(Gpus::new(options.driver.clone()));
        OnnxRuntime { options, gpus }
    }

    /// Whether models can be on GPUs: there is one, and the library has a provider for it that loads. To find that out,
    /// the library is loaded where there is a GPU. What was found out once holds for the process.
    pub fn can_use_gpus(&self) -> bool {
        self.gpus.usable(|| environment::get(&self.options))
    }
}

impl Backend for OnnxRuntime {
    /// Loads `model.onnx`, or the file that the artifact names, or the `model.onnx` in the directory of that name. The
    /// parameters are those of Triton's backend of this name, and so are the accelerators. A model that asks for
    /// threads (`intra_op_thread_count`, `inter_op_thread_count`, `execution_mode` 1) gets its own; all others share
    /// the process's, but for small ones, which do with the caller's.
    ///
    /// Nothing of the files is needed once they are loaded, but for an instance at a place that has none yet, the
    /// processor or a GPU: they may be overwritten, truncated or removed. If one is while it is loaded, the load fails.
    ///
    /// Initializers that a caller may override are declared as optional inputs, after the others.
    fn load(&self, artifact: &Artifact<'_>, cancel: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        let parameters = Parameters::read(artifact.parameters)?;
        let file = model_file::find(artifact)?;
        if cancel.is_cancelled() {
            return Err(BackendError::load_cancelled());
        }
        let environment = environment::get(&self.options)?;
        let machine = Machine { environment, gpus: Arc::clone(&self.gpus), memory: self.options.memory };
        let source = Source::new(artifact, file, parameters, machine)?;
        Ok(Arc::new(OnnxModel::load(source, Place::of(artifact.first_kind), cancel)?))
    }
}
