use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};

use nerite_backend::{
    BackendError, Batch, Cancel, Exchange, Model, Phases, Request, Responder, Response, Sent, Slot, Tensor,
};

use super::sample::Sample;
use crate::execution::Executor;

/// Executes a sample once and waits for its answer, which may come from another thread after the execution.
pub(super) fn rehearse(
    executor: &mut Executor,
    sample: &Sample,
    model: &Arc<dyn Model>,
    cancel: &Cancel,
) -> Result<(), BackendError> {
    let (ended, end) = channel();
    let on_cancel = ended.clone();
    let _watch = cancel.on_cancel(move || {
        // Who waited may have gone.
        drop(on_cancel.send(Err(BackendError::load_cancelled())));
    });
    let rehearsal = Rehearsal {
        cancel: cancel.clone(),
        over: AtomicBool::new(false),
        failed: OnceLock::new(),
        ended,
        _model: Arc::clone(model),
    };
    let request = sample.request(Responder::new(Arc::new(rehearsal)));
    executor.rehearse(Batch::from(request));
    end.recv().expect("the watcher of the cancellation holds a sender")
}

/// The exchange of a request that nobody sent: all that counts is how it ended.
struct Rehearsal {
    cancel: Cancel,
    over: AtomicBool,
    /// The first failure among its responses: a decoupled model may go on after one.
    failed: OnceLock<BackendError>,
    ended: Sender<Result<(), BackendError>>,
    /// The engine may need it for as long as it holds the request, though the load may have ended by then.
    _model: Arc<dyn Model>,
}

impl Rehearsal {
    fn end(&self, how: Result<(), BackendError>) -> Sent {
        let how = self.failed.get().cloned().map_or(how, Err);
        if self.over.swap(true, Ordering::Relaxed) || self.ended.send(how).is_err() {
            return Sent::Gone;
        }
        Sent::Taken
    }
}

impl Exchange for Rehearsal {
    fn respond(&self, response: Response) -> Sent {
        if let Some(error) = response.error {
            self.failed.get_or_init(|| error);
        }
        match response.last {
            true => self.end(Ok(())),
            false if self.over.load(Ordering::Relaxed) || self.cancel.is_cancelled() => Sent::Gone,
            false => Sent::Taken,
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn report(&self, _: &Phases, _: Result<(), &BackendError>) {}

    /// No request of its sequence follows.
    fn update_state(&self, _: Slot, _: Tensor) -> bool {
        true
    }

    /// One iteration of many will do.
    fn execute_again(&self, _: Request) -> Option<Request> {
        self.end(Ok(()));
        None
    }

    fn release(&self) {}
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.end(Err(BackendError::internal("the model's engine gave up the request unanswered")));
    }
}
