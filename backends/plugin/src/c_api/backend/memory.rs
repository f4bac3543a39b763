//! `TRITONBACKEND_MemoryManager`.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::ffi::c_void;

use nerite_backend::{AlignedBytes, BackendError, Code};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::MemoryType;
use parking_lot::Mutex;

use crate::guard;
use crate::handle::{self, object};

/// Gives a backend memory, and knows what it has given.
#[derive(Default)]
pub(crate) struct MemoryManager {
    given: Mutex<HashMap<usize, Layout>>,
}

object!(MemoryManager, MemoryManager, "TRITONBACKEND_MemoryManager");

/// Memory of the host. Pinned memory is memory that a device can reach: where there is no device, any is.
fn check(memory_type: MemoryType) -> Result<(), BackendError> {
    match memory_type {
        MemoryType::CPU | MemoryType::CPU_PINNED => Ok(()),
        MemoryType::GPU => Err(BackendError::new(
            Code::Unsupported,
            "there is no memory of a GPU: the server does not support GPUs",
        )),
        other => Err(BackendError::invalid(format!("{} is no type of memory", other.0))),
    }
}

/// Allocates memory, at a multiple of 64 bytes.
///
/// # Safety
/// `buffer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_MemoryManagerAllocate(
    manager: *mut abi::MemoryManager,
    buffer: *mut *mut c_void,
    memory_type: MemoryType,
    _memory_type_id: i64,
    byte_size: u64,
) -> *mut abi::Error {
    guard::answer(|| {
        let manager = handle::find::<MemoryManager>(manager)?;
        check(memory_type)?;
        if buffer.is_null() {
            return Err(BackendError::invalid("buffer is NULL, where a result is to be stored"));
        }
        let none =
            || BackendError::new(Code::Unavailable, format!("there is no memory for {byte_size} bytes"));
        let size = usize::try_from(byte_size.max(1)).map_err(|_| none())?;
        let layout = Layout::from_size_align(size, AlignedBytes::ALIGNMENT).map_err(|_| none())?;
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            return Err(none());
        }
        manager.given.lock().insert(memory.addr(), layout);
        // SAFETY: not null, so by the caller's word it may be written.
        unsafe { guard::store(buffer, "buffer", memory.cast()) }
    })
}

/// Frees memory that was allocated so.
///
/// # Safety
/// Nothing uses the memory any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_MemoryManagerFree(
    manager: *mut abi::MemoryManager,
    buffer: *mut c_void,
    memory_type: MemoryType,
    _memory_type_id: i64,
) -> *mut abi::Error {
    guard::answer(|| {
        let manager = handle::find::<MemoryManager>(manager)?;
        check(memory_type)?;
        if buffer.is_null() {
            return Ok(());
        }
        let layout = manager.given.lock().remove(&buffer.addr()).ok_or_else(|| {
            BackendError::invalid("the memory was not allocated by this memory manager, or is freed already")
        })?;
        // SAFETY: it was allocated with this layout, and is freed once: it was in the table until now.
        unsafe { dealloc(buffer.cast(), layout) };
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::c_api::server::error;

    #[test]
    fn memory_is_freed_once_and_only_where_it_was_allocated() {
        let manager = handle::export(MemoryManager::default()).unwrap();
        let other = handle::export(MemoryManager::default()).unwrap();
        for size in [0, 1, 1 << 20] {
            let mut buffer = ptr::null_mut();
            // SAFETY: the pointers are to what is here, and the memory is written within its size.
            unsafe {
                let allocated =
                    TRITONBACKEND_MemoryManagerAllocate(manager, &mut buffer, MemoryType::CPU, 0, size);
                error::take(allocated).unwrap();
                assert_eq!(buffer.addr() % 64, 0);
                buffer.cast::<u8>().write_bytes(7, size as usize);
                assert!(
                    error::take(TRITONBACKEND_MemoryManagerFree(other, buffer, MemoryType::CPU, 0)).is_err()
                );
                error::take(TRITONBACKEND_MemoryManagerFree(manager, buffer, MemoryType::CPU, 0)).unwrap();
                assert!(
                    error::take(TRITONBACKEND_MemoryManagerFree(manager, buffer, MemoryType::CPU, 0))
                        .is_err()
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_allocated_is_told_from_what_never_can() {
        let manager = handle::export(MemoryManager::default()).unwrap();
        let allocate = |memory_type, size| {
            let mut buffer = ptr::null_mut();
            // SAFETY: the pointer is to what is here.
            let outcome =
                unsafe { TRITONBACKEND_MemoryManagerAllocate(manager, &mut buffer, memory_type, 0, size) };
            error::take(outcome).unwrap_err().code
        };
        assert_eq!(allocate(MemoryType::CPU, u64::MAX), Code::Unavailable);
        assert_eq!(allocate(MemoryType::CPU, 1 << 62), Code::Unavailable);
        assert_eq!(allocate(MemoryType::GPU, 1), Code::Unsupported);
        assert_eq!(allocate(MemoryType(9), 1), Code::InvalidArgument);
    }
}
