use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, Code, Phases};

use super::call::{Call, Ledger};
use crate::response_cache::Lookup;
use crate::statistics::{FailureReason, Hit, Journey};

/// What the account needs to know of a request, and whether it is in there yet.
pub(super) struct Account {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) cancel: Cancel,
    rows: u32,
    received: Instant,
    trace_id: Option<u128>,
    lookup: Option<Arc<Lookup>>,
    /// Whether it is in the account: a look at this saves the others the lock.
    settled: AtomicBool,
}

/// How far a request has come towards being accounted for, which happens once. Pure.
///
/// ```text
/// Open ──ended, reported before or released already, or failed──────────────► Settled
///   │                                                                          ▲ ▲
///   ├──ended well, and the engine may still report──► Ended ──report, release──┘ │
///   └──the caller goes away──────────────────────────────────────────────────────┘
/// ```
#[derive(Debug, Default)]
pub(super) struct Progress {
    stage: Stage,
    phases: Option<Phases>,
    /// Why it has failed, if it has.
    failure: Option<Failure>,
    is_released: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The last response has been sent at that time.
    Ended(Instant),
    Settled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It was told to the caller, whether it was executed or not.
    Told(Code),
    /// The engine told it to the server alone.
    Reported,
}

/// What is to be added to the account, now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// When the last response was sent, or the caller went away.
    at: Instant,
    outcome: Result<Phases, FailureReason>,
}

impl Progress {
    /// When the request was executed, as far as the engine has told.
    pub(super) fn phases(&self) -> Option<Phases> {
        self.phases
    }

    /// The caller is told of a failure.
    pub(super) fn failed(&mut self, error: &BackendError) {
        self.failure.get_or_insert(Failure::Told(error.code));
    }

    /// The last response is about to be sent. A success that the engine may still report on has to wait for that.
    pub(super) fn ended(&mut self, now: Instant) -> Option<Entry> {
        if self.stage != Stage::Open {
            return None;
        }
        self.stage = Stage::Ended(now);
        let is_complete = self.phases.is_some() || self.failure.is_some() || self.is_released;
        is_complete.then(|| self.settle(now))
    }

    /// The engine tells of the execution.
    pub(super) fn reported(&mut self, phases: &Phases, result: Result<(), &BackendError>) -> Option<Entry> {
        self.phases = Some(*phases);
        if result.is_err() {
            self.failure.get_or_insert(Failure::Reported);
        }
        self.settle_if_ended()
    }

    /// The engine has let go of the request, and will not report on it any more.
    pub(super) fn released(&mut self) -> Option<Entry> {
        self.is_released = true;
        self.settle_if_ended()
    }

    /// The caller goes away. Nothing if the last response has been sent by then.
    pub(super) fn given_up(&mut self, now: Instant) -> Option<Entry> {
        if self.stage != Stage::Open {
            return None;
        }
        self.stage = Stage::Settled;
        Some(Entry { at: now, outcome: Err(FailureReason::Canceled) })
    }

    fn settle_if_ended(&mut self) -> Option<Entry> {
        match self.stage {
            Stage::Ended(at) => Some(self.settle(at)),
            Stage::Open | Stage::Settled => None,
        }
    }

    fn settle(&mut self, at: Instant) -> Entry {
        self.stage = Stage::Settled;
        let outcome = match self.failure {
            Some(failure) => Err(failure.reason(self.phases.is_some())),
            None => Ok(self.phases.unwrap_or_else(|| never_reported(at))),
        };
        Entry { at, outcome }
    }
}

impl Failure {
    fn reason(self, executed: bool) -> FailureReason {
        match self {
            Failure::Told(Code::Cancelled) => FailureReason::Canceled,
            Failure::Told(Code::Unavailable) if !executed => FailureReason::Rejected,
            Failure::Told(_) | Failure::Reported => FailureReason::Backend,
        }
    }
}

/// The phases of an engine that keeps them to itself: all the time counts as waiting.
fn never_reported(now: Instant) -> Phases {
    Phases { start: now, input_end: now, infer_end: now, end: now }
}

impl Account {
    /// Of that request, of which nothing is known yet.
    pub(super) fn of(call: Call) -> Account {
        let Call { ledger, rows, received, trace_id, lookup } = call;
        let (cancel, settled) = (Cancel::default(), AtomicBool::new(false));
        Account { ledger, cancel, rows, received, trace_id, lookup, settled }
    }

    /// Whether nothing is left to be accounted for.
    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// The first of many responses is about to be sent.
    pub(super) fn first_responded(&self) {
        self.ledger.statistics().first_responded(self.received.elapsed());
    }

    /// Adds to the account what there is to add.
    pub(super) fn settle(&self, entry: Option<Entry>) {
        let Some(Entry { at, outcome }) = entry else { return };
        let total = at.saturating_duration_since(self.received);
        let statistics = self.ledger.statistics();
        let trace_id = self.trace_id;
        match (outcome, &self.lookup) {
            (Err(reason), _) => statistics.failed(reason, total),
            (Ok(_), Some(lookup)) if lookup.is_hit() => {
                let took = lookup.took();
                statistics.hit(&Hit { total, queued: total.saturating_sub(took), took, trace_id }, at);
            }
            (Ok(phases), lookup) => {
                let queued = phases.start.saturating_duration_since(self.received);
                statistics.succeeded(&Journey { total, queued, phases, rows: self.rows, trace_id });
                if let Some(lookup) = lookup {
                    statistics.missed(lookup.took(), at);
                }
            }
        }
        self.settled.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Step {
        Fail,
        End,
        Report { well: bool },
        Release,
        GiveUp,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Fail),
            Just(Step::End),
            any::<bool>().prop_map(|well| Step::Report { well }),
            Just(Step::GiveUp)
        ];
        // A request is released once, at any time, and what is left unanswered is ended in the end.
        (prop::collection::vec(step, 0..6), 0..7usize).prop_map(|(mut steps, release)| {
            steps.insert(release.min(steps.len()), Step::Release);
            steps.push(Step::End);
            steps
        })
    }

    /// Which step settles the account, and how, by the words of the documents.
    fn expected(steps: &[Step]) -> (usize, Result<(), FailureReason>) {
        let (mut ended, mut failed, mut reported, mut released) = (false, None, false, false);
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::GiveUp if !ended => return (number, Err(FailureReason::Canceled)),
                Step::GiveUp => {}
                Step::Fail if !ended => failed = failed.or(Some(FailureReason::Backend)),
                Step::Fail => {}
                Step::End => ended = true,
                Step::Report { well } => {
                    reported = true;
                    if !well {
                        failed = failed.or(Some(FailureReason::Backend));
                    }
                }
                Step::Release => released = true,
            }
            if ended && (failed.is_some() || reported || released) {
                return (number, failed.map_or(Ok(()), Err));
            }
        }
        unreachable!("it was released and ended")
    }

    proptest! {
        #[test]
        fn a_request_is_accounted_for_once_as_soon_as_it_has_ended_and_been_reported_or_released(steps in steps()) {
            let (expected_at, outcome) = expected(&steps);
            let (start, mut progress) = (Instant::now(), Progress::default());
            let error = BackendError::internal("broken");
            let mut ended = false;
            for (number, step) in steps.iter().enumerate() {
                let now = start + Duration::from_secs(number as u64);
                let phases = never_reported(now);
                let entry = match step {
                    // Who has ended sends no more.
                    Step::Fail => { if !ended { progress.failed(&error); } None }
                    Step::End => { ended = true; progress.ended(now) }
                    Step::Report { well } => progress.reported(&phases, if *well { Ok(()) } else { Err(&error) }),
                    Step::Release => progress.released(),
                    Step::GiveUp => progress.given_up(now),
                };
                prop_assert_eq!(entry.is_some(), number == expected_at, "{} of {:?}", number, steps);
                if let Some(entry) = entry {
                    prop_assert_eq!(entry.outcome.map(|_| ()), outcome, "{:?}", steps);
                }
            }
        }
    }

    #[test]
    fn the_time_of_an_answer_is_that_of_its_last_response_and_not_of_the_report_that_follows() {
        let (start, mut progress) = (Instant::now(), Progress::default());
        assert!(progress.ended(start).is_none());
        let late = start + Duration::from_secs(1);
        let entry = progress.reported(&never_reported(late), Ok(())).unwrap();
        assert_eq!((entry.at, entry.outcome.unwrap().start), (start, late));
    }

    #[test]
    fn what_was_refused_unexecuted_is_rejected_and_what_was_executed_failed_in_the_engine() {
        let error = BackendError::new(Code::Unavailable, "stopping");
        let now = Instant::now();
        let mut progress = Progress::default();
        progress.failed(&error);
        assert_eq!(progress.ended(now).unwrap().outcome.unwrap_err(), FailureReason::Rejected);
        let mut progress = Progress::default();
        assert!(progress.reported(&never_reported(now), Err(&error)).is_none());
        progress.failed(&error);
        assert_eq!(progress.ended(now).unwrap().outcome.unwrap_err(), FailureReason::Backend);
    }
}
