//! `TRITONSERVER_BufferAttributes`.

use std::ffi::c_void;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::MemoryType;
use parking_lot::Mutex;

use crate::guard;
use crate::handle::{self, object};
use crate::pointer::Kept;

/// Where a buffer lies and how large it is.
#[derive(Default)]
pub(crate) struct BufferAttributes(Mutex<Attributes>);

object!(BufferAttributes, BufferAttributes, "TRITONSERVER_BufferAttributes");

/// What is said of a buffer.
#[derive(Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) byte_size: usize,
    pub(crate) memory_type: MemoryType,
    pub(crate) memory_type_id: i64,
    pub(crate) cuda_ipc_handle: Kept<c_void>,
}

impl Default for Attributes {
    fn default() -> Attributes {
        Attributes::host(0)
    }
}

impl Attributes {
    /// Those of so many bytes of ordinary memory.
    pub(crate) fn host(byte_size: usize) -> Attributes {
        let (memory_type, cuda_ipc_handle) = (MemoryType::CPU, Kept::NULL);
        Attributes { byte_size, memory_type, memory_type_id: 0, cuda_ipc_handle }
    }
}

impl BufferAttributes {
    /// An object that says that.
    pub(crate) fn new(attributes: Attributes) -> BufferAttributes {
        BufferAttributes(Mutex::new(attributes))
    }

    /// What it says now.
    pub(crate) fn get(&self) -> Attributes {
        *self.0.lock()
    }
}

/// What a handle says of a buffer.
pub(crate) fn read(handle: *mut abi::BufferAttributes) -> Result<Attributes, BackendError> {
    Ok(handle::find::<BufferAttributes>(handle)?.get())
}

fn set(handle: *mut abi::BufferAttributes, change: impl FnOnce(&mut Attributes)) -> *mut abi::Error {
    guard::answer(|| {
        change(&mut handle::find::<BufferAttributes>(handle)?.0.lock());
        Ok(())
    })
}

/// # Safety
/// `place` may be written.
unsafe fn get<T>(
    handle: *mut abi::BufferAttributes,
    place: *mut T,
    name: &str,
    part: impl FnOnce(Attributes) -> T,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(place, name, part(read(handle)?)) })
}

/// Makes attributes: no bytes, of ordinary memory.
///
/// # Safety
/// `attributes` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesNew(
    attributes: *mut *mut abi::BufferAttributes,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::hand_out(attributes, "buffer_attributes", BufferAttributes::default()) })
}

/// Deletes attributes.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesDelete(
    attributes: *mut abi::BufferAttributes,
) -> *mut abi::Error {
    guard::answer(|| handle::delete::<BufferAttributes>(attributes))
}

/// Says which memory of its type it is.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesSetMemoryTypeId(
    attributes: *mut abi::BufferAttributes,
    memory_type_id: i64,
) -> *mut abi::Error {
    set(attributes, |attributes| attributes.memory_type_id = memory_type_id)
}

/// Says what kind of memory it is.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesSetMemoryType(
    attributes: *mut abi::BufferAttributes,
    memory_type: MemoryType,
) -> *mut abi::Error {
    set(attributes, |attributes| attributes.memory_type = memory_type)
}

/// Says how other processes reach it on a device. It is kept and given back, no more.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesSetCudaIpcHandle(
    attributes: *mut abi::BufferAttributes,
    cuda_ipc_handle: *mut c_void,
) -> *mut abi::Error {
    set(attributes, |attributes| attributes.cuda_ipc_handle = Kept(cuda_ipc_handle))
}

/// Says how large it is.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesSetByteSize(
    attributes: *mut abi::BufferAttributes,
    byte_size: usize,
) -> *mut abi::Error {
    set(attributes, |attributes| attributes.byte_size = byte_size)
}

/// Which memory of its type it is.
///
/// # Safety
/// `memory_type_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesMemoryTypeId(
    attributes: *mut abi::BufferAttributes,
    memory_type_id: *mut i64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(attributes, memory_type_id, "memory_type_id", |attributes| attributes.memory_type_id) }
}

/// What kind of memory it is.
///
/// # Safety
/// `memory_type` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesMemoryType(
    attributes: *mut abi::BufferAttributes,
    memory_type: *mut MemoryType,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(attributes, memory_type, "memory_type", |attributes| attributes.memory_type) }
}

/// How other processes reach it on a device; null if nobody said.
///
/// # Safety
/// `cuda_ipc_handle` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesCudaIpcHandle(
    attributes: *mut abi::BufferAttributes,
    cuda_ipc_handle: *mut *mut c_void,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(attributes, cuda_ipc_handle, "cuda_ipc_handle", |attributes| attributes.cuda_ipc_handle.0) }
}

/// How large it is.
///
/// # Safety
/// `byte_size` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_BufferAttributesByteSize(
    attributes: *mut abi::BufferAttributes,
    byte_size: *mut usize,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(attributes, byte_size, "byte_size", |attributes| attributes.byte_size) }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::c_api::server::error;

    #[test]
    fn attributes_say_what_was_set_and_nothing_when_deleted() {
        // SAFETY: the pointers are to what is here.
        unsafe {
            let mut handle = ptr::null_mut();
            error::take(TRITONSERVER_BufferAttributesNew(&mut handle)).unwrap();
            assert_eq!(read(handle).unwrap().memory_type, MemoryType::CPU);
            error::take(TRITONSERVER_BufferAttributesSetByteSize(handle, 12)).unwrap();
            error::take(TRITONSERVER_BufferAttributesSetMemoryType(handle, MemoryType::GPU)).unwrap();
            error::take(TRITONSERVER_BufferAttributesSetMemoryTypeId(handle, 3)).unwrap();
            let (mut size, mut kind, mut id, mut ipc) = (0, MemoryType::CPU, 0, ptr::dangling_mut());
            error::take(TRITONSERVER_BufferAttributesByteSize(handle, &mut size)).unwrap();
            error::take(TRITONSERVER_BufferAttributesMemoryType(handle, &mut kind)).unwrap();
            error::take(TRITONSERVER_BufferAttributesMemoryTypeId(handle, &mut id)).unwrap();
            error::take(TRITONSERVER_BufferAttributesCudaIpcHandle(handle, &mut ipc)).unwrap();
            assert_eq!((size, kind, id, ipc.is_null()), (12, MemoryType::GPU, 3, true));
            assert!(error::take(TRITONSERVER_BufferAttributesByteSize(handle, ptr::null_mut())).is_err());
            error::take(TRITONSERVER_BufferAttributesDelete(handle)).unwrap();
            assert!(error::take(TRITONSERVER_BufferAttributesDelete(handle)).is_err());
            assert!(error::take(TRITONSERVER_BufferAttributesByteSize(handle, &mut size)).is_err());
        }
    }
}
