//! What every model version did so far.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nerite_backend::{Executions, Phases};
use parking_lot::Mutex;

/// Why a request failed, as metrics tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// It was not executed: the model stops, or has no instance left.
    Rejected,
    /// Its caller gave up.
    Canceled,
    /// The engine failed.
    Backend,
    /// Anything else; mostly the caller's mistake.
    Other,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [FailureReason; 4] =
        [FailureReason::Rejected, FailureReason::Canceled, FailureReason::Backend, FailureReason::Other];

    /// The value of the metric's `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            FailureReason::Rejected => "REJECTED",
            FailureReason::Canceled => "CANCELED",
            FailureReason::Backend => "BACKEND",
            FailureReason::Other => "OTHER",
        }
    }
}

/// A count of events and the time they took together.
#[derive(Debug, Default)]
pub struct Timed {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Timed {
    fn add(&self, took: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos(took), Relaxed);
    }

    /// How many events.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The time they took together, in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.nanos.load(Relaxed)
    }
}

/// What the executions of one batch size came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchStatistics {
    /// How many executions.
    pub executions: u64,
    /// Time spent on inputs, in nanoseconds.
    pub input_nanos: u64,
    /// Time spent in the model, in nanoseconds.
    pub infer_nanos: u64,
    /// Time spent on outputs, in nanoseconds.
    pub output_nanos: u64,
}

/// When a successful request went through its stages.
#[derive(Clone, Copy, Debug)]
pub struct Journey {
    /// From its arrival to its answer.
    pub total: Duration,
    /// From its arrival in the queue to its execution.
    pub queued: Duration,
    /// Its execution.
    pub phases: Phases,
    /// How many rows it had.
    pub rows: u32,
}

/// The running account of one model version. The metrics and the statistics RPC both read it, and so agree.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Requests answered.
    pub success: Timed,
    /// Requests that failed.
    pub failure: Timed,
    /// Time in the queue, of requests answered.
    pub queue: Timed,
    /// Time spent on inputs, of requests answered; each counts its whole batch's.
    pub compute_input: Timed,
    /// Time spent in the model, of requests answered; each counts its whole batch's.
    pub compute_infer: Timed,
    /// Time spent on outputs, of requests answered; each counts its whole batch's.
    pub compute_output: Timed,
    failures: [AtomicU64; 4],
    inferences: AtomicU64,
    executions: AtomicU64,
    reruns: AtomicU64,
    last_inference_ms: AtomicU64,
    batches: Mutex<BTreeMap<u32, BatchStatistics>>,
}

impl Statistics {
    /// Accounts for an answered request.
    pub fn succeeded(&self, journey: &Journey) {
        let Phases { start, input_end, infer_end, end } = journey.phases;
        self.queue.add(journey.queued);
        self.compute_input.add(input_end.saturating_duration_since(start));
        self.compute_infer.add(infer_end.saturating_duration_since(input_end));
        self.compute_output.add(end.saturating_duration_since(infer_end));
        self.inferences.fetch_add(u64::from(journey.rows), Relaxed);
        self.success.add(journey.total);
    }

    /// Accounts for a failed request that was known for `after`.
    pub fn failed(&self, reason: FailureReason, after: Duration) {
        self.failures[reason as usize].fetch_add(1, Relaxed);
        self.failure.add(after);
    }

    /// How many requests failed for that reason.
    pub fn failures(&self, reason: FailureReason) -> u64 {
        self.failures[reason as usize].load(Relaxed)
    }

    /// How many rows were inferred.
    pub fn inferences(&self) -> u64 {
        self.inferences.load(Relaxed)
    }

    /// How many times the model ran.
    pub fn executions(&self) -> u64 {
        self.executions.load(Relaxed)
    }

    /// How many requests were run again by themselves because their batch had failed.
    pub fn reruns(&self) -> u64 {
        self.reruns.load(Relaxed)
    }

    /// When the model last ran, in milliseconds since 1970; 0 if never.
    pub fn last_inference_ms(&self) -> u64 {
        self.last_inference_ms.load(Relaxed)
    }

    /// The executions by batch size.
    pub fn batches(&self) -> BTreeMap<u32, BatchStatistics> {
        self.batches.lock().clone()
    }
}

impl Executions for Statistics {
    fn executed(&self, rows: u32, phases: &Phases) {
        self.executions.fetch_add(1, Relaxed);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_inference_ms.store(since_1970.as_millis() as u64, Relaxed);
        let mut batches = self.batches.lock();
        let batch = batches.entry(rows).or_default();
        batch.executions += 1;
        batch.input_nanos += nanos(phases.input_end.saturating_duration_since(phases.start));
        batch.infer_nanos += nanos(phases.infer_end.saturating_duration_since(phases.input_end));
        batch.output_nanos += nanos(phases.end.saturating_duration_since(phases.infer_end));
    }

    fn rerun(&self, requests: usize) {
        self.reruns.fetch_add(requests as u64, Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_answered_request_is_counted_with_its_rows_and_every_stage() {
        let statistics = Statistics::default();
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let phases = Phases { start, input_end: at(10), infer_end: at(40), end: at(60) };
        statistics.executed(3, &phases);
        let journey =
            Journey { total: Duration::from_micros(100), queued: Duration::from_micros(30), phases, rows: 3 };
        statistics.succeeded(&journey);
        assert_eq!((statistics.success.count(), statistics.success.nanos()), (1, 100_000));
        assert_eq!(statistics.queue.nanos(), 30_000);
        assert_eq!(statistics.compute_infer.nanos(), 30_000);
        assert_eq!((statistics.inferences(), statistics.executions()), (3, 1));
        let batch = statistics.batches()[&3];
        assert_eq!((batch.input_nanos, batch.infer_nanos, batch.output_nanos), (10_000, 30_000, 20_000));
    }

    #[test]
    fn failures_are_told_apart_by_reason_and_add_up() {
        let statistics = Statistics::default();
        for (times, reason) in (1..).zip(FailureReason::ALL) {
            (0..times).for_each(|_| statistics.failed(reason, Duration::from_nanos(1)));
        }
        assert_eq!(FailureReason::ALL.map(|reason| statistics.failures(reason)), [1, 2, 3, 4]);
        assert_eq!(statistics.failure.count(), 10);
    }
}
