use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nerite_backend::{BackendError, Model, Unfinished, call_engine};

use super::Executor;
use super::executor::Vacancy;
use crate::sync::thread;

/// Tells, when it is dropped, that a loaded model is gone with its instances and, unless others use them, its weights.
pub(crate) struct OnGone(Option<Box<dyn FnOnce() + Send + Sync>>);

impl OnGone {
    pub(crate) fn new(tell: impl FnOnce() + Send + Sync + 'static) -> OnGone {
        OnGone(Some(Box::new(tell)))
    }
}

impl OnGone {
    /// Tells now, on a thread of its own: it may take long.
    pub(crate) fn tell_aside(self) {
        Remains { executors: Vec::new(), vacancies: Vec::new(), model: None, on_gone: self }.let_go();
    }
}

impl Drop for OnGone {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}

/// What is left of a scheduler that nobody needs any more.
pub(super) struct Remains {
    pub(super) executors: Vec<Executor>,
    pub(super) vacancies: Vec<Vacancy>,
    pub(super) model: Option<Arc<dyn Model>>,
    pub(super) on_gone: OnGone,
}

impl Remains {
    /// Lets go of it all on a thread of its own; on this one only if there can be no other.
    pub(super) fn let_go(self) {
        let spawned = thread::Builder::new().name("nerite-unload".into()).spawn(move || self.let_go_here());
        if let Err(error) = spawned {
            tracing::warn!("a model is unloaded by a thread that has other work to do: {error}");
        }
    }

    /// One after the other, and the model last, each even if an engine panics over one before.
    fn let_go_here(self) {
        let mut remains = Box::new(self);
        while let Some(first) = remains.next() {
            let drop_it = || drop(catch_unwind(AssertUnwindSafe(|| drop(first))));
            (remains, ()) = call_engine(remains, drop_it);
        }
        drop(remains.on_gone);
    }

    fn next(&mut self) -> Option<Part> {
        let instance = self.executors.pop().map(Part::Instance);
        let vacancy = || self.vacancies.pop().map(Part::Vacancy);
        instance.or_else(vacancy).or_else(|| self.model.take().map(Part::Model))
    }
}

impl Unfinished for Remains {
    /// What the engine kept the thread over is lost, and the rest goes on another.
    fn lost(self: Box<Self>, reason: &BackendError) {
        tracing::error!("an engine has kept the thread that was to unload a model: {reason}");
        self.let_go();
    }
}

/// What an engine may take long to let go of. It is for dropping alone.
#[expect(dead_code, reason = "it is dropped")]
enum Part {
    Instance(Executor),
    Vacancy(Vacancy),
    Model(Arc<dyn Model>),
}
