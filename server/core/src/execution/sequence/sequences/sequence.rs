use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nerite_backend::CorrelationId;

/// A sequence whose requests wait or are executed, or that may go on.
pub(super) struct Sequence<T, M> {
    pub(super) id: CorrelationId,
    /// Whether further requests may come that do not begin it anew.
    pub(super) open: bool,
    pub(super) queue: VecDeque<Waiting<T>>,
    pub(super) place: Place,
    pub(super) turn: Turn<M>,
    /// Its place among the ready ones, and since when it is ready.
    pub(super) ready: Option<(u64, Instant)>,
    pub(super) due: Option<Instant>,
}

/// Where a sequence is.
pub(super) enum Place {
    Row {
        seat: usize,
        row: usize,
    },
    Backlog(u64),
    /// It has come to its end, but an engine still has a request of it.
    Nowhere,
}

/// Whether a sequence's next request may be executed.
pub(super) enum Turn<M> {
    /// No engine has a request of it. What it keeps; nothing before its first.
    Free(Option<M>),
    /// An engine has this request.
    Taken { serial: u64 },
}

/// A request that waits.
pub(super) struct Waiting<T> {
    pub(super) serial: u64,
    pub(super) arrived: Instant,
    pub(super) start: bool,
    /// How long it would wait for a row, and until when, since its sequence has none.
    pub(super) timeout: Option<Duration>,
    pub(super) until: Option<Instant>,
    /// Whether an engine has had it before.
    pub(super) again: bool,
    pub(super) item: T,
}
