use std::sync::Arc;

use nerite_backend::{
    Artifact, Backend, BackendError, Batched, Cancel, Declaration, Instance, InstanceSpec, Model,
};

use crate::compute::OrtCompute;
use crate::environment;
use crate::model_file::{self, Stamp};
use crate::options::Options;
use crate::parameters::Parameters;
use crate::reason;
use crate::session::Session;
use crate::session_options::SessionOptions;
use crate::small;
use crate::weights::Weights;

/// ONNX Runtime as an engine.
///
/// Making one costs nothing: the library is loaded with the first model. There is one environment in a process, with
/// the options of whichever `OnnxRuntime` loaded a model first.
#[derive(Clone, Debug, Default)]
pub struct OnnxRuntime {
    options: Options,
}

impl OnnxRuntime {
    /// An engine with these options.
    pub fn new(options: Options) -> OnnxRuntime {
        OnnxRuntime { options }
    }
}

impl Backend for OnnxRuntime {
    /// Loads `model.onnx`, or the file that the artifact names, or the `model.onnx` in the directory of that name. The
    /// parameters are those of Triton's backend of this name. A model that asks for threads (`intra_op_thread_count`,
    /// `inter_op_thread_count`, `execution_mode` 1) gets its own; all others share the process's, but for small ones,
    /// which do with the caller's.
    ///
    /// Nothing of the files is needed once they are loaded: they may be overwritten, truncated or removed. If one is while
    /// it is loaded, the load fails.
    ///
    /// Initializers that a caller may override are declared as optional inputs, after the others.
    fn load(&self, artifact: &Artifact<'_>, cancel: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        let parameters = Parameters::read(artifact.parameters)?;
        let file = model_file::find(artifact)?;
        if cancel.is_cancelled() {
            return Err(BackendError::load_cancelled());
        }
        let environment = environment::get(&self.options)?;
        let is_small = small::is_small(&file);
        let threads = environment.threads.of_session(&parameters, is_small);
        let stamp = Stamp::of(&file)?;
        let mut options = SessionOptions::new(artifact.model, artifact.graph_level, &parameters, threads)?;
        let weights = Weights::read(&file, &mut options, self.options.memory, cancel)?;
        let options = Arc::new(options);
        let opened = {
            let _watch = options.watch(cancel);
            Session::open(environment, &file, &options)
        };
        drop(options);
        if opened.is_err() && cancel.is_cancelled() {
            return Err(BackendError::load_cancelled());
        }
        // First, because what is wrong with a file that is being written says nothing of what it will be.
        stamp.verify(&file)?;
        weights.verify()?;
        let mut session = opened.map_err(|error| reason::explain(&file, weights.paths(), &error))?;
        let declaration = session.declare()?;
        Ok(Arc::new(OnnxModel {
            session: Arc::new(session),
            declaration,
            is_small,
            shrink_arena: parameters.shrink_arena,
        }))
    }
}

struct OnnxModel {
    session: Arc<Session>,
    declaration: Declaration,
    is_small: bool,
    shrink_arena: bool,
}

impl Model for OnnxModel {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn is_brief(&self) -> bool {
        self.is_small
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        let compute = OrtCompute::new(Arc::clone(&self.session), self.shrink_arena)?;
        Ok(Box::new(Batched::new(compute, spec)))
    }
}
