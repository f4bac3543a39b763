use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::execution::{Alarm, Clock};

/// A time that stands still until the test lets it pass.
pub(crate) struct ManualClock {
    state: Mutex<State>,
}

struct State {
    now: Instant,
    alarms: Vec<(Instant, Weak<dyn Alarm>)>,
}

impl ManualClock {
    pub(crate) fn new() -> Arc<ManualClock> {
        Arc::new(ManualClock { state: Mutex::new(State { now: Instant::now(), alarms: Vec::new() }) })
    }

    /// Lets time pass, and rings what is due by then, on this thread.
    pub(crate) fn advance(&self, by: Duration) {
        let mut state = self.state.lock();
        state.now += by;
        let now = state.now;
        let due: Vec<_> = state.alarms.extract_if(.., |(at, _)| *at <= now).collect();
        drop(state);
        due.iter().filter_map(|(_, alarm)| alarm.upgrade()).for_each(|alarm| alarm.ring());
    }

    /// How many alarms are set.
    pub(crate) fn alarms(&self) -> usize {
        self.state.lock().alarms.len()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.state.lock().now
    }

    /// An alarm of the past, which a thread sets that was late, rings at once.
    fn ring_at(&self, at: Instant, alarm: Weak<dyn Alarm>) {
        let mut state = self.state.lock();
        if at > state.now {
            return state.alarms.push((at, alarm));
        }
        drop(state);
        alarm.upgrade().into_iter().for_each(|alarm| alarm.ring());
    }
}
