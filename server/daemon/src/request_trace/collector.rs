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
pub(super) trait Sink {
    /// Takes some, on a thread of its own, and may take its time. Counts what it has to give up.
    fn take(&mut self, records: Vec<Finished>, dropped: &AtomicU64);
}

/// Makes the sink, on the thread that it will live on. It is told when there is no time any more to try again.
pub(super) type MakeSink = dyn FnOnce(watch::Receiver<bool>) -> Box<dyn Sink> + Send;

/// How much waits, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many traces may wait; more are dropped.
    pub(super) waiting: usize,
    /// How many the sink takes at a time.
    pub(super) batch: usize,
    /// How long a trace waits for others at most.
    pub(super) delay: Duration,
}

/// Takes finished traces from whoever has one and hands them to its sink. Its thread starts with the first.
pub(super) struct Collector(Arc<Shared>);

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
    NotStarted(Box<MakeSink>),
    Running,
    /// It takes what waits, and then ends.
    Closing,
}

impl Collector {
    pub(super) fn new(limits: Limits, sink: Box<MakeSink>) -> Collector {
        let state = State { waiting: VecDeque::new(), bytes: 0, thread: Thread::NotStarted(sink) };
        Collector(Arc::new(Shared {
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

    /// Takes a trace, or drops it if too many wait. The request that it is of has ended now.
    pub(super) fn take(&self, mut record: Finished) {
        record.ended = Instant::now();
        let shared = &*self.0;
        let mut state = shared.state.lock();
        let bytes = record.bytes();
        let full = state.waiting.len() >= shared.limits.waiting || state.bytes + bytes > MOST_BYTES;
        if full || matches!(state.thread, Thread::Closing) {
            drop(state);
            record.rule.close_one();
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
        let Thread::NotStarted(sink) = std::mem::replace(&mut state.thread, Thread::Running) else { return };
        let shared = Arc::clone(&self.0);
        let run = move || shared.run(sink);
        if let Err(error) = thread::Builder::new().name("nerite-trace".into()).spawn(run) {
            tracing::error!("requests are not traced: no thread can be started: {error}");
            state.thread = Thread::Closing;
            self.0.dropped.fetch_add(state.waiting.len() as u64, Relaxed);
            state.waiting.clear();
            self.0.done.notify_one();
        }
    }

    /// Lets the sink take what waits, for so long at most, and takes nothing more.
    pub(super) async fn close(&self, limit: Duration) {
        let before = std::mem::replace(&mut self.0.state.lock().thread, Thread::Closing);
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
    fn run(&self, sink: Box<MakeSink>) {
        let mut sink = sink(self.closing.subscribe());
        while let Some(records) = self.next() {
            sink.take(records, &self.dropped);
        }
        drop(sink);
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
        matches!(self.thread, Thread::Closing)
    }
}
