//! What every model version did so far.
//!
//! On the way of a request: additions to atomic numbers of its own model, no lock and no allocation. Locks are taken once
//! for each execution, and, where summaries are on, for each request; they are the model's own too.

mod exemplars;
mod summaries;
mod timed;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nerite_backend::{Executions, Phases};
use parking_lot::Mutex;

use crate::execution::DispatchReason;
use exemplars::Exemplars;
use summaries::Summaries;

pub use exemplars::Exemplar;
pub use summaries::{ACCURACY, WINDOW};
pub use timed::{BOUNDS, BUCKETS, Timed, bucket};

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

/// A phase of a request that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From its arrival to its answer.
    Request,
    /// Its time in the queue.
    Queue,
    /// The time spent on the inputs of its batch.
    ComputeInput,
    /// The time that its batch spent in the model.
    ComputeInfer,
    /// The time spent on the outputs of its batch.
    ComputeOutput,
    /// The time spent on finding its answer in the response cache.
    CacheHit,
    /// The time spent on not finding its answer in the response cache, and on keeping it there.
    CacheMiss,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 7] = [
        Phase::Request,
        Phase::Queue,
        Phase::ComputeInput,
        Phase::ComputeInfer,
        Phase::ComputeOutput,
        Phase::CacheHit,
        Phase::CacheMiss,
    ];

    /// Whether only requests of models whose answers are kept go through it.
    pub fn is_of_cache(self) -> bool {
        matches!(self, Phase::CacheHit | Phase::CacheMiss)
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
    /// The trace that it is part of, if it is traced: the exemplar of its bucket then names it.
    pub trace_id: Option<u128>,
}

/// How a request was answered that was not executed, since the answer was there already or another was being executed for
/// it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// From its arrival to its answer.
    pub(crate) total: Duration,
    /// How much of that it waited.
    pub(crate) queued: Duration,
    /// How much of that went into finding the answer.
    pub(crate) took: Duration,
    /// The trace that it is part of, if it is traced.
    pub(crate) trace_id: Option<u128>,
}

/// The running account of one model version. The metrics and the statistics RPC both read it, and so agree.
#[derive(Default)]
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
    /// Time spent on finding answers in the response cache, of requests answered from it.
    pub cache_hit: Timed,
    /// Time spent on not finding answers there and on keeping them, of requests answered by the engine.
    pub cache_miss: Timed,
    /// Until the first response, of requests of decoupled models. Those of others have one alone.
    first_response: Timed,
    received: AtomicU64,
    failures: [AtomicU64; FailureReason::ALL.len()],
    inferences: AtomicU64,
    executions: AtomicU64,
    reruns: AtomicU64,
    last_inference_ms: AtomicU64,
    batches: Mutex<BTreeMap<u32, BatchStatistics>>,
    dispatches: [AtomicU64; DispatchReason::ALL.len()],
    inline: AtomicU64,
    restarts: AtomicU64,
    /// Quantiles of every phase, if anybody wants them.
    summaries: Option<Summaries>,
    /// Examples among the requests that were traced. Made with the first one.
    exemplars: OnceLock<Box<Exemplars>>,
}

impl Statistics {
    /// An empty account, with summaries or without.
    pub fn new(summaries: bool) -> Statistics {
        Statistics { summaries: summaries.then(Summaries::default), ..Statistics::default() }
    }

    /// A request has come that names the model. It is yet to succeed or to fail.
    pub fn received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    /// Accounts for an answered request.
    pub fn succeeded(&self, journey: &Journey) {
        let Phases { start, input_end, infer_end, end } = journey.phases;
        let took = [
            journey.total,
            journey.queued,
            input_end.saturating_duration_since(start),
            infer_end.saturating_duration_since(input_end),
            end.saturating_duration_since(infer_end),
        ];
        if let Some(summaries) = &self.summaries {
            summaries.add(Phase::ALL.into_iter().zip(took), end);
        }
        let [total, queued, input, infer, output] = took;
        self.queue.add(queued);
        self.compute_input.add(input);
        self.compute_infer.add(infer);
        self.compute_output.add(output);
        self.inferences.fetch_add(u64::from(journey.rows), Relaxed);
        self.answered(total, journey.trace_id);
    }

    /// Accounts for a request that was answered at that time without being executed. As in Triton, it is none of the
    /// inferences.
    pub(crate) fn hit(&self, hit: &Hit, at: Instant) {
        let &Hit { total, queued, took, trace_id } = hit;
        if let Some(summaries) = &self.summaries {
            summaries.add([(Phase::Request, total), (Phase::Queue, queued), (Phase::CacheHit, took)], at);
        }
        self.queue.add(queued);
        self.cache_hit.add(took);
        self.answered(total, trace_id);
    }

    /// A request that was answered at that time, and is accounted for, was not found in the response cache. `took`: to see
    /// that, and to keep its answer.
    pub(crate) fn missed(&self, took: Duration, at: Instant) {
        if let Some(summaries) = &self.summaries {
            summaries.add([(Phase::CacheMiss, took)], at);
        }
        self.cache_miss.add(took);
    }

    fn answered(&self, total: Duration, trace_id: Option<u128>) {
        self.success.add(total);
        if let Some(trace_id) = trace_id {
            let exemplar = Exemplar { trace_id, value: total, at: SystemTime::now() };
            self.exemplars.get_or_init(Box::default).put(exemplar);
        }
    }

    /// A request of a decoupled model has its first response.
    pub(crate) fn first_responded(&self, after: Duration) {
        self.first_response.add(after);
    }

    /// How long requests took until their first response, where a model gives many.
    pub fn first_response(&self) -> &Timed {
        &self.first_response
    }

    /// Accounts for a failed request that was known for `after`.
    pub fn failed(&self, reason: FailureReason, after: Duration) {
        self.failures[reason as usize].fetch_add(1, Relaxed);
        self.failure.add(after);
    }

    /// A batch begins to be executed, for that reason; `inline`: on a thread of the network.
    pub(crate) fn dispatched(&self, reason: DispatchReason, inline: bool) {
        self.dispatches[reason as usize].fetch_add(1, Relaxed);
        if inline {
            self.inline.fetch_add(1, Relaxed);
        }
    }

    /// An instance that could not execute any more was made anew.
    pub(crate) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// The latest exemplar of each of the buckets of [`Statistics::success`] that has one.
    pub fn exemplars(&self) -> [Option<Exemplar>; BUCKETS] {
        self.exemplars.get().map(|exemplars| exemplars.latest()).unwrap_or_default()
    }

    /// What a phase took.
    pub fn timed(&self, phase: Phase) -> &Timed {
        match phase {
            Phase::Request => &self.success,
            Phase::Queue => &self.queue,
            Phase::ComputeInput => &self.compute_input,
            Phase::ComputeInfer => &self.compute_infer,
            Phase::ComputeOutput => &self.compute_output,
            Phase::CacheHit => &self.cache_hit,
            Phase::CacheMiss => &self.cache_miss,
        }
    }

    /// What a phase took at these quantiles of the requests answered within the last [`WINDOW`], in microseconds; NaN if
    /// there was none. `None` if nobody wants summaries.
    pub fn quantiles(&self, phase: Phase, quantiles: &[f64], now: Instant) -> Option<Vec<f64>> {
        Some(self.summaries.as_ref()?.quantiles(phase, quantiles, now))
    }

    /// How many requests have come that named the model.
    pub fn requests(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// How many batches began to be executed for that reason.
    pub fn dispatches(&self, reason: DispatchReason) -> u64 {
        self.dispatches[reason as usize].load(Relaxed)
    }

    /// How many instances were made anew because they could not execute any more.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Relaxed)
    }

    /// How many batches began to be executed on a thread of the network.
    pub fn inline(&self) -> u64 {
        self.inline.load(Relaxed)
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
        batch.input_nanos += timed::nanos(phases.input_end.saturating_duration_since(phases.start));
        batch.infer_nanos += timed::nanos(phases.infer_end.saturating_duration_since(phases.input_end));
        batch.output_nanos += timed::nanos(phases.end.saturating_duration_since(phases.infer_end));
    }

    fn rerun(&self, requests: usize) {
        self.reruns.fetch_add(requests as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answered_request_is_counted_with_its_rows_and_every_stage() {
        let statistics = Statistics::default();
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let phases = Phases { start, input_end: at(10), infer_end: at(40), end: at(60) };
        statistics.executed(3, &phases);
        let journey = Journey {
            total: Duration::from_micros(100),
            queued: Duration::from_micros(30),
            phases,
            rows: 3,
            trace_id: None,
        };
        statistics.succeeded(&journey);
        assert_eq!((statistics.success.count(), statistics.success.nanos()), (1, 100_000));
        assert_eq!(statistics.queue.nanos(), 30_000);
        assert_eq!(statistics.compute_infer.nanos(), 30_000);
        assert_eq!((statistics.inferences(), statistics.executions()), (3, 1));
        let batch = statistics.batches()[&3];
        assert_eq!((batch.input_nanos, batch.infer_nanos, batch.output_nanos), (10_000, 30_000, 20_000));
    }

    #[test]
    fn a_hit_is_a_success_that_waited_and_no_inference() {
        let statistics = Statistics::new(true);
        let now = Instant::now();
        let micros = Duration::from_micros;
        statistics.hit(&Hit { total: micros(50), queued: micros(40), took: micros(7), trace_id: None }, now);
        assert_eq!((statistics.success.count(), statistics.success.nanos()), (1, 50_000));
        assert_eq!((statistics.queue.nanos(), statistics.cache_hit.nanos()), (40_000, 7_000));
        let executed = [Phase::ComputeInput, Phase::ComputeInfer, Phase::ComputeOutput, Phase::CacheMiss];
        assert!(executed.iter().all(|&phase| statistics.timed(phase).count() == 0));
        assert_eq!((statistics.inferences(), statistics.executions()), (0, 0));
        let median = |phase| statistics.quantiles(phase, &[0.5], now).unwrap()[0];
        assert!((median(Phase::CacheHit) - 7.0).abs() < 0.1);
        assert!(median(Phase::ComputeInfer).is_nan());
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
