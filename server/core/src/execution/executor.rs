use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use nerite_backend::{BackendError, Batch, Condition, Instance, InstanceSpec, Model};

use super::health::Health;
use crate::rate_limiter::Claim;

/// An instance of a model, and how to make it anew.
pub(crate) struct Executor {
    post: Post,
    instance: Box<dyn Instance>,
}

/// The place of an instance that cannot execute any more, for which another is to be made.
pub(super) struct Vacancy {
    post: Post,
    /// The instance that held it, until another is made.
    former: Option<Box<dyn Instance>>,
}

/// What stays the same whatever instance holds it.
struct Post {
    spec: InstanceSpec,
    /// What its instance must be granted before it executes.
    claim: Option<Arc<Claim>>,
    executions: u64,
    /// Its place among those of its model's version.
    seat: usize,
    health: Health,
}

impl Executor {
    /// Makes an instance of the model.
    pub(crate) fn new(model: &dyn Model, spec: InstanceSpec) -> Result<Executor, BackendError> {
        let instance = model.instance(&spec)?;
        let post = Post { spec, claim: None, executions: 0, seat: 0, health: Health::new() };
        Ok(Executor { post, instance })
    }

    /// The same, which executes only when it is its turn.
    pub(crate) fn limited_by(self, claim: Option<Claim>) -> Executor {
        Executor { post: Post { claim: claim.map(Arc::new), ..self.post }, ..self }
    }

    /// What it must be granted before it executes.
    pub(crate) fn claim(&self) -> Option<&Arc<Claim>> {
        self.post.claim.as_ref()
    }

    /// The same in its place among those of its model's version.
    pub(super) fn at(self, seat: usize) -> Executor {
        Executor { post: Post { seat, ..self.post }, ..self }
    }

    /// Its place among those of its model's version.
    pub(super) fn seat(&self) -> usize {
        self.post.seat
    }

    /// How many times it has executed.
    pub(crate) fn executions(&self) -> u64 {
        self.post.executions
    }

    /// The instance's name.
    pub(crate) fn name(&self) -> &str {
        &self.post.spec.name
    }

    /// Executes a batch that no caller sent, before the executor serves: it does not count as an execution, a panic goes
    /// through, and whether the instance may serve is for the answer to say.
    pub(crate) fn rehearse(&mut self, batch: Batch) {
        self.instance.execute(batch);
    }

    /// Executes a batch, and says what that tells of the instance. An engine that panics has its batch answered with errors,
    /// as the requests are dropped, and may have left its instance in any state.
    pub(super) fn execute(&mut self, batch: Batch) -> Condition {
        self.post.executions += 1;
        let condition = catch_unwind(AssertUnwindSafe(|| self.instance.execute(batch)))
            .unwrap_or_else(|_| Condition::Broken(BackendError::internal("the model's engine panicked")));
        if condition == Condition::Sound {
            self.post.health.sound();
        }
        condition
    }

    /// Asks the engine, which may take long, whether the instance can execute, since an execution left that doubt. Why it is
    /// to be made anew, if so. `time` says when that was over.
    pub(super) fn examine(
        &mut self,
        doubt: BackendError,
        time: impl FnOnce() -> Instant,
    ) -> Option<BackendError> {
        let answer = catch_unwind(AssertUnwindSafe(|| self.instance.ready())).unwrap_or_else(|_| {
            Some(Err(BackendError::internal(
                "the model's engine panicked when it was asked whether it is ready",
            )))
        });
        match answer {
            Some(Ok(())) => {
                self.post.health.cleared();
                None
            }
            Some(Err(error)) => Some(error),
            None => self.post.health.doubted(time()).then_some(doubt),
        }
    }

    /// The place that it leaves.
    pub(super) fn vacate(self) -> Vacancy {
        let Executor { post, instance } = self;
        Vacancy { post, former: Some(instance) }
    }
}

impl Vacancy {
    /// Its place among those of its model's version.
    pub(super) fn seat(&self) -> usize {
        self.post.seat
    }

    /// The instance's name.
    pub(super) fn name(&self) -> &str {
        &self.post.spec.name
    }

    /// When the next attempt to fill it may be.
    pub(super) fn next_attempt(&self, now: Instant) -> Instant {
        self.post.health.next_attempt(now)
    }

    /// Lets go of the former instance; no other is made.
    pub(super) fn let_go(self) {
        self.post.let_go(self.former);
    }

    /// Lets go of the former instance, if that has not been done, and makes another, both of which may take long. The
    /// vacancy and why it could not be filled, if so. `time` says when that was over.
    pub(super) fn fill(
        self,
        model: &dyn Model,
        time: impl FnOnce() -> Instant,
    ) -> Result<Executor, (Vacancy, BackendError)> {
        let Vacancy { mut post, former } = self;
        post.let_go(former);
        let made = catch_unwind(AssertUnwindSafe(|| model.instance(&post.spec))).unwrap_or_else(|_| {
            Err(BackendError::internal("the model's engine panicked when it was to make another instance"))
        });
        post.health.attempted(time());
        match made {
            Ok(instance) => Ok(Executor { post, instance }),
            Err(error) => Err((Vacancy { post, former: None }, error)),
        }
    }
}

impl Post {
    fn let_go(&self, former: Option<Box<dyn Instance>>) {
        let Some(former) = former else { return };
        if catch_unwind(AssertUnwindSafe(|| former.give_way())).is_err() {
            tracing::error!(
                "the engine of instance '{}' panicked when it was to let go of it",
                self.spec.name
            );
        }
    }
}
