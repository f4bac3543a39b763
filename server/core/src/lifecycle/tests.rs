mod changing;
mod ensembles;
#[cfg(feature = "shuttle")]
mod interleavings;
mod life;
mod property;
mod starting;

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use nerite_backend::{Backend, BackendError, Code, DType};

use super::*;
use crate::mock::{
    Fault, Handle, MockConfigs, MockEngine, declaration, input, model, plan, poll, request, until, wait,
};
use crate::model::{LoadError, LoadPlan, ModelSpec, OpenError, VersionPolicy};
use crate::registry::{PublicState, Registry};
use crate::repository::{Scanned, scan};
use crate::version::ModelVersion;

/// A repository on disk, its manager, and the engine that its models run on.
struct World {
    root: tempfile::TempDir,
    manager: Manager,
    registry: Arc<Registry>,
    handle: Handle,
    configs: MockConfigs,
}

impl World {
    fn new(directories: &[&str], configs: MockConfigs) -> World {
        World::with(directories, configs, ManagerOptions { load_threads: 2, ..ManagerOptions::default() })
    }

    fn with(directories: &[&str], configs: MockConfigs, options: ManagerOptions) -> World {
        let root = tempfile::tempdir().unwrap();
        for directory in directories {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let (engine, handle) = MockEngine::new(declaration(&spec("any")));
        let backends = HashMap::from([("mock".to_owned(), Arc::new(engine) as Arc<dyn Backend>)]);
        let registry = Arc::new(Registry::default());
        let loader = Arc::new(Loader::new(Box::new(configs.clone()), backends, Arc::default()));
        let manager = Manager::start(loader, Arc::clone(&registry), options).unwrap();
        World { root, manager, registry, handle, configs }
    }

    fn scan(&self) -> Scanned {
        scan(&[self.root.path().to_owned()]).unwrap()
    }

    /// A model as it is on disk now.
    fn source(&self, model: &str) -> Source {
        self.scan().models.remove(model).expect("the model is on disk").into()
    }

    /// Has a model loaded as it is on disk now.
    fn want(&self, model: &str) -> impl Future<Output = Vec<LoadFailure>> + Send + 'static {
        self.manager.want(vec![(model.to_owned(), Ok(self.source(model)))])
    }

    /// Has all that was found loaded.
    fn want_all(&self, found: Scanned) -> impl Future<Output = Vec<LoadFailure>> + Send + 'static {
        self.manager.want(found.into_sightings().into_iter().map(as_seen).collect())
    }

    /// Loads what is in the repository and returns the failures as texts, sorted.
    fn load(&self) -> Vec<String> {
        let mut failures: Vec<String> =
            wait(self.want_all(self.scan())).iter().map(ToString::to_string).collect();
        failures.sort();
        failures
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_dir_all(self.root.path().join(path)).unwrap();
    }

    /// The index as `(version, state, reason)`; the model's own status under no version.
    fn index(&self, model: &str) -> Vec<(Option<u64>, PublicState, String)> {
        let entry = self.registry.entry(model).expect("the model is known");
        let versions = entry.versions.iter().map(|(version, status)| (Some(*version), status.clone()));
        let model = entry.model_status().filter(|_| entry.versions.is_empty()).map(|status| (None, status));
        versions.chain(model).map(|(version, status)| (version, status.state, status.reason)).collect()
    }

    /// What is served of a model: each version with the content of the file `content` that it was loaded from.
    fn served(&self, model: &str) -> Vec<(u64, String)> {
        let entry = self.registry.entry(model);
        let ready = entry.iter().flat_map(|entry| &entry.ready);
        let content =
            |loaded: &ModelVersion| loaded.engine_model().map(|model| crate::mock::content(&*model));
        ready.map(|(&version, loaded)| (version, content(loaded).unwrap_or_default())).collect()
    }
}

fn spec(name: &str) -> ModelSpec {
    model(name, 8, vec![input("X", DType::U8, &[1], 0)])
}

fn versions(policy: VersionPolicy) -> LoadPlan {
    LoadPlan { version_policy: policy, ..plan(1) }
}

fn broken(text: &str) -> Fault {
    Fault::Error(BackendError::invalid(text))
}

fn ready(version: u64) -> (Option<u64>, PublicState, String) {
    (Some(version), PublicState::Ready, String::new())
}

fn unavailable(version: Option<u64>, reason: &str) -> (Option<u64>, PublicState, String) {
    (version, PublicState::Unavailable, reason.to_owned())
}
