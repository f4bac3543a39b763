//! `TRITONBACKEND_Input`: a part of a request.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use nerite_backend::{AlignedBytes, BackendError, Slot, Tensor};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{DataType, MemoryType};
use smallvec::SmallVec;

use super::request::Request;
use crate::c_api::server::buffer_attributes::{Attributes, BufferAttributes};
use crate::c_api::server::data_type;
use crate::guard;
use crate::handle::{self, Kind, Owned};

/// An input that was given.
pub(crate) struct Input {
    slot: Slot,
    /// What was made for its buffers, once somebody asked for them.
    buffers: OnceLock<SmallVec<[Buffer; 1]>>,
}

#[derive(Default)]
struct Buffer {
    /// A copy at an address where its elements may lie, if they do not as they are.
    aligned: OnceLock<AlignedBytes>,
    attributes: OnceLock<Owned<BufferAttributes>>,
}

impl Input {
    /// The input of that slot.
    pub(crate) fn new(slot: Slot) -> Input {
        Input { slot, buffers: OnceLock::new() }
    }

    /// Which of the model's inputs it is.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    fn buffer(&self, tensor: &Tensor, index: usize) -> Option<&Buffer> {
        // Without a byte there may be no buffer, and who asks for the first all the same gets an empty one.
        let count = tensor.data.buffers().len().max(1);
        self.buffers.get_or_init(|| (0..count).map(|_| Buffer::default()).collect()).get(index)
    }

    /// A buffer's bytes. Elements lie where their type may lie: a tensor in a message can begin anywhere, and a plugin
    /// may read it as an array.
    fn bytes<'a>(&'a self, tensor: &'a Tensor, index: usize) -> Result<&'a [u8], BackendError> {
        let buffer = self.buffer(tensor, index);
        let buffer =
            buffer.ok_or_else(|| guard::out_of_bounds(index, "buffers", tensor.data.buffers().len()))?;
        let Some(data) = tensor.data.buffers().get(index) else { return Ok(&[]) };
        let data =
            data.host().ok_or_else(|| BackendError::internal("the input lies in no memory of the host"))?;
        if data.as_ptr().addr().is_multiple_of(tensor.dtype.size().unwrap_or(1)) {
            return Ok(data);
        }
        let aligned = buffer.aligned.get_or_init(|| {
            let mut copy = AlignedBytes::with_capacity(data.len());
            copy.extend_from_slice(data);
            copy
        });
        Ok(aligned.as_slice())
    }
}

/// Calls `body` with the request, the input and its tensor.
fn with<R>(
    input: *mut abi::Input,
    body: impl FnOnce(&Request, &Input, &Tensor) -> Result<R, BackendError>,
) -> Result<R, BackendError> {
    let (request, index) = handle::find_part::<Request, _>(input, Kind::Input)?;
    let input = request.input(index)?;
    let tensor = request.asked().inputs().get(input.slot).and_then(Option::as_ref);
    body(&request, input, tensor.ok_or_else(|| BackendError::internal("the input was not given"))?)
}

/// What the input is. Everything that is pointed to stays the request's; null asks for nothing.
///
/// # Safety
/// Each pointer is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_InputProperties(
    input: *mut abi::Input,
    name: *mut *const c_char,
    datatype: *mut DataType,
    shape: *mut *const i64,
    dims_count: *mut u32,
    byte_size: *mut u64,
    buffer_count: *mut u32,
) -> *mut abi::Error {
    guard::answer(|| {
        with(input, |request, input, tensor| {
            let buffers = u32::try_from(tensor.data.buffers().len()).unwrap_or(u32::MAX);
            let dims = u32::try_from(tensor.shape.len()).unwrap_or(u32::MAX);
            // SAFETY: by the caller's word, each.
            unsafe {
                guard::store_if_asked(name, request.input_name(input.slot).as_ptr());
                guard::store_if_asked(datatype, data_type::to_abi(tensor.dtype));
                guard::store_if_asked(shape, tensor.shape.as_ptr());
                guard::store_if_asked(dims_count, dims);
                guard::store_if_asked(byte_size, tensor.data.len() as u64);
                guard::store_if_asked(buffer_count, buffers);
            }
            Ok(())
        })
    })
}

/// The same for a host policy, which makes no difference: no input has buffers of its own for one.
///
/// # Safety
/// As for [`TRITONBACKEND_InputProperties`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_InputPropertiesForHostPolicy(
    input: *mut abi::Input,
    _host_policy_name: *const c_char,
    name: *mut *const c_char,
    datatype: *mut DataType,
    shape: *mut *const i64,
    dims_count: *mut u32,
    byte_size: *mut u64,
    buffer_count: *mut u32,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe {
        TRITONBACKEND_InputProperties(input, name, datatype, shape, dims_count, byte_size, buffer_count)
    }
}

/// One of the input's buffers, which stays the request's. It lies in ordinary memory, whatever was preferred, at a
/// multiple of its elements' size.
///
/// # Safety
/// Each pointer may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_InputBuffer(
    input: *mut abi::Input,
    index: u32,
    buffer: *mut *const c_void,
    buffer_byte_size: *mut u64,
    memory_type: *mut MemoryType,
    memory_type_id: *mut i64,
) -> *mut abi::Error {
    guard::answer(|| {
        with(input, |_, input, tensor| {
            let bytes = input.bytes(tensor, index as usize)?;
            // SAFETY: by the caller's word, each.
            unsafe {
                guard::store(buffer, "buffer", bytes.as_ptr().cast())?;
                guard::store(buffer_byte_size, "buffer_byte_size", bytes.len() as u64)?;
                guard::store(memory_type, "memory_type", MemoryType::CPU)?;
                guard::store(memory_type_id, "memory_type_id", 0)
            }
        })
    })
}

/// The same for a host policy, which makes no difference.
///
/// # Safety
/// As for [`TRITONBACKEND_InputBuffer`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_InputBufferForHostPolicy(
    input: *mut abi::Input,
    _host_policy_name: *const c_char,
    index: u32,
    buffer: *mut *const c_void,
    buffer_byte_size: *mut u64,
    memory_type: *mut MemoryType,
    memory_type_id: *mut i64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { TRITONBACKEND_InputBuffer(input, index, buffer, buffer_byte_size, memory_type, memory_type_id) }
}

/// One of the input's buffers and what it is; both stay the request's.
///
/// # Safety
/// Each pointer may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_InputBufferAttributes(
    input: *mut abi::Input,
    index: u32,
    buffer: *mut *const c_void,
    buffer_attributes: *mut *mut abi::BufferAttributes,
) -> *mut abi::Error {
    guard::answer(|| {
        with(input, |_, input, tensor| {
            let bytes = input.bytes(tensor, index as usize)?;
            let place = input.buffer(tensor, index as usize).map(|buffer| &buffer.attributes);
            let attributes = place.map_or(Ok(ptr::null_mut()), |place| {
                Owned::kept_in(place, || BufferAttributes::new(Attributes::host(bytes.len())))
            })?;
            // SAFETY: by the caller's word, each.
            unsafe {
                guard::store(buffer, "buffer", bytes.as_ptr().cast())?;
                guard::store(buffer_attributes, "buffer_attributes", attributes)
            }
        })
    })
}
