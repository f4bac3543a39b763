//! A run's results as tensors, in the memory that ONNX Runtime made for them.
#![allow(unsafe_code)]

use std::ptr::null;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use nerite_backend::{BackendError, Buffer, DType, Shape, Tensor};

use crate::run::Inputs;
use crate::session::Session;
use crate::status::ort_call;
use crate::types;
use crate::value::Value;

/// The bytes of a string's length on the wire.
const LENGTH: usize = size_of::<u32>();

/// The value as a tensor. Numbers stay where they are, unless that is the memory of an input, which the tensor may
/// outlive; strings are copied. The value must be in the host's memory.
pub(crate) fn into_tensor(
    session: &Arc<Session>,
    value: Value,
    inputs: &Inputs<'_>,
) -> Result<Tensor, BackendError> {
    let (dtype, shape, len) = measure(&value)?;
    if dtype == DType::Bytes {
        return Ok(Tensor::new(dtype, shape, Buffer::from(strings(&value, len)?)));
    }
    if len == 0 {
        return Ok(Tensor::new(dtype, shape, Buffer::from(Bytes::new())));
    }
    let memory = OutputMemory::new(Arc::clone(session), value, len)?;
    let bytes = match inputs.iter().any(|(_, input)| overlap(input.memory(), memory.as_ref())) {
        true => Bytes::copy_from_slice(memory.as_ref()),
        false => Bytes::from_owner(memory),
    };
    Ok(Tensor::new(dtype, shape, Buffer::from(bytes)))
}

/// The value's type and shape, and how many bytes it has; of strings, how many there are.
pub(crate) fn measure(value: &Value) -> Result<(DType, Shape, usize), BackendError> {
    let (dtype, shape) = describe(value)?;
    let elements = shape.elements().ok_or_else(|| unreadable("its shape is none that a tensor can have"))?;
    let len = elements.checked_mul(dtype.size().unwrap_or(1)).ok_or_else(|| unreadable("it is too large"))?;
    Ok((dtype, shape, len))
}

fn describe(value: &Value) -> Result<(DType, Shape), BackendError> {
    let (mut element_type, mut extents, mut rank) = (0, null(), 0);
    // SAFETY: the value lives; results go to locals, the element type through a number, because a newer library may
    // have more than the enumeration, which is `repr(i32)`.
    unsafe {
        ort_call!(GetTensorElementTypeAndShapeDataReference(
            value.as_ptr(),
            (&raw mut element_type).cast(),
            &mut extents,
            &mut rank
        ))?;
    }
    let shape = match rank {
        0 => Shape::default(),
        // SAFETY: the call says that there are `rank` extents there, which live as long as the value.
        _ => Shape::new(unsafe { slice::from_raw_parts(extents, rank) }),
    };
    let dtype = types::from_onnx(element_type).ok_or_else(|| {
        unreadable(&format!("the protocol has no element type {}", types::uncarried_name(element_type)))
    })?;
    Ok((dtype, shape))
}

/// The elements of a string tensor in their wire layout.
///
/// ONNX Runtime writes them one behind the other, to where the layout ends; then each moves forward to its place, behind
/// its length. So there is one copy of the content at a time. (Asking for one element after the other would do without the
/// offsets, and takes longer for short ones.)
fn strings(value: &Value, elements: usize) -> Result<Bytes, BackendError> {
    if elements == 0 {
        return Ok(Bytes::new());
    }
    let mut len = 0;
    // SAFETY: the value lives and the result goes to a local.
    unsafe { ort_call!(GetStringTensorDataLength(value.as_ptr(), &mut len)) }?;
    let content = LENGTH * elements;
    let (mut wire, mut offsets) = (vec![0; content + len], vec![0; elements]);
    // SAFETY: the value lives, and there is room for as many bytes and offsets as is said.
    unsafe {
        ort_call!(GetStringTensorContent(
            value.as_ptr(),
            wire[content..].as_mut_ptr().cast(),
            len,
            offsets.as_mut_ptr(),
            elements
        ))?;
    }
    let ends = offsets[1..].iter().copied().chain([len]);
    let mut place = 0;
    for (&start, end) in offsets.iter().zip(ends) {
        let size = end.checked_sub(start).filter(|_| end <= len);
        let size = size.ok_or_else(|| unreadable("its strings overlap"))?;
        let length = u32::try_from(size).map_err(|_| unreadable("it has a string of 4 GiB or more"))?;
        // What is written ends before the first byte that is still to be moved, as `content` is behind all lengths.
        wire[place..place + LENGTH].copy_from_slice(&length.to_le_bytes());
        place += LENGTH;
        wire.copy_within(content + start..content + end, place);
        place += size;
    }
    Ok(wire.into())
}

/// An output's elements where ONNX Runtime put them. (The fields are dropped in this order.)
struct OutputMemory {
    _value: Value,
    /// An output may be one of the session's own initializers, and its arena belongs to the session.
    _session: Arc<Session>,
    data: *const u8,
    len: usize,
}

// SAFETY: value and session are `Send`, and the memory belongs to no thread.
unsafe impl Send for OutputMemory {}
// SAFETY: after its run nobody writes to an output, so that it may be read from several threads.
unsafe impl Sync for OutputMemory {}

impl OutputMemory {
    /// `len` must be what the value's type and shape say, and more than 0.
    fn new(session: Arc<Session>, value: Value, len: usize) -> Result<OutputMemory, BackendError> {
        let mut data = null();
        // SAFETY: the value lives and the result goes to a local.
        unsafe { ort_call!(GetTensorData(value.as_ptr(), &mut data)) }?;
        if data.is_null() {
            return Err(unreadable("it has no memory"));
        }
        Ok(OutputMemory { _value: value, _session: session, data: data.cast(), len })
    }
}

impl AsRef<[u8]> for OutputMemory {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the value's memory is in host memory, as whoever calls `into_tensor` has made sure, initialized by
        // the run, `len` bytes long by type and shape, and lives unwritten as long as the value does.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (a.as_ptr_range(), b.as_ptr_range());
    a.start < b.end && b.start < a.end
}

#[cold]
fn unreadable(why: &str) -> BackendError {
    BackendError::internal(format!("an output of the model cannot be read: {why}"))
}
