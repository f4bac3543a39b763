//! `TRITONSERVER_InferenceRequest`: what a plugin asks of another model.

pub(crate) mod callbacks;
pub(crate) mod parameters;
pub(crate) mod sequence;
pub(crate) mod terms;

use std::ffi::{CString, c_char, c_void};

use nerite_backend::{BackendError, Cancel, Parameter};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{DataType, InferenceRequestReleaseFn, InferenceResponseCompleteFn};
use parking_lot::Mutex;

use super::error::c_string;
use super::response_allocator::Allocator;
use super::server;
use crate::guard;
use crate::handle::{self, object};
use crate::pointer::Kept;

/// A request, which is the plugin's but while it is executed.
pub(crate) struct InferenceRequest(Mutex<State>);

object!(InferenceRequest, InferenceRequest, "TRITONSERVER_InferenceRequest");

/// What a request says.
pub(crate) struct State {
    pub(crate) model: String,
    pub(crate) version: Option<u64>,
    pub(crate) id: CString,
    /// Of [`abi::RequestFlags`].
    pub(crate) flags: u32,
    pub(crate) correlation: Correlation,
    pub(crate) priority: u64,
    /// Zero for none.
    pub(crate) timeout_us: u64,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<String>,
    pub(crate) parameters: Vec<(String, Parameter)>,
    pub(crate) release: Option<Release>,
    pub(crate) respond: Option<Respond>,
    /// Set while it is executed, when it can only be cancelled.
    pub(crate) in_flight: Option<Cancel>,
}

/// Which sequence it is of.
pub(crate) enum Correlation {
    Number(u64),
    Text(CString),
}

/// An input.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) datatype: DataType,
    pub(crate) shape: Vec<i64>,
    /// The elements: so many bytes each, of the plugin's, which it keeps there until the request is released.
    pub(crate) pieces: Vec<(Kept<u8>, usize)>,
}

/// Whom to tell that the request is over.
#[derive(Clone, Copy)]
pub(crate) struct Release {
    pub(crate) function: InferenceRequestReleaseFn,
    pub(crate) userp: Kept<c_void>,
}

/// Whom to give the responses to, in which memory.
#[derive(Clone, Copy)]
pub(crate) struct Respond {
    pub(crate) allocator: Allocator,
    pub(crate) function: InferenceResponseCompleteFn,
    pub(crate) userp: Kept<c_void>,
}

/// Changes a request that is not executed.
pub(super) fn change(
    request: *mut abi::InferenceRequest,
    change: impl FnOnce(&mut State) -> Result<(), BackendError>,
) -> *mut abi::Error {
    guard::answer(|| with(request, change))
}

/// Does something with a request that is not executed.
pub(super) fn with<T>(
    request: *mut abi::InferenceRequest,
    act: impl FnOnce(&mut State) -> Result<T, BackendError>,
) -> Result<T, BackendError> {
    let request = handle::find::<InferenceRequest>(request)?;
    let mut state = request.0.lock();
    if state.in_flight.is_some() {
        return Err(BackendError::invalid(
            "the request is being executed: until it is released, it can only be cancelled",
        ));
    }
    act(&mut state)
}

/// The request is over; it can be changed and deleted again.
pub(super) fn land(request: *mut abi::InferenceRequest) {
    if let Ok(request) = handle::find::<InferenceRequest>(request) {
        request.0.lock().in_flight = None;
    }
}

/// # Safety
/// `place` may be written.
unsafe fn get<T>(
    request: *mut abi::InferenceRequest,
    place: *mut T,
    name: &str,
    part: impl FnOnce(&State) -> Result<T, BackendError>,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = handle::find::<InferenceRequest>(request)?;
        let value = part(&request.0.lock())?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(place, name, value) }
    })
}

/// The version that a number of the API means: -1 leaves it to the server.
pub(super) fn version(number: i64) -> Result<Option<u64>, BackendError> {
    match number {
        -1 => Ok(None),
        number => u64::try_from(number).map(Some).map_err(|_| {
            BackendError::invalid(format!(
                "{number} is no version: it is a number from 1, or -1 for the latest"
            ))
        }),
    }
}

/// Makes a request of a model. Whether there is such a model is looked at when it is executed.
///
/// # Safety
/// `request` may be written; `model_name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestNew(
    request: *mut *mut abi::InferenceRequest,
    server: *mut abi::Server,
    model_name: *const c_char,
    model_version: i64,
) -> *mut abi::Error {
    guard::answer(|| {
        server::check(server)?;
        let state = State {
            // SAFETY: by the caller's word.
            model: unsafe { guard::text(model_name, "model_name") }?,
            version: version(model_version)?,
            id: CString::default(),
            flags: 0,
            correlation: Correlation::Number(0),
            priority: 0,
            timeout_us: 0,
            inputs: Vec::new(),
            outputs: Vec::new(),
            parameters: Vec::new(),
            release: None,
            respond: None,
            in_flight: None,
        };
        // SAFETY: by the caller's word.
        unsafe { guard::hand_out(request, "inference_request", InferenceRequest(Mutex::new(state))) }
    })
}

/// Deletes a request, if it is one, which must not be executed any more.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestDelete(
    request: *mut abi::InferenceRequest,
) -> *mut abi::Error {
    guard::answer(|| {
        if !request.is_null() {
            with(request, |_| Ok(()))?;
        }
        handle::delete::<InferenceRequest>(request)
    })
}

/// The name of a request, which has it until it is changed or deleted.
///
/// # Safety
/// `id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestId(
    request: *mut abi::InferenceRequest,
    id: *mut *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(request, id, "id", |state| Ok(state.id.as_ptr())) }
}

/// Names a request.
///
/// # Safety
/// `id` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetId(
    request: *mut abi::InferenceRequest,
    id: *const c_char,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the caller's word.
        state.id = c_string(unsafe { guard::text(id, "id") }?);
        Ok(())
    })
}

/// Says that nobody waits for a request any more. One that is not executed is as before.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestCancel(
    request: *mut abi::InferenceRequest,
) -> *mut abi::Error {
    guard::answer(|| {
        let cancel = handle::find::<InferenceRequest>(request)?.0.lock().in_flight.clone();
        // Without the lock, for it calls whoever watches.
        if let Some(cancel) = cancel {
            cancel.cancel();
        }
        Ok(())
    })
}

/// Whether a request that is executed was cancelled.
///
/// # Safety
/// `is_cancelled` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestIsCancelled(
    request: *mut abi::InferenceRequest,
    is_cancelled: *mut bool,
) -> *mut abi::Error {
    let part = |state: &State| Ok(state.in_flight.as_ref().is_some_and(Cancel::is_cancelled));
    // SAFETY: by the caller's word.
    unsafe { get(request, is_cancelled, "is_cancelled", part) }
}
