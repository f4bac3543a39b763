use std::path::Path;
use std::sync::Arc;

use nerite_backend::{
    Artifact, Backend, BackendError, Batched, Cancel, Code, Declaration, Instance, InstanceSpec, Model,
};

use crate::compute::OrtCompute;
use crate::environment;
use crate::model_file;
use crate::options::Options;
use crate::parameters::Parameters;
use crate::session::Session;
use crate::session_options::SessionOptions;
use crate::small;
use crate::status::OrtError;

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
    /// Initializers that a caller may override are declared as optional inputs, after the others.
    fn load(&self, artifact: &Artifact<'_>, cancel: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        let parameters = Parameters::read(artifact.parameters)?;
        let file = model_file::find(artifact)?;
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let environment = environment::get(&self.options)?;
        let is_small = small::is_small(&file);
        let threads = environment.threads.of_session(&parameters, is_small);
        let options = SessionOptions::new(artifact.model, artifact.graph_level, &parameters, threads)?;
        let options = Arc::new(options);
        let opened = {
            let _watch = options.watch(cancel);
            Session::open(environment, &file, &options)
        };
        let mut session = opened.map_err(|error| match cancel.is_cancelled() {
            true => cancelled(),
            false => explain(&file, &error),
        })?;
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

fn cancelled() -> BackendError {
    BackendError::new(Code::Cancelled, "the load was cancelled")
}

/// What is wrong with a file that ONNX Runtime refused, in our words where they say more than its own.
fn explain(file: &Path, error: &OrtError) -> BackendError {
    if error.code == OrtError::INVALID_PROTOBUF
        && let Some(flaw) = model_file::flaw(file)
    {
        return BackendError::invalid(format!("'{}' {flaw} ({error})", file.display()));
    }
    let code = match error.code {
        OrtError::NO_SUCH_FILE => Code::NotFound,
        OrtError::NOT_IMPLEMENTED => Code::Unsupported,
        OrtError::INVALID_PROTOBUF | OrtError::INVALID_ARGUMENT | OrtError::INVALID_GRAPH => {
            Code::InvalidArgument
        }
        _ => Code::Internal,
    };
    BackendError::new(code, error.to_string())
}
