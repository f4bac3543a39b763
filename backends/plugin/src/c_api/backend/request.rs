//! `TRITONBACKEND_Request`.

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Arc, OnceLock};
use std::{mem, ptr};

use nerite_backend::{BackendError, Code, CorrelationId, DType, Phases, Request as Asked, Shape, Slot};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{MemoryType, ParameterType, RequestFlags, RequestReleaseFlags};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::input::Input;
use super::output::Output;
use crate::answering::Answering;
use crate::c_api::server::error::c_string;
use crate::c_api::server::parameter::Value;
use crate::guard;
use crate::handle::{self, Kind, object};
use crate::held;
use crate::instance::ModelInstance;
use crate::pointer::Kept;

/// A request that a plugin was given.
pub(crate) struct Request {
    asked: Asked,
    answering: Arc<Answering>,
    /// The inputs that were given, in the order of the configuration.
    inputs: SmallVec<[Input; 2]>,
    /// The states that it leaves to the next of its sequence, as far as the plugin has begun them.
    states: Mutex<Vec<Output>>,
    /// Its texts, once somebody asked for them.
    id: OnceLock<CString>,
    correlation_id: OnceLock<CString>,
    parameters: OnceLock<Vec<(CString, Value)>>,
    /// Its place among what its instance's plugin holds.
    key: usize,
}

object!(Request, Request, "TRITONBACKEND_Request");

impl Request {
    /// Makes a request that the instance's plugin holds from then on.
    pub(crate) fn export(
        asked: Asked,
        instance: &Arc<ModelInstance>,
    ) -> Result<*mut abi::Request, BackendError> {
        let answering = Arc::new(Answering::of(&asked, instance));
        let given = asked.inputs().iter().enumerate().filter(|(_, input)| input.is_some());
        let inputs = given.map(|(slot, _)| Input::new(slot)).collect();
        let make = |key| {
            handle::export(Request {
                asked,
                answering,
                inputs,
                states: Mutex::default(),
                id: OnceLock::new(),
                correlation_id: OnceLock::new(),
                parameters: OnceLock::new(),
                key,
            })
        };
        instance.held.add(make, |handle| held::HeldObject::Request(Kept(handle)))
    }

    /// Takes a request from the plugin.
    pub(crate) fn take(handle: *mut abi::Request) -> Result<Request, BackendError> {
        let request = handle::take::<Request>(handle)?;
        request.answering.instance.held.remove(request.key);
        Ok(request)
    }

    /// Answers it with an error unless it was answered, and releases it.
    pub(crate) fn fail(self, error: BackendError) {
        self.answering.fail(error);
    }

    /// The same where other threads of the plugin may be at its memory, which is kept for ever.
    pub(crate) fn fail_kept(self, error: BackendError) {
        self.answering.fail(error);
        let Request { asked, inputs, states, id, correlation_id, parameters, .. } = self;
        mem::forget((asked.inputs().to_vec(), inputs, states, id, correlation_id, parameters));
    }

    /// How it is answered.
    pub(crate) fn answering(&self) -> &Arc<Answering> {
        &self.answering
    }

    /// Accounts for its execution.
    pub(crate) fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        self.asked.report(phases, result);
    }

    /// What the caller gave.
    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// One of the inputs that were given.
    pub(crate) fn input(&self, index: usize) -> Result<&Input, BackendError> {
        self.inputs.get(index).ok_or_else(|| guard::out_of_bounds(index, "inputs", self.inputs.len()))
    }

    /// Begins a state, anew if it was begun before: its number among those of the request.
    pub(crate) fn begin_state(&self, name: &CStr, dtype: DType, shape: Shape) -> Result<usize, BackendError> {
        let model = &self.answering.instance.model;
        let (shown, tensors) = (name.to_string_lossy(), model.tensors());
        if tensors.states.is_empty() {
            return Err(BackendError::invalid(format!(
                "unable to add state '{shown}'. State configuration is missing for model '{}'.",
                model.name()
            )));
        }
        let slot = tensors.outputs.find(name.to_bytes()).filter(|slot| tensors.states.contains(slot));
        let slot =
            slot.ok_or_else(|| BackendError::invalid(format!("state '{shown}' is not a valid state name.")))?;
        let mut states = self.states.lock();
        let state = Output::new(slot, dtype, shape);
        match states.iter().position(|state| state.slot == slot) {
            Some(index) => {
                states[index] = state;
                Ok(index)
            }
            None => {
                states.push(state);
                Ok(states.len() - 1)
            }
        }
    }

    /// Calls `body` with one of the states that were begun.
    pub(crate) fn with_state<R>(
        &self,
        index: usize,
        body: impl FnOnce(&mut Output) -> Result<R, BackendError>,
    ) -> Result<R, BackendError> {
        let mut states = self.states.lock();
        let count = states.len();
        body(states.get_mut(index).ok_or_else(|| guard::out_of_bounds(index, "states", count))?)
    }

    /// Leaves a state to the next request of the sequence.
    pub(crate) fn update_state(&self, index: usize) -> Result<(), BackendError> {
        let state = self.with_state(index, |state| Ok(state.take()))?;
        let slot = state.slot;
        let tensors = self.answering.instance.model.tensors();
        let shown = || tensors.outputs.get(slot).map(|name| name.to_string_lossy()).unwrap_or_default();
        let tensor = state
            .into_tensor()
            .map_err(|misfit| BackendError::invalid(format!("state '{}' {misfit}", shown())))?;
        match self.asked.update_state(slot, tensor) {
            true => Ok(()),
            false => Err(BackendError::invalid(format!(
                "the request's sequence keeps no state '{}' of this type and shape; use those of the configuration",
                shown()
            ))),
        }
    }

    /// The outputs that the caller asked for. States are none of them.
    fn wanted(&self) -> impl Iterator<Item = Slot> {
        let configured = self.answering.instance.model.tensors().configured_outputs;
        self.asked.wanted().iter().filter(move |&slot| slot < configured)
    }

    /// The name of an input.
    pub(crate) fn input_name(&self, slot: Slot) -> &CStr {
        self.answering.instance.model.tensors().inputs.get(slot).map_or(c"", CString::as_c_str)
    }

    fn parameters(&self) -> &[(CString, Value)] {
        self.parameters.get_or_init(|| {
            let parameters = self.asked.meta().parameters.iter();
            parameters.map(|(name, value)| (c_string(name.as_bytes()), Value::from(value))).collect()
        })
    }
}

/// The caller's name for the request; empty if it gave none.
///
/// # Safety
/// `id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestId(
    request: *mut abi::Request,
    id: *mut *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = find(request)?;
        let text = request.id.get_or_init(|| c_string(request.asked.meta().id.as_bytes()));
        // SAFETY: by the caller's word.
        unsafe { guard::store(id, "id", text.as_ptr()) }
    })
}

/// Whether nobody waits for an answer any more.
///
/// # Safety
/// `is_cancelled` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestIsCancelled(
    request: *mut abi::Request,
    is_cancelled: *mut bool,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::store(is_cancelled, "is_cancelled", find(request)?.asked.cancel().is_cancelled())
    })
}

/// The number of the request's sequence; 0 if it is part of none.
///
/// # Safety
/// `id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestCorrelationId(
    request: *mut abi::Request,
    id: *mut u64,
) -> *mut abi::Error {
    guard::answer(|| match &find(request)?.asked.meta().sequence.id {
        // SAFETY: by the caller's word.
        CorrelationId::Number(number) => unsafe { guard::store(id, "id", *number) },
        CorrelationId::Text(_) => {
            Err(BackendError::invalid("the request's correlation ID is a text and not an unsigned integer"))
        }
    })
}

/// The name of the request's sequence; empty if it is part of none.
///
/// # Safety
/// `id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestCorrelationIdString(
    request: *mut abi::Request,
    id: *mut *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = find(request)?;
        let text = match &request.asked.meta().sequence.id {
            CorrelationId::Text(text) => request.correlation_id.get_or_init(|| c_string(text.as_bytes())),
            CorrelationId::Number(_) => {
                return Err(BackendError::invalid(
                    "the request's correlation ID is an unsigned integer and not a text",
                ));
            }
        };
        // SAFETY: by the caller's word.
        unsafe { guard::store(id, "id", text.as_ptr()) }
    })
}

/// The request's place in its sequence, in the bits of `TRITONSERVER_RequestFlag`.
///
/// # Safety
/// `flags` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestFlags(
    request: *mut abi::Request,
    flags: *mut u32,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = find(request)?;
        let sequence = &request.asked.meta().sequence;
        let start = if sequence.start { RequestFlags::SEQUENCE_START.0 } else { 0 };
        let end = if sequence.end { RequestFlags::SEQUENCE_END.0 } else { 0 };
        // SAFETY: by the caller's word.
        unsafe { guard::store(flags, "flags", start | end) }
    })
}

/// How many microseconds the caller would wait in the queue; 0 if it did not say.
///
/// # Safety
/// `timeout` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_InferenceRequestTimeoutMicroseconds(
    request: *mut abi::Request,
    timeout: *mut u64,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = find(request)?;
        let asked = request.asked.meta().timeout.map_or(0, |timeout| timeout.as_micros());
        // SAFETY: by the caller's word.
        unsafe { guard::store(timeout, "timeout", u64::try_from(asked).unwrap_or(u64::MAX)) }
    })
}

/// How many parameters the request has that the server does not interpret.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestParameterCount(
    request: *mut abi::Request,
    count: *mut u32,
) -> *mut abi::Error {
    guard::answer(|| {
        let count_of = find(request)?.asked.meta().parameters.len();
        // SAFETY: by the caller's word.
        unsafe { guard::store(count, "count", u32::try_from(count_of).unwrap_or(u32::MAX)) }
    })
}

/// One of them. Name and value stay the request's.
///
/// # Safety
/// `key`, `kind` and `value` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestParameter(
    request: *mut abi::Request,
    index: u32,
    key: *mut *const c_char,
    kind: *mut ParameterType,
    value: *mut *const c_void,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = find(request)?;
        let parameters = request.parameters();
        let (name, given) = parameters
            .get(index as usize)
            .ok_or_else(|| guard::out_of_bounds(index as usize, "parameters", parameters.len()))?;
        // SAFETY: by the caller's word.
        unsafe {
            guard::store(key, "key", name.as_ptr())?;
            guard::store(kind, "type", given.kind())?;
            guard::store(value, "vvalue", given.pointer())
        }
    })
}

/// How many inputs were given.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestInputCount(
    request: *mut abi::Request,
    count: *mut u32,
) -> *mut abi::Error {
    guard::answer(|| {
        let count_of = find(request)?.inputs.len();
        // SAFETY: by the caller's word.
        unsafe { guard::store(count, "count", u32::try_from(count_of).unwrap_or(u32::MAX)) }
    })
}

/// The name of one of them.
///
/// # Safety
/// `input_name` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestInputName(
    request: *mut abi::Request,
    index: u32,
    input_name: *mut *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = find(request)?;
        let name = request.input_name(request.input(index as usize)?.slot());
        // SAFETY: by the caller's word.
        unsafe { guard::store(input_name, "input_name", name.as_ptr()) }
    })
}

/// The input of that name.
///
/// # Safety
/// `name` is a text of C, and `input` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestInput(
    request: *mut abi::Request,
    name: *const c_char,
    input: *mut *mut abi::Input,
) -> *mut abi::Error {
    guard::answer(|| {
        let found = find(request)?;
        // SAFETY: by the caller's word.
        let name = unsafe { guard::c_str(name, "name") }?;
        let slot = found.answering.instance.model.tensors().inputs.find(name.to_bytes());
        let index = slot.and_then(|slot| found.inputs.iter().position(|input| input.slot() == slot));
        let index = index.ok_or_else(|| {
            BackendError::invalid(format!("the request has no input '{}'", name.to_string_lossy()))
        })?;
        // SAFETY: by the caller's word.
        unsafe { store_input(request, index, input) }
    })
}

/// One of the inputs that were given.
///
/// # Safety
/// `input` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestInputByIndex(
    request: *mut abi::Request,
    index: u32,
    input: *mut *mut abi::Input,
) -> *mut abi::Error {
    guard::answer(|| {
        find(request)?.input(index as usize)?;
        // SAFETY: by the caller's word.
        unsafe { store_input(request, index as usize, input) }
    })
}

/// # Safety
/// `input` may be written.
unsafe fn store_input(
    request: *mut abi::Request,
    index: usize,
    input: *mut *mut abi::Input,
) -> Result<(), BackendError> {
    let part = handle::part::<Request, _>(request, Kind::Input, index).ok_or_else(too_many)?;
    // SAFETY: by the caller's word.
    unsafe { guard::store(input, "input", part) }
}

/// An error for what has more parts than handles can tell apart.
pub(crate) fn too_many() -> BackendError {
    BackendError::new(
        Code::Unsupported,
        format!("a tensor beyond the first {} is not supported", handle::MAX_PARTS),
    )
}

/// How many outputs the caller asked for.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestOutputCount(
    request: *mut abi::Request,
    count: *mut u32,
) -> *mut abi::Error {
    guard::answer(|| {
        let count_of = find(request)?.wanted().count();
        // SAFETY: by the caller's word.
        unsafe { guard::store(count, "count", u32::try_from(count_of).unwrap_or(u32::MAX)) }
    })
}

/// The name of one of them.
///
/// # Safety
/// `output_name` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestOutputName(
    request: *mut abi::Request,
    index: u32,
    output_name: *mut *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = find(request)?;
        let name = request.wanted().nth(index as usize);
        let name = name.and_then(|slot| request.answering.instance.model.tensors().outputs.get(slot));
        let out_of_bounds = || guard::out_of_bounds(index as usize, "outputs", request.wanted().count());
        let name = name.ok_or_else(out_of_bounds)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(output_name, "output_name", name.as_ptr()) }
    })
}

/// Where an output's buffer will lie: in ordinary memory.
///
/// # Safety
/// `memory_type` and `memory_type_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestOutputBufferProperties(
    request: *mut abi::Request,
    _name: *const c_char,
    _byte_size: *mut usize,
    memory_type: *mut MemoryType,
    memory_type_id: *mut i64,
) -> *mut abi::Error {
    guard::answer(|| {
        find(request)?;
        // SAFETY: by the caller's word.
        unsafe {
            guard::store(memory_type, "memory_type", MemoryType::CPU)?;
            guard::store(memory_type_id, "memory_type_id", 0)
        }
    })
}

/// Releases the request. Who answers it later does so through a response or a factory that was made of it.
///
/// # Safety
/// Nothing of the request is used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestRelease(
    request: *mut abi::Request,
    release_flags: u32,
) -> *mut abi::Error {
    guard::answer(|| {
        if release_flags & RequestReleaseFlags::RESCHEDULE.0 != 0 {
            return execute_again(request);
        }
        if release_flags & RequestReleaseFlags::ALL.0 == 0 {
            find(request)?;
            return Err(BackendError::invalid(format!("{release_flags} are no flags of a release")));
        }
        Request::take(request).map(drop)
    })
}

fn execute_again(request: *mut abi::Request) -> Result<(), BackendError> {
    if !find(request)?.answering.instance.model.tensors().is_iterative {
        return Err(BackendError::new(
            Code::Unsupported,
            "TRITONSERVER_REQUEST_RELEASE_RESCHEDULE is for models with iterative sequences; set \
             sequence_batching.iterative_sequence",
        ));
    }
    // What its sequence does not take back is answered when it is dropped.
    drop(Request::take(request)?.asked.execute_again());
    Ok(())
}

/// The trace of the request: null, since traces are the server's own.
///
/// # Safety
/// `trace` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_RequestTrace(
    request: *mut abi::Request,
    trace: *mut *mut abi::InferenceTrace,
) -> *mut abi::Error {
    guard::answer(|| {
        find(request)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(trace, "trace", ptr::null_mut()) }
    })
}

fn find(request: *mut abi::Request) -> Result<handle::Found<Request>, BackendError> {
    handle::find(request)
}
