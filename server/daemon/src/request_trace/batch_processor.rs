//! The queue between requests and what becomes of their traces, and the thread behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};

use super::record::Record;

/// How many bytes of tensors may wait.
const MOST_BYTES: usize = 64 << 20;

/// A trace on its way through the queue, where a pointer is moved and not all of it.
pub(super) type Finished = Box<Record>;

/// What becomes of traces.
pub(super) trait Exporter {
    /// Takes some, on a thread of its own, and may take its time. Counts what it has to give up.
    fn take(&mut self, records: Vec<Finished>, dropped: &AtomicU64);
}

/// Makes the exporter, on the thread that it will live on. It is told when there is no time any more to try again.
pub(super) type MakeExporter = dyn FnOnce(watch::Receiver<bool>) -> Box<dyn Exporter> + Send;

/// How much waits, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many traces may wait; more are dropped.
    pub(super) waiting: usize,
    /// How many the exporter takes at a time.
    pub(super) batch: usize,
    /// How long a trace waits for others at most.
    pub(super) delay: Duration,
}

/// Takes finished traces from whoever has one and hands them to its exporter. Its thread starts with the first. A clone is
/// the same one.
///
/// It has what the log's [`Backlog`](crate::logging::Backlog) has not: a limit in bytes, batches of a size, and an end.
#[derive(Clone)]
pub(super) struct BatchProcessor(Arc<Shared>);

struct Shared {
    limits: Limits,
    state: Mutex<State>,
    wake: Condvar,
    closing: watch::Sender<bool>,
    done: Notify,
    dropped: AtomicU64,
}

struct State {
    waiting: VecDeque<Finished>,
    bytes: usize,
    thread: Thread,
}

enum Thread {
    NotStarted(Box<MakeExporter>),
    Running,
    /// It takes what waits, and then ends.
    Ending,
}

impl BatchProcessor {
    pub(super) fn new(limits: Limits, exporter: Box<MakeExporter>) -> BatchProcessor {
        let state = State { waiting: VecDeque::new(), bytes: 0, thread: Thread::NotStarted(exporter) };
        BatchProcessor(Arc::new(Shared {
            limits,
            state: Mutex::new(state),
            wake: Condvar::new(),
            closing: watch::Sender::new(false),
            done: Notify::new(),
            dropped: AtomicU64::new(0),
        }))
    }

    /// How many traces nobody will ever see.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// Takes a trace, or drops it if too many wait.
    pub(super) fn take(&self, record: Finished) {
        let shared = &*self.0;
        let mut state = shared.state.lock();
        let bytes = record.bytes();
        let full = state.waiting.len() >= shared.limits.waiting || state.bytes + bytes > MOST_BYTES;
        if full || matches!(state.thread, Thread::Ending) {
            drop(state);
            shared.dropped.fetch_add(1, Relaxed);
            return;
        }
        state.bytes += bytes;
        state.waiting.push_back(record);
        let waiting = state.waiting.len();
        if matches!(state.thread, Thread::NotStarted(_)) {
            self.start(&mut state);
        }
        drop(state);
        // The thread has to know that there is something, and that there is enough; not of what comes in between.
        if waiting == 1 || waiting == shared.limits.batch {
            shared.wake.notify_one();
        }
    }

    fn start(&self, state: &mut State) {
        let Thread::NotStarted(exporter) = std::mem::replace(&mut state.thread, Thread::Running) else {
            return;
        };
        let shared = Arc::clone(&self.0);
        let run = move || shared.run(exporter);
        if let Err(error) = thread::Builder::new().name("nerite-trace".into()).spawn(run) {
            tracing::error!("requests are not traced: no thread can be started: {error}");
            state.thread = Thread::Ending;
            self.0.dropped.fetch_add(state.waiting.len() as u64, Relaxed);
            state.waiting.clear();
            self.0.done.notify_one();
        }
    }

    /// Lets the exporter take what waits, for so long at most, and takes nothing more.
    pub(super) async fn close(&self, limit: Duration) {
        let before = std::mem::replace(&mut self.0.state.lock().thread, Thread::Ending);
        if matches!(before, Thread::NotStarted(_)) {
            return;
        }
        self.0.closing.send_replace(true);
        self.0.wake.notify_one();
        if tokio::time::timeout(limit, self.0.done.notified()).await.is_err() {
            tracing::warn!("traces of the last requests are lost: nobody took them within {limit:?}");
        }
    }
}

impl Shared {
    fn run(&self, exporter: Box<MakeExporter>) {
        let mut exporter = exporter(self.closing.subscribe());
        while let Some(records) = self.next() {
            exporter.take(records, &self.dropped);
        }
        drop(exporter);
        self.done.notify_one();
    }

    /// What is to be taken next; `None` at the end.
    fn next(&self) -> Option<Vec<Finished>> {
        let Limits { batch, delay, .. } = self.limits;
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !state.is_closing() {
            self.wake.wait(&mut state);
        }
        let until = Instant::now() + delay;
        while state.waiting.len() < batch && !state.is_closing() {
            if self.wake.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        let taken = state.waiting.len().min(batch);
        let records: Vec<_> = state.waiting.drain(..taken).collect();
        state.bytes -= records.iter().map(|record| record.bytes()).sum::<usize>();
        (!records.is_empty()).then_some(records)
    }
}

impl State {
    fn is_closing(&self) -> bool {
        matches!(self.thread, Thread::Ending)
    }
}
