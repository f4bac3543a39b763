mod agreement;
mod completion;
mod ensemble;
mod ragged;
mod reading;
mod sequences;
mod support;
mod validation;
mod warm_up;

use std::sync::Arc;

use nerite_backend::{DType, Declaration, Shape, TensorDeclaration};
use nerite_core::model::{ConfigSource, LoadError, ModelDraft, ModelSpec};
use nerite_core::repository::ModelDirectory;
use nerite_proto::inference::ModelConfig;
use prost::Message;

use crate::{ModelConfigs, Options};

/// A repository with the model `m`, whose files a test writes.
struct Repository(tempfile::TempDir);

impl Repository {
    /// With these files; a path that ends with `/` is a directory.
    fn new(files: &[(&str, &str)]) -> Repository {
        let repository = Repository(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = repository.0.path().join(path);
            if path.to_string_lossy().ends_with('/') {
                std::fs::create_dir_all(path).unwrap();
            } else {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
        }
        repository
    }

    /// With `m/config.pbtxt` and a version.
    fn configured(config: &str) -> Repository {
        Repository::new(&[("m/config.pbtxt", config), ("m/1/model.onnx", "")])
    }

    fn model(&self, name: &str) -> ModelDirectory {
        let mut scanned = nerite_core::repository::scan(&[self.0.path().to_owned()]).unwrap();
        scanned.models.remove(name).unwrap()
    }

    fn read(&self, name: &str, options: Options) -> Result<Arc<dyn ModelDraft>, LoadError> {
        ModelConfigs::new(options).read(&self.model(name), None)
    }

    /// The model `m` as it is served, with everything by default.
    fn served(&self, declaration: &Declaration) -> Result<ModelSpec, LoadError> {
        self.read("m", Options::default())?.complete(declaration)
    }

    /// What is wrong with the configuration of `m`, with the repository's path cut out.
    fn refusal(&self) -> LoadError {
        let mut error = self.read("m", Options::default()).err().expect("a refusal");
        error.message = error.message.replace(&self.0.path().display().to_string(), "REPO");
        error
    }
}

fn strict() -> Options {
    Options { disable_auto_complete: true, ..Options::default() }
}

fn tensor(name: &str, dtype: DType, shape: &[i64]) -> TensorDeclaration {
    TensorDeclaration { name: name.into(), dtype, shape: Shape::new(shape), optional: false }
}

fn declaration(inputs: &[TensorDeclaration], outputs: &[TensorDeclaration]) -> Declaration {
    Declaration { inputs: inputs.to_vec(), outputs: outputs.to_vec(), ..Declaration::default() }
}

/// A model with an input `x` and an output `y`, both FP32.
fn x_to_y(x: &[i64], y: &[i64]) -> Declaration {
    declaration(&[tensor("x", DType::F32, x)], &[tensor("y", DType::F32, y)])
}

fn published(spec: &ModelSpec) -> ModelConfig {
    ModelConfig::decode(spec.published.clone()).unwrap()
}
