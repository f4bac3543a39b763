//! When requests that the server itself makes have waited for long enough. Those of clients have callers who keep the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::clock::{Alarm, Clock};
use super::{Machinery, Relay};
use crate::sync::Mutex;

/// Requests that may wait until some time. One that is answered before leaves nothing behind.
pub(crate) struct Expiries {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<ExpiryKey, Weak<Relay>>,
    next: u64,
    /// The earliest alarm that is set.
    alarm: Option<Instant>,
}

/// Names one of them.
pub(crate) type ExpiryKey = (Instant, u64);

impl Expiries {
    /// Nobody waits yet.
    pub(crate) fn new(machinery: &Machinery) -> Arc<Expiries> {
        Arc::new(Expiries { clock: Arc::clone(&machinery.clock), state: Mutex::default() })
    }

    /// Has the request answered at that time, if it still waits.
    pub(super) fn add(self: &Arc<Self>, at: Instant, relay: &Arc<Relay>) -> ExpiryKey {
        let mut state = self.state.lock();
        let key = (at, state.next);
        state.next += 1;
        state.waiting.insert(key, Arc::downgrade(relay));
        self.set_alarm(&mut state);
        key
    }

    /// It waits no more.
    pub(super) fn remove(&self, key: ExpiryKey) {
        self.state.lock().waiting.remove(&key);
    }

    fn set_alarm(self: &Arc<Self>, state: &mut State) {
        let Some((&(at, _), _)) = state.waiting.first_key_value() else { return };
        if state.alarm.is_some_and(|set| set <= at) {
            return;
        }
        state.alarm = Some(at);
        let weak: Weak<Expiries> = Arc::downgrade(self);
        self.clock.ring_at(at, weak);
    }
}

impl Alarm for Expiries {
    fn ring(self: Arc<Self>) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.alarm = state.alarm.filter(|&at| now < at);
        let later = state.waiting.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.waiting, later);
        self.set_alarm(&mut state);
        drop(state);
        due.values().filter_map(Weak::upgrade).for_each(|relay| relay.expire());
    }
}
