//! The clock of the statistics.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the steady clock, as the API wants its timestamps.
#[inline]
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// When the steps of an execution were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) execution_begins: u64,
    pub(crate) compute_begins: u64,
    pub(crate) compute_ends: u64,
    pub(crate) execution_ends: u64,
}

impl Times {
    /// Of an execution of which no more is known than when it began and when it ended.
    pub(crate) fn of_all(begins: u64, ends: u64) -> Times {
        Times { execution_begins: begins, compute_begins: begins, compute_ends: ends, execution_ends: ends }
    }
}
