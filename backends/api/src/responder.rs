use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::{BackendError, Cancel, Code, Parameter, Phases, Request, Slot, Tensor};

/// An answer, or one of several.
///
/// A request of an ordinary model gets one response, which is its answer and the last. A request of a decoupled model
/// gets any number: all but the last have outputs or an error, and the last may have either or neither. An error ends a
/// request only if it comes with the last response; but a request that got any has failed in the account.
#[derive(Debug, Default)]
pub struct Response {
    /// The outputs by slot; those that the caller did not ask for are dropped by the server.
    pub outputs: SmallVec<[(Slot, Tensor); 2]>,
    /// Parameters for the caller.
    pub parameters: Vec<(String, Parameter)>,
    /// Set if something failed; the outputs are then ignored.
    pub error: Option<BackendError>,
    /// Whether it is the last of its request. The one response of an ordinary model is, whatever this says.
    pub last: bool,
}

impl Response {
    /// The one and only answer of an ordinary model.
    pub fn complete(outputs: SmallVec<[(Slot, Tensor); 2]>) -> Response {
        Response { outputs, last: true, ..Response::default() }
    }

    /// One of several of a decoupled model's, and not the last.
    pub fn part(outputs: SmallVec<[(Slot, Tensor); 2]>) -> Response {
        Response { outputs, ..Response::default() }
    }

    /// The end of a decoupled model's responses, with nothing in it.
    pub fn end() -> Response {
        Response { last: true, ..Response::default() }
    }

    /// A failure that ends the request.
    pub fn error(error: BackendError) -> Response {
        Response { error: Some(error), last: true, ..Response::default() }
    }

    /// Whether it says only that there are no more.
    pub fn only_ends(&self) -> bool {
        self.last && self.error.is_none() && self.outputs.is_empty() && self.parameters.is_empty()
    }

    /// About how many bytes of memory it keeps: its outputs and what it says of them. A slice counts for itself, not
    /// for the buffer that it is of.
    pub fn weight(&self) -> usize {
        let outputs = self.outputs.iter().map(|(_, tensor)| tensor.data.len());
        let parameters = self.parameters.iter().map(|(name, value)| {
            let text = if let Parameter::String(text) = value { text.len() } else { 0 };
            size_of::<(String, Parameter)>() + name.len() + text
        });
        let error = self.error.iter().map(|error| error.message.len());
        size_of::<Response>() + outputs.chain(parameters).chain(error).sum::<usize>()
    }
}

/// What became of a response.
#[derive(Debug)]
pub enum Sent {
    /// The server has it.
    Taken,
    /// There is no room for it before the caller has taken what was sent earlier, and here it is again. This happens to
    /// decoupled models alone, and never to the last response of a request.
    Full(Box<Response>),
    /// Nobody waits for it any more: the caller went away, or has its last response already.
    Gone,
}

impl Sent {
    /// Whether the server has it.
    pub fn is_taken(&self) -> bool {
        matches!(self, Sent::Taken)
    }

    /// Whether nobody waits for it any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Sent::Gone)
    }
}

/// The server's side of one request. Engines see it through [`Request`](crate::Request) and [`Responder`].
///
/// The server learns that nobody can answer any more when the last handle is dropped, and then answers with an error.
pub trait Exchange: Send + Sync {
    /// Takes a response, without waiting for anything.
    fn respond(&self, response: Response) -> Sent;
    /// Takes a response whether there is room for it or not, from who cannot wait and sends no more than something else
    /// bounds. The answer is never [`Sent::Full`].
    fn respond_anyway(&self, response: Response) -> Sent {
        self.respond(response)
    }
    /// Whether there is room for a response, as far as can be told now.
    fn has_room(&self) -> bool {
        true
    }
    /// Waits until there is room for a response, or nobody waits for one any more. `false` if that has not come to be
    /// by then.
    fn wait_for_room(&self, until: Instant) -> bool {
        let _ = until;
        true
    }
    /// Whether the request is still wanted.
    fn cancel(&self) -> &Cancel;
    /// Accounts for the request's execution; called at most once.
    fn report(&self, phases: &Phases, result: Result<(), &BackendError>);
    /// Keeps a state for the next request of the request's sequence. Whether the sequence has such a state.
    fn update_state(&self, output: Slot, state: Tensor) -> bool {
        let _ = (output, state);
        false
    }

    /// Takes the request to have it executed once more, or gives it back.
    fn execute_again(&self, request: Request) -> Option<Request> {
        Some(request)
    }

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

    /// How long an engine should wait for a caller that does not take its responses.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// Sends a response; it never blocks.
    pub fn send(&self, response: Response) -> Sent {
        self.0.respond(response)
    }

    /// Sends a response when there is room for it, which is at once unless the caller takes those of a decoupled model
    /// more slowly than they come. A request for whose response there is no room within `patience` fails and is
    /// cancelled; what was sent before is still delivered. The answer is never [`Sent::Full`].
    ///
    /// It may block the thread: to be called from one of the engine's own, or within `execute`, and with no lock held.
    pub fn send_within(&self, mut response: Response, patience: Duration) -> Sent {
        let until = Instant::now() + patience;
        loop {
            match self.send(response) {
                Sent::Full(returned) => response = *returned,
                sent => return sent,
            }
            if !self.0.wait_for_room(until) {
                self.give_up(patience);
                return Sent::Gone;
            }
        }
    }

    fn give_up(&self, waited: Duration) {
        let message = format!(
            "the client takes its responses too slowly: there was no room for another for {} s",
            waited.as_secs_f64()
        );
        self.send(Response::error(BackendError::new(Code::Unavailable, message)));
        self.0.cancel().cancel();
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
