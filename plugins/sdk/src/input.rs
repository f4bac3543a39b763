//! An input of a request.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use nerite_plugin_abi as abi;

use crate::byte_elements::ByteElements;
use crate::data_type::DataType;
use crate::element::Element;
use crate::error::{Error, Result, check};
use crate::sys;
use crate::text::text;

/// An input of a request: name, type, shape and contents, all of which live as long as the request.
///
/// Whether the contents are as many bytes as type and shape say is for the backend to check, where it matters;
/// [`values`](Input::values) does.
pub struct Input<'r> {
    handle: NonNull<abi::Input>,
    name: &'r str,
    data_type: DataType,
    shape: &'r [i64],
    byte_size: usize,
    buffer_count: u32,
    request: PhantomData<&'r ()>,
}

impl<'r> Input<'r> {
    /// # Safety
    ///
    /// The handle is of an input of a request that is not released during `'r`.
    #[inline]
    pub(crate) unsafe fn new(handle: *mut abi::Input) -> Result<Input<'r>> {
        let handle = NonNull::new(handle).ok_or_else(|| Error::internal("the server gave no input"))?;
        let (mut name, mut data_type) = (ptr::null(), abi::DataType::INVALID);
        let (mut shape, mut rank, mut byte_size, mut buffer_count) = (ptr::null(), 0, 0, 0);
        // SAFETY: the handle is alive, and the server writes one value of its type behind each pointer.
        unsafe {
            check(sys::TRITONBACKEND_InputProperties(
                handle.as_ptr(),
                &mut name,
                &mut data_type,
                &mut shape,
                &mut rank,
                &mut byte_size,
                &mut buffer_count,
            ))?;
        }
        Ok(Input {
            handle,
            // SAFETY: the server keeps the name as long as the request.
            name: unsafe { text(name) }?,
            data_type: DataType::from_raw(data_type)?,
            // SAFETY: as of the name; the server says how many extents there are.
            shape: unsafe { slice_of(shape, rank as usize) },
            byte_size: usize::try_from(byte_size).map_err(Error::internal)?,
            buffer_count,
            request: PhantomData,
        })
    }

    /// Its name.
    pub fn name(&self) -> &'r str {
        self.name
    }

    /// The type of its elements.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Its shape; the first extent is the request's batch size where the model batches.
    pub fn shape(&self) -> &'r [i64] {
        self.shape
    }

    /// How many bytes there are, in all buffers together.
    pub fn byte_size(&self) -> usize {
        self.byte_size
    }

    /// How many buffers the contents lie in.
    pub fn buffer_count(&self) -> u32 {
        self.buffer_count
    }

    /// One buffer of the contents, which is a piece of them. Fails where it lies in the memory of a GPU.
    #[inline]
    pub fn buffer(&self, index: u32) -> Result<&'r [u8]> {
        let (mut data, mut byte_size) = (ptr::null::<c_void>(), 0);
        let (mut memory, mut device) = (abi::MemoryType::CPU, 0);
        // SAFETY: the request is not released during 'r, and so its input is alive; the server checks the index.
        unsafe {
            check(sys::TRITONBACKEND_InputBuffer(
                self.handle.as_ptr(),
                index,
                &mut data,
                &mut byte_size,
                &mut memory,
                &mut device,
            ))?;
        }
        if memory == abi::MemoryType::GPU {
            return Err(Error::unsupported(format_args!(
                "input {:?} lies in the memory of a GPU",
                self.name
            )));
        }
        let byte_size = usize::try_from(byte_size).map_err(Error::internal)?;
        // SAFETY: the server says that so many bytes are there; they belong to the input and do not change.
        Ok(unsafe { slice_of(data.cast(), byte_size) })
    }

    /// The buffers in their order.
    pub fn buffers(&self) -> impl Iterator<Item = Result<&'r [u8]>> + '_ {
        (0..self.buffer_count).map(|index| self.buffer(index))
    }

    /// All contents in one piece, copied only where there are several buffers.
    pub fn to_contiguous(&self) -> Result<Cow<'r, [u8]>> {
        match self.buffer_count {
            0 => Ok(Cow::Borrowed(&[])),
            1 => Ok(Cow::Borrowed(self.buffer(0)?)),
            _ => {
                let mut all = Vec::with_capacity(self.byte_size);
                for buffer in self.buffers() {
                    all.extend_from_slice(buffer?);
                }
                Ok(Cow::Owned(all))
            }
        }
    }

    /// Copies all contents. Fails where there is not room for exactly as many bytes.
    #[inline]
    pub fn copy_to(&self, target: &mut [u8]) -> Result<()> {
        let room = target.len();
        let mut rest = target;
        for buffer in self.buffers() {
            let buffer = buffer?;
            let Some((here, behind)) = rest.split_at_mut_checked(buffer.len()) else {
                return Err(self.does_not_fit(room));
            };
            here.copy_from_slice(buffer);
            rest = behind;
        }
        if rest.is_empty() { Ok(()) } else { Err(self.does_not_fit(room)) }
    }

    /// All elements as Rust has them, in row-major order, copied only where there are several buffers or where they lie
    /// at an address that does not suit them. Fails where the input is of another type or not as large as its shape
    /// says.
    pub fn values<T: Element>(&self) -> Result<Cow<'r, [T]>> {
        self.expect_type(T::DATA_TYPE)?;
        if self.data_type.byte_size(self.shape) != Some(self.byte_size) {
            let (size, shape) = (self.byte_size, self.shape);
            let name = self.name;
            return Err(Error::invalid_argument(format_args!(
                "input {name:?} has {size} bytes for shape {shape:?}"
            )));
        }
        let bytes = self.to_contiguous()?;
        if let Cow::Borrowed(bytes) = bytes
            && let Ok(values) = bytemuck::try_cast_slice(bytes)
        {
            return Ok(Cow::Borrowed(values));
        }
        let mut values = vec![T::zeroed(); bytes.len() / size_of::<T>()];
        bytemuck::cast_slice_mut(&mut values).copy_from_slice(&bytes);
        Ok(Cow::Owned(values))
    }

    /// All elements of an input of [`DataType::Bytes`], in row-major order; copied only where there are several
    /// buffers. Fails where the input is of another type or has another number of elements than its shape says.
    pub fn byte_elements(&self) -> Result<ByteElements<'r>> {
        self.expect_type(DataType::Bytes)?;
        let elements = ByteElements::new(self.to_contiguous()?)?;
        let expected = self
            .shape
            .iter()
            .try_fold(1_usize, |count, &extent| count.checked_mul(usize::try_from(extent).ok()?));
        if expected != Some(elements.len()) {
            let (name, shape, count) = (self.name, self.shape, elements.len());
            return Err(Error::invalid_argument(format_args!(
                "input {name:?} has {count} elements for shape {shape:?}"
            )));
        }
        Ok(elements)
    }

    fn expect_type(&self, expected: DataType) -> Result<()> {
        if self.data_type == expected {
            return Ok(());
        }
        let (name, found) = (self.name, self.data_type);
        Err(Error::invalid_argument(format_args!("input {name:?} is {found}, not {expected}")))
    }

    #[cold]
    fn does_not_fit(&self, room: usize) -> Error {
        let (name, size) = (self.name, self.byte_size);
        Error::internal(format_args!(
            "input {name:?} has {size} bytes, which are to be copied to a place for {room}"
        ))
    }
}

/// What lies behind a pointer that may be null where there is nothing.
///
/// # Safety
///
/// The pointer is null, or there are `len` values that do not change during `'a`.
#[inline]
unsafe fn slice_of<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if data.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data, len) }
}
