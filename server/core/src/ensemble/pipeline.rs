use std::sync::{Arc, OnceLock, Weak};

use nerite_backend::{BackendError, Request, Shape, Slots};
use smallvec::SmallVec;

use super::Graph;
use super::fit::Fit;
use super::limit::Limit;
use super::run::Run;
use crate::admission::QueueTerms;
use crate::execution::{Bringer, Expiries, Machinery, OnGone};
use crate::model::{EnsemblePlan, LoadError, ModelSpec};
use crate::registry::Registry;
use crate::statistics::Statistics;
use crate::version::ModelVersion;

/// How deep ensembles may lie in each other. A request goes into them on one stack, and so does what lets go of them.
const DEEPEST: usize = 32;

/// How many requests of models one of an ensemble may become: with ensembles in ensembles that is soon more than there is
/// memory for.
const MOST_REQUESTS: usize = 4096;

/// What answers an ensemble's requests, as a [`Scheduler`](crate::execution::Scheduler) does those of other models.
pub(crate) struct Pipeline {
    pub(super) name: String,
    pub(super) graph: Graph,
    /// Which steps may answer any number of times.
    pub(super) many: Vec<bool>,
    pub(super) batching: bool,
    extent: Extent,
    /// The shapes of its outputs without the batch dimension, by slot.
    pub(super) outputs: Vec<Shape>,
    /// By step; none if there is no limit.
    pub(super) limits: Vec<Limit>,
    pub(super) expiries: Arc<Expiries>,
    pub(super) statistics: Arc<Statistics>,
    /// Where the steps' models are found, each time that a request comes.
    registry: Weak<Registry>,
    closed: OnceLock<BackendError>,
    on_gone: Option<OnGone>,
}

/// How far a request goes into models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// How deep ensembles lie in each other.
    depth: usize,
    /// How many requests of models with instances of their own it becomes.
    requests: usize,
}

impl Extent {
    /// Of a model with instances of its own.
    pub(crate) const MODEL: Extent = Extent { depth: 0, requests: 1 };

    /// Of an ensemble whose steps are these.
    fn of(models: &[Arc<ModelVersion>]) -> Extent {
        let none = Extent { depth: 1, requests: 0 };
        models.iter().map(|model| model.extent()).fold(none, |sum, step| Extent {
            depth: sum.depth.max(step.depth + 1),
            requests: sum.requests.saturating_add(step.requests),
        })
    }

    /// Fails where it is too far, for the ensemble of that name.
    fn check(self, name: &str) -> Result<(), LoadError> {
        let Extent { depth, requests } = self;
        if depth > DEEPEST {
            return Err(LoadError::invalid(format!(
                "ensemble '{name}' has ensembles in ensembles, {depth} deep, and more than {DEEPEST} are not served; name \
                 the steps of the inner ones in the outer ones"
            )));
        }
        if requests > MOST_REQUESTS {
            return Err(LoadError::invalid(format!(
                "a request of ensemble '{name}' would become {requests} requests of its models, and more than \
                 {MOST_REQUESTS} are not served; use fewer steps"
            )));
        }
        Ok(())
    }
}

/// The models that a request goes through, by their place in the graph; none where no step needs it.
pub(super) type Versions = SmallVec<[Option<Arc<ModelVersion>>; 4]>;

impl Pipeline {
    /// The pipeline of an ensemble of that name whose models are these, in the order of its steps.
    pub(crate) fn new(
        name: &str,
        plan: &EnsemblePlan,
        models: &[Arc<ModelVersion>],
        registry: Weak<Registry>,
        machinery: &Machinery,
    ) -> Result<Pipeline, LoadError> {
        let (graph, Fit { many }) = fit(name, plan, models)?;
        let extent = Extent::of(models);
        let batching = plan.max_batch_size > 0;
        let rows = usize::from(batching);
        let outputs = plan.declaration.outputs.iter();
        let dims = |shape: &Shape| Shape::new(shape.get(rows..).unwrap_or_default());
        let limited = if plan.max_inflight_requests > 0 { graph.steps.len() } else { 0 };
        Ok(Pipeline {
            name: name.to_owned(),
            many,
            batching,
            extent,
            outputs: outputs.map(|output| dims(&output.shape)).collect(),
            limits: (0..limited).map(|_| Limit::new(plan.max_inflight_requests)).collect(),
            expiries: Expiries::new(machinery),
            statistics: Arc::default(),
            registry,
            closed: OnceLock::new(),
            on_gone: None,
            graph,
        })
    }

    /// The same, which keeps its account there.
    pub(crate) fn with_account(self, statistics: Arc<Statistics>) -> Pipeline {
        // The fields of what can be dropped cannot be moved out of it.
        let mut pipeline = self;
        pipeline.statistics = statistics;
        pipeline
    }

    /// The same, which calls that once it is gone.
    pub(crate) fn when_gone(self, on_gone: Option<OnGone>) -> Pipeline {
        let mut pipeline = self;
        pipeline.on_gone = on_gone;
        pipeline
    }

    /// How far a request goes into models.
    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    /// The names of its models.
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        self.graph.models.iter().map(|model| model.name.as_str())
    }

    /// Whether a request may have any number of responses.
    pub(crate) fn is_decoupled(&self) -> bool {
        self.many.contains(&true)
    }

    /// Takes a request; it is answered whatever happens.
    pub(crate) fn push(self: &Arc<Self>, request: Request, terms: &QueueTerms, bringer: Bringer) {
        if let Some(reason) = self.closed.get() {
            return request.fail(reason.clone());
        }
        let needed = self.graph.needed(request.wanted());
        match self.versions(&needed) {
            Ok(versions) => Run::start(self, request, *terms, versions, bringer),
            Err(error) => request.fail(error),
        }
    }

    /// The versions that these steps are to run on. They are held until the request has ended.
    fn versions(&self, needed: &Slots) -> Result<Versions, BackendError> {
        let stopping = || BackendError::new(nerite_backend::Code::Unavailable, "Server exiting");
        let registry = self.registry.upgrade().ok_or_else(stopping)?;
        let mut versions: Versions = self.graph.models.iter().map(|_| None).collect();
        for step in needed.iter() {
            let Some(step) = self.graph.steps.get(step) else { continue };
            let (place, model) = (&mut versions[step.model], &self.graph.models[step.model]);
            if place.is_none() {
                let found = registry.lookup(&model.name, model.version);
                let found = found.map_err(|error| self.error(error.code(), &error.to_string()))?;
                *place = Some(found);
            }
        }
        Ok(versions)
    }

    /// What a step's failure is to the ensemble's caller.
    pub(super) fn error(&self, code: nerite_backend::Code, message: &str) -> BackendError {
        BackendError::new(code, format!("in ensemble '{}', {message}", self.name))
    }

    /// Takes no more requests; those under way go on.
    pub(crate) fn close(&self, reason: &BackendError) {
        self.closed.get_or_init(|| reason.clone());
    }

    /// Whether its models are there, and can be counted on.
    pub(crate) fn is_sound(&self) -> bool {
        let Some(registry) = self.registry.upgrade() else { return false };
        let mut models = self.graph.models.iter();
        models
            .all(|model| registry.lookup(&model.name, model.version).is_ok_and(|version| version.is_sound()))
    }
}

/// Checks that these models, by step, fit together to the ensemble of that name.
pub(crate) fn check_fit(
    name: &str,
    plan: &EnsemblePlan,
    models: &[Arc<ModelVersion>],
) -> Result<(), LoadError> {
    fit(name, plan, models).map(|_| ())
}

fn fit(name: &str, plan: &EnsemblePlan, models: &[Arc<ModelVersion>]) -> Result<(Graph, Fit), LoadError> {
    let graph = Graph::new(name, plan)?;
    let specs: Vec<&ModelSpec> = models.iter().map(|model| &model.spec).collect();
    if specs.len() != graph.steps.len() {
        return Err(LoadError::internal(format!("ensemble '{name}' is loaded without some of its models")));
    }
    Extent::of(models).check(name)?;
    let fit = graph.fit(name, plan, &specs)?;
    Ok((graph, fit))
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Some(on_gone) = self.on_gone.take() {
            on_gone.tell_aside();
        }
    }
}
