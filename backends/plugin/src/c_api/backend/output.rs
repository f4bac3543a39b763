//! `TRITONBACKEND_Output`: a part of a response.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;

use bytes::Bytes;
use nerite_backend::{AlignedBytes, BackendError, Code, DType, Shape, Slot, Tensor, strings};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::MemoryType;

use super::response::Response;
use crate::c_api::server::buffer_attributes::{Attributes, BufferAttributes};
use crate::guard;
use crate::handle::{self, Kind, Owned};

/// An output of a response.
pub(crate) struct Output {
    /// Which of the model's outputs it is.
    pub(crate) slot: Slot,
    /// The type of its elements.
    pub(crate) dtype: DType,
    /// Its extents, none of them negative.
    pub(crate) shape: Shape,
    memory: Option<Memory>,
    attributes: OnceLock<Owned<BufferAttributes>>,
}

impl Output {
    /// An output that has no memory yet.
    pub(crate) fn new(slot: Slot, dtype: DType, shape: Shape) -> Output {
        Output { slot, dtype, shape, memory: None, attributes: OnceLock::new() }
    }

    /// The tensor that the plugin has filled in, or what is wrong with it.
    pub(crate) fn into_tensor(self) -> Result<Tensor, Misfit> {
        let Output { dtype, shape, memory, .. } = self;
        let bytes = memory.as_ref().map(Memory::bytes).unwrap_or_default();
        let elements = shape.elements().unwrap_or_default();
        let fits = match dtype.size() {
            Some(size) => elements.checked_mul(size) == Some(bytes.len()),
            None => has_strings(bytes, elements),
        };
        if !fits {
            return Err(Misfit { dtype, shape, size: bytes.len() });
        }
        let bytes = memory.map_or_else(Bytes::new, Bytes::from_owner);
        Ok(Tensor::new(dtype, shape, bytes))
    }

    /// Memory of that size, in place of any of another.
    pub(super) fn reallocate(&mut self, size: u64) -> Result<NonNull<u8>, BackendError> {
        if self.memory.as_ref().is_none_or(|memory| memory.size as u64 != size) {
            (self.memory, self.attributes) = (None, OnceLock::new());
            self.allocate(size)?;
        }
        self.memory
            .as_ref()
            .map(|memory| memory.base)
            .ok_or_else(|| BackendError::internal("there is no memory"))
    }

    /// What its memory is, or an error that says so if it has none.
    pub(super) fn attributes(&self, none: &str) -> Result<*mut abi::BufferAttributes, BackendError> {
        let memory = self.memory.as_ref().ok_or_else(|| BackendError::new(Code::Unavailable, none))?;
        Owned::kept_in(&self.attributes, || BufferAttributes::new(Attributes::host(memory.size)))
    }

    /// The same without its memory, which is taken from it.
    pub(super) fn take(&mut self) -> Output {
        let rest = Output::new(self.slot, self.dtype, self.shape.clone());
        std::mem::replace(self, rest)
    }

    fn allocate(&mut self, size: u64) -> Result<NonNull<u8>, BackendError> {
        if self.memory.is_some() {
            return Err(BackendError::new(Code::AlreadyExists, "the output has a buffer already"));
        }
        Ok(self.memory.insert(Memory::new(size)?).base)
    }
}

/// Whether that are so many strings in their layout, and nothing else.
fn has_strings(bytes: &[u8], count: usize) -> bool {
    let mut found = 0;
    let whole = strings::elements(bytes).all(|element| {
        found += 1;
        element.is_ok()
    });
    whole && found == count
}

/// An output whose bytes are not what its type and shape say.
#[derive(Debug)]
pub(crate) struct Misfit {
    dtype: DType,
    shape: Shape,
    size: usize,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misfit { dtype, shape, size } = self;
        let count = shape.elements().unwrap_or_default();
        match dtype.size() {
            Some(element) => write!(
                f,
                "has a buffer of {size} bytes, and {dtype} in shape {shape} has {}",
                count.saturating_mul(element)
            ),
            None => write!(
                f,
                "has a buffer of {size} bytes that are not the {count} strings of shape {shape}, each behind its length"
            ),
        }
    }
}

/// Memory that a plugin fills. It is zero at first: what a plugin leaves out must not be what another wrote there.
struct Memory {
    base: NonNull<u8>,
    layout: Layout,
    size: usize,
}

// SAFETY: the memory is this object's alone, and is reached through it alone, but for the plugin, which the C API has
// write to it only until the response is sent.
unsafe impl Send for Memory {}
// SAFETY: as above; what is shared is only read.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(size: u64) -> Result<Memory, BackendError> {
        let none = || {
            BackendError::new(Code::Unavailable, format!("there is no memory for an output of {size} bytes"))
        };
        let size = usize::try_from(size).map_err(|_| none())?;
        let layout = Layout::from_size_align(size.max(1), AlignedBytes::ALIGNMENT).map_err(|_| none())?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(none)?;
        Ok(Memory { base, layout, size })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes were allocated there, all of them zero at first.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.size) }
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

/// Gives the output a buffer of so many bytes, which the plugin fills. It lies in ordinary memory, whatever was
/// preferred, at a multiple of 64 bytes.
///
/// # Safety
/// Each pointer may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_OutputBuffer(
    output: *mut abi::Output,
    buffer: *mut *mut c_void,
    buffer_byte_size: u64,
    memory_type: *mut MemoryType,
    memory_type_id: *mut i64,
) -> *mut abi::Error {
    guard::answer(|| {
        let (response, index) = handle::find_part::<Response, _>(output, Kind::Output)?;
        guard::check(buffer, "buffer")?;
        let base = response.with_output(index, |output| output.allocate(buffer_byte_size))?;
        // SAFETY: by the caller's word, each.
        unsafe {
            guard::store(buffer, "buffer", base.as_ptr().cast())?;
            guard::store(memory_type, "memory_type", MemoryType::CPU)?;
            guard::store(memory_type_id, "memory_type_id", 0)
        }
    })
}

/// What the output's buffer is; it stays the response's.
///
/// # Safety
/// `buffer_attributes` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_OutputBufferAttributes(
    output: *mut abi::Output,
    buffer_attributes: *mut *mut abi::BufferAttributes,
) -> *mut abi::Error {
    guard::answer(|| {
        let (response, index) = handle::find_part::<Response, _>(output, Kind::Output)?;
        let attributes = response.with_output(index, |output| {
            output.attributes("the output has no buffer yet: call TRITONBACKEND_OutputBuffer first")
        })?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(buffer_attributes, "buffer_attributes", attributes) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dtype: DType, shape: &[i64], bytes: Option<&[u8]>) -> Result<Tensor, String> {
        let mut output = Output::new(0, dtype, Shape::new(shape));
        if let Some(bytes) = bytes {
            let base = output.allocate(bytes.len() as u64).unwrap();
            // SAFETY: so many bytes are there.
            unsafe { base.as_ptr().copy_from(bytes.as_ptr(), bytes.len()) };
        }
        output.into_tensor().map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn an_output_has_the_bytes_that_its_type_and_shape_say() {
        assert_eq!(tensor(DType::F32, &[2], Some(&[7; 8])).unwrap().data.len(), 8);
        assert!(tensor(DType::F32, &[0, 3], None).is_ok() && tensor(DType::Bytes, &[0], None).is_ok());
        assert!(tensor(DType::Bytes, &[2], Some(&[1, 0, 0, 0, 65, 0, 0, 0, 0])).is_ok());

        let misfit = tensor(DType::F32, &[2], Some(&[7; 12])).unwrap_err();
        assert_eq!(misfit, "has a buffer of 12 bytes, and FP32 in shape [2] has 8");
        assert!(tensor(DType::F32, &[2], None).unwrap_err().contains("0 bytes"));
        for bytes in [&[1, 0, 0, 0, 65][..], &[1, 0, 0, 0, 65, 2, 0, 0, 0, 65], &[0; 12]] {
            let misfit = tensor(DType::Bytes, &[2], Some(bytes)).unwrap_err();
            assert!(misfit.contains("not the 2 strings of shape [2]"), "{misfit}");
        }
    }

    #[test]
    fn a_buffer_is_given_once_and_never_more_than_there_is() {
        let mut output = Output::new(0, DType::U8, Shape::new(&[1]));
        assert_eq!(output.allocate(u64::MAX).unwrap_err().code, Code::Unavailable);
        assert_eq!(output.allocate(1 << 60).unwrap_err().code, Code::Unavailable);
        assert!(output.allocate(1).unwrap().addr().get().is_multiple_of(64));
        assert_eq!(output.allocate(1).unwrap_err().code, Code::AlreadyExists);
    }
}
