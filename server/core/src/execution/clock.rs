use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How long the timer's thread waits for something to do before it ends.
const RETIREMENT: Duration = Duration::from_secs(10);

/// Time, as schedulers see it: the real one, or one that a test sets.
pub(crate) trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> Instant;
    /// Rings the alarm at that time, if it is still there, on a thread that must not be held up.
    fn ring_at(&self, at: Instant, alarm: Weak<dyn Alarm>);
}

/// Someone who wants to be told that a time has come.
pub(crate) trait Alarm: Send + Sync {
    /// The time has come. It may also be called when it has not.
    fn ring(self: Arc<Self>);
}

/// The real time, and one timer for the whole process, exact to some 100 µs. Its thread is there while something is to be
/// rung.
pub(crate) struct Timer {
    shared: Arc<Shared>,
}

struct Shared {
    retirement: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The earliest on top.
    alarms: BinaryHeap<Reverse<Entry>>,
    /// Tells entries of the same time apart.
    serial: u64,
    has_thread: bool,
}

struct Entry {
    at: Instant,
    serial: u64,
    alarm: Weak<dyn Alarm>,
}

impl Timer {
    /// A timer without a thread.
    pub(crate) fn new() -> Timer {
        Timer::with_retirement(RETIREMENT)
    }

    fn with_retirement(retirement: Duration) -> Timer {
        Timer { shared: Arc::new(Shared { retirement, state: Mutex::default(), changed: Condvar::new() }) }
    }
}

impl Clock for Timer {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn ring_at(&self, at: Instant, alarm: Weak<dyn Alarm>) {
        let mut state = self.shared.state.lock();
        state.serial += 1;
        let entry = Entry { at, serial: state.serial, alarm };
        let is_first = state.alarms.peek().is_none_or(|Reverse(first)| at < first.at);
        state.alarms.push(Reverse(entry));
        if !state.has_thread {
            state.has_thread = true;
            drop(state);
            self.shared.start_thread();
        } else if is_first {
            drop(state);
            self.shared.changed.notify_one();
        }
    }
}

impl Shared {
    fn start_thread(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("nerite-timer".into());
        if let Err(error) = thread.spawn(move || shared.ring_until_retired()) {
            // The next alarm tries again. Until then batches wait for a request or an instance instead of the clock.
            tracing::error!("cannot start the timer's thread: {error}");
            self.state.lock().has_thread = false;
        }
    }

    fn ring_until_retired(&self) {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            match state.alarms.peek().map(|Reverse(first)| first.at) {
                Some(at) if at <= now => {
                    let due = state.alarms.pop().map(|Reverse(entry)| entry.alarm);
                    drop(state);
                    if let Some(alarm) = due.and_then(|alarm| alarm.upgrade()) {
                        alarm.ring();
                    }
                    state = self.state.lock();
                }
                Some(at) => drop(self.changed.wait_until(&mut state, at)),
                None => {
                    let timed_out = self.changed.wait_for(&mut state, self.retirement).timed_out();
                    if timed_out && state.alarms.is_empty() {
                        state.has_thread = false;
                        return;
                    }
                }
            }
        }
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    struct Bell(Sender<Instant>);

    impl Alarm for Bell {
        fn ring(self: Arc<Self>) {
            self.0.send(Instant::now()).expect("the test listens");
        }
    }

    fn weak(bell: &Arc<Bell>) -> Weak<dyn Alarm> {
        let weak: Weak<Bell> = Arc::downgrade(bell);
        weak
    }

    #[test]
    fn alarms_ring_in_order_and_never_before_their_time() {
        let timer = Timer::new();
        let (rung, heard) = channel();
        let bell = Arc::new(Bell(rung));
        let start = timer.now();
        let times = [9, 3, 6].map(|ms| start + Duration::from_millis(ms));
        times.iter().for_each(|&at| timer.ring_at(at, weak(&bell)));
        let heard: Vec<Instant> = heard.iter().take(3).collect();
        for (heard, ms) in heard.iter().zip([3, 6, 9]) {
            assert!(*heard >= start + Duration::from_millis(ms));
        }
    }

    #[test]
    fn an_alarm_that_is_gone_is_passed_over() {
        let timer = Timer::new();
        let (rung, heard) = channel();
        let (gone, bell) = (Arc::new(Bell(rung.clone())), Arc::new(Bell(rung)));
        timer.ring_at(timer.now(), weak(&gone));
        drop(gone);
        timer.ring_at(timer.now() + Duration::from_millis(1), weak(&bell));
        bell.0.send(Instant::now()).unwrap();
        assert_eq!(heard.iter().take(2).count(), 2);
    }

    #[test]
    fn a_timer_with_nothing_to_ring_has_no_thread() {
        let timer = Timer::with_retirement(Duration::from_millis(1));
        assert!(!timer.shared.state.lock().has_thread);
        let (rung, heard) = channel();
        let bell = Arc::new(Bell(rung));
        for _ in 0..2 {
            timer.ring_at(timer.now(), weak(&bell));
            heard.recv().unwrap();
            while timer.shared.state.lock().has_thread {
                thread::yield_now();
            }
        }
    }
}
