use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::{BackendError, Cancel, Parameter, Phases, Slot, Tensor};

/// An answer, or a part of one.
#[derive(Debug, Default)]
pub struct Response {
    /// The outputs by slot; those that the caller did not ask for are dropped by the server.
    pub outputs: SmallVec<[(Slot, Tensor); 2]>,
    /// Parameters for the caller.
    pub parameters: Vec<(String, Parameter)>,
    /// Set if the request failed; the outputs are then ignored.
    pub error: Option<BackendError>,
    /// Whether it is the last of its request.
    pub last: bool,
}

impl Response {
    /// The one and only answer of an ordinary model.
    pub fn complete(outputs: SmallVec<[(Slot, Tensor); 2]>) -> Response {
        Response { outputs, last: true, ..Response::default() }
    }

    /// A failure that ends the request.
    pub fn error(error: BackendError) -> Response {
        Response { error: Some(error), last: true, ..Response::default() }
    }
}

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The server has it.
    Taken,
    /// Nobody waits for it any more: the caller went away, or has its last response already.
    Gone,
}

/// The server's side of one request. Engines see it through [`Request`](crate::Request) and [`Responder`].
///
/// The server learns that nobody can answer any more when the last handle is dropped, and then answers with an error.
pub trait Exchange: Send + Sync {
    /// Takes a response.
    fn respond(&self, response: Response) -> Sent;
    /// Whether the request is still wanted.
    fn cancel(&self) -> &Cancel;
    /// Accounts for the request's execution; called at most once.
    fn report(&self, phases: &Phases, result: Result<(), &BackendError>);
    /// The engine has let go of the request's inputs; called once.
    fn release(&self);
}

/// The way to answer one request, from any thread, also after the request was released.
#[derive(Clone)]
pub struct Responder(Arc<dyn Exchange>);

impl Responder {
    /// A responder that answers through `exchange`.
    pub fn new(exchange: Arc<dyn Exchange>) -> Responder {
        Responder(exchange)
    }

    /// Sends a response; it never blocks.
    pub fn send(&self, response: Response) -> Sent {
        self.0.respond(response)
    }

    /// The server's side of the request, for the server itself.
    pub fn exchange(&self) -> &dyn Exchange {
        &*self.0
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}
