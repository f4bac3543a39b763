//! How TensorRT's objects are laid out, and calling their methods.
//!
//! A caller in C++ sees an object as `[table of the destructor][the object that does the work]`; the other begins with
//! the table of all its methods. Which method is in which slot differs between versions and is written down in
//! [`Methods`]; the tests hold each number against what a C++ compiler makes of NVIDIA's headers.
#![allow(unsafe_code)]

mod methods;
#[cfg(test)]
mod tests;

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;

pub(crate) use methods::{ContextMethods, EngineMethods, Methods};

/// A slot's content: the address of a function.
pub(crate) type Slot = *const c_void;

/// An object as a caller sees it.
#[repr(C)]
pub(crate) struct Object {
    table: *const Slot,
    worker: *mut Worker,
}

/// The object that does the work; what methods are called on.
#[repr(C)]
pub(crate) struct Worker {
    table: *const Slot,
}

/// Where the function is that destroys an object and frees its memory. (Before it is one that leaves the memory.)
const DELETE: usize = 1;

/// An object that TensorRT made; deleted when it is dropped.
pub(crate) struct Owned(NonNull<Object>);

/// What a call gives where it fails can be a small number: that of a field, counted from a null pointer.
const LARGEST_OF_NO_OBJECT: usize = 1 << 16;

impl Owned {
    /// Takes over what a function of TensorRT made; `None` if it made nothing.
    ///
    /// # Safety
    /// The pointer comes from a function that makes such an object, gives it to its caller, and gives null or a small
    /// number where it fails.
    pub(crate) unsafe fn from_raw(object: *mut c_void) -> Option<Owned> {
        if object.addr() < LARGEST_OF_NO_OBJECT { None } else { NonNull::new(object.cast()).map(Owned) }
    }

    /// The worker, and the address in one of its slots.
    ///
    /// # Safety
    /// The object's class has so many methods.
    pub(crate) unsafe fn method(&self, slot: usize) -> (*mut Worker, Slot) {
        // SAFETY: the object lives and is laid out as `Object` says, its worker as `Worker` does, and the caller
        // vouches for the slot.
        unsafe {
            let worker = (*self.0.as_ptr()).worker;
            (worker, *(*worker).table.add(slot))
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the object lives, is ours alone, and goes; every class has its destructor in these slots.
        unsafe {
            let delete = *(*self.0.as_ptr()).table.add(DELETE);
            let delete: unsafe extern "C" fn(*mut Object) = std::mem::transmute(delete);
            delete(self.0.as_ptr());
        }
    }
}

/// Calls a method: `call!(object, slot, fn(i32) -> bool, 1)`.
macro_rules! call {
    ($object:expr, $slot:expr, fn($($type:ty),*) -> $result:ty $(, $argument:expr)*) => {{
        let (worker, address) = $object.method($slot);
        let method: unsafe extern "C" fn(*mut $crate::vtable::Worker $(, $type)*) -> $result =
            std::mem::transmute(address);
        method(worker $(, $argument)*)
    }};
}
pub(crate) use call;

/// The most extents that a tensor of TensorRT has.
pub(crate) const MOST_EXTENTS: usize = 8;

/// `nvinfer1::Dims64`: the extents of a tensor.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dims {
    count: i32,
    extents: [i64; MOST_EXTENTS],
}

impl Dims {
    /// `None` if there are too many.
    pub(crate) fn new(extents: &[i64]) -> Option<Dims> {
        let mut dims = Dims { count: i32::try_from(extents.len()).ok()?, extents: [0; MOST_EXTENTS] };
        dims.extents.get_mut(..extents.len())?.copy_from_slice(extents);
        Some(dims)
    }

    /// The extents; `None` if that is not the shape of a tensor.
    pub(crate) fn extents(&self) -> Option<&[i64]> {
        self.extents.get(..usize::try_from(self.count).ok()?)
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.extents())
    }
}
