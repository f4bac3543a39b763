//! A server's side of the boundary, as small as can be.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

#[path = "../../../api/tests/support/caller.rs"]
mod caller;
pub(crate) mod onnx;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
pub(crate) use caller::{Answer, Caller, Counts};
use nerite_backend::{
    Artifact, Backend, BackendError, Batch, Cancel, DType, Executions, Instance, InstanceKind, InstanceSpec,
    Model, Optimization, Shape, Slots, Tensor,
};
use nerite_onnxruntime::{OnnxRuntime, Options};
use tempfile::TempDir;

/// Where the scripts put the library, unless the environment says otherwise.
pub(crate) fn library() -> PathBuf {
    let fetched =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/onnxruntime/lib/libonnxruntime.so");
    let library = std::env::var_os("ORT_DYLIB_PATH").map_or(fetched, PathBuf::from);
    assert!(
        library.exists(),
        "these tests need ONNX Runtime's library, which is not at {}: run scripts/fetch-onnxruntime",
        library.display()
    );
    library
}

pub(crate) fn backend() -> OnnxRuntime {
    backend_with(None)
}

/// One whose process may use so much memory.
fn backend_with(memory: Option<u64>) -> OnnxRuntime {
    OnnxRuntime::new(Options { library: Some(library()), memory, ..Options::default() })
}

/// A version's directory with a model in it.
pub(crate) struct Version {
    pub(crate) directory: TempDir,
    pub(crate) filename: Option<&'static str>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) optimization: Optimization,
    /// How much memory the process may use.
    pub(crate) memory: Option<u64>,
}

impl Version {
    pub(crate) fn empty() -> Version {
        let directory = tempfile::tempdir().unwrap();
        Version {
            directory,
            filename: None,
            parameters: BTreeMap::new(),
            optimization: Optimization::NONE,
            memory: None,
        }
    }

    pub(crate) fn new(model: &[u8]) -> Version {
        let version = Version::empty();
        version.write("model.onnx", model);
        version
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let file = self.directory.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Version {
        self.parameters.insert(key.to_string(), value.to_string());
        self
    }

    pub(crate) fn load_with(&self, cancel: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        let artifact = Artifact {
            model: "test",
            directory: self.directory.path(),
            filename: self.filename,
            parameters: &self.parameters,
            optimization: &self.optimization,
            ..Artifact::default()
        };
        backend_with(self.memory).load(&artifact, cancel)
    }

    pub(crate) fn load(&self) -> Result<Arc<dyn Model>, BackendError> {
        self.load_with(&Cancel::default())
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> BackendError {
        match self.load() {
            Ok(_) => panic!("the model was loaded"),
            Err(error) => error,
        }
    }
}

#[track_caller]
pub(crate) fn load(model: &[u8]) -> Arc<dyn Model> {
    Version::new(model).load().unwrap()
}

pub(crate) fn instance(model: &Arc<dyn Model>, batching: bool, counts: &Arc<Counts>) -> Box<dyn Instance> {
    let executions = Arc::clone(counts) as Arc<dyn Executions>;
    let (name, kind, ragged) = ("test_0".into(), InstanceKind::Cpu, Arc::default());
    model.instance(&InstanceSpec { name, kind, batching, ragged, executions }).unwrap()
}

/// One request to a model without batching, for all of its outputs.
#[track_caller]
pub(crate) fn infer(model: &Arc<dyn Model>, inputs: Vec<Option<Tensor>>) -> Answer {
    infer_some(model, inputs, Slots::all(model.declaration().outputs.len()))
}

#[track_caller]
pub(crate) fn infer_some(model: &Arc<dyn Model>, inputs: Vec<Option<Tensor>>, wanted: Slots) -> Answer {
    let caller = Arc::new(Caller::default());
    let mut instance = instance(model, false, &Arc::default());
    instance.execute(Batch::from(caller.request(inputs, wanted, 1)));
    caller.answer()
}

pub(crate) fn tensor(dtype: DType, shape: &[i64], bytes: impl Into<Vec<u8>>) -> Option<Tensor> {
    Some(Tensor::new(dtype, Shape::new(shape), Bytes::from(bytes.into())))
}

#[track_caller]
pub(crate) fn assert_tensor(answer: Answer, slot: usize, dtype: DType, shape: &[i64], bytes: &[u8]) {
    let tensor = answer.unwrap().remove(&slot).expect("the output is there");
    assert_eq!((tensor.dtype, &tensor.shape[..]), (dtype, shape));
    assert_eq!(tensor.data.into_bytes(), bytes);
}
