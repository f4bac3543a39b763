use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use std::{mem, thread};

use nerite_backend::{Artifact, Backend, Cancel, Code, Executions, InstanceKind, InstanceSpec, Model};

use super::Source;
use super::guard::guarded;
use super::life::Provenance;
use super::no_version::no_version;
use super::warm_up::{ServingCounts, WarmUps};
use crate::ensemble::Pipeline;
use crate::execution::{Executor, Machinery, OnGone, Scheduler};
use crate::model::{
    ConfigSource, EnsemblePlan, LoadError, LoadPlan, ModelDraft, ModelSpec, OpenError, Scheduling,
};
use crate::registry::Registry;
use crate::repository::{Digest, digest};
use crate::response_cache::{Lease, ResponseCache, VersionCache};
use crate::statistics::Statistics;
use crate::version::ModelVersion;

/// The device that instances on a processor count as in the rate limiter, as in Triton.
const CPU: u32 = 0;

/// How often a version is read that changes while it is read.
const STEADY_TRIES: usize = 3;

/// How long to wait before a load is tried again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Turns a model's directory into versions that can serve: reads its configuration, opens each version with its engine,
/// completes the configuration, makes the instances and warms them up. It blocks, and keeps nothing.
pub struct Loader {
    configs: Box<dyn ConfigSource>,
    backends: HashMap<String, Arc<dyn Backend>>,
    plugins: Option<Arc<dyn Backend>>,
    machinery: Arc<Machinery>,
    summaries: bool,
    cache: Option<Arc<ResponseCache>>,
}

/// A model whose configuration was read.
pub struct OpenedModel {
    /// What it is loaded from.
    pub source: Source,
    /// The versions that its policy selects, in rising order; at least one.
    pub versions: Vec<u64>,
    draft: Arc<dyn ModelDraft>,
}

/// What became of a version.
pub type VersionOutcome = Result<Arc<ModelVersion>, LoadError>;

/// How a version is to be loaded.
#[derive(Default)]
pub(super) struct LoadOrder {
    /// Its number.
    pub(super) version: u64,
    /// The weights of the same files, if they are loaded already.
    pub(super) weights: Option<Arc<dyn Model>>,
    /// The account to go on with; a new one if there is none.
    pub(super) account: Option<Arc<Statistics>>,
    /// What an ensemble consists of.
    pub(super) composition: Composed,
    /// How often to try again.
    pub(super) retries: u32,
    /// Whether it is still wanted.
    pub(super) cancel: Cancel,
    /// Called when it is gone again, with everything that it held.
    pub(super) on_gone: Option<OnGone>,
}

/// The models of an ensemble.
#[derive(Default)]
pub(super) struct Composed {
    /// By step.
    pub(super) models: Vec<Arc<ModelVersion>>,
    /// Where it finds them when it is served.
    pub(super) registry: Weak<Registry>,
}

/// A version that could serve.
pub(super) struct LoadedVersion {
    pub(super) version: Arc<ModelVersion>,
    /// The files that it was loaded from.
    pub(super) files: Digest,
}

/// What an engine made of a version's files.
struct EngineModel {
    model: Arc<dyn Model>,
    files: Digest,
}

impl OpenedModel {
    /// The model's name.
    pub fn name(&self) -> &str {
        &self.source.directory.name
    }

    /// What it consists of, if it is an ensemble.
    pub fn ensemble(&self) -> Option<&Arc<EnsemblePlan>> {
        self.draft.plan().ensemble.as_ref()
    }

    /// The models that it names, if it is an ensemble, each once.
    pub fn models(&self) -> BTreeSet<&str> {
        self.ensemble().iter().flat_map(|plan| &plan.steps).map(|step| step.model.as_str()).collect()
    }

    /// What its version is to be loaded from.
    pub(super) fn provenance(&self, version: u64) -> Provenance {
        let Source { directory, config, .. } = &self.source;
        Provenance {
            files: directory.fingerprint.versions.get(&version).copied().unwrap_or_default(),
            shared: directory.fingerprint.shared,
            plan: self.draft.plan().clone(),
            overridden: config.is_some(),
            steps: Vec::new(),
        }
    }
}

impl Loader {
    /// A loader with these engines, by the name that configurations give as `backend`, for models that are executed by
    /// this machinery.
    pub fn new(
        configs: Box<dyn ConfigSource>,
        backends: HashMap<String, Arc<dyn Backend>>,
        machinery: Arc<Machinery>,
    ) -> Loader {
        Loader { configs, backends, plugins: None, machinery, summaries: false, cache: None }
    }

    /// The same, which asks this backend for models of every backend that it does not have itself.
    pub fn with_plugins(self, plugins: Arc<dyn Backend>) -> Loader {
        Loader { plugins: Some(plugins), ..self }
    }

    /// The same, whose models keep quantiles of what their requests take.
    pub fn with_summaries(self, summaries: bool) -> Loader {
        Loader { summaries, ..self }
    }

    /// The same, whose models keep their answers there if their configurations ask for it.
    pub fn with_response_cache(self, cache: Option<Arc<ResponseCache>>) -> Loader {
        Loader { cache, ..self }
    }

    /// Reads the model's configuration and selects its versions.
    pub fn open(&self, source: Source) -> Result<OpenedModel, OpenError> {
        let Source { directory, config, .. } = &source;
        let name = &directory.name;
        for ignored in &directory.ignored {
            tracing::warn!(
                "model '{name}': directory '{ignored}' is not a version and is ignored: versions are whole numbers \
                 without leading zeros"
            );
        }
        let draft = guarded("reading the configuration", || self.configs.read(directory, config.as_deref()));
        let draft = draft.map_err(OpenError::Unreadable)?;
        let plan = draft.plan();
        plan.notes.iter().for_each(|note| tracing::warn!("model '{name}': {note}"));
        let versions = plan.version_policy.select(&directory.versions);
        if versions.is_empty() {
            return Err(OpenError::NoVersion(no_version(directory, &plan.version_policy)));
        }
        for absent in plan.version_policy.absent(&directory.versions) {
            tracing::error!(
                "version {absent} is specified for model '{name}', but the version directory is not present; add \
                 it, or remove the version from version_policy"
            );
        }
        Ok(OpenedModel { versions, draft, source })
    }

    /// Loads one version. Once it is cancelled, it fails as soon as the engine lets it.
    pub fn load(&self, model: &OpenedModel, version: u64, cancel: &Cancel) -> VersionOutcome {
        let order = LoadOrder { version, cancel: cancel.clone(), ..LoadOrder::default() };
        self.load_as_ordered(model, order).map(|loaded| loaded.version)
    }

    /// Loads one version of an ensemble that consists of these, by step, to be looked at and not served.
    pub fn compose(
        &self,
        model: &OpenedModel,
        version: u64,
        parts: Vec<Arc<ModelVersion>>,
    ) -> VersionOutcome {
        let composition = Composed { models: parts, registry: Weak::new() };
        let order = LoadOrder { version, composition, ..LoadOrder::default() };
        self.load_as_ordered(model, order).map(|loaded| loaded.version)
    }

    /// Loads one version as it was ordered.
    pub(super) fn load_as_ordered(
        &self,
        model: &OpenedModel,
        order: LoadOrder,
    ) -> Result<LoadedVersion, LoadError> {
        if let Some(plan) = model.ensemble() {
            return self.load_ensemble(model, plan, order);
        }
        let began = Instant::now();
        let LoadOrder { version, weights, account, retries, cancel, on_gone, .. } = order;
        let opened = match weights {
            Some(model_of_same_files) => {
                EngineModel { model: model_of_same_files, files: model.provenance(version).files }
            }
            None => self.load_weights_patiently(model, version, retries, &cancel)?,
        };
        let plan = model.draft.plan();
        let declaration = opened.model.declaration();
        let spec = guarded("completing the configuration", || model.draft.complete(declaration))?;
        let statistics = account.unwrap_or_else(|| Arc::new(Statistics::new(self.summaries)));
        let counts = Arc::new(ServingCounts::new(Arc::clone(&statistics)));
        let executors = guarded("the engine", || {
            let warm_ups = WarmUps::prepare(&spec, &plan.warm_ups, &opened.model, &cancel)?;
            self.make_executors(&*opened.model, &spec, plan, &counts, &warm_ups)
        })?;
        counts.begin();
        let lease = self.lease(&spec);
        let cache = lease.as_ref().map(|lease| VersionCache::new(lease, &spec));
        let scheduled = scheduled(&spec, cache.is_some());
        let scheduler = Scheduler::new(&scheduled, opened.model, executors, Arc::clone(&self.machinery));
        let scheduler = scheduler.when_gone(keeping(&model.source, on_gone, lease));
        let version =
            ModelVersion::new(version, spec, scheduler, statistics, began.elapsed()).with_cache(cache);
        Ok(LoadedVersion { version: Arc::new(version), files: opened.files })
    }

    /// An ensemble has nothing to be loaded but its configuration.
    fn load_ensemble(
        &self,
        model: &OpenedModel,
        plan: &EnsemblePlan,
        order: LoadOrder,
    ) -> Result<LoadedVersion, LoadError> {
        let began = Instant::now();
        let LoadOrder { version, account, composition: Composed { models, registry }, on_gone, .. } = order;
        let pipeline = Pipeline::new(model.name(), plan, &models, registry, &self.machinery)?;
        let spec = guarded("completing the configuration", || model.draft.compose(pipeline.is_decoupled()))?;
        let lease = self.lease(&spec);
        let cache = lease.as_ref().map(|lease| VersionCache::new(lease, &spec));
        let pipeline = pipeline.when_gone(keeping(&model.source, on_gone, lease));
        let statistics = account.unwrap_or_else(|| Arc::new(Statistics::new(self.summaries)));
        let version = ModelVersion::of_ensemble(version, spec, pipeline, statistics, began.elapsed());
        let version = version.with_cache(cache);
        let files = model.provenance(version.version).files;
        Ok(LoadedVersion { version: Arc::new(version), files })
    }

    /// Has the engine open a version, and tries again if it fails.
    fn load_weights_patiently(
        &self,
        model: &OpenedModel,
        version: u64,
        retries: u32,
        cancel: &Cancel,
    ) -> Result<EngineModel, LoadError> {
        let mut pause = FIRST_PAUSE;
        for retry in 1..=retries {
            match self.load_weights(model, version, cancel) {
                Err(error) if !cancel.is_cancelled() => {
                    let name = model.name();
                    tracing::warn!("retry {retry} of {retries} to load '{name}' version {version}: {error}");
                    wait(pause, cancel);
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
                outcome => return outcome,
            }
        }
        self.load_weights(model, version, cancel)
    }

    /// Has the engine open a version from files that do not change meanwhile.
    fn load_weights(
        &self,
        model: &OpenedModel,
        version: u64,
        cancel: &Cancel,
    ) -> Result<EngineModel, LoadError> {
        let plan = model.draft.plan();
        let backend = self.backends.get(&plan.backend).or(self.plugins.as_ref());
        let backend = backend.ok_or_else(|| self.no_backend(plan))?;
        let directory = model.source.directory.version_path(version);
        let artifact = artifact(model, plan, version, &directory);
        let mut files = digest(&directory);
        for _ in 0..STEADY_TRIES {
            let outcome = guarded("the engine", || Ok(backend.load(&artifact, cancel)?));
            let before = mem::replace(&mut files, digest(&directory));
            if files == before {
                return outcome.map(|model| EngineModel { model, files });
            }
        }
        Err(LoadError::new(
            Code::Unavailable,
            format!(
                "the files in '{}' changed while they were being read, {STEADY_TRIES} times in a row; load the model \
                 again when they are complete",
                directory.display()
            ),
        ))
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
                let (batching, ragged) = (spec.batching(), Arc::clone(&spec.ragged));
                let spec = InstanceSpec { name, kind: group.kind, batching, ragged, executions };
                let mut executor = Executor::new(model, spec)?.limited_by(claim);
                warm_ups.run(&mut executor)?;
                executors.push(executor);
            }
        }
        Ok(executors)
    }

    /// A place for a version's answers, if it keeps any.
    fn lease(&self, spec: &ModelSpec) -> Option<Lease> {
        if spec.response_cache && self.cache.is_none() {
            tracing::warn!(
                "model '{}': response_cache has no effect, since the server keeps no answers; start it with \
                 --cache-config=local,size=BYTES",
                spec.name
            );
        }
        self.cache.as_ref().filter(|_| spec.response_cache).map(ResponseCache::lease)
    }

    fn no_backend(&self, plan: &LoadPlan) -> LoadError {
        let mut known: Vec<&str> = self.backends.keys().map(String::as_str).collect();
        known.sort_unstable();
        LoadError::new(
            Code::InvalidArgument,
            format!(
                "unable to find backend library for backend '{}'; set backend to one that this server has: {}",
                plan.backend,
                known.join(", ")
            ),
        )
    }
}

/// Waits so long, or until nobody wants the load any more.
fn wait(pause: Duration, cancel: &Cancel) {
    let waiting = thread::current();
    let _watch = cancel.on_cancel(move || waiting.unpark());
    thread::park_timeout(pause);
}

/// Lets go of [`Source::keep`], so that what was made for the model lives as long as it does, and of the answers that it
/// kept, before it tells.
fn keeping(source: &Source, on_gone: Option<OnGone>, lease: Option<Lease>) -> Option<OnGone> {
    if on_gone.is_none() && lease.is_none() {
        return None;
    }
    let kept = source.keep.clone();
    Some(OnGone::new(move || {
        drop((kept, lease));
        drop(on_gone);
    }))
}

/// What the scheduler is told of a model. Where answers are kept, the cache sees to their order: some never come to the
/// scheduler.
fn scheduled(spec: &ModelSpec, keeps_answers: bool) -> ModelSpec {
    let preserve_ordering = spec.scheduling.preserve_ordering && !keeps_answers;
    ModelSpec { scheduling: Scheduling { preserve_ordering, ..spec.scheduling.clone() }, ..spec.clone() }
}

fn artifact<'a>(
    model: &'a OpenedModel,
    plan: &'a LoadPlan,
    version: u64,
    directory: &'a Path,
) -> Artifact<'a> {
    Artifact {
        backend: &plan.backend,
        model: model.name(),
        version,
        directory,
        repository: &model.source.directory.path,
        filename: plan.filename.as_deref(),
        parameters: &plan.parameters,
        optimization: &plan.optimization,
        first_kind: plan.instances.first().map_or_else(InstanceKind::default, |group| group.kind),
        configuration: &plan.configuration,
        auto_complete: plan.auto_complete,
    }
}
