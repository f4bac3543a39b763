//! Times as the log shows them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, as the calendar and the clock in Greenwich show it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Utc {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    microsecond: u32,
}

impl Utc {
    /// Moments before 1970 are taken for its beginning.
    pub(crate) fn at(time: SystemTime) -> Self {
        let since: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Self { year, month, day, hour, minute, second, microsecond: since.subsec_micros() }
    }

    /// `MMDD hh:mm:ss.uuuuuu`.
    pub(crate) fn short(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            let Self { month, day, hour, minute, second, microsecond, .. } = self;
            write!(f, "{month:02}{day:02} {hour:02}:{minute:02}:{second:02}.{microsecond:06}")
        })
    }

    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub(crate) fn iso8601(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            let Self { year, month, day, hour, minute, second, .. } = self;
            write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        })
    }

    /// As RFC 3339 has it, with microseconds.
    pub(crate) fn rfc3339(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            let Self { year, month, day, hour, minute, second, microsecond } = self;
            write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}Z")
        })
    }
}

/// Year, month and day of the month, of a number of days after 1 January 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // The calendar repeats itself every 400 years, which have 97 leap days.
    const CYCLE: u64 = 400 * 365 + 97;
    let (mut year, mut days) = (1970 + days / CYCLE * 400, days % CYCLE);
    while days >= 365 + leap_day(year) {
        days -= 365 + leap_day(year);
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + leap_day(year), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn leap_day(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    leap.into()
}
