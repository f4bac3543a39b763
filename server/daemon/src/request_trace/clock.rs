//! Instants as the two formats want them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A clock that was read at the same time as [`Instant`]'s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    instant: Instant,
    since_zero: Duration,
}

impl Clock {
    /// The time of the day, which may be set meanwhile: to be read anew for every batch.
    pub(super) fn of_day() -> Clock {
        let since_zero = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { instant: Instant::now(), since_zero }
    }

    /// The time since the machine started, by which Triton writes its files.
    pub(super) fn steady() -> Clock {
        let time = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let since_zero = Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default());
        Clock { instant: Instant::now(), since_zero }
    }

    /// The instant in nanoseconds since the clock's zero.
    pub(super) fn nanos(&self, at: Instant) -> u64 {
        let time = match at.checked_duration_since(self.instant) {
            Some(later) => self.since_zero + later,
            None => self.since_zero.saturating_sub(self.instant - at),
        };
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }
}
