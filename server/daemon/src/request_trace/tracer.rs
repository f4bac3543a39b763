//! What the front ends and the daemon see of traces.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::Request;
use nerite_backend::{SpanContext, TraceMark};
use nerite_proto::inference::ModelInferRequest;
use parking_lot::Mutex;
use tonic::Code;

use super::batch_processor::{BatchProcessor, Limits};
use super::file::FileExporter;
use super::otlp::{OtlpExporter, SPANS};
use super::overrides::Overrides;
use super::record::Record;
use super::rules::{OpenTrace, Rules};
use super::setting::{Change, Invalid, Setting};
use super::traced::{Arrival, Traced};
use super::{file, traceparent};
use crate::settings::{Otlp, Trace, TraceLevel, TraceMode};
use crate::shortened::shortened;

/// How long traces that are left at the end are waited for at most: a receiver that hangs is not worth more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Traces requests.
pub(crate) struct Tracer {
    /// Whether any rule is: what every call asks.
    on: AtomicBool,
    mode: TraceMode,
    file: Option<PathBuf>,
    otlp: Otlp,
    rules: ArcSwap<Rules>,
    overrides: Mutex<Overrides>,
    begun: AtomicU64,
    processor: BatchProcessor,
}

/// What is in force for a model, as clients see it.
pub(crate) struct Shown<'a> {
    pub(crate) mode: TraceMode,
    pub(crate) level: TraceLevel,
    pub(crate) rate: u32,
    /// How many more.
    pub(crate) left: Option<u32>,
    pub(crate) log_frequency: u32,
    pub(crate) file: Option<&'a Path>,
    pub(crate) otlp: &'a Otlp,
}

impl Tracer {
    /// A tracer with these settings.
    pub(crate) fn new(settings: &Trace) -> Tracer {
        let Trace { mode, level, rate, count, file, log_frequency, otlp } = settings.clone();
        let defaults = Setting { level, rate, count, log_frequency };
        let overrides = Overrides::new(defaults, mode, file.is_some());
        let rules = overrides.first();
        let processor = match mode {
            TraceMode::Triton => {
                let path = file.clone().unwrap_or_default();
                BatchProcessor::new(file::LIMITS, Box::new(move |_| Box::new(FileExporter::new(path))))
            }
            TraceMode::OpenTelemetry => {
                let traces = |spans: usize| (spans / SPANS).max(1);
                let limits = Limits {
                    waiting: traces(otlp.max_queue_size.get()),
                    batch: traces(otlp.max_export_batch_size.min(otlp.max_queue_size).get()),
                    delay: otlp.schedule_delay,
                };
                let otlp = otlp.clone();
                BatchProcessor::new(
                    limits,
                    Box::new(move |closing| Box::new(OtlpExporter::new(&otlp, closing))),
                )
            }
        };
        Tracer {
            on: AtomicBool::new(rules.is_on()),
            mode,
            file,
            otlp,
            rules: ArcSwap::from_pointee(rules),
            overrides: Mutex::new(overrides),
            begun: AtomicU64::new(0),
            processor,
        }
    }

    /// How many requests have been traced.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// How many traces were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.processor.dropped()
    }

    /// Whether any request can be traced.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// A call has arrived; nothing if no request can be traced. The headers are taken if its caller traces it: nobody may
    /// need them any more.
    pub(crate) fn arrival<B>(&self, request: &mut Request<B>) -> Option<Arrival> {
        if !self.is_on() {
            return None;
        }
        let parent = match self.mode {
            TraceMode::Triton => None,
            TraceMode::OpenTelemetry => traceparent::parent(request.headers()),
        };
        Some(Arrival::new(parent, request))
    }

    /// Its message has been read and decoded, and it is traced or not.
    pub(crate) fn begin(&self, arrival: Arrival, request: &ModelInferRequest) -> Traced {
        let rules = self.rules.load();
        let rule = rules.rule(&request.model_name);
        match rule.take(arrival.parent.map(|parent| parent.sampled)) {
            Some(trace) => Traced::new(&self.processor, Box::new(self.record(trace, arrival, request))),
            None => Traced::default(),
        }
    }

    fn record(&self, trace: OpenTrace, arrival: Arrival, request: &ModelInferRequest) -> Record {
        let Arrival { arrived, read, deadline, parent, headers } = arrival;
        let trace_id = parent.map_or_else(|| fastrand::u128(1..), |parent| parent.context.trace_id);
        let context = SpanContext { trace_id, span_id: fastrand::u64(1..) };
        Record {
            trace,
            number: self.begun.fetch_add(1, Relaxed) + 1,
            mark: Arc::new(TraceMark::new(context)),
            exported: self.mode == TraceMode::OpenTelemetry,
            parent,
            state: traceparent::state(&headers),
            model: shortened(&request.model_name),
            version: None,
            request_id: shortened(&request.id),
            deadline,
            arrived,
            read,
            queued: None,
            phases: None,
            answered: None,
            ended: Instant::now(),
            code: Code::Cancelled,
            message: String::new(),
            tensors: Vec::new(),
        }
    }

    /// Changes the settings of a model, or of all others if that is empty.
    pub(crate) fn change(&self, model: &str, change: &Change) -> Result<(), Invalid> {
        let mut overrides = self.overrides.lock();
        overrides.change(model, change)?;
        let rules = overrides.rules(&self.rules.load(), model, change);
        self.on.store(rules.is_on(), Relaxed);
        self.rules.store(Arc::new(rules));
        Ok(())
    }

    /// What is in force for a model, or for all others if that is empty.
    pub(crate) fn shown(&self, model: &str) -> Shown<'_> {
        let rules = self.rules.load();
        let rule = rules.rule(model);
        Shown {
            mode: self.mode,
            level: rule.setting.level,
            rate: rule.setting.rate,
            left: rule.sampler.left(),
            log_frequency: rule.setting.log_frequency,
            file: self.file.as_deref(),
            otlp: &self.otlp,
        }
    }

    /// Lets go of what has been traced, in at most `limit`. What comes later is dropped.
    pub(crate) async fn close(&self, limit: Duration) {
        self.processor.close(limit.min(PATIENCE)).await;
    }
}

impl Default for Tracer {
    /// A tracer that traces nothing, and cannot be told to.
    fn default() -> Tracer {
        Tracer::new(&Trace {
            mode: TraceMode::Triton,
            level: TraceLevel::OFF,
            rate: 1_000,
            count: None,
            file: None,
            log_frequency: 0,
            otlp: Otlp::default(),
        })
    }
}
