//! A server's end of requests and executions, for the tests of engines.

use std::collections::BTreeMap;
use std::sync::Arc;

use nerite_backend::{
    BackendError, Cancel, Exchange, Executions, Meta, Phases, Request, Responder, Response, Sent, Slots,
    Tensor,
};
use parking_lot::Mutex;

/// What was told of executions.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) executed: Mutex<Vec<u32>>,
    pub(crate) rerun: Mutex<usize>,
}

impl Executions for Counts {
    fn executed(&self, rows: u32, _phases: &Phases) {
        self.executed.lock().push(rows);
    }

    fn rerun(&self, requests: usize) {
        *self.rerun.lock() += requests;
    }
}

/// Keeps the answer to one request.
#[derive(Default)]
pub(crate) struct Caller {
    pub(crate) cancel: Cancel,
    response: Mutex<Option<Response>>,
}

impl Exchange for Caller {
    fn respond(&self, response: Response) -> Sent {
        assert!(self.response.lock().replace(response).is_none(), "answered twice");
        Sent::Taken
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    fn report(&self, _phases: &Phases, _result: Result<(), &BackendError>) {}

    fn release(&self) {}
}

/// The outputs by slot.
pub(crate) type Answer = Result<BTreeMap<usize, Tensor>, BackendError>;

impl Caller {
    /// A request whose inputs, by slot, are given or left out.
    pub(crate) fn request(
        self: &Arc<Self>,
        inputs: Vec<impl Into<Option<Tensor>>>,
        wanted: Slots,
        rows: u32,
    ) -> Request {
        let responder = Responder::new(Arc::clone(self) as Arc<dyn Exchange>);
        let inputs = inputs.into_iter().map(Into::into).collect();
        Request::new(inputs, wanted, rows, Meta::default(), responder)
    }

    #[track_caller]
    pub(crate) fn answer(&self) -> Answer {
        let response = self.response.lock().take().expect("the request was answered");
        match response.error {
            Some(error) => Err(error),
            None => Ok(response.outputs.into_iter().collect()),
        }
    }
}
