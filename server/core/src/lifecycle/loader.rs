use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use nerite_backend::{Artifact, Backend, Cancel, Code, Executions, InstanceSpec, Model};

use super::no_version::no_version;
use super::warm_up::{ServingCounts, WarmUps};
use crate::execution::{Executor, Machinery, Scheduler};
use crate::model::{ConfigSource, LoadError, LoadPlan, ModelDraft, ModelSpec, OpenError};
use crate::repository::ModelDirectory;
use crate::statistics::Statistics;
use crate::version::ModelVersion;

/// The device that instances on a processor count as in the rate limiter, as in Triton.
const CPU: u32 = 0;

/// Turns a model's directory into versions that can serve: reads its configuration, opens each version with its engine,
/// completes the configuration, makes the instances and warms them up. It blocks, and keeps nothing.
pub struct Loader {
    configs: Box<dyn ConfigSource>,
    backends: HashMap<String, Arc<dyn Backend>>,
    machinery: Arc<Machinery>,
}

/// A model whose configuration was read.
pub struct OpenedModel {
    /// The model's directory.
    pub directory: ModelDirectory,
    /// The versions that its policy selects, in rising order; at least one.
    pub versions: Vec<u64>,
    draft: Arc<dyn ModelDraft>,
}

/// What became of a version.
pub type VersionOutcome = Result<Arc<ModelVersion>, LoadError>;

impl Loader {
    /// A loader with these engines, by the name that configurations give as `backend`, for models that are executed by
    /// this machinery.
    pub fn new(
        configs: Box<dyn ConfigSource>,
        backends: HashMap<String, Arc<dyn Backend>>,
        machinery: Arc<Machinery>,
    ) -> Loader {
        Loader { configs, backends, machinery }
    }

    /// Reads the model's configuration and selects its versions.
    pub fn open(&self, directory: ModelDirectory) -> Result<OpenedModel, OpenError> {
        let name = &directory.name;
        for ignored in &directory.ignored {
            tracing::warn!("model '{name}': directory '{ignored}' is not a version and is ignored");
        }
        let draft = guarded("reading the configuration", || self.configs.read(&directory, None));
        let draft = draft.map_err(OpenError::Unreadable)?;
        let plan = draft.plan();
        plan.notes.iter().for_each(|note| tracing::warn!("model '{name}': {note}"));
        let versions = plan.version_policy.select(&directory.versions);
        if versions.is_empty() {
            return Err(OpenError::NoVersion(no_version(&directory, &plan.version_policy)));
        }
        for absent in plan.version_policy.absent(&directory.versions) {
            tracing::error!(
                "version {absent} is specified for model '{name}', but the version directory is not present; add \
                 it, or remove the version from version_policy"
            );
        }
        Ok(OpenedModel { directory, versions, draft })
    }

    /// Loads one version. Once it is cancelled, it fails as soon as the engine lets it.
    pub fn load(&self, model: &OpenedModel, version: u64, cancel: &Cancel) -> VersionOutcome {
        let plan = model.draft.plan();
        let backend = self.backends.get(&plan.backend).ok_or_else(|| self.no_backend(plan))?;
        let directory = model.directory.version_path(version);
        let artifact = artifact(model, plan, version, &directory);
        let engine_model = guarded("the engine", || Ok(backend.load(&artifact, cancel)?))?;
        let spec =
            guarded("completing the configuration", || model.draft.complete(engine_model.declaration()))?;
        let statistics = Arc::new(Statistics::default());
        let counts = Arc::new(ServingCounts::new(Arc::clone(&statistics)));
        let executors = guarded("the engine", || {
            let warm_ups = WarmUps::prepare(&spec, &plan.warm_ups, &engine_model, cancel)?;
            self.make_executors(&*engine_model, &spec, plan, &counts, &warm_ups)
        })?;
        counts.begin();
        let machinery = Arc::clone(&self.machinery);
        let scheduler = Scheduler::new(&spec, engine_model, executors, machinery);
        Ok(Arc::new(ModelVersion::new(version, spec, scheduler, statistics)))
    }

    fn make_executors(
        &self,
        model: &dyn Model,
        spec: &ModelSpec,
        plan: &LoadPlan,
        counts: &Arc<ServingCounts>,
        warm_ups: &WarmUps<'_>,
    ) -> Result<Vec<Executor>, LoadError> {
        let mut executors = Vec::new();
        for group in &plan.instances {
            for i in 0..group.count {
                let claim = match (self.machinery.rate_limiter(), &group.rate_limit) {
                    (Some(limiter), Some(wanted)) => Some(limiter.claim(wanted, CPU)?),
                    _ => None,
                };
                let executions = Arc::clone(counts) as Arc<dyn Executions>;
                let name = format!("{}_{i}", group.name);
                let spec = InstanceSpec { name, batching: spec.batching(), executions };
                let mut executor = Executor::new(model, spec)?.limited_by(claim);
                warm_ups.run(&mut executor)?;
                executors.push(executor);
            }
        }
        Ok(executors)
    }

    fn no_backend(&self, plan: &LoadPlan) -> LoadError {
        let mut known: Vec<&str> = self.backends.keys().map(String::as_str).collect();
        known.sort_unstable();
        LoadError::new(
            Code::InvalidArgument,
            format!(
                "unable to find backend library for backend '{}'; this server has: {}",
                plan.backend,
                known.join(", ")
            ),
        )
    }
}

/// Turns a panic of `what` into an error: one bad model must not take the process down.
fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(LoadError::internal(format!("{what} panicked: {}", panic_text(&*panic)))))
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it did not say why")
}

fn artifact<'a>(
    model: &'a OpenedModel,
    plan: &'a LoadPlan,
    version: u64,
    directory: &'a Path,
) -> Artifact<'a> {
    Artifact {
        model: &model.directory.name,
        version,
        directory,
        filename: plan.filename.as_deref(),
        parameters: &plan.parameters,
        graph_level: plan.graph_level,
    }
}
