//! `TRITONBACKEND_State`: what a sequence keeps from one request to the next, as a part of the request that makes it.

use std::ffi::{c_char, c_void};

use nerite_backend::{BackendError, Shape};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{DataType, MemoryType};

use super::request::{Request, too_many};
use crate::c_api::server::data_type;
use crate::guard;
use crate::handle::{self, Kind};

/// Begins the state that a request leaves to the next one of its sequence.
///
/// # Safety
/// `name` is a text of C, `shape` points to `dims_count` numbers, and `state` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_StateNew(
    state: *mut *mut abi::State,
    request: *mut abi::Request,
    name: *const c_char,
    datatype: DataType,
    shape: *const i64,
    dims_count: u32,
) -> *mut abi::Error {
    guard::answer(|| {
        let found = handle::find::<Request>(request)?;
        guard::check(state, "state")?;
        // SAFETY: by the caller's word.
        let (name, dims) =
            unsafe { (guard::c_str(name, "name")?, guard::extents(shape, dims_count, "shape")?) };
        let shown = name.to_string_lossy();
        let dtype = data_type::from_abi(datatype).ok_or_else(|| {
            BackendError::invalid(format!("state '{shown}' has the data type {}, which is none", datatype.0))
        })?;
        let shape = Shape::new(dims);
        if shape.elements().is_none() {
            return Err(BackendError::invalid(format!(
                "state '{shown}' has the shape {shape}, which no tensor has"
            )));
        }
        let index = found.begin_state(name, dtype, shape)?;
        let part = handle::part::<Request, _>(request, Kind::State, index).ok_or_else(too_many)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(state, "state", part) }
    })
}

/// Makes it the state that the next request of the sequence finds. Its buffer is the sequence's from then on.
///
/// # Safety
/// Nothing writes to its buffer any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_StateUpdate(state: *mut abi::State) -> *mut abi::Error {
    guard::answer(|| {
        let (request, index) = handle::find_part::<Request, _>(state, Kind::State)?;
        request.update_state(index)
    })
}

/// The buffer of a state, of so many bytes.
///
/// # Safety
/// `buffer`, `memory_type` and `memory_type_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_StateBuffer(
    state: *mut abi::State,
    buffer: *mut *mut c_void,
    buffer_byte_size: u64,
    memory_type: *mut MemoryType,
    memory_type_id: *mut i64,
) -> *mut abi::Error {
    guard::answer(|| {
        let (request, index) = handle::find_part::<Request, _>(state, Kind::State)?;
        guard::check(buffer, "buffer")?;
        let base = request.with_state(index, |state| state.reallocate(buffer_byte_size))?;
        // SAFETY: by the caller's word, each.
        unsafe {
            guard::store(buffer, "buffer", base.as_ptr().cast())?;
            guard::store(memory_type, "memory_type", MemoryType::CPU)?;
            guard::store(memory_type_id, "memory_type_id", 0)
        }
    })
}

/// What that buffer is; it stays the request's.
///
/// # Safety
/// `buffer_attributes` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_StateBufferAttributes(
    state: *mut abi::State,
    buffer_attributes: *mut *mut abi::BufferAttributes,
) -> *mut abi::Error {
    guard::answer(|| {
        let (request, index) = handle::find_part::<Request, _>(state, Kind::State)?;
        let attributes = request.with_state(index, |state| {
            state.attributes("the state has no buffer yet: call TRITONBACKEND_StateBuffer first")
        })?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(buffer_attributes, "buffer_attributes", attributes) }
    })
}
