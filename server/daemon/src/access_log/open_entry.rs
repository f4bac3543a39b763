use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::Request;
use nerite_backend::Phases;
use nerite_proto::inference::ModelInferRequest;
use tonic::{Code, Status};

use super::entry::Entry;
use super::{AccessLog, ROOM};
use crate::net::{CallDeadline, Peer};
use crate::request_trace;
use crate::shortened::shortened;

/// What is known of a request that is to have a line. One that is dropped tells of a caller that gave up.
pub(crate) struct OpenEntry {
    log: Arc<AccessLog>,
    /// Taken when it is told.
    entry: Option<Box<Entry>>,
    began: Instant,
    queued: Instant,
    deadline: Option<Instant>,
}

impl OpenEntry {
    pub(super) fn new<B>(log: Arc<AccessLog>, request: &Request<B>) -> OpenEntry {
        let extensions = request.extensions();
        let entry = Entry {
            ended: SystemTime::UNIX_EPOCH,
            peer: extensions.get().map(|Peer(address)| *address),
            model: None,
            version: None,
            id: String::new(),
            rows: None,
            status: Code::Cancelled,
            queue: None,
            compute: None,
            total: Duration::ZERO,
            request_bytes: None,
            response_bytes: None,
            trace_id: request_trace::trace_id(request.headers()),
        };
        let (began, deadline) = (Instant::now(), CallDeadline::of(extensions));
        OpenEntry { log, entry: Some(Box::new(entry)), began, queued: began, deadline }
    }

    /// What the request says, in so many bytes.
    pub(crate) fn says(&mut self, request: &ModelInferRequest, bytes: usize) {
        self.note(|entry| {
            entry.model = Some(shortened(&request.model_name));
            entry.id = shortened(&request.id);
            entry.request_bytes = Some(bytes);
        });
    }

    /// The trace that it is part of, whether its caller says so or not.
    pub(crate) fn traced(&mut self, trace_id: u128) {
        self.note(|entry| entry.trace_id = Some(trace_id));
    }

    /// The version that is to execute it.
    pub(crate) fn found(&mut self, version: u64) {
        self.note(|entry| entry.version = Some(version));
    }

    /// It is handed to the model's queue with so many rows.
    pub(crate) fn queued(&mut self, rows: u32) {
        self.queued = Instant::now();
        self.note(|entry| entry.rows = Some(rows));
    }

    /// When it was executed, if it was.
    pub(crate) fn executed(&mut self, phases: Option<Phases>) {
        let (Some(Phases { start, end, .. }), queued) = (phases, self.queued) else { return };
        self.note(|entry| {
            entry.queue = Some(start.saturating_duration_since(queued));
            entry.compute = Some(end.saturating_duration_since(start));
        });
    }

    /// How large its answer is, or one more of its answers.
    pub(crate) fn answered(&mut self, bytes: usize) {
        self.note(|entry| entry.response_bytes = Some(entry.response_bytes.unwrap_or(0) + bytes));
    }

    /// It ends with an answer, or with that failure.
    pub(crate) fn ended(mut self, failure: Option<&Status>) {
        self.tell(failure.map_or(Code::Ok, |status| status.code()));
    }

    fn note(&mut self, note: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.entry {
            note(entry);
        }
    }

    fn tell(&mut self, status: Code) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.status = status;
        if status != Code::Ok {
            entry.response_bytes = None;
        }
        entry.ended = SystemTime::now();
        entry.total = self.began.elapsed();
        self.log.backlog.push(entry, 1, ROOM);
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        let is_late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        self.tell(if is_late { Code::DeadlineExceeded } else { Code::Cancelled });
    }
}
