//! `TRITONSERVER_InferenceResponse`: what another model answers.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use nerite_backend::{BackendError, Buffer as Piece, InferAnswer, Tensor};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{DataType, MemoryType, ParameterType, ResponseCompleteFlags};

use super::data_type;
use super::error::{self, Error, c_string};
use super::inference_request::Respond;
use super::parameter::Value;
use super::response_allocator::{Allocator, Buffer};
use crate::guard;
use crate::handle::{self, Found, object};
use crate::pointer::Kept;

/// A response, which is the plugin's.
pub(crate) struct InferenceResponse {
    model: CString,
    version: i64,
    request_id: CString,
    /// Null if there is none.
    error: Kept<abi::Error>,
    parameters: Vec<(CString, Value)>,
    outputs: Vec<Output>,
}

object!(InferenceResponse, InferenceResponse, "TRITONSERVER_InferenceResponse");

/// An output.
struct Output {
    name: CString,
    datatype: DataType,
    shape: Vec<i64>,
    buffer: Buffer,
}

/// Its error goes with it, if the plugin has not deleted it, which it must not.
impl Drop for InferenceResponse {
    fn drop(&mut self) {
        drop(handle::delete::<Error>(self.error.0));
    }
}

/// Gives a plugin an answer to its request of that name, on this thread.
pub(super) fn deliver(respond: &Respond, request_id: &CStr, answer: InferAnswer) {
    let flags = if answer.last { ResponseCompleteFlags::FINAL.0 } else { 0 };
    let response = if answer.empty { ptr::null_mut() } else { make(respond, request_id, answer) };
    if response.is_null() && flags == 0 {
        return;
    }
    // SAFETY: it is the plugin's function of that type, which the plugin promised to be callable from any thread until
    // it was called with the final flag.
    unsafe { (respond.function)(response, flags, respond.userp.0) };
}

fn make(respond: &Respond, request_id: &CStr, answer: InferAnswer) -> *mut abi::InferenceResponse {
    let InferAnswer { model, version, outputs, parameters, .. } = answer;
    let copied = outputs.and_then(|outputs| {
        respond.allocator.start()?;
        outputs.into_iter().map(|(name, tensor)| copy(&respond.allocator, &name, &tensor)).collect()
    });
    let (outputs, error) = match copied {
        Ok(outputs) => (outputs, ptr::null_mut()),
        Err(error) => (Vec::new(), error::export(error)),
    };
    let parameters = parameters.iter().map(|(name, value)| (c_string(name.as_str()), Value::from(value)));
    let response = InferenceResponse {
        model: c_string(model),
        version: i64::try_from(version).unwrap_or(i64::MAX),
        request_id: request_id.to_owned(),
        error: Kept(error),
        parameters: parameters.collect(),
        outputs,
    };
    handle::export(response).unwrap_or_else(|problem| {
        tracing::error!("a plugin's request is answered without a response: {problem}");
        ptr::null_mut()
    })
}

fn copy(allocator: &Allocator, name: &str, tensor: &Tensor) -> Result<Output, BackendError> {
    let name = c_string(name);
    let pieces = tensor.data.buffers().iter().map(Piece::host);
    let pieces = pieces.collect::<Option<Vec<_>>>().ok_or_else(|| {
        BackendError::internal(format!("output '{}' is not in host memory", name.to_string_lossy()))
    })?;
    let mut buffer = allocator.alloc(&name, pieces.iter().map(|piece| piece.len()).sum())?;
    // SAFETY: it was given for these pieces, and nobody knows of it yet.
    unsafe { buffer.fill(pieces.into_iter()) };
    Ok(Output { name, datatype: data_type::to_abi(tensor.dtype), shape: tensor.shape.to_vec(), buffer })
}

fn find(response: *mut abi::InferenceResponse) -> Result<Found<InferenceResponse>, BackendError> {
    handle::find(response)
}

fn out_of_bounds(index: u32, what: &str, count: usize) -> BackendError {
    BackendError::invalid(format!("out of bounds index {index}, the response has {count} {what}"))
}

/// Deletes a response, if it is one, and gives the memory of its outputs back.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseDelete(
    response: *mut abi::InferenceResponse,
) -> *mut abi::Error {
    guard::answer(|| handle::delete::<InferenceResponse>(response))
}

/// Why the request failed; null if it did not. The error is the response's.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseError(
    response: *mut abi::InferenceResponse,
) -> *mut abi::Error {
    match find(response) {
        Ok(response) => response.error.0,
        Err(problem) => error::export(problem),
    }
}

/// The model that answers and its version. The response has the name until it is deleted.
///
/// # Safety
/// `model_name` and `model_version` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseModel(
    response: *mut abi::InferenceResponse,
    model_name: *mut *const c_char,
    model_version: *mut i64,
) -> *mut abi::Error {
    guard::answer(|| {
        let response = find(response)?;
        // SAFETY: by the caller's word.
        unsafe {
            guard::store(model_name, "model_name", response.model.as_ptr())?;
            guard::store(model_version, "model_version", response.version)
        }
    })
}

/// The name of the request. The response has it until it is deleted.
///
/// # Safety
/// `request_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseId(
    response: *mut abi::InferenceResponse,
    request_id: *mut *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(request_id, "request_id", find(response)?.request_id.as_ptr()) })
}

/// How many parameters there are.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseParameterCount(
    response: *mut abi::InferenceResponse,
    count: *mut u32,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(count, "count", find(response)?.parameters.len() as u32) })
}

/// A parameter. The response has its name and its value until it is deleted.
///
/// # Safety
/// `name`, `kind` and `vvalue` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseParameter(
    response: *mut abi::InferenceResponse,
    index: u32,
    name: *mut *const c_char,
    kind: *mut ParameterType,
    vvalue: *mut *const c_void,
) -> *mut abi::Error {
    guard::answer(|| {
        let response = find(response)?;
        let count = response.parameters.len();
        let parameter = response.parameters.get(index as usize);
        let (own, value) = parameter.ok_or_else(|| out_of_bounds(index, "parameters", count))?;
        // SAFETY: by the caller's word.
        unsafe {
            guard::store(name, "name", own.as_ptr())?;
            guard::store(kind, "type", value.kind())?;
            guard::store(vvalue, "vvalue", value.pointer())
        }
    })
}

/// How many outputs there are.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseOutputCount(
    response: *mut abi::InferenceResponse,
    count: *mut u32,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(count, "count", find(response)?.outputs.len() as u32) })
}

/// An output. The response has all of it until it is deleted.
///
/// # Safety
/// All pointers may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseOutput(
    response: *mut abi::InferenceResponse,
    index: u32,
    name: *mut *const c_char,
    datatype: *mut DataType,
    shape: *mut *const i64,
    dim_count: *mut u64,
    base: *mut *const c_void,
    byte_size: *mut usize,
    memory_type: *mut MemoryType,
    memory_type_id: *mut i64,
    userp: *mut *mut c_void,
) -> *mut abi::Error {
    guard::answer(|| {
        let response = find(response)?;
        let count = response.outputs.len();
        let output = response.outputs.get(index as usize);
        let output = output.ok_or_else(|| out_of_bounds(index, "outputs", count))?;
        let Output { name: own, datatype: dtype, shape: extents, buffer } = output;
        // SAFETY: by the caller's word.
        unsafe {
            guard::store(name, "name", own.as_ptr())?;
            guard::store(datatype, "datatype", *dtype)?;
            guard::store(shape, "shape", extents.as_ptr())?;
            guard::store(dim_count, "dim_count", extents.len() as u64)?;
            guard::store(base, "base", buffer.base.0.cast_const())?;
            guard::store(byte_size, "byte_size", buffer.attributes.byte_size)?;
            guard::store(memory_type, "memory_type", buffer.attributes.memory_type)?;
            guard::store(memory_type_id, "memory_type_id", buffer.attributes.memory_type_id)?;
            guard::store(userp, "userp", buffer.userp.0)
        }
    })
}

/// The label of a class; null, for none is known here.
///
/// # Safety
/// `label` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceResponseOutputClassificationLabel(
    response: *mut abi::InferenceResponse,
    index: u32,
    _class_index: usize,
    label: *mut *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        let count = find(response)?.outputs.len();
        if index as usize >= count {
            return Err(out_of_bounds(index, "outputs", count));
        }
        // SAFETY: by the caller's word.
        unsafe { guard::store(label, "label", ptr::null()) }
    })
}
