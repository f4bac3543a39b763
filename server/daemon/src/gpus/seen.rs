use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::meter::Gpu;

/// What a driver that does not hang may need to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was seen of the GPUs last.
pub(super) struct Seen {
    last: Mutex<Last>,
    /// What was seen so long ago is not shown any more.
    old: Duration,
    is_silent: AtomicBool,
}

enum Last {
    /// The thread that asks goes on.
    At(Instant, Arc<[Gpu]>),
    /// There is nobody to ask.
    Nobody,
}

impl Seen {
    /// Nothing yet, from somebody who means to look every `interval`.
    pub(super) fn new(interval: Duration, now: Instant) -> Seen {
        let last = Mutex::new(Last::At(now, Arc::from([])));
        Seen {
            last,
            old: interval.saturating_mul(3).saturating_add(PATIENCE),
            is_silent: AtomicBool::new(false),
        }
    }

    pub(super) fn set(&self, gpus: Vec<Gpu>, now: Instant) {
        *self.last.lock() = Last::At(now, gpus.into());
        if self.is_silent.swap(false, Relaxed) {
            tracing::info!("the NVIDIA driver answers again, and there are metrics of the GPUs");
        }
    }

    pub(super) fn end(&self) {
        *self.last.lock() = Last::Nobody;
    }

    /// What is still true; nothing if the driver hangs, which is said once.
    pub(super) fn at(&self, now: Instant) -> Arc<[Gpu]> {
        let silence = match &*self.last.lock() {
            Last::At(then, gpus) if now.saturating_duration_since(*then) <= self.old => {
                return Arc::clone(gpus);
            }
            Last::At(then, _) => now.saturating_duration_since(*then),
            Last::Nobody => return Arc::from([]),
        };
        if !self.is_silent.swap(true, Relaxed) {
            tracing::warn!(
                "the NVIDIA driver has not answered for {} s: there are no metrics of the GPUs until it does; the \
                 kernel's log (dmesg) may say why",
                silence.as_secs()
            );
        }
        Arc::from([])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_that_hangs_said_last_is_not_shown_for_long() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let seen = Seen::new(Duration::from_secs(1), start);
        assert!(seen.at(after(4_000)).is_empty(), "nothing has been seen");
        let gpu = Gpu { uuid: "GPU-a".to_owned(), ..Gpu::default() };
        seen.set(vec![gpu], after(4_000));
        assert_eq!(seen.at(after(9_000)).len(), 1, "three intervals and two seconds");
        assert!(!seen.is_silent.load(Relaxed));
        assert!(seen.at(after(9_001)).is_empty());
        assert!(seen.is_silent.load(Relaxed));
        seen.set(vec![Gpu::default(), Gpu::default()], after(60_000));
        assert_eq!(seen.at(after(60_000)).len(), 2);
        assert!(!seen.is_silent.load(Relaxed));
        seen.end();
        assert!(seen.at(after(60_001)).is_empty() && seen.at(after(99_000)).is_empty());
        assert!(!seen.is_silent.load(Relaxed), "nobody is waited for");
    }

    #[test]
    fn any_interval_has_an_end() {
        let start = Instant::now();
        assert!(Seen::new(Duration::MAX, start).at(start + Duration::from_secs(1)).is_empty());
    }
}
