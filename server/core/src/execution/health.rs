//! What is known of the health of one instance: when it is to be made anew, and when the next attempt at that may be. Pure.

use std::mem;
use std::time::{Duration, Instant};

/// So many doubtful executions in a row condemn an instance whose engine cannot say whether it can execute.
const PATIENCE: u32 = 2;
/// With as many, it is condemned whatever was learnt of it.
const MOST_PATIENCE: u32 = 16;

/// The pause after the first attempt to make an instance anew; each further one in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How an instance has fared. It passes to those that are made in its place.
///
/// The first attempt to make it anew comes at once, and each that follows before an execution has shown the instance to be
/// sound after a longer pause: whether no other can be made, or one that fails as well.
#[derive(Debug)]
pub(super) struct Health {
    /// Doubtful executions in a row.
    doubts: u32,
    /// How many of them condemn it. A request that makes a sound instance fail is no reason to make it anew: a row of
    /// doubts that came to a good end shows that rows of that length are its requests' fault.
    patience: u32,
    /// How many doubts in a row it was made anew for, if it has executed nothing well since.
    condemned_for: u32,
    /// Attempts to make it anew since its last sound execution.
    attempts: u32,
    /// When the last of them was over.
    last_attempt: Option<Instant>,
}

impl Health {
    /// Of an instance of which nothing is known.
    pub(super) fn new() -> Health {
        Health { doubts: 0, patience: PATIENCE, condemned_for: 0, attempts: 0, last_attempt: None }
    }

    /// An execution went well.
    pub(super) fn sound(&mut self) {
        let row = self.doubts.max(self.condemned_for);
        if row > 0 {
            self.patience = self.patience.max(row.saturating_mul(2) + 1).min(MOST_PATIENCE);
        }
        (self.doubts, self.condemned_for, self.attempts, self.last_attempt) = (0, 0, 0, None);
    }

    /// Its engine says that it can execute.
    pub(super) fn cleared(&mut self) {
        self.doubts = 0;
    }

    /// An execution was doubtful, and its engine cannot say more. Whether the instance is to be made anew. It serves on
    /// while it is too early for another attempt: the last one did not help, and so the fault may not be its own.
    pub(super) fn doubted(&mut self, now: Instant) -> bool {
        self.doubts = self.doubts.saturating_add(1);
        self.doubts >= self.patience && self.next_attempt(now) <= now
    }

    /// When the next attempt to make it anew may be.
    pub(super) fn next_attempt(&self, now: Instant) -> Instant {
        let Some(last) = self.last_attempt else { return now };
        let doublings = self.attempts.saturating_sub(1).min(16);
        let pause = LONGEST_PAUSE.min(FIRST_PAUSE * (1 << doublings));
        now.max(last + pause)
    }

    /// An attempt to make it anew is over, whatever came of it.
    pub(super) fn attempted(&mut self, now: Instant) {
        self.attempts = self.attempts.saturating_add(1);
        self.last_attempt = Some(now);
        self.condemned_for = self.condemned_for.max(mem::take(&mut self.doubts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn attempts_come_after_pauses_that_double_up_to_a_limit_and_a_sound_execution_ends_that() {
        let (mut health, mut now) = (Health::new(), Instant::now());
        assert_eq!(health.next_attempt(now), now, "the first comes at once");
        for pause in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            health.attempted(now);
            assert_eq!(health.next_attempt(now), now + millis(pause));
            now += millis(pause);
            assert_eq!(health.next_attempt(now), now, "it is not put off again");
        }
        (0..100).for_each(|_| health.attempted(now));
        assert_eq!(health.next_attempt(now), now + LONGEST_PAUSE);
        health.sound();
        assert_eq!(health.next_attempt(now), now);
    }

    #[test]
    fn two_doubts_in_a_row_condemn_an_instance_and_one_does_not() {
        let (mut health, now) = (Health::new(), Instant::now());
        for _ in 0..3 {
            assert!(!health.doubted(now));
            health.cleared();
        }
        assert!(!health.doubted(now));
        assert!(health.doubted(now));
    }

    #[test]
    fn doubts_that_came_to_a_good_end_are_no_reason_to_make_an_instance_anew() {
        let (mut health, now) = (Health::new(), Instant::now());
        let row = |health: &mut Health| (1..=100).find(|_| health.doubted(now)).unwrap();
        health.doubted(now);
        health.sound();
        for _ in 0..10 {
            assert!(!health.doubted(now) && !health.doubted(now), "a pair is by chance");
            health.sound();
        }
        assert_eq!(row(&mut health), 5);
        health.sound();
        assert_eq!(row(&mut health), 11);
        assert!((0..1_000).any(|_| health.doubted(now)));
        health.sound();
        assert_eq!(row(&mut health), MOST_PATIENCE, "but there is an end to it");
    }

    #[test]
    fn an_instance_that_fails_when_it_was_made_anew_serves_until_the_next_attempt_may_be() {
        let (mut health, now) = (Health::new(), Instant::now());
        health.doubted(now);
        assert!(health.doubted(now));
        health.attempted(now);
        assert!((0..10).all(|_| !health.doubted(now + millis(99))));
        assert!(health.doubted(now + millis(100)));
    }
}
