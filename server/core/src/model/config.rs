//! The seam between the core and the format of model configurations.

use std::collections::BTreeMap;
use std::sync::Arc;

use nerite_backend::{Declaration, InstanceKind, Optimization};

use super::{EnsemblePlan, LoadError, ModelSpec, VersionPolicy, WarmUp};
use crate::repository::ModelDirectory;

/// Reads model configurations.
pub trait ConfigSource: Send + Sync {
    /// Reads a model's configuration, or makes one up from its files where it has none. An override is a whole
    /// configuration, in JSON, that stands in the place of the model's own.
    fn read(
        &self,
        model: &ModelDirectory,
        config_override: Option<&str>,
    ) -> Result<Arc<dyn ModelDraft>, LoadError>;
}

/// A model's configuration before its engine has opened it.
pub trait ModelDraft: Send + Sync {
    /// What loading needs to know.
    fn plan(&self) -> &LoadPlan;
    /// Fills in what the configuration leaves out, and checks the rest, against what the engine says of the model.
    fn complete(&self, declaration: &Declaration) -> Result<ModelSpec, LoadError>;
    /// The same for an ensemble, which has no engine; `decoupled`: its steps let a request have any number of responses.
    /// Asked of those alone whose plan has an ensemble.
    fn compose(&self, decoupled: bool) -> Result<ModelSpec, LoadError> {
        let _ = decoupled;
        Err(LoadError::internal("the model is no ensemble"))
    }
}

/// What loading needs to know of a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadPlan {
    /// The engine's name, for instance `onnxruntime`.
    pub backend: String,
    /// Which versions to serve.
    pub version_policy: VersionPolicy,
    /// The file or directory in a version's directory that holds the model, if named.
    pub filename: Option<String>,
    /// The backend's own parameters.
    pub parameters: BTreeMap<String, String>,
    /// What `optimization` asks of the engine.
    pub optimization: Optimization,
    /// The whole configuration in protobuf's JSON, where the backend is one that reads it itself; empty where not.
    pub configuration: Arc<str>,
    /// Whether the backend may complete the configuration.
    pub auto_complete: bool,
    /// The executors to make, at least one.
    pub instances: Vec<InstanceGroup>,
    /// What each of them executes before the model is served.
    pub warm_ups: Vec<WarmUp>,
    /// Set if it is an ensemble. It then has no engine and no executors.
    pub ensemble: Option<Arc<EnsemblePlan>>,
    /// What the configuration asks for that has no effect here, a sentence each, for the log.
    pub notes: Vec<String>,
}

impl LoadPlan {
    /// Whether an engine that opens the same files by either plan comes to the same model.
    pub(crate) fn loads_like(&self, other: &LoadPlan) -> bool {
        let opening = |plan: &LoadPlan| LoadPlan {
            version_policy: VersionPolicy::default(),
            instances: Vec::new(),
            warm_ups: Vec::new(),
            notes: Vec::new(),
            ..plan.clone()
        };
        opening(self) == opening(other)
    }
}

/// Executors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceGroup {
    /// The group's name; executors are named after it, with a number.
    pub name: String,
    /// What they run on.
    pub kind: InstanceKind,
    /// How many executors, at least one.
    pub count: u32,
    /// What each of them holds while it executes, if anything.
    pub rate_limit: Option<RateLimit>,
}

/// What an executor holds while it executes; of meaning only where the server limits rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The resources.
    pub resources: Vec<ResourceDemand>,
    /// How its turns weigh: one of priority 2 has half the chances of one of priority 1. 0 counts as 1.
    pub priority: u32,
}

/// How much of a resource an executor needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceDemand {
    /// The resource's name, in any case.
    pub name: String,
    /// How much of it.
    pub count: u32,
    /// Whether there is one such resource for the server, and not one for each device.
    pub global: bool,
}
