//! The clock of the statistics.

#![allow(unsafe_code)]

use libc::{CLOCK_MONOTONIC, clock_gettime, timespec};

/// Nanoseconds of the steady clock, as the API wants its timestamps: the standard library does not give its numbers
/// out.
#[inline]
pub(crate) fn now() -> u64 {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is written where there is room for it; it exists on all systems that the API does.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) };
    let [seconds, nanoseconds] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
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
