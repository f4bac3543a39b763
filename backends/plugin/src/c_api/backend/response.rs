//! `TRITONBACKEND_Response`.

use std::ffi::{CString, c_char};
use std::mem;
use std::sync::Arc;

use nerite_backend::{BackendError, Code, Parameter, Response as Answer, Shape};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{DataType, ResponseCompleteFlags};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::factory::ResponseFactory;
use super::output::Output;
use super::request::{Request, too_many};
use crate::answering::Answering;
use crate::c_api::server::data_type;
use crate::c_api::server::error;
use crate::guard;
use crate::handle::{self, Kind, object};
use crate::held;
use crate::pointer::Kept;

/// A response on its way.
pub(crate) struct Response {
    answering: Arc<Answering>,
    content: Mutex<Content>,
    /// Its place among what its instance's plugin holds.
    key: usize,
}

/// What is in it.
pub(crate) struct Content {
    /// There is room for all that the model has, so that none of them ever moves.
    pub(crate) outputs: SmallVec<[Output; 2]>,
    parameters: Vec<(String, Parameter)>,
}

object!(Response, Response, "TRITONBACKEND_Response");

impl Response {
    fn export(answering: &Arc<Answering>) -> Result<*mut abi::Response, BackendError> {
        let room = answering.instance.model.tensors().outputs.len();
        let make = |key| {
            let content = Content { outputs: SmallVec::with_capacity(room), parameters: Vec::new() };
            handle::export(Response { answering: Arc::clone(answering), content: Mutex::new(content), key })
        };
        answering.instance.held.add(make, |handle| held::HeldObject::Response(Kept(handle)))
    }

    fn take(handle: *mut abi::Response) -> Result<Response, BackendError> {
        let response = handle::take::<Response>(handle)?;
        response.answering.instance.held.remove(response.key);
        Ok(response)
    }

    /// Gives it up where other threads of the plugin may be writing its outputs, which are kept for ever.
    pub(crate) fn give_up_kept(self) {
        mem::forget(self.content);
    }

    /// Calls `body` with one of the outputs.
    pub(crate) fn with_output<R>(
        &self,
        index: usize,
        body: impl FnOnce(&mut Output) -> Result<R, BackendError>,
    ) -> Result<R, BackendError> {
        let mut content = self.content.lock();
        let count = content.outputs.len();
        body(content.outputs.get_mut(index).ok_or_else(|| guard::out_of_bounds(index, "outputs", count))?)
    }

    /// What the caller gets.
    fn answer(content: Content, answering: &Answering, last: bool) -> Answer {
        let mut answer = Answer { parameters: content.parameters, last, ..Answer::default() };
        for output in content.outputs {
            // What the caller did not ask for it does not get, and what is wrong with that it need not know.
            if !answering.wanted.contains(output.slot) {
                continue;
            }
            let slot = output.slot;
            match output.into_tensor() {
                Ok(tensor) => answer.outputs.push((slot, tensor)),
                Err(problem) => {
                    let tensors = answering.instance.model.tensors();
                    let name =
                        tensors.outputs.get(slot).map(|name| name.to_string_lossy()).unwrap_or_default();
                    let error = BackendError::internal(format!("output '{name}' of the model {problem}"));
                    return Answer { last, error: Some(error), ..Answer::default() };
                }
            }
        }
        answer
    }

    fn set(&self, name: String, value: Parameter) {
        let parameters = &mut self.content.lock().parameters;
        match parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => parameters.push((name, value)),
        }
    }
}

/// Makes a response to a request.
///
/// # Safety
/// `response` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseNew(
    response: *mut *mut abi::Response,
    request: *mut abi::Request,
) -> *mut abi::Error {
    guard::answer(|| {
        let request = handle::find::<Request>(request)?;
        guard::check(response, "response")?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(response, "response", Response::export(request.answering())?) }
    })
}

/// Makes a response of a factory.
///
/// # Safety
/// `response` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseNewFromFactory(
    response: *mut *mut abi::Response,
    factory: *mut abi::ResponseFactory,
) -> *mut abi::Error {
    guard::answer(|| {
        let factory = handle::find::<ResponseFactory>(factory)?;
        guard::check(response, "response")?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(response, "response", Response::export(factory.answering())?) }
    })
}

/// Deletes a response that is not to be sent.
///
/// # Safety
/// Nothing of the response is used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseDelete(response: *mut abi::Response) -> *mut abi::Error {
    guard::answer(|| Response::take(response).map(drop))
}

/// Sets a parameter of the response.
///
/// # Safety
/// `name` and `value` are texts of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseSetStringParameter(
    response: *mut abi::Response,
    name: *const c_char,
    value: *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        // SAFETY: by the caller's word.
        let value = unsafe { guard::text(value, "value") }?;
        // SAFETY: by the caller's word.
        unsafe { set(response, name, Parameter::String(value)) }
    })
}

/// Sets a parameter of the response.
///
/// # Safety
/// `name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseSetIntParameter(
    response: *mut abi::Response,
    name: *const c_char,
    value: i64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { set(response, name, Parameter::Int(value)) })
}

/// Sets a parameter of the response.
///
/// # Safety
/// `name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseSetBoolParameter(
    response: *mut abi::Response,
    name: *const c_char,
    value: bool,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { set(response, name, Parameter::Bool(value)) })
}

/// Sets a parameter of the response.
///
/// # Safety
/// `name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseSetDoubleParameter(
    response: *mut abi::Response,
    name: *const c_char,
    value: f64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { set(response, name, Parameter::Double(value)) })
}

/// # Safety
/// `name` is a text of C.
unsafe fn set(
    response: *mut abi::Response,
    name: *const c_char,
    value: Parameter,
) -> Result<(), BackendError> {
    let response = handle::find::<Response>(response)?;
    // SAFETY: by the caller's word.
    response.set(unsafe { guard::text(name, "name") }?, value);
    Ok(())
}

/// Adds an output to the response, which is a part of it.
///
/// # Safety
/// `name` is a text of C, `shape` points to `dims_count` numbers, and `output` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseOutput(
    response: *mut abi::Response,
    output: *mut *mut abi::Output,
    name: *const c_char,
    datatype: DataType,
    shape: *const i64,
    dims_count: u32,
) -> *mut abi::Error {
    guard::answer(|| {
        let found = handle::find::<Response>(response)?;
        guard::check(output, "output")?;
        // SAFETY: by the caller's word.
        let (name, dims) =
            unsafe { (guard::c_str(name, "name")?, guard::extents(shape, dims_count, "shape")?) };
        let model = &found.answering.instance.model;
        let outputs = &model.tensors().outputs;
        let shown = || name.to_string_lossy();
        let slot = outputs.find(name.to_bytes()).ok_or_else(|| {
            BackendError::invalid(format!(
                "unexpected inference output '{}' for model '{}'; its configuration has: {}",
                shown(),
                model.name(),
                outputs.shown()
            ))
        })?;
        let dtype = data_type::from_abi(datatype).ok_or_else(|| {
            BackendError::invalid(format!(
                "output '{}' has the data type {}, which is none",
                shown(),
                datatype.0
            ))
        })?;
        let shape = Shape::new(dims);
        if shape.elements().is_none() {
            return Err(BackendError::invalid(format!(
                "output '{}' has the shape {shape}, which no tensor has",
                shown()
            )));
        }
        let mut content = found.content.lock();
        if content.outputs.iter().any(|output| output.slot == slot) {
            return Err(BackendError::new(
                Code::AlreadyExists,
                format!("the response has an output '{}' already", shown()),
            ));
        }
        let part = handle::part::<Response, _>(response, Kind::Output, content.outputs.len())
            .ok_or_else(too_many)?;
        content.outputs.push(Output::new(slot, dtype, shape));
        // SAFETY: by the caller's word.
        unsafe { guard::store(output, "output", part) }
    })
}

/// Sends the response, which is the server's from then on. The error stays the plugin's.
///
/// # Safety
/// Nothing of the response is used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ResponseSend(
    response: *mut abi::Response,
    send_flags: u32,
    error: *mut abi::Error,
) -> *mut abi::Error {
    guard::answer(|| {
        let Response { answering, content, .. } = Response::take(response)?;
        let last = send_flags & ResponseCompleteFlags::FINAL.0 != 0;
        let answer = match error::read(error) {
            None => Response::answer(content.into_inner(), &answering, last),
            Some(error) => Answer {
                error: Some(error),
                parameters: content.into_inner().parameters,
                last,
                ..Answer::default()
            },
        };
        answering.send(answer, last)
    })
}

/// What an output of that name is. Everything that is pointed to stays the response's.
///
/// # Safety
/// `name` is a text of C; each other pointer may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_InferenceResponseOutputByName(
    response: *mut abi::Response,
    name: *const c_char,
    datatype: *mut DataType,
    shape: *mut *const i64,
    dim_count: *mut u64,
) -> *mut abi::Error {
    guard::answer(|| {
        let response = handle::find::<Response>(response)?;
        // SAFETY: by the caller's word.
        let name = unsafe { guard::c_str(name, "name") }?;
        let slot = response.answering.instance.model.tensors().outputs.find(name.to_bytes());
        let content = response.content.lock();
        let output = slot.and_then(|slot| content.outputs.iter().find(|output| output.slot == slot));
        let output = output.ok_or_else(|| {
            BackendError::new(
                Code::NotFound,
                format!("the response has no output '{}'", name.to_string_lossy()),
            )
        })?;
        // SAFETY: by the caller's word.
        unsafe { describe(output, datatype, shape, dim_count) }
    })
}

/// What one of the outputs is. Everything that is pointed to stays the response's.
///
/// # Safety
/// Each pointer may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_InferenceResponseOutput(
    response: *mut abi::Response,
    index: u32,
    name: *mut *const c_char,
    datatype: *mut DataType,
    shape: *mut *const i64,
    dim_count: *mut u64,
) -> *mut abi::Error {
    guard::answer(|| {
        let response = handle::find::<Response>(response)?;
        let content = response.content.lock();
        let output = content.outputs.get(index as usize);
        let output =
            output.ok_or_else(|| guard::out_of_bounds(index as usize, "outputs", content.outputs.len()))?;
        let names = &response.answering.instance.model.tensors().outputs;
        let text = names.get(output.slot).map_or(c"", CString::as_c_str);
        // SAFETY: by the caller's word.
        unsafe {
            guard::store(name, "name", text.as_ptr())?;
            describe(output, datatype, shape, dim_count)
        }
    })
}

/// # Safety
/// Each pointer may be written.
unsafe fn describe(
    output: &Output,
    datatype: *mut DataType,
    shape: *mut *const i64,
    dim_count: *mut u64,
) -> Result<(), BackendError> {
    // SAFETY: by the caller's word.
    unsafe {
        guard::store(datatype, "datatype", data_type::to_abi(output.dtype))?;
        guard::store(shape, "shape", output.shape.as_ptr())?;
        guard::store(dim_count, "dim_count", output.shape.len() as u64)
    }
}
