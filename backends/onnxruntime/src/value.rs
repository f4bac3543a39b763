//! ONNX Runtime's values, and inputs as such.
#![allow(unsafe_code)]

use std::ptr::{NonNull, null_mut};

use nerite_backend::{BackendError, DType, Tensor, bools, strings};
use ort::sys::{ONNXTensorElementDataType, OrtValue};

use crate::environment::{Environment, made};
use crate::status::ort_call;
use crate::types;

/// How many strings one input may have. ONNX Runtime keeps each in 32 bytes, and its heap besides where it is long, while
/// the wire needs 4 for an empty one: without a bound, memory for a request would be eight times its size, for each of
/// the model's tensors that is as long. A batch that comes over it is run again request by request, like any that fails.
const MOST_STRINGS: usize = 4 << 20;

/// An `OrtValue` of our own, released when it is dropped.
pub(crate) struct Value(NonNull<OrtValue>);

// SAFETY: a value belongs to no thread: its memory, and its allocator's books, may be used and released from any.
unsafe impl Send for Value {}
// SAFETY: a shared reference only serves to read.
unsafe impl Sync for Value {}

impl Value {
    /// Takes a value over; `None` for null.
    ///
    /// # Safety
    /// Nobody else may release it.
    pub(crate) unsafe fn from_raw(value: *mut OrtValue) -> Option<Value> {
        NonNull::new(value).map(Value)
    }

    /// For reading; null never.
    pub(crate) fn as_ptr(&self) -> *const OrtValue {
        self.0.as_ptr()
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the value is ours alone, by `from_raw`.
        unsafe { (ort::api().ReleaseValue)(self.0.as_ptr()) }
    }
}

/// A value that may use a tensor's own memory.
pub(crate) struct Input<'a> {
    value: Value,
    /// The memory, if the value uses it.
    memory: &'a [u8],
}

impl<'a> Input<'a> {
    /// The tensor as a value: numbers where they are, strings copied. Fails if the tensor's bytes do not fit its type
    /// and shape, are no values of the type, or are not in one aligned piece of host memory.
    pub(crate) fn new(environment: &Environment, tensor: &'a Tensor) -> Result<Input<'a>, BackendError> {
        let bytes =
            tensor.data.contiguous().ok_or_else(|| wrong(tensor, "is not in one piece of host memory"))?;
        let elements =
            tensor.shape.elements().ok_or_else(|| wrong(tensor, "has a shape that no tensor can have"))?;
        let Some(size) = tensor.dtype.size() else {
            let value = copy_strings(environment, tensor, elements, bytes)?;
            return Ok(Input { value, memory: &[] });
        };
        if elements.checked_mul(size) != Some(bytes.len()) {
            return Err(wrong(tensor, "has a size that does not fit its shape"));
        }
        if !bytes.is_empty() && !bytes.as_ptr().addr().is_multiple_of(size) {
            return Err(wrong(tensor, "is not aligned to its elements"));
        }
        if tensor.dtype == DType::Bool
            && let Some((place, byte)) = bools::first_stray(bytes)
        {
            return Err(wrong(tensor, format_args!("has the byte {byte} at {place}, but a BOOL is 0 or 1")));
        }
        let mut value = null_mut();
        // SAFETY: the memory is as long as type and shape say, aligned (or empty, and then not touched), and borrowed for
        // as long as the value lives. Every pattern of bits is a value of its type: ONNX Runtime reads BOOL as C++'s `bool`,
        // which is 0 or 1, as was checked, and all others are numbers.
        // ONNX Runtime asks for a mutable pointer but does not write to a run's inputs: its planner never reuses a
        // graph input's memory. The shape is copied, and the result goes to a local.
        let made_value = unsafe {
            ort_call!(CreateTensorWithDataAsOrtValue(
                environment.cpu.as_ptr(),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len(),
                tensor.shape.as_ptr(),
                tensor.shape.len(),
                types::to_onnx(tensor.dtype),
                &mut value
            ))
        };
        made_value?;
        Ok(Input { value: Value(made(value)?), memory: bytes })
    }

    /// For a run.
    pub(crate) fn as_ptr(&self) -> *const OrtValue {
        self.value.as_ptr()
    }

    /// The tensor's own memory that the value uses; empty if it has a copy.
    pub(crate) fn memory(&self) -> &'a [u8] {
        self.memory
    }
}

fn copy_strings(
    environment: &Environment,
    tensor: &Tensor,
    elements: usize,
    bytes: &[u8],
) -> Result<Value, BackendError> {
    if elements > MOST_STRINGS {
        return Err(wrong(
            tensor,
            format_args!(
                "has {elements} strings, and this engine takes at most {MOST_STRINGS} in one tensor"
            ),
        ));
    }
    // Counted before anything is allocated: the shape is a caller's.
    let mut found = 0;
    for element in strings::elements(bytes) {
        element.map_err(|error| wrong(tensor, error))?;
        found += 1;
    }
    if found != elements {
        return Err(wrong(tensor, format_args!("has {found} strings where its shape says {elements}")));
    }
    let mut value = null_mut();
    let dtype = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING;
    let (allocator, shape) = (environment.allocator.as_ptr(), &tensor.shape);
    // SAFETY: the allocator lives forever, the shape is copied, and the result goes to a local.
    unsafe { ort_call!(CreateTensorAsOrtValue(allocator, shape.as_ptr(), shape.len(), dtype, &mut value)) }?;
    let value = Value(made(value)?);
    for (i, element) in strings::elements(bytes).flatten().enumerate() {
        let mut target = null_mut();
        // SAFETY: the value is ours alone and has `elements` strings, of which `i` is one; the result goes to a local.
        unsafe {
            ort_call!(GetResizedStringTensorElementBuffer(value.0.as_ptr(), i, element.len(), &mut target))?;
        }
        if !element.is_empty() {
            // SAFETY: the call gave room for exactly this many bytes, apart from ours and nobody else's.
            unsafe { target.cast::<u8>().copy_from_nonoverlapping(element.as_ptr(), element.len()) };
        }
    }
    Ok(value)
}

fn wrong(tensor: &Tensor, what: impl std::fmt::Display) -> BackendError {
    let Tensor { dtype, shape, data } = tensor;
    BackendError::invalid(format!("an input of {} bytes for {dtype} of shape {shape} {what}", data.len()))
}
