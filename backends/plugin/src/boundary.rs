//! Calls of a plugin's entry points, of which an exception of C++ is an error as any other.
//!
//! It must not unwind the frames of Rust, and is caught in C++ (`boundary.cpp`). Where there was no compiler for that, the
//! entry points are called as they are, and what becomes of an exception is for [`crate::uncaught`] to say.

use std::ffi::{CStr, c_uint, c_void};
use std::mem::{MaybeUninit, transmute};

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::entry::{GetBackendAttributeFn, ModelInstanceExecuteFn};

use crate::c_api::server::error;

/// A function that a plugin exports for the server to call.
#[derive(Clone, Copy)]
pub(crate) struct EntryPoint<F> {
    /// What it exports.
    pub(crate) function: F,
    /// Under which name.
    pub(crate) name: &'static CStr,
    /// The plugin's own runtime of C++, if it brings one.
    pub(crate) runtime: Option<GetExceptions>,
}

/// `__cxa_eh_globals* __cxa_get_globals()` of the Itanium ABI.
pub(crate) type GetExceptions = unsafe extern "C" fn() -> *mut Exceptions;

/// What a runtime of C++ knows of a thread's exceptions.
#[repr(C)]
pub(crate) struct Exceptions {
    _caught: *mut c_void,
    /// How many are on their way to where they are caught.
    uncaught: c_uint,
}

/// An entry point that takes one handle.
pub(crate) type HandleFn<T> = unsafe extern "C" fn(*mut T) -> *mut abi::Error;

impl<T> EntryPoint<HandleFn<T>> {
    /// Calls one that takes a handle. Errors are those of the plugin of that name, exceptions among them.
    ///
    /// # Safety
    /// The plugin may be called with that handle now, by the rules of the C API.
    pub(crate) unsafe fn call(&self, backend: &CStr, handle: *mut T) -> Result<(), BackendError> {
        self.outcome(backend, |function, thrown| {
            // SAFETY: one pointer is passed as any other is. The rest is the caller's word.
            unsafe {
                let function = transmute::<HandleFn<T>, HandleFn<c_void>>(function);
                catching::nerite_call(function, handle.cast(), thrown)
            }
        })
    }
}

impl EntryPoint<GetBackendAttributeFn> {
    /// Asks a backend for its attributes.
    ///
    /// # Safety
    /// As for [`call`](EntryPoint::call).
    pub(crate) unsafe fn ask(
        &self,
        name: &CStr,
        backend: *mut abi::Backend,
        attributes: *mut abi::BackendAttribute,
    ) -> Result<(), BackendError> {
        // SAFETY: by the caller's word.
        self.outcome(name, |function, thrown| unsafe {
            catching::nerite_ask(function, backend, attributes, thrown)
        })
    }
}

impl EntryPoint<ModelInstanceExecuteFn> {
    /// Has an instance execute requests. After an error they are the server's.
    ///
    /// # Safety
    /// As for [`call`](EntryPoint::call).
    pub(crate) unsafe fn execute(
        &self,
        backend: &CStr,
        instance: *mut abi::ModelInstance,
        requests: &mut [*mut abi::Request],
    ) -> Result<(), BackendError> {
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        // SAFETY: an array of so many. The rest is the caller's word.
        self.outcome(backend, |function, thrown| unsafe {
            catching::nerite_execute(function, instance, requests.as_mut_ptr(), count, thrown)
        })
    }
}

impl<F: Copy> EntryPoint<F> {
    fn outcome(
        &self,
        backend: &CStr,
        call: impl FnOnce(F, *mut Thrown) -> *mut abi::Error,
    ) -> Result<(), BackendError> {
        let mut thrown = Thrown { caught: false, size: 0, text: MaybeUninit::uninit() };
        let error = call(self.function, &raw mut thrown);
        if !thrown.caught {
            return error::take(error);
        }
        self.settle();
        Err(BackendError::internal(format!(
            "backend '{}' let an exception out of {}: {}",
            backend.to_string_lossy(),
            self.name.to_string_lossy(),
            thrown.said()
        )))
    }

    /// What was caught here was caught by our runtime of C++. For the plugin's it is on its way still, and a plugin that
    /// asks would be told so for as long as the thread lives.
    fn settle(&self) {
        let Some(runtime) = self.runtime else { return };
        // SAFETY: what has this name in a runtime of this ABI gives what is the present thread's, which nobody else
        // touches, for as long as that lives.
        let exceptions = unsafe { &mut *runtime() };
        exceptions.uncaught = exceptions.uncaught.saturating_sub(1);
    }
}

/// What was thrown. `boundary.cpp` has the same.
#[repr(C)]
struct Thrown {
    /// Whether anything was. The rest says nothing otherwise.
    caught: bool,
    /// How many bytes the text has without its NUL, or would have if there were room.
    size: c_uint,
    text: MaybeUninit<[u8; Thrown::ROOM]>,
}

impl Thrown {
    const ROOM: usize = 504;

    /// What it says, where something was caught.
    fn said(&self) -> String {
        // The last byte is a NUL, wherever the text ends.
        let size = (self.size as usize).min(Thrown::ROOM - 1);
        // SAFETY: so many bytes were written.
        let text = unsafe { std::slice::from_raw_parts(self.text.as_ptr().cast::<u8>(), size) };
        let end = if size < self.size as usize { "…" } else { "" };
        format!("{}{end}", String::from_utf8_lossy(text))
    }
}

#[cfg(catches_exceptions)]
mod catching {
    use std::ffi::c_void;

    use nerite_plugin_abi as abi;
    use nerite_plugin_abi::entry::{GetBackendAttributeFn, ModelInstanceExecuteFn};

    use super::{HandleFn, Thrown};

    unsafe extern "C" {
        pub(super) fn nerite_call(
            function: HandleFn<c_void>,
            handle: *mut c_void,
            thrown: *mut Thrown,
        ) -> *mut abi::Error;

        pub(super) fn nerite_ask(
            function: GetBackendAttributeFn,
            backend: *mut abi::Backend,
            attributes: *mut abi::BackendAttribute,
            thrown: *mut Thrown,
        ) -> *mut abi::Error;

        pub(super) fn nerite_execute(
            function: ModelInstanceExecuteFn,
            instance: *mut abi::ModelInstance,
            requests: *mut *mut abi::Request,
            count: u32,
            thrown: *mut Thrown,
        ) -> *mut abi::Error;
    }
}

/// The same without catching anything.
#[cfg(not(catches_exceptions))]
mod catching {
    use std::ffi::c_void;

    use nerite_plugin_abi as abi;
    use nerite_plugin_abi::entry::{GetBackendAttributeFn, ModelInstanceExecuteFn};

    use super::{HandleFn, Thrown};

    pub(super) unsafe fn nerite_call(
        function: HandleFn<c_void>,
        handle: *mut c_void,
        _: *mut Thrown,
    ) -> *mut abi::Error {
        // SAFETY: by the caller's word.
        unsafe { function(handle) }
    }

    pub(super) unsafe fn nerite_ask(
        function: GetBackendAttributeFn,
        backend: *mut abi::Backend,
        attributes: *mut abi::BackendAttribute,
        _: *mut Thrown,
    ) -> *mut abi::Error {
        // SAFETY: by the caller's word.
        unsafe { function(backend, attributes) }
    }

    pub(super) unsafe fn nerite_execute(
        function: ModelInstanceExecuteFn,
        instance: *mut abi::ModelInstance,
        requests: *mut *mut abi::Request,
        count: u32,
        _: *mut Thrown,
    ) -> *mut abi::Error {
        // SAFETY: by the caller's word.
        unsafe { function(instance, requests, count) }
    }
}
