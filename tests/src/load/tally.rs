//! What became of some requests.

use std::fmt;
use std::time::Duration;

use tonic::Code;

/// Counts of answers, and how long the good ones took. Displayed as lines of a name and a whole number.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How long each request took that was answered with OK.
    pub ok: Vec<Duration>,
    /// How many of those took longer than their deadline.
    pub ok_late: usize,
    /// Answered with UNAVAILABLE.
    pub refused: usize,
    /// Answered with DEADLINE_EXCEEDED.
    pub expired: usize,
    /// Answered with any other status.
    pub failed: usize,
    /// Not answered, because the stream or the connection broke.
    pub broken: usize,
    /// Not answered, because the client went away.
    pub abandoned: usize,
    /// Not answered in all the time that is allowed for it: there is something wrong with the server.
    pub unanswered: usize,
    /// Not sent, because too many were in flight.
    pub unsent: usize,
    /// How long all of it took.
    pub elapsed: Duration,
}

impl Tally {
    /// Counts an answer that took so long.
    pub fn count(&mut self, answer: Result<Code, h2::Error>, took: Duration, deadline: Option<Duration>) {
        match answer {
            Ok(Code::Ok) => {
                self.ok.push(took);
                self.ok_late += usize::from(deadline.is_some_and(|deadline| took > deadline));
            }
            Ok(Code::Unavailable) => self.refused += 1,
            Ok(Code::DeadlineExceeded) => self.expired += 1,
            Ok(_) => self.failed += 1,
            Err(_) => self.broken += 1,
        }
    }

    /// Adds what another has counted; the time is not added.
    pub fn add(&mut self, other: Tally) {
        self.ok.extend(other.ok);
        self.ok_late += other.ok_late;
        self.refused += other.refused;
        self.expired += other.expired;
        self.failed += other.failed;
        self.broken += other.broken;
        self.abandoned += other.abandoned;
        self.unanswered += other.unanswered;
        self.unsent += other.unsent;
    }

    /// How many requests are counted.
    pub fn total(&self) -> usize {
        let answered = self.ok.len() + self.refused + self.expired + self.failed;
        answered + self.broken + self.abandoned + self.unanswered + self.unsent
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<u128> = self.ok.iter().map(Duration::as_micros).collect();
        sorted.sort_unstable();
        let percentile = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or(0);
        let lines = [
            ("total", self.total() as u128),
            ("ok", self.ok.len() as u128),
            ("ok_late", self.ok_late as u128),
            ("refused", self.refused as u128),
            ("expired", self.expired as u128),
            ("failed", self.failed as u128),
            ("broken", self.broken as u128),
            ("abandoned", self.abandoned as u128),
            ("unanswered", self.unanswered as u128),
            ("unsent", self.unsent as u128),
            ("p50_us", percentile(50)),
            ("p99_us", percentile(99)),
            ("elapsed_us", self.elapsed.as_micros()),
        ];
        lines.iter().try_for_each(|(name, number)| writeln!(f, "{name} {number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_counted_once_and_a_late_one_is_among_the_good() {
        let mut tally = Tally::default();
        let (deadline, late) = (Duration::from_millis(5), Duration::from_millis(6));
        for code in [Code::Ok, Code::Unavailable, Code::DeadlineExceeded, Code::Internal] {
            tally.count(Ok(code), late, Some(deadline));
        }
        tally.count(Ok(Code::Ok), late, None);
        tally.count(Err(h2::Reason::CANCEL.into()), late, None);
        let counts =
            [tally.ok.len(), tally.ok_late, tally.refused, tally.expired, tally.failed, tally.broken];
        assert_eq!(counts, [2, 1, 1, 1, 1, 1]);
        assert_eq!(tally.total(), 6);
        let mut sum = tally.clone();
        sum.add(tally);
        assert_eq!(sum.total(), 12);
    }
}
