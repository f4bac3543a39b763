//! `TRITONSERVER_ResponseAllocator`: a plugin's functions that give memory for the outputs of what it asks of other
//! models.

use std::ffi::{CStr, c_void};
use std::ptr;

use nerite_backend::{BackendError, Code};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{
    MemoryType, ResponseAllocatorAllocFn, ResponseAllocatorBufferAttributesFn, ResponseAllocatorQueryFn,
    ResponseAllocatorReleaseFn, ResponseAllocatorStartFn,
};
use parking_lot::Mutex;

use super::buffer_attributes::{self, Attributes, BufferAttributes};
use super::error;
use crate::guard;
use crate::handle::{self, object};
use crate::pointer::Kept;

/// The functions, which can be added to.
pub(crate) struct ResponseAllocator(Mutex<Functions>);

object!(ResponseAllocator, ResponseAllocator, "TRITONSERVER_ResponseAllocator");

#[derive(Clone, Copy)]
struct Functions {
    alloc: ResponseAllocatorAllocFn,
    release: ResponseAllocatorReleaseFn,
    start: Option<ResponseAllocatorStartFn>,
    attributes: Option<ResponseAllocatorBufferAttributesFn>,
}

/// An allocator as a request knows it.
#[derive(Clone, Copy)]
pub(crate) struct Allocator {
    handle: Kept<abi::ResponseAllocator>,
    functions: Functions,
    userp: Kept<c_void>,
}

/// Memory that an allocator gave.
pub(crate) struct Buffer {
    allocator: Allocator,
    pub(crate) base: Kept<c_void>,
    pub(crate) attributes: Attributes,
    pub(crate) userp: Kept<c_void>,
    /// How much was asked for.
    byte_size: usize,
}

impl Allocator {
    /// The allocator of that handle as it is now. `userp` is the plugin's, for its functions.
    pub(crate) fn find(
        handle: *mut abi::ResponseAllocator,
        userp: *mut c_void,
    ) -> Result<Allocator, BackendError> {
        let functions = *handle::find::<ResponseAllocator>(handle)?.0.lock();
        Ok(Allocator { handle: Kept(handle), functions, userp: Kept(userp) })
    }

    /// Tells that what is asked for next is for another response.
    pub(crate) fn start(&self) -> Result<(), BackendError> {
        let Some(start) = self.functions.start else { return Ok(()) };
        // SAFETY: it is the plugin's function of that type, which the plugin promised to be callable from any thread.
        error::take(unsafe { start(self.handle.0, self.userp.0) })
    }

    /// Asks for memory for an output, which has to be the processor's; none is needed for no bytes.
    pub(crate) fn alloc(&self, output: &CStr, byte_size: usize) -> Result<Buffer, BackendError> {
        let (mut base, mut userp) = (ptr::null_mut(), ptr::null_mut());
        let (mut memory_type, mut memory_type_id) = (MemoryType::CPU, 0);
        // SAFETY: as in `start`; what it stores to is here.
        error::take(unsafe {
            (self.functions.alloc)(
                self.handle.0,
                output.as_ptr(),
                byte_size,
                MemoryType::CPU,
                0,
                self.userp.0,
                &mut base,
                &mut userp,
                &mut memory_type,
                &mut memory_type_id,
            )
        })?;
        let attributes = Attributes { memory_type, memory_type_id, ..Attributes::host(byte_size) };
        // From here on it is given back, whatever happens.
        let mut buffer =
            Buffer { allocator: *self, base: Kept(base), attributes, userp: Kept(userp), byte_size };
        buffer.ask_for_attributes(output)?;
        if byte_size > 0 && base.is_null() {
            return Err(BackendError::internal(format!(
                "the response allocator gave no memory for output '{}' of {byte_size} bytes",
                output.to_string_lossy()
            )));
        }
        if byte_size > 0 && buffer.attributes.memory_type > MemoryType::CPU_PINNED {
            return Err(BackendError::new(
                Code::Unsupported,
                format!(
                    "the response allocator gave memory of a device for output '{}', to which this server cannot write",
                    output.to_string_lossy()
                ),
            ));
        }
        Ok(buffer)
    }
}

impl Buffer {
    fn ask_for_attributes(&mut self, output: &CStr) -> Result<(), BackendError> {
        let Allocator { handle, functions, userp } = self.allocator;
        let Some(ask) = functions.attributes else { return Ok(()) };
        let attributes = handle::export(BufferAttributes::new(self.attributes))?;
        // SAFETY: as in `Allocator::start`; the attributes are there until they are deleted below.
        let asked = error::take(unsafe { ask(handle.0, output.as_ptr(), attributes, userp.0, self.userp.0) });
        let said = buffer_attributes::read(attributes);
        handle::delete::<BufferAttributes>(attributes)?;
        asked?;
        // How large it is was for the server to say.
        self.attributes = Attributes { byte_size: self.byte_size, ..said? };
        Ok(())
    }

    /// Fills it with so many pieces as there are.
    ///
    /// # Safety
    /// It was given for as many bytes as the pieces have, by [`Allocator::alloc`], and is not read meanwhile.
    pub(crate) unsafe fn fill<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) {
        let mut at = self.base.0.cast::<u8>();
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            // SAFETY: the pieces together have as many bytes as were asked for, and this many of them come before; the
            // plugin's memory does not overlap the server's.
            unsafe {
                ptr::copy_nonoverlapping(piece.as_ptr(), at, piece.len());
                at = at.add(piece.len());
            }
        }
    }
}

/// It is given back, if there is anything to give back.
impl Drop for Buffer {
    fn drop(&mut self) {
        if self.base.0.is_null() {
            return;
        }
        let Attributes { memory_type, memory_type_id, .. } = self.attributes;
        let release = self.allocator.functions.release;
        // SAFETY: as in `Allocator::start`; it is what the allocator gave, once.
        let released = error::take(unsafe {
            release(
                self.allocator.handle.0,
                self.base.0,
                self.userp.0,
                self.byte_size,
                memory_type,
                memory_type_id,
            )
        });
        if let Err(problem) = released {
            tracing::error!("a plugin's response allocator could not take a buffer back: {problem}");
        }
    }
}

/// Makes an allocator of these functions, of which the last may be left out.
///
/// # Safety
/// `allocator` may be written. The functions can be called from any thread for as long as a request with the allocator
/// is under way and a response to it is not deleted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ResponseAllocatorNew(
    allocator: *mut *mut abi::ResponseAllocator,
    alloc_fn: Option<ResponseAllocatorAllocFn>,
    release_fn: Option<ResponseAllocatorReleaseFn>,
    start_fn: Option<ResponseAllocatorStartFn>,
) -> *mut abi::Error {
    guard::answer(|| {
        let (Some(alloc), Some(release)) = (alloc_fn, release_fn) else {
            return Err(BackendError::invalid("a response allocator needs an alloc_fn and a release_fn"));
        };
        let functions = Functions { alloc, release, start: start_fn, attributes: None };
        // SAFETY: by the caller's word.
        unsafe { guard::hand_out(allocator, "allocator", ResponseAllocator(Mutex::new(functions))) }
    })
}

/// Adds a function that describes the memory that was given.
///
/// # Safety
/// As for the functions of [`TRITONSERVER_ResponseAllocatorNew`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ResponseAllocatorSetBufferAttributesFunction(
    allocator: *mut abi::ResponseAllocator,
    buffer_attributes_fn: Option<ResponseAllocatorBufferAttributesFn>,
) -> *mut abi::Error {
    guard::answer(|| {
        handle::find::<ResponseAllocator>(allocator)?.0.lock().attributes = buffer_attributes_fn;
        Ok(())
    })
}

/// Adds a function that says which kind of memory would be given. It is never called, since the server has only one
/// kind to fill it from.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ResponseAllocatorSetQueryFunction(
    allocator: *mut abi::ResponseAllocator,
    _query_fn: Option<ResponseAllocatorQueryFn>,
) -> *mut abi::Error {
    guard::answer(|| handle::find::<ResponseAllocator>(allocator).map(drop))
}

/// Deletes an allocator, if it is one. Requests that have it keep its functions.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ResponseAllocatorDelete(
    allocator: *mut abi::ResponseAllocator,
) -> *mut abi::Error {
    guard::answer(|| handle::delete::<ResponseAllocator>(allocator))
}
