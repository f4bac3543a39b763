use std::path::Path;

use nerite_core::model::LoadError;
use nerite_core::repository::ModelDirectory;
use nerite_proto::inference::ModelConfig;

use crate::reason::Reason;

/// A backend that can be told from a platform's name or from a model's file.
struct BackendKind {
    backend: &'static str,
    /// The older name; a configuration that gives both must give the two that belong together.
    platform: Option<&'static str>,
    /// The usual name of its models.
    filename: &'static str,
    /// Whether a model may also be a directory.
    directory: bool,
}

/// In the order in which they are tried.
const KINDS: [BackendKind; 5] = [
    BackendKind {
        backend: "tensorrt",
        platform: Some("tensorrt_plan"),
        filename: "model.plan",
        directory: false,
    },
    BackendKind {
        backend: "onnxruntime",
        platform: Some("onnxruntime_onnx"),
        filename: "model.onnx",
        directory: true,
    },
    BackendKind { backend: "openvino", platform: None, filename: "model.xml", directory: true },
    BackendKind {
        backend: "pytorch",
        platform: Some("pytorch_libtorch"),
        filename: "model.pt",
        directory: false,
    },
    BackendKind { backend: "python", platform: None, filename: "model.py", directory: true },
];

impl BackendKind {
    fn fits(&self, config: &ModelConfig, first_version: Option<&Path>) -> bool {
        if self.platform == Some(config.platform.as_str()) || config.default_model_filename == self.filename {
            return true;
        }
        if !config.platform.is_empty() || !config.default_model_filename.is_empty() {
            return false;
        }
        let path = first_version.map(|version| version.join(self.filename));
        path.is_some_and(|path| if self.directory { path.exists() } else { path.is_file() })
    }
}

/// Whether the backend is one that the server has itself, and that is told what it needs of the configuration.
pub(crate) fn is_built_in(config: &ModelConfig) -> bool {
    config.backend == "onnxruntime"
}

/// What a backend's models can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Processors alone.
    Cpu,
    /// GPUs alone.
    Gpu,
    /// Both.
    Any,
}

/// What the models of that backend can run on.
pub(crate) fn placement(backend: &str) -> Placement {
    match backend {
        "tensorrt" => Placement::Gpu,
        "onnxruntime" => Placement::Any,
        _ => Placement::Cpu,
    }
}

/// Fills in `backend`, `platform` and `default_model_filename` as far as they are missing and can be told from each
/// other, from the files in the lexically first version, or from a model's name of the form `<name>.<backend>`.
pub(crate) fn fill_in(config: &mut ModelConfig, model: &ModelDirectory) -> Result<(), LoadError> {
    let first_version =
        model.versions.iter().map(u64::to_string).min().map(|version| model.path.join(version));
    for kind in &KINDS {
        if config.backend.is_empty() && kind.fits(config, first_version.as_deref()) {
            config.backend = kind.backend.to_owned();
        }
        if config.backend == kind.backend {
            if config.platform.is_empty() {
                config.platform = kind.platform.unwrap_or_default().to_owned();
            }
            if config.default_model_filename.is_empty() {
                config.default_model_filename = kind.filename.to_owned();
            }
            return Ok(());
        }
    }
    if config.backend.is_empty() && config.platform.is_empty() && config.default_model_filename.is_empty() {
        let Some((_, backend)) = model.name.split_once('.').filter(|(_, backend)| !backend.is_empty()) else {
            return Err(no_backend(model));
        };
        config.backend = backend.to_owned();
        config.default_model_filename = format!("model.{backend}");
    }
    Ok(())
}

fn no_backend(model: &ModelDirectory) -> LoadError {
    let more = match model.why_no_version() {
        Some(why) => format!("; {why}"),
        None => ", or a model file (model.onnx for ONNX Runtime) in its first version directory.".to_owned(),
    };
    LoadError::invalid(format!(
        "Invalid model name: Could not determine backend for model '{}' with no backend in model configuration. \
         Expected model name of the form 'model.<backend_name>'{more}",
        model.name
    ))
}

/// Refuses a configuration without a backend, and one whose backend and platform do not belong together.
pub(crate) fn validate(config: &ModelConfig) -> Result<(), LoadError> {
    let (name, backend, platform) = (&config.name, &config.backend, &config.platform);
    if backend.is_empty() {
        let what = format!("unexpected platform type '{platform}'");
        let remedy = "set backend to the engine's name instead, for instance backend: \"onnxruntime\"";
        return Err(Reason::new(what, remedy).refuses(name));
    }
    let known = KINDS.iter().find(|kind| kind.backend == backend).and_then(|kind| kind.platform);
    match known {
        Some(known) if known != platform => Err(Reason::new(
            format!("unexpected 'platform' and 'backend' pair, got:{platform}, {backend}"),
            format!("set platform to {known}, or leave one of the two out"),
        )
        .refuses(name)),
        _ => Ok(()),
    }
}
