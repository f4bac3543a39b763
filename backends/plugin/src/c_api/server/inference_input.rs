//! The inputs of a [`TRITONSERVER_InferenceRequest`](super::inference_request), and the outputs that it asks for.

use std::ffi::{c_char, c_void};
use std::slice;

use nerite_backend::{BackendError, Code};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{DataType, MemoryType};

use super::inference_request::{Input, State, change};
use super::{buffer_attributes, data_type};
use crate::guard;
use crate::pointer::Kept;

fn find<'a>(state: &'a mut State, name: &str) -> Result<&'a mut Input, BackendError> {
    let model = &state.model;
    let found = state.inputs.iter_mut().find(|input| input.name == name);
    found.ok_or_else(|| {
        BackendError::invalid(format!("input '{name}' does not exist in request for '{model}'"))
    })
}

/// Adds an input without elements.
///
/// # Safety
/// `name` is a text of C, and `shape` points to `dim_count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestAddInput(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
    datatype: DataType,
    shape: *const i64,
    dim_count: u64,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the caller's word.
        let (name, shape) = unsafe { (guard::text(name, "name")?, extents(shape, dim_count)?) };
        if data_type::from_abi(datatype).is_none() {
            return Err(BackendError::invalid(format!(
                "{} is no type of elements, for input '{name}'",
                datatype.0
            )));
        }
        if state.inputs.iter().any(|input| input.name == name) {
            return Err(BackendError::invalid(format!("input '{name}' already exists in request")));
        }
        state.inputs.push(Input { name, datatype, shape, pieces: Vec::new() });
        Ok(())
    })
}

/// # Safety
/// `shape` points to `count` numbers.
unsafe fn extents(shape: *const i64, count: u64) -> Result<Vec<i64>, BackendError> {
    /// More than any tensor has.
    const MAX: u64 = 1_024;
    if count == 0 {
        return Ok(Vec::new());
    }
    if shape.is_null() || !shape.is_aligned() || count > MAX {
        return Err(BackendError::invalid(format!("shape is no pointer to {count} extents, {MAX} at most")));
    }
    // SAFETY: neither null nor in between and not too many, so by the caller's word there are so many.
    Ok(unsafe { slice::from_raw_parts(shape, count as usize) }.to_vec())
}

/// Removes an input.
///
/// # Safety
/// `name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestRemoveInput(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the caller's word.
        let name = unsafe { guard::text(name, "name") }?;
        find(state, &name)?;
        state.inputs.retain(|input| input.name != name);
        Ok(())
    })
}

/// Removes all inputs.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestRemoveAllInputs(
    request: *mut abi::InferenceRequest,
) -> *mut abi::Error {
    change(request, |state| {
        state.inputs.clear();
        Ok(())
    })
}

fn append(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
    base: *const c_void,
    byte_size: usize,
    memory_type: MemoryType,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the word of the callers below.
        let name = unsafe { guard::text(name, "name") }?;
        if memory_type > MemoryType::CPU_PINNED {
            return Err(BackendError::new(
                Code::Unsupported,
                format!(
                    "the elements of input '{name}' are in the memory of a device, which this server cannot read"
                ),
            ));
        }
        if byte_size > isize::MAX as usize || (byte_size > 0 && base.is_null()) {
            return Err(BackendError::invalid(format!("base is no pointer to {byte_size} bytes")));
        }
        // An input of no bytes has a piece as well: that is how one differs whose elements were forgotten.
        find(state, &name)?.pieces.push((Kept(base.cast_mut().cast()), byte_size));
        Ok(())
    })
}

/// Adds elements to an input, behind those that are there. They are not copied.
///
/// # Safety
/// `name` is a text of C. `base` points to `byte_size` bytes that stay as they are until they are removed, or the
/// request is deleted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestAppendInputData(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
    base: *const c_void,
    byte_size: usize,
    memory_type: MemoryType,
    _memory_type_id: i64,
) -> *mut abi::Error {
    append(request, name, base, byte_size, memory_type)
}

/// Adds elements for instances of a host policy. There are no such policies, so that nobody needs them.
///
/// # Safety
/// `name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestAppendInputDataWithHostPolicy(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
    _base: *const c_void,
    _byte_size: usize,
    _memory_type: MemoryType,
    _memory_type_id: i64,
    _host_policy_name: *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    change(request, |state| find(state, &unsafe { guard::text(name, "name") }?).map(drop))
}

/// Adds elements to an input, behind those that are there. They are not copied.
///
/// # Safety
/// As for [`TRITONSERVER_InferenceRequestAppendInputData`], with the size that the attributes tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestAppendInputDataWithBufferAttributes(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
    base: *const c_void,
    buffer_attributes: *mut abi::BufferAttributes,
) -> *mut abi::Error {
    let mut attributes = Default::default();
    let problem = guard::answer(|| {
        attributes = buffer_attributes::read(buffer_attributes)?;
        Ok(())
    });
    if !problem.is_null() {
        return problem;
    }
    append(request, name, base, attributes.byte_size, attributes.memory_type)
}

/// Removes all elements of an input.
///
/// # Safety
/// `name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestRemoveAllInputData(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the caller's word.
        find(state, &unsafe { guard::text(name, "name") }?)?.pieces.clear();
        Ok(())
    })
}

/// Asks for an output. A request that asks for none gets all.
///
/// # Safety
/// `name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestAddRequestedOutput(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the caller's word.
        let name = unsafe { guard::text(name, "name") }?;
        if !state.outputs.contains(&name) {
            state.outputs.push(name);
        }
        Ok(())
    })
}

/// Asks for an output no longer.
///
/// # Safety
/// `name` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestRemoveRequestedOutput(
    request: *mut abi::InferenceRequest,
    name: *const c_char,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the caller's word.
        let name = unsafe { guard::text(name, "name") }?;
        state.outputs.retain(|output| *output != name);
        Ok(())
    })
}

/// Asks for no output in particular.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestRemoveAllRequestedOutputs(
    request: *mut abi::InferenceRequest,
) -> *mut abi::Error {
    change(request, |state| {
        state.outputs.clear();
        Ok(())
    })
}
