use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use nerite_core::model::{ConfigSource, LoadError, ModelDraft};
use nerite_core::repository::ModelDirectory;
use nerite_proto::inference::ModelConfig;

use crate::draft::Draft;
use crate::files::read_bounded;
use crate::gpus::{Gpus, NoGpus};
use crate::json;
use crate::text::{MAX_TEXT_SIZE, parse_model_config};

/// What the process says about configurations.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether every configuration must be complete in itself.
    pub disable_auto_complete: bool,
    /// Reads `configs/<name>.pbtxt` instead of `config.pbtxt` where a model has it.
    pub config_name: Option<String>,
    /// The `max_batch_size` that auto-completion gives a model that can batch and does not say how much.
    pub default_max_batch_size: u32,
    /// How many requests may wait for a model whose configuration does not say; `None` sets no limit.
    pub default_max_queue_size: Option<usize>,
    /// The GPUs.
    pub gpus: Arc<dyn Gpus>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            disable_auto_complete: false,
            config_name: None,
            default_max_batch_size: 4,
            default_max_queue_size: None,
            gpus: Arc::new(NoGpus),
        }
    }
}

/// Reads configurations from models' directories.
#[derive(Clone, Debug, Default)]
pub struct ModelConfigs {
    options: Options,
}

impl ModelConfigs {
    /// A source with these options.
    pub fn new(options: Options) -> ModelConfigs {
        ModelConfigs { options }
    }

    /// The configuration as it is written; `None` if there is none and it may be made up.
    fn written(&self, model: &ModelDirectory) -> Result<Option<ModelConfig>, LoadError> {
        let path = self.path(model);
        let text = match read_bounded(&path, MAX_TEXT_SIZE) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !self.options.disable_auto_complete => {
                return Ok(None);
            }
            Err(error) => {
                let remedy = match error.kind() {
                    ErrorKind::NotFound => "write it, or start without --disable-auto-complete-config",
                    ErrorKind::FileTooLarge => "make it smaller",
                    _ => "make it a file that the server may read",
                };
                let path = path.display();
                return Err(LoadError::internal(format!(
                    "failed to open text file for read {path}: {error}; {remedy}"
                )));
            }
        };
        parse_model_config(text, &path.display().to_string())
            .map(Some)
            .map_err(|error| LoadError::internal(format!("failed to read text proto from {error}")))
    }

    fn path(&self, model: &ModelDirectory) -> PathBuf {
        let named = self
            .options
            .config_name
            .as_ref()
            .map(|name| model.path.join("configs").join(format!("{name}.pbtxt")));
        named.filter(|path| path.exists()).unwrap_or_else(|| model.path.join("config.pbtxt"))
    }
}

/// The configuration that stands in the place of the model's own.
fn overriding(text: &str, model: &ModelDirectory) -> Result<ModelConfig, LoadError> {
    json::parse_model_config(text).map_err(|error| {
        let name = &model.name;
        LoadError::invalid(format!("failed to load the configuration override for model '{name}': {error}"))
    })
}

impl ConfigSource for ModelConfigs {
    fn read(
        &self,
        model: &ModelDirectory,
        config_override: Option<&str>,
    ) -> Result<Arc<dyn ModelDraft>, LoadError> {
        let config = match config_override {
            Some(text) => overriding(text, model)?,
            None => self.written(model)?.unwrap_or_default(),
        };
        Ok(Arc::new(Draft::new(config, model, &self.options)?))
    }
}
