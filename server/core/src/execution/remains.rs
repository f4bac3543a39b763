use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nerite_backend::Model;

use super::Executor;
use crate::sync::thread;

/// Called once a loaded model is gone, with its instances and, unless others use them, its weights.
pub(crate) type OnGone = Box<dyn FnOnce() + Send + Sync>;

/// What is left of a scheduler that nobody needs any more.
pub(super) struct Remains {
    pub(super) executors: Vec<Executor>,
    pub(super) model: Arc<dyn Model>,
    pub(super) on_gone: OnGone,
}

impl Remains {
    /// Lets go of it all on a thread of its own; on this one only if there can be no other.
    pub(super) fn let_go(self) {
        // What cannot be spawned is dropped, and its drop does the work.
        let remains = Letting(Some(self));
        if let Err(error) = thread::Builder::new().name("nerite-unload".into()).spawn(move || drop(remains)) {
            tracing::warn!("a model is unloaded by a thread that has other work to do: {error}");
        }
    }
}

/// Lets go when it is dropped.
struct Letting(Option<Remains>);

impl Drop for Letting {
    fn drop(&mut self) {
        let Some(Remains { executors, model, on_gone }) = self.0.take() else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            drop(executors);
            drop(model);
        }));
        if outcome.is_err() {
            tracing::error!(
                "an engine panicked when it was to let go of a model; some of it may be left in memory"
            );
        }
        on_gone();
    }
}
