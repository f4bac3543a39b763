//! `TRITONSERVER_InferenceRequest`: what a plugin asks of another model.

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

/// The place of a request in its sequence, of [`abi::RequestFlags`].
///
/// # Safety
/// `flags` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestFlags(
    request: *mut abi::InferenceRequest,
    flags: *mut u32,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(request, flags, "flags", |state| Ok(state.flags)) }
}

/// Gives a request its place in its sequence.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetFlags(
    request: *mut abi::InferenceRequest,
    flags: u32,
) -> *mut abi::Error {
    change(request, |state| {
        state.flags = flags;
        Ok(())
    })
}

/// The number of a request's sequence, if it has a number.
///
/// # Safety
/// `correlation_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestCorrelationId(
    request: *mut abi::InferenceRequest,
    correlation_id: *mut u64,
) -> *mut abi::Error {
    let part = |state: &State| match &state.correlation {
        Correlation::Number(number) => Ok(*number),
        Correlation::Text(_) => Err(BackendError::invalid("the correlation ID of the request is a string")),
    };
    // SAFETY: by the caller's word.
    unsafe { get(request, correlation_id, "correlation_id", part) }
}

/// The name of a request's sequence, if it has a name. The request has it until it is changed or deleted.
///
/// # Safety
/// `correlation_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestCorrelationIdString(
    request: *mut abi::InferenceRequest,
    correlation_id: *mut *const c_char,
) -> *mut abi::Error {
    let part = |state: &State| match &state.correlation {
        Correlation::Text(text) => Ok(text.as_ptr()),
        Correlation::Number(_) => {
            Err(BackendError::invalid("the correlation ID of the request is an unsigned integer"))
        }
    };
    // SAFETY: by the caller's word.
    unsafe { get(request, correlation_id, "correlation_id", part) }
}

/// Makes a request one of a sequence that has a number.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetCorrelationId(
    request: *mut abi::InferenceRequest,
    correlation_id: u64,
) -> *mut abi::Error {
    change(request, |state| {
        state.correlation = Correlation::Number(correlation_id);
        Ok(())
    })
}

/// Makes a request one of a sequence that has a name.
///
/// # Safety
/// `correlation_id` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetCorrelationIdString(
    request: *mut abi::InferenceRequest,
    correlation_id: *const c_char,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the caller's word.
        let text = unsafe { guard::text(correlation_id, "correlation_id") }?;
        state.correlation = Correlation::Text(c_string(text));
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

/// The priority of a request; 0 for the model's default. One that does not fit is the lowest that does.
///
/// # Safety
/// `priority` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestPriority(
    request: *mut abi::InferenceRequest,
    priority: *mut u32,
) -> *mut abi::Error {
    let part = |state: &State| Ok(u32::try_from(state.priority).unwrap_or(u32::MAX));
    // SAFETY: by the caller's word.
    unsafe { get(request, priority, "priority", part) }
}

/// The priority of a request; 0 for the model's default.
///
/// # Safety
/// `priority` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestPriorityUInt64(
    request: *mut abi::InferenceRequest,
    priority: *mut u64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(request, priority, "priority", |state| Ok(state.priority)) }
}

/// Gives a request a priority, 1 the highest.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetPriority(
    request: *mut abi::InferenceRequest,
    priority: u32,
) -> *mut abi::Error {
    // SAFETY: none is needed.
    unsafe { TRITONSERVER_InferenceRequestSetPriorityUInt64(request, priority.into()) }
}

/// Gives a request a priority, 1 the highest.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetPriorityUInt64(
    request: *mut abi::InferenceRequest,
    priority: u64,
) -> *mut abi::Error {
    change(request, |state| {
        state.priority = priority;
        Ok(())
    })
}

/// How long a request may wait, in microseconds; 0 if it does not say.
///
/// # Safety
/// `timeout_us` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestTimeoutMicroseconds(
    request: *mut abi::InferenceRequest,
    timeout_us: *mut u64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(request, timeout_us, "timeout_us", |state| Ok(state.timeout_us)) }
}

/// Says how long a request may wait, in microseconds.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetTimeoutMicroseconds(
    request: *mut abi::InferenceRequest,
    timeout_us: u64,
) -> *mut abi::Error {
    change(request, |state| {
        state.timeout_us = timeout_us;
        Ok(())
    })
}

/// Says whom to tell that a request is over, which it has to be told before it is executed.
///
/// # Safety
/// The function can be called with the pointer from any thread until it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetReleaseCallback(
    request: *mut abi::InferenceRequest,
    request_release_fn: Option<InferenceRequestReleaseFn>,
    request_release_userp: *mut c_void,
) -> *mut abi::Error {
    change(request, |state| {
        state.release =
            request_release_fn.map(|function| Release { function, userp: Kept(request_release_userp) });
        Ok(())
    })
}

/// Says whom to give the responses to a request, and who gives memory for their outputs.
///
/// # Safety
/// The functions, and the allocator's, can be called with the pointers from any thread until the last response was
/// given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetResponseCallback(
    request: *mut abi::InferenceRequest,
    response_allocator: *mut abi::ResponseAllocator,
    response_allocator_userp: *mut c_void,
    response_fn: Option<InferenceResponseCompleteFn>,
    response_userp: *mut c_void,
) -> *mut abi::Error {
    change(request, |state| {
        let allocator = Allocator::find(response_allocator, response_allocator_userp)?;
        state.respond =
            response_fn.map(|function| Respond { allocator, function, userp: Kept(response_userp) });
        Ok(())
    })
}

fn set_parameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: impl FnOnce() -> Result<Parameter, BackendError>,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the word of the callers below.
        let name = unsafe { guard::text(key, "key") }?;
        let value = value()?;
        match state.parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => state.parameters.push((name, value)),
        }
        Ok(())
    })
}

/// Gives a request a parameter that is a text.
///
/// # Safety
/// `key` and `value` are texts of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetStringParameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    set_parameter(request, key, || Ok(Parameter::String(unsafe { guard::text(value, "value") }?)))
}

/// Gives a request a parameter that is a whole number.
///
/// # Safety
/// `key` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetIntParameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: i64,
) -> *mut abi::Error {
    set_parameter(request, key, || Ok(Parameter::Int(value)))
}

/// Gives a request a parameter that is true or false.
///
/// # Safety
/// `key` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetBoolParameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: bool,
) -> *mut abi::Error {
    set_parameter(request, key, || Ok(Parameter::Bool(value)))
}

/// Gives a request a parameter that is a number.
///
/// # Safety
/// `key` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetDoubleParameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: f64,
) -> *mut abi::Error {
    set_parameter(request, key, || Ok(Parameter::Double(value)))
}
