use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use nerite_backend::{
    BackendError, Batch, Condition, Instance, InstanceSpec, Model, Unfinished, call_engine,
};

use super::health::Health;
use crate::rate_limiter::Claim;

/// An instance of a model, and how to make it anew.
pub(crate) struct Executor {
    post: Box<Post>,
    instance: Box<dyn Instance>,
}

/// The place of an instance that cannot execute any more, for which another is to be made.
pub(super) struct Vacancy {
    post: Box<Post>,
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

/// What there is to do with the place of an instance whose engine never gives back the thread that called it.
pub(super) trait Bereaved: 'static {
    /// The engine has said so, for that reason; this is called on that thread. The instance is lost with it.
    fn bereft(self, vacancy: Vacancy, reason: &BackendError);
}

/// A call of an instance's engine, with what is not the engine's meanwhile.
struct Away<T> {
    post: Box<Post>,
    bereaved: T,
}

impl<T: Bereaved> Away<T> {
    /// Calls the engine, and gives back what was not lent to it.
    fn call<R>(post: Box<Post>, bereaved: T, engine: impl FnOnce() -> R) -> (Away<T>, R) {
        let (away, returned) = call_engine(Box::new(Away { post, bereaved }), engine);
        (*away, returned)
    }
}

impl<T: Bereaved> Unfinished for Away<T> {
    fn lost(self: Box<Self>, reason: &BackendError) {
        let Away { post, bereaved } = *self;
        bereaved.bereft(Vacancy { post, former: None }, reason);
    }
}

impl Executor {
    /// Makes an instance of the model.
    pub(crate) fn new(model: &dyn Model, spec: InstanceSpec) -> Result<Executor, BackendError> {
        let instance = model.instance(&spec)?;
        let post = Post { spec, claim: None, executions: 0, seat: 0, health: Health::new() };
        Ok(Executor { post: Box::new(post), instance })
    }

    /// The same, which executes only when it is its turn.
    pub(crate) fn limited_by(mut self, claim: Option<Claim>) -> Executor {
        self.post.claim = claim.map(Arc::new);
        self
    }

    /// What it must be granted before it executes.
    pub(crate) fn claim(&self) -> Option<&Arc<Claim>> {
        self.post.claim.as_ref()
    }

    /// The same in its place among those of its model's version.
    pub(super) fn at(mut self, seat: usize) -> Executor {
        self.post.seat = seat;
        self
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
    pub(super) fn execute<T: Bereaved>(self, batch: Batch, bereaved: T) -> (Executor, Condition, T) {
        let (mut executor, condition, bereaved) = self.call(bereaved, |instance| {
            catch_unwind(AssertUnwindSafe(|| instance.execute(batch)))
                .unwrap_or_else(|_| Condition::Broken(BackendError::internal("the model's engine panicked")))
        });
        executor.post.executions += 1;
        if condition == Condition::Sound {
            executor.post.health.sound();
        }
        (executor, condition, bereaved)
    }

    /// Asks the engine, which may take long, whether the instance can execute, since an execution left that doubt. Why it is
    /// to be made anew, if so. `time` says when that was over.
    pub(super) fn examine<T: Bereaved>(
        self,
        doubt: BackendError,
        time: impl FnOnce() -> Instant,
        bereaved: T,
    ) -> (Executor, Option<BackendError>, T) {
        let (mut executor, answer, bereaved) = self.call(bereaved, |instance| {
            catch_unwind(AssertUnwindSafe(|| instance.ready())).unwrap_or_else(|_| {
                Some(Err(BackendError::internal(
                    "the model's engine panicked when it was asked whether it is ready",
                )))
            })
        });
        let health = &mut executor.post.health;
        let reason = match answer {
            Some(Ok(())) => {
                health.cleared();
                None
            }
            Some(Err(error)) => Some(error),
            None => health.doubted(time()).then_some(doubt),
        };
        (executor, reason, bereaved)
    }

    fn call<T: Bereaved, R>(
        self,
        bereaved: T,
        engine: impl FnOnce(&mut dyn Instance) -> R,
    ) -> (Executor, R, T) {
        let Executor { post, mut instance } = self;
        let (Away { post, bereaved }, returned) = Away::call(post, bereaved, || engine(&mut *instance));
        (Executor { post, instance }, returned, bereaved)
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

    /// Lets go of the former instance, which may take long; no other is made.
    pub(super) fn let_go<T: Bereaved>(self, bereaved: T) -> T {
        let Vacancy { post, former } = self;
        let spec = post.spec.clone();
        let (away, ()) = Away::call(post, bereaved, || let_go(former, &spec));
        away.bereaved
    }

    /// What it must be granted before it executes.
    pub(super) fn claim(&self) -> Option<&Arc<Claim>> {
        self.post.claim.as_ref()
    }

    /// An attempt to fill it came to nothing then.
    pub(super) fn attempted(&mut self, now: Instant) {
        self.post.health.attempted(now);
    }

    /// Lets go of the former instance, if that has not been done, and makes another, both of which may take long. The
    /// vacancy and why it could not be filled, if so. `time` says when that was over.
    pub(super) fn fill<T: Bereaved>(
        self,
        model: &dyn Model,
        time: impl FnOnce() -> Instant,
        bereaved: T,
    ) -> (Result<Executor, (Vacancy, BackendError)>, T) {
        let Vacancy { post, former } = self;
        let spec = post.spec.clone();
        let (away, made) = Away::call(post, bereaved, || {
            let_go(former, &spec);
            catch_unwind(AssertUnwindSafe(|| model.instance(&spec))).unwrap_or_else(|_| {
                Err(BackendError::internal(
                    "the model's engine panicked when it was to make another instance",
                ))
            })
        });
        let Away { mut post, bereaved } = away;
        post.health.attempted(time());
        let filled = match made {
            Ok(instance) => Ok(Executor { post, instance }),
            Err(error) => Err((Vacancy { post, former: None }, error)),
        };
        (filled, bereaved)
    }
}

fn let_go(former: Option<Box<dyn Instance>>, spec: &InstanceSpec) {
    let Some(former) = former else { return };
    if catch_unwind(AssertUnwindSafe(|| former.give_way())).is_err() {
        tracing::error!("the engine of instance '{}' panicked when it was to let go of it", spec.name);
    }
}
