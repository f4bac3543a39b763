//! A plugin's request under way to another model.
//!
//! ```text
//! TRITONSERVER_ServerInferAsync ─▶ Host::infer ─▶ … ─▶ Call::answer ─▶ the plugin's response callback, for each answer
//!             │ lends the inputs                            │ last
//!             ▼                                             ▼
//!           Lease ──── dropped with their last slice ──▶ both over ─▶ the plugin's release callback
//! ```
//!
//! An input in one piece is lent, not copied; one in several is put together. The plugin may free what it lent when it
//! is told that its request is over, which is when nobody has a slice of it. Whoever hears of a failure may not wait
//! for that, though an engine may still be reading where its caller gave up: a failure that ends the request is told
//! only when the inputs are free.

use std::ffi::CString;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nerite_backend::{
    BackendError, Cancel, CorrelationId, Data, Host, InferAnswer, InferCall, Sequence, Shape, Tensor,
};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{RequestFlags, RequestReleaseFlags};
use parking_lot::Mutex;

use super::inference_request::{self, Correlation, Input, Release, Respond, State};
use super::{data_type, inference_response, inference_trace, server};
use crate::guard;
use crate::pointer::Kept;

/// A request under way.
struct Call {
    request: Kept<abi::InferenceRequest>,
    model: String,
    id: CString,
    release: Release,
    respond: Respond,
    host: Arc<dyn Host>,
    progress: Mutex<Progress>,
}

/// How far it is.
#[derive(Default)]
struct Progress {
    /// The host has taken it, and it ends with a final response.
    is_accepted: bool,
    /// Nobody will answer any more.
    is_forsaken: bool,
    /// The final response was given.
    is_over: bool,
    /// Nobody has any of the inputs.
    has_inputs_back: bool,
    /// The final response, which is to be given when the inputs are back.
    kept: Option<InferAnswer>,
}

impl Call {
    fn answer(self: &Arc<Call>, answer: InferAnswer) {
        if answer.last && answer.outputs.is_err() {
            let mut progress = self.progress.lock();
            if !progress.has_inputs_back {
                progress.kept = Some(answer);
                return;
            }
        }
        self.deliver(answer);
    }

    fn deliver(&self, answer: InferAnswer) {
        let last = answer.last;
        inference_response::deliver(&self.respond, &self.id, answer);
        if !last {
            return;
        }
        let mut progress = self.progress.lock();
        progress.is_over = true;
        let has_inputs_back = progress.has_inputs_back;
        drop(progress);
        if has_inputs_back {
            self.release();
        }
    }

    /// The last slice of the inputs is gone, on a thread that may be anybody's.
    fn take_inputs_back(self: &Arc<Call>) {
        let mut progress = self.progress.lock();
        progress.has_inputs_back = true;
        let (kept, is_over) = (progress.kept.take(), progress.is_over);
        drop(progress);
        let call = Arc::clone(self);
        match kept {
            Some(answer) => self.host.aside(Box::new(move || call.deliver(answer))),
            None if is_over => self.host.aside(Box::new(move || call.release())),
            None => {}
        }
    }

    /// Tells the plugin that the request is its own again. Once.
    fn release(&self) {
        inference_request::land(self.request.0);
        let Release { function, userp } = self.release;
        // SAFETY: it is the plugin's function of that type, which the plugin promised to be callable from any thread
        // until it was called.
        unsafe { function(self.request.0, RequestReleaseFlags::ALL.0, userp.0) };
    }

    /// The host has taken it.
    fn accept(self: &Arc<Call>) {
        let mut progress = self.progress.lock();
        progress.is_accepted = true;
        let is_forsaken = progress.is_forsaken;
        drop(progress);
        if is_forsaken {
            self.end_forsaken();
        }
    }

    /// Nobody will answer any more.
    fn forsake(self: &Arc<Call>) {
        let mut progress = self.progress.lock();
        progress.is_forsaken = true;
        let is_accepted = progress.is_accepted;
        drop(progress);
        if is_accepted {
            self.end_forsaken();
        }
    }

    fn end_forsaken(self: &Arc<Call>) {
        let answer = InferAnswer {
            model: self.model.clone(),
            version: 0,
            outputs: Err(BackendError::internal("the server gave up the request unanswered")),
            parameters: Vec::new(),
            empty: false,
            last: true,
        };
        let call = Arc::clone(self);
        self.host.aside(Box::new(move || call.answer(answer)));
    }
}

/// Gives a call its answers. Dropped before the last, it ends the call.
struct Answerer {
    call: Arc<Call>,
    had_last: bool,
}

impl Answerer {
    fn answer(&mut self, answer: InferAnswer) {
        self.had_last |= answer.last;
        self.call.answer(answer);
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        if !self.had_last {
            self.call.forsake();
        }
    }
}

/// The right to read the inputs of a call.
struct Lease(Arc<Call>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.take_inputs_back();
    }
}

/// Bytes of an input.
struct Lent {
    base: Kept<u8>,
    byte_size: usize,
    _lease: Arc<Lease>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the plugin promised that there are so many bytes, which do not change before it is told that the
        // request is over. It is told when the lease is gone. They are not null, for there are some (`lend`).
        unsafe { slice::from_raw_parts(self.base.0, self.byte_size) }
    }
}

fn lend(pieces: &[(Kept<u8>, usize)], lease: &Arc<Lease>) -> Bytes {
    let lent = |&(base, byte_size): &(Kept<u8>, usize)| match byte_size {
        0 => Bytes::new(),
        _ => Bytes::from_owner(Lent { base, byte_size, _lease: Arc::clone(lease) }),
    };
    match pieces {
        [piece] => lent(piece),
        pieces => pieces.iter().map(lent).collect::<Vec<Bytes>>().concat().into(),
    }
}

fn tensor(input: &Input, lease: &Arc<Lease>) -> Result<(String, Tensor), BackendError> {
    let Input { name, datatype, shape, pieces } = input;
    let dtype = data_type::from_abi(*datatype)
        .ok_or_else(|| BackendError::invalid(format!("input '{name}' has no type of elements")))?;
    // Without a piece, the data has no buffer either.
    let data = if pieces.is_empty() { Data::default() } else { lend(pieces, lease).into() };
    Ok((name.clone(), Tensor { dtype, shape: Shape::new(shape), data }))
}

fn infer_call(state: &State, lease: &Arc<Lease>, cancel: &Cancel) -> Result<InferCall, BackendError> {
    let id = match &state.correlation {
        Correlation::Number(number) => CorrelationId::Number(*number),
        Correlation::Text(text) => CorrelationId::Text(text.to_string_lossy().into_owned()),
    };
    let has = |flag: RequestFlags| state.flags & flag.0 != 0;
    let inputs = state.inputs.iter().map(|input| tensor(input, lease));
    Ok(InferCall {
        model: state.model.clone(),
        version: state.version,
        id: state.id.to_string_lossy().into_owned(),
        sequence: Sequence {
            id,
            start: has(RequestFlags::SEQUENCE_START),
            end: has(RequestFlags::SEQUENCE_END),
        },
        priority: state.priority,
        timeout: Some(state.timeout_us).filter(|&us| us > 0).map(Duration::from_micros),
        inputs: inputs.collect::<Result<_, _>>()?,
        outputs: state.outputs.clone(),
        parameters: state.parameters.clone(),
        cancel: cancel.clone(),
    })
}

/// Has a model answer a request. After an error the request is the plugin's as before.
///
/// # Safety
/// What was promised of the request's inputs and functions holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ServerInferAsync(
    server: *mut abi::Server,
    request: *mut abi::InferenceRequest,
    trace: *mut abi::InferenceTrace,
) -> *mut abi::Error {
    guard::answer(|| {
        let host = server::host_of(server)?;
        inference_trace::check(trace)?;
        let (call, infer_call) = inference_request::with(request, |state| {
            let call = Arc::new(begin(state, request, Arc::clone(&host))?);
            let (lease, cancel) = (Arc::new(Lease(Arc::clone(&call))), Cancel::default());
            let infer_call = infer_call(state, &lease, &cancel)?;
            state.in_flight = Some(cancel);
            Ok((call, infer_call))
        })?;
        let mut answerer = Answerer { call: Arc::clone(&call), had_last: false };
        host.infer(infer_call, Box::new(move |answer| answerer.answer(answer)))
            .inspect_err(|_| inference_request::land(request))?;
        call.accept();
        Ok(())
    })
}

fn begin(
    state: &State,
    request: *mut abi::InferenceRequest,
    host: Arc<dyn Host>,
) -> Result<Call, BackendError> {
    let (Some(release), Some(respond)) = (state.release, state.respond) else {
        return Err(BackendError::invalid(
            "the request has no release callback or no response callback: it needs both before it is executed",
        ));
    };
    let (model, id) = (state.model.clone(), state.id.clone());
    Ok(Call { request: Kept(request), model, id, release, respond, host, progress: Mutex::default() })
}

#[cfg(test)]
mod tests;
