use std::sync::Arc;
use std::time::Duration;

use nerite_backend::BackendError;
use tokio::runtime::Handle;

use super::clock::{Clock, Timer};
use super::inline::Inline;
use super::mend::Mend;
use super::pace::Place;
use super::state::Call;
use super::{Dispatch, Job, Pool};
use crate::rate_limiter::RateLimiter;

/// What the schedulers of all models share.
pub struct Machinery {
    pub(super) threads: Arc<dyn Threads>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inline: Option<Arc<Inline>>,
    pub(super) hold: usize,
    pub(super) backlog_hold: usize,
    pub(super) stall: Option<Duration>,
    rate_limiter: Option<Arc<RateLimiter>>,
}

/// How the machinery is made.
#[derive(Default)]
pub struct MachineryOptions {
    /// Where fast models may be executed besides the pool.
    pub network: Option<Network>,
    /// Who decides whose turn it is, if anyone does.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    /// Every model with dynamic batching or sequences executes nothing before so many requests have waited at once; for
    /// tests of batching (`TRITONSERVER_DELAY_SCHEDULER`).
    pub hold: usize,
    /// Every model with sequences executes nothing before so many requests have waited, besides, of sequences for which no
    /// instance had room (`TRITONSERVER_BACKLOG_DELAY_SCHEDULER`).
    pub backlog_hold: usize,
    /// How long an instance may execute before it counts as stalled; for ever if `None`.
    pub stall: Option<Duration>,
}

/// The threads that serve connections.
pub struct Network {
    /// Their runtime.
    pub runtime: Handle,
    /// How many there are; all but one of them may execute models at any time.
    pub threads: usize,
}

/// What a thread is called for.
pub(crate) enum Errand {
    /// Something is to be executed.
    Dispatch(Dispatch),
    /// An instance is to be looked after.
    Mend(Mend),
}

impl Job for Errand {
    fn run(self) {
        match self {
            Errand::Dispatch(dispatch) => dispatch.run(),
            Errand::Mend(mend) => mend.run(),
        }
    }
}

/// Threads that may be kept for as long as an engine takes.
pub(crate) trait Threads: Send + Sync {
    /// Runs an errand on one of them.
    fn run(&self, errand: Errand);

    /// The calling thread, which is one of them, does not come back from its errand.
    fn lose_this_one(&self) {}
}

impl Threads for Pool<Errand> {
    fn run(&self, errand: Errand) {
        Pool::run(self, errand);
    }

    fn lose_this_one(&self) {
        Pool::lose_this_thread(self);
    }
}

impl Machinery {
    /// The machinery of a process, without a thread so far.
    pub fn new(options: MachineryOptions) -> Machinery {
        Machinery::with(Arc::new(Pool::new()), Arc::new(Timer::new()), options)
    }

    /// The same on other threads and at another time.
    pub(crate) fn with(
        threads: Arc<dyn Threads>,
        clock: Arc<dyn Clock>,
        options: MachineryOptions,
    ) -> Machinery {
        let MachineryOptions { network, rate_limiter, hold, backlog_hold, stall } = options;
        let inline = network
            .filter(|network| network.threads > 1)
            .map(|network| Arc::new(Inline::new(network.runtime, network.threads - 1, Arc::clone(&clock))));
        Machinery { threads, clock, inline, hold, backlog_hold, stall, rate_limiter }
    }

    /// Calls a thread.
    pub(super) fn call(&self, dispatch: Dispatch, call: Call) {
        match (call, &self.inline) {
            (Call::Here, Some(inline)) => inline.run_here(dispatch),
            (Call::Network { patient }, Some(inline)) => inline.spawn(dispatch, patient),
            (Call::Pool, _) | (_, None) => self.threads.run(Errand::Dispatch(dispatch)),
        }
    }

    /// The calling thread, which was called to execute there, does not come back: another does what it would have done. One
    /// of the network's does not return from this.
    pub(super) fn lose_this_thread(&self, place: Place, reason: &BackendError) {
        match (place, &self.inline) {
            (Place::Inline, Some(inline)) => inline.lose_this_thread(reason),
            (Place::Pool, _) | (_, None) => self.threads.lose_this_one(),
        }
    }

    /// Who decides whose turn it is, if anyone does.
    pub(crate) fn rate_limiter(&self) -> Option<&Arc<RateLimiter>> {
        self.rate_limiter.as_ref()
    }
}

impl Default for Machinery {
    fn default() -> Machinery {
        Machinery::new(MachineryOptions::default())
    }
}
