//! `TRITONBACKEND_State`: what a sequence keeps from one request to the next. There are no sequences yet.

use std::ffi::{c_char, c_void};

use nerite_backend::{BackendError, Code};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{DataType, MemoryType};

use crate::guard;

/// Would make a state; there are none.
///
/// # Safety
/// None is needed: nothing is read or stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_StateNew(
    _state: *mut *mut abi::State,
    _request: *mut abi::Request,
    _name: *const c_char,
    _datatype: DataType,
    _shape: *const i64,
    _dims_count: u32,
) -> *mut abi::Error {
    none("TRITONBACKEND_StateNew")
}

/// Would replace the sequence's state; there is none.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_StateUpdate(_state: *mut abi::State) -> *mut abi::Error {
    none("TRITONBACKEND_StateUpdate")
}

/// Would give a state its buffer; there are none.
///
/// # Safety
/// None is needed: nothing is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_StateBuffer(
    _state: *mut abi::State,
    _buffer: *mut *mut c_void,
    _buffer_byte_size: u64,
    _memory_type: *mut MemoryType,
    _memory_type_id: *mut i64,
) -> *mut abi::Error {
    none("TRITONBACKEND_StateBuffer")
}

/// Would say what that buffer is; there are none.
///
/// # Safety
/// None is needed: nothing is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_StateBufferAttributes(
    _state: *mut abi::State,
    _buffer_attributes: *mut *mut abi::BufferAttributes,
) -> *mut abi::Error {
    none("TRITONBACKEND_StateBufferAttributes")
}

fn none(function: &str) -> *mut abi::Error {
    guard::answer(|| {
        Err(BackendError::new(
            Code::Unsupported,
            format!("{function} is not supported: the server has no sequences with states yet"),
        ))
    })
}
