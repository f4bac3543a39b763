//! The callbacks of a response allocator, through which whoever makes a request gives memory for its outputs.

use core::ffi::{c_char, c_void};

use crate::{BufferAttributes, Error, MemoryType, ResponseAllocator};

/// `TRITONSERVER_ResponseAllocatorAllocFn_t`: gives a buffer for an output of `byte_size` bytes; zero bytes need none.
pub type ResponseAllocatorAllocFn = unsafe extern "C" fn(
    allocator: *mut ResponseAllocator,
    tensor_name: *const c_char,
    byte_size: usize,
    memory_type: MemoryType,
    memory_type_id: i64,
    userp: *mut c_void,
    buffer: *mut *mut c_void,
    buffer_userp: *mut *mut c_void,
    actual_memory_type: *mut MemoryType,
    actual_memory_type_id: *mut i64,
) -> *mut Error;

/// `TRITONSERVER_ResponseAllocatorBufferAttributesFn_t`: describes a buffer that was given just before.
pub type ResponseAllocatorBufferAttributesFn = unsafe extern "C" fn(
    allocator: *mut ResponseAllocator,
    tensor_name: *const c_char,
    buffer_attributes: *mut BufferAttributes,
    userp: *mut c_void,
    buffer_userp: *mut c_void,
) -> *mut Error;

/// `TRITONSERVER_ResponseAllocatorQueryFn_t`: says what kind of memory would be given. Name and size may be null.
pub type ResponseAllocatorQueryFn = unsafe extern "C" fn(
    allocator: *mut ResponseAllocator,
    userp: *mut c_void,
    tensor_name: *const c_char,
    byte_size: *mut usize,
    memory_type: *mut MemoryType,
    memory_type_id: *mut i64,
) -> *mut Error;

/// `TRITONSERVER_ResponseAllocatorReleaseFn_t`: takes a buffer back.
pub type ResponseAllocatorReleaseFn = unsafe extern "C" fn(
    allocator: *mut ResponseAllocator,
    buffer: *mut c_void,
    buffer_userp: *mut c_void,
    byte_size: usize,
    memory_type: MemoryType,
    memory_type_id: i64,
) -> *mut Error;

/// `TRITONSERVER_ResponseAllocatorStartFn_t`: says that the buffers asked for next belong to a new response.
pub type ResponseAllocatorStartFn =
    unsafe extern "C" fn(allocator: *mut ResponseAllocator, userp: *mut c_void) -> *mut Error;
