//! Who may execute when resources are scarce, over all models.
//!
//! An instance names the resources that it holds while it executes, and waits for its turn where others hold them.

mod allocator;
mod demand;

use std::sync::{Arc, Weak};

use crate::execution::{Executor, Scheduler};
use crate::model::{LoadError, RateLimit};
use crate::sync::Mutex;

use allocator::Allocator;
pub use demand::ResourceLimit;
use demand::{DemandId, Demands};

/// The resources of the server, and the instances that wait for them.
pub struct RateLimiter {
    state: Mutex<State>,
}

struct State {
    demands: Demands,
    allocator: Allocator<Staged>,
}

/// An instance that waits for its turn.
struct Staged {
    scheduler: Weak<Scheduler>,
    executor: Executor,
}

/// An instance's claim on resources, known to the limiter for as long as this lives.
pub(crate) struct Claim {
    limiter: Arc<RateLimiter>,
    id: DemandId,
    priority: u32,
}

impl RateLimiter {
    /// A limiter over these resources. One that is not listed is there as often as the most demanding instance needs.
    pub fn new(limits: Vec<ResourceLimit>) -> RateLimiter {
        let state = State { demands: Demands::new(limits), allocator: Allocator::default() };
        RateLimiter { state: Mutex::new(state) }
    }

    /// Takes note of what an instance on that device needs; fails if it could never be had.
    pub(crate) fn claim(self: &Arc<Self>, wanted: &RateLimit, device: u32) -> Result<Claim, LoadError> {
        let id = self.state.lock().demands.add(wanted, device)?;
        Ok(Claim { limiter: Arc::clone(self), id, priority: wanted.priority })
    }

    /// Lets an instance that has work wait for its turn, which may come at once: see [`Scheduler::granted`].
    pub(crate) fn stage(&self, scheduler: &Arc<Scheduler>, claim: &Arc<Claim>, executor: Executor) {
        let staged = Staged { scheduler: Arc::downgrade(scheduler), executor };
        let mut state = self.state.lock();
        let rank = claim.rank(staged.executor.executions());
        state.allocator.stage(claim.id, rank, staged);
        drop(state);
        self.grant();
    }

    /// Gives back what an instance held.
    pub(crate) fn release(&self, claim: &Claim) {
        let mut state = self.state.lock();
        let State { demands, allocator } = &mut *state;
        allocator.release(demands.needs(claim.id));
    }

    /// Lets those execute whose turn it is. To be called after [`release`](Self::release), without any other lock.
    pub(crate) fn grant(&self) {
        while let Some(Staged { scheduler, executor }) = self.next() {
            match scheduler.upgrade() {
                Some(scheduler) => scheduler.granted(executor),
                // Its model is gone, and with it the work.
                None => executor.claim().into_iter().for_each(|claim| self.release(claim)),
            }
        }
    }

    fn next(&self) -> Option<Staged> {
        let State { demands, allocator } = &mut *self.state.lock();
        allocator.grant(demands)
    }
}

impl Claim {
    /// The limiter that knows of it.
    pub(crate) fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    /// Who has executed less goes first, an execution counting as often as the priority says, as in Triton: an instance
    /// of priority 2 has half the chances of one of priority 1.
    fn rank(&self, executions: u64) -> u64 {
        executions.saturating_mul(u64::from(self.priority.max(1)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.limiter.state.lock().demands.remove(self.id);
    }
}
