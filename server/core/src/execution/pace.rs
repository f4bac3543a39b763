//! How fast a model is, as measured; decides where it is executed. Pure.

use std::time::{Duration, Instant};

/// The longest execution, as a rule, for which a thread of the network may be kept from its work: some eight times what it
/// costs to wake another thread.
const FAST: Duration = Duration::from_micros(200);

/// By how much an execution may exceed the estimate before the model has to be measured anew.
const PATIENCE: u32 = 10;

/// How many executions in a row on the pool show that a model is fast.
const PROBATION: u32 = 8;

/// How many do for one that was fast and then took too long once: on a busy machine any execution may be interrupted.
const SECOND_PROBATION: u32 = 2;

/// Requests that come so soon after an execution come in quick succession.
const SUCCESSION: Duration = Duration::from_micros(20);

/// Where a batch is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a thread of the pool, which it may keep as long as it likes.
    Pool,
    /// On a thread of the network, in between.
    Inline,
}

/// What is known of a model's executions.
#[derive(Debug)]
pub(super) struct Pace {
    standing: Standing,
    last: Option<Last>,
}

/// ```text
/// Probation ──enough in a row are fast──► Fast
///     ▲──one takes much too long, or the estimate grows too long──┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// On the pool, however fast.
    Banned,
    /// On the pool, until so many more executions in a row are fast.
    Probation { lacking: u32 },
    /// Wherever it suits.
    Fast { estimate: Duration },
}

#[derive(Clone, Copy, Debug)]
struct Last {
    ended: Instant,
    requests: usize,
}

impl Pace {
    /// Of a model that has not been executed yet.
    pub(super) fn new() -> Pace {
        Pace { standing: Standing::Probation { lacking: PROBATION }, last: None }
    }

    /// Of a model that must never be executed on a thread of the network.
    pub(super) fn never_inline() -> Pace {
        Pace { standing: Standing::Banned, last: None }
    }

    /// Whether it may be executed on a thread of the network.
    pub(super) fn is_fast(&self) -> bool {
        matches!(self.standing, Standing::Fast { .. })
    }

    /// Whether more requests are likely to be there in a moment: waiting until the network has brought them makes a
    /// larger batch. Whoever comes alone does not wait.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| last.requests > 1 || now.saturating_duration_since(last.ended) < SUCCESSION)
    }

    /// Takes note of an execution of so many requests that has just ended.
    pub(super) fn observe(&mut self, place: Place, took: Duration, requests: usize, now: Instant) {
        self.last = Some(Last { ended: now, requests });
        self.standing = match self.standing {
            Standing::Banned => return,
            Standing::Probation { lacking } if took <= FAST && place == Place::Pool => match lacking - 1 {
                0 => Standing::Fast { estimate: took },
                lacking => Standing::Probation { lacking },
            },
            Standing::Probation { .. } => Standing::Probation { lacking: PROBATION },
            Standing::Fast { estimate } if took > estimate * PATIENCE => return self.disappoint(),
            Standing::Fast { estimate } => match (estimate * 7 + took) / 8 {
                estimate if estimate <= FAST => Standing::Fast { estimate },
                _ => Standing::Probation { lacking: PROBATION },
            },
        };
    }

    /// It is not as fast as was believed: it goes to the pool until it is measured again.
    pub(super) fn disappoint(&mut self) {
        if self.standing != Standing::Banned {
            self.standing = Standing::Probation { lacking: SECOND_PROBATION };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(20);

    fn observe(pace: &mut Pace, place: Place, took: Duration, times: u32) {
        (0..times).for_each(|_| pace.observe(place, took, 1, Instant::now()));
    }

    fn fast() -> Pace {
        let mut pace = Pace::new();
        observe(&mut pace, Place::Pool, QUICK, PROBATION);
        assert!(pace.is_fast());
        pace
    }

    #[test]
    fn a_model_is_fast_once_enough_executions_in_a_row_on_the_pool_were() {
        let mut pace = Pace::new();
        observe(&mut pace, Place::Pool, QUICK, PROBATION - 1);
        assert!(!pace.is_fast());
        observe(&mut pace, Place::Pool, FAST * 2, 1);
        observe(&mut pace, Place::Pool, QUICK, PROBATION - 1);
        assert!(!pace.is_fast(), "the slow one made it begin anew");
        observe(&mut pace, Place::Pool, QUICK, 1);
        assert!(pace.is_fast());
    }

    #[test]
    fn one_execution_of_more_than_ten_times_the_estimate_sends_it_back_to_the_pool_until_it_is_measured_again()
     {
        let mut pace = fast();
        observe(&mut pace, Place::Inline, QUICK * 10, 1);
        assert!(pace.is_fast());
        observe(&mut pace, Place::Inline, Duration::from_millis(5), 1);
        assert!(!pace.is_fast());
        observe(&mut pace, Place::Pool, QUICK, SECOND_PROBATION - 1);
        assert!(!pace.is_fast());
        observe(&mut pace, Place::Pool, QUICK, 1);
        assert!(pace.is_fast());
        pace.disappoint();
        assert!(!pace.is_fast());
    }

    #[test]
    fn a_model_whose_executions_may_wait_for_callers_is_never_fast() {
        let mut pace = Pace::never_inline();
        observe(&mut pace, Place::Pool, QUICK, 100);
        assert!(!pace.is_fast());
        pace.disappoint();
        observe(&mut pace, Place::Pool, QUICK, 100);
        assert!(!pace.is_fast());
    }

    #[test]
    fn a_model_that_grows_slow_by_and_by_goes_back_to_the_pool() {
        let mut pace = fast();
        observe(&mut pace, Place::Inline, FAST * 9 / 10, 100);
        assert!(pace.is_fast());
        observe(&mut pace, Place::Inline, FAST * 2, 100);
        assert!(!pace.is_fast());
    }

    #[test]
    fn requests_come_in_company_after_a_batch_of_several_or_in_quick_succession() {
        let (mut pace, now) = (fast(), Instant::now());
        for (requests, after, busy) in
            [(1, Duration::ZERO, true), (1, SUCCESSION, false), (2, SUCCESSION * 100, true)]
        {
            pace.observe(Place::Inline, QUICK, requests, now);
            assert_eq!(pace.is_busy(now + after), busy, "{requests} {after:?}");
        }
        assert!(!Pace::new().is_busy(now));
    }
}
