use std::sync::Arc;

use nerite_backend::Model;

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
        Remains { _executors: Vec::new(), _vacancies: Vec::new(), _model: None, _on_gone: self }.let_go();
    }
}

impl Drop for OnGone {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}

/// What is left of a scheduler that nobody needs any more. The fields are dropped in their order, each even if an engine
/// panics over one before.
pub(super) struct Remains {
    pub(super) _executors: Vec<Executor>,
    pub(super) _vacancies: Vec<Vacancy>,
    pub(super) _model: Option<Arc<dyn Model>>,
    pub(super) _on_gone: OnGone,
}

impl Remains {
    /// Lets go of it all on a thread of its own; on this one only if there can be no other.
    pub(super) fn let_go(self) {
        if let Err(error) = thread::Builder::new().name("nerite-unload".into()).spawn(move || drop(self)) {
            tracing::warn!("a model is unloaded by a thread that has other work to do: {error}");
        }
    }
}
