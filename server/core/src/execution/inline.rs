//! Executions on the network's own threads, in between requests.
//!
//! To wake another thread costs some 25 µs, in latency and in CPU time: more than many a model takes. A fast model is
//! executed by a task of the network instead; if more requests are likely to be on their way, by one that begins when its
//! thread has done what else is ready, so that it finds all that have come by then; and if the model is known to be brief,
//! by the very task that brings the request.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use nerite_backend::{BackendError, lose_thread};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::clock::{Alarm, Clock};
use super::{Dispatch, Scheduler};

/// How often executions are looked after.
const TICK: Duration = Duration::from_millis(5);

/// How long one may take before somebody looks after the network.
const OVERDUE: Duration = Duration::from_millis(5);

/// Nobody looks after executions: there were none of late.
const IDLE: u8 = 0;
/// There was none since the last look.
const QUIET: u8 = 1;
/// There was one since the last look.
const ACTIVE: u8 = 2;

/// The right to execute on threads of the network: at most on so many of them at a time, of which there is one more, so
/// that one is always left for the connections.
pub(super) struct Inline {
    runtime: Handle,
    clock: Arc<dyn Clock>,
    slots: Box<[Mutex<Option<Run>>]>,
    watch: AtomicU8,
}

/// An execution under way.
struct Run {
    scheduler: Arc<Scheduler>,
    thread: ThreadId,
    since: Instant,
    is_overdue: bool,
}

/// The right to execute now.
struct Permit<'a>(&'a Mutex<Option<Run>>);

impl Inline {
    /// The right to execute on the threads of `runtime`, at most on so many at a time.
    pub(super) fn new(runtime: Handle, most: usize, clock: Arc<dyn Clock>) -> Inline {
        let slots = (0..most).map(|_| Mutex::new(None)).collect();
        Inline { runtime, clock, slots, watch: AtomicU8::new(IDLE) }
    }

    /// Answers a dispatch by a task on the network's runtime. `patient`: not before a thread has done everything else that
    /// is ready.
    pub(super) fn spawn(self: &Arc<Self>, dispatch: Dispatch, patient: bool) {
        let inline = Arc::clone(self);
        self.runtime.spawn(async move {
            if patient {
                tokio::task::yield_now().await;
            }
            inline.run(dispatch);
        });
    }

    /// Answers a dispatch at once, by the task that brings the request, if that is one of the network's: a task of its
    /// own would be one more turn, after some of which tokio wakes another thread for the next. For models whose executions
    /// are brief: until this one ends, nobody sees that its caller gives up.
    ///
    /// The task that tokio was told to poll next cannot be taken over by another thread while this one executes. There is
    /// none here as a rule: a request's task wakes its connection only when that has a window to enlarge, which is once in
    /// many thousand small requests.
    pub(super) fn run_here(self: &Arc<Self>, dispatch: Dispatch) {
        match Handle::try_current() {
            Ok(here) if here.id() == self.runtime.id() => self.run(dispatch),
            _ => self.spawn(dispatch, false),
        }
    }

    fn run(self: &Arc<Self>, dispatch: Dispatch) {
        match self.permit(dispatch.scheduler()) {
            Some(_permit) => dispatch.execute_inline(),
            None => dispatch.refused(),
        }
    }

    fn permit(self: &Arc<Self>, scheduler: &Arc<Scheduler>) -> Option<Permit<'_>> {
        let slot = self.slots.iter().find(|slot| {
            let Some(mut slot) = slot.try_lock() else { return false };
            if slot.is_some() {
                return false;
            }
            let scheduler = Arc::clone(scheduler);
            let (thread, since) = (thread::current().id(), self.clock.now());
            *slot = Some(Run { scheduler, thread, since, is_overdue: false });
            true
        })?;
        // After the slot is filled: whoever finds it empty sees this instead.
        if self.watch.load(Ordering::Relaxed) != ACTIVE && self.watch.swap(ACTIVE, Ordering::AcqRel) == IDLE {
            self.watch_on();
        }
        Some(Permit(slot))
    }

    /// The calling thread does not come back from its execution. The right to it is free again, and the runtime has another
    /// thread in its place; only the task that it was executing is lost. Engines that were called on it before, where one
    /// infers with another, are told from there.
    pub(super) fn lose_this_thread(&self, reason: &BackendError) {
        let this = thread::current().id();
        for slot in &self.slots {
            let run = slot.lock().take_if(|run| run.thread == this);
            run.into_iter().for_each(Run::ended);
        }
        tokio::task::block_in_place(|| lose_thread(reason));
    }

    fn watch_on(self: &Arc<Self>) {
        let weak: Weak<Inline> = Arc::downgrade(self);
        self.clock.ring_at(self.clock.now() + TICK, weak);
    }

    /// Looks at every execution and tells the models whose executions have just been found to take too long. Whether
    /// there is any execution, and whether any such.
    fn look(&self) -> (bool, bool) {
        let now = self.clock.now();
        let (mut any, mut any_overdue) = (false, false);
        for slot in &self.slots {
            let mut slot = slot.lock();
            let Some(run) = &mut *slot else { continue };
            any = true;
            if !run.is_overdue && now.saturating_duration_since(run.since) >= OVERDUE {
                (run.is_overdue, any_overdue) = (true, true);
                // With the slot locked: that it is over after all is told later.
                run.scheduler.overdue();
            }
        }
        (any, any_overdue)
    }

    /// Whether to look again, after a look that found executions or none.
    fn goes_on(&self, any: bool) -> bool {
        let change =
            |from, to| self.watch.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        change(ACTIVE, QUIET) || any || !change(QUIET, IDLE)
    }
}

impl Alarm for Inline {
    /// Looks after executions that take too long: their models lose the privilege, and a thread is woken that looks after
    /// the connections. tokio's threads take turns at that, and it may be this one's turn that sleeps; the tasks
    /// that wait behind it are then taken over by the one that is woken.
    fn ring(self: Arc<Self>) {
        let (any, any_overdue) = self.look();
        if any_overdue {
            self.runtime.spawn(async {});
        }
        if self.goes_on(any) {
            self.watch_on();
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let run = self.0.lock().take();
        run.into_iter().for_each(Run::ended);
    }
}

impl Run {
    /// It is over. To be told without the slot locked.
    fn ended(self) {
        if self.is_overdue {
            self.scheduler.no_longer_overdue();
        }
    }
}
