//! What every object of ours answers that TensorRT calls: the methods of `IVersionedInterface`.
#![allow(unsafe_code)]

use std::ffi::c_char;

/// Which interface an object of ours implements, and in which version.
#[repr(C)]
pub(crate) struct InterfaceInfo {
    pub(crate) kind: *const c_char,
    pub(crate) major: i32,
    pub(crate) minor: i32,
}

/// `APILanguage::kCPP`
const CPP: i32 = 0;

/// `getAPILanguage`
pub(crate) unsafe extern "C" fn language<T>(_this: *const T) -> i32 {
    CPP
}

/// Either destructor. TensorRT does not delete what is not its own, and nobody else does so through the table.
pub(crate) unsafe extern "C" fn leave<T>(_this: *mut T) {}
