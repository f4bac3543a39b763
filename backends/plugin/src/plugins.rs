//! All plugins, as one engine.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nerite_backend::{Artifact, BackendError, Cancel, Code};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::backend::Backend;
use crate::model::{Model, Served};
use crate::{exports, search};

/// How plugins are found and what they are told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The directory in which each backend has a folder of its name.
    pub directory: PathBuf,
    /// Whether configurations may be completed.
    pub auto_complete: bool,
    /// What backends are told, in the order in which it counts: the last of two on one key does.
    pub settings: Vec<Setting>,
}

/// A setting of one backend or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whose; everyone's if `None`.
    pub backend: Option<String>,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Shared libraries that speak Triton's backend C API, each as a backend of its name.
///
/// A library is loaded with its first model, and stays loaded until the process ends; it is then not finalised, since
/// everything that it holds ends with the process.
pub struct Plugins {
    options: Options,
    /// The backends by their libraries. A place is locked while its library is loaded, so that it is loaded once.
    loaded: Mutex<HashMap<PathBuf, Arc<Place>>>,
}

type Place = Mutex<Option<Arc<Backend>>>;

impl Plugins {
    /// An engine with these options.
    pub fn new(options: Options) -> Plugins {
        exports::keep();
        Plugins { options, loaded: Mutex::default() }
    }

    /// The backend whose library lies at that path.
    fn backend(&self, name: &str, path: &Path) -> Result<Arc<Backend>, BackendError> {
        let path = fs::canonicalize(path).map_err(|problem| {
            BackendError::internal(format!(
                "backend library '{}' cannot be found: {problem}; it is a link that leads nowhere: correct the link",
                path.display()
            ))
        })?;
        let place = Arc::clone(self.loaded.lock().entry(path.clone()).or_default());
        let mut place = place.lock();
        if let Some(backend) = &*place {
            if backend.library.is_replaced() {
                tracing::warn!(
                    "backend library '{}' was replaced since it was loaded; the one that was loaded is used until the \
                     server is started again",
                    path.display()
                );
            }
            return Ok(Arc::clone(backend));
        }
        let backend = Backend::open(name, path, self.config(name))?;
        *place = Some(Arc::clone(&backend));
        Ok(backend)
    }

    /// What a backend of that name is told, as Triton tells it: all values are texts.
    fn config(&self, name: &str) -> String {
        let mut settings = Map::from_iter([
            ("auto-complete-config".to_owned(), json!(self.options.auto_complete.to_string())),
            ("backend-directory".to_owned(), json!(self.options.directory.to_string_lossy())),
            ("min-compute-capability".to_owned(), json!("6.000000")),
            ("default-max-batch-size".to_owned(), json!("4")),
        ]);
        // What is said to all of them first: a backend's own settings count before it.
        let of_all = self.options.settings.iter().filter(|setting| setting.backend.is_none());
        let own = self.options.settings.iter().filter(|setting| setting.backend.as_deref() == Some(name));
        settings.extend(of_all.chain(own).map(|setting| (setting.key.clone(), json!(setting.value))));
        json!({ "cmdline": settings }).to_string()
    }
}

impl nerite_backend::Backend for Plugins {
    /// Loads a model of the backend that the artifact names, whose library is looked for beside the model and in the
    /// backends' directory. The plugin reads the configuration and may complete it. It cannot be told that a load is no
    /// longer wanted.
    fn load(
        &self,
        artifact: &Artifact<'_>,
        cancel: &Cancel,
    ) -> Result<Arc<dyn nerite_backend::Model>, BackendError> {
        let path =
            search::find(artifact, runtime(artifact.configuration)?.as_deref(), &self.options.directory)?;
        let backend = self.backend(artifact.backend, &path)?;
        if cancel.is_cancelled() {
            return Err(BackendError::load_cancelled());
        }
        Ok(Arc::new(Served(Arc::new(Model::load(backend, artifact)?))))
    }
}

/// The configuration's `runtime`: the name of the backend's library.
fn runtime(configuration: &str) -> Result<Option<String>, BackendError> {
    if configuration.is_empty() {
        return Ok(None);
    }
    let config: Value = serde_json::from_str(configuration).map_err(|problem| {
        BackendError::new(Code::Internal, format!("the model configuration cannot be read: {problem}"))
    })?;
    let runtime = config.get("runtime").and_then(Value::as_str).filter(|runtime| !runtime.is_empty());
    Ok(runtime.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(backend: Option<&str>, key: &str, value: &str) -> Setting {
        Setting { backend: backend.map(str::to_owned), key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn a_backend_is_told_its_own_settings_and_everybodys_as_texts() {
        let plugins = Plugins::new(Options {
            directory: "/backends".into(),
            auto_complete: true,
            settings: vec![
                setting(Some("x"), "default-max-batch-size", "16"),
                setting(None, "default-max-batch-size", "8"),
                setting(Some("y"), "other", "1"),
                setting(Some("x"), "size", "1"),
                setting(Some("x"), "size", "2"),
            ],
        });
        let told: Value = serde_json::from_str(&plugins.config("x")).unwrap();
        let expected = json!({"cmdline": {
            "auto-complete-config": "true", "backend-directory": "/backends", "min-compute-capability": "6.000000",
            "default-max-batch-size": "16", "size": "2",
        }});
        assert_eq!(told, expected);
        let told: Value = serde_json::from_str(&plugins.config("z")).unwrap();
        assert_eq!(told["cmdline"]["default-max-batch-size"], "8");
    }

    #[test]
    fn the_configuration_may_name_the_library() {
        assert_eq!(runtime(""), Ok(None));
        assert_eq!(runtime(r#"{"runtime": ""}"#), Ok(None));
        assert_eq!(runtime(r#"{"runtime": "libx.so"}"#), Ok(Some("libx.so".to_owned())));
        assert!(runtime("{").is_err());
    }
}
