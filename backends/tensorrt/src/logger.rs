//! A logger for TensorRT: an object with a table of its own, whose messages become events of `tracing`.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::interface::{InterfaceInfo, language, leave};
use crate::version::Layout;
use crate::vtable::Slot;

/// An `ILogger`. It has no state, and so may be called from any thread, as TensorRT does.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Logger {
    table: *const Slot,
}

/// `[log, two destructors]`
#[repr(C)]
struct TableOfTen {
    log: unsafe extern "C" fn(*mut Logger, i32, *const c_char),
    destructors: [unsafe extern "C" fn(*mut Logger); 2],
}

/// `[getAPILanguage, getInterfaceInfo, two destructors, log]`: the first four belong to `IVersionedInterface`.
#[repr(C)]
struct TableOfEleven {
    language: unsafe extern "C" fn(*const Logger) -> i32,
    info: unsafe extern "C" fn(*const Logger) -> InterfaceInfo,
    destructors: [unsafe extern "C" fn(*mut Logger); 2],
    log: unsafe extern "C" fn(*mut Logger, i32, *const c_char),
}

// The tables are read alone, and hold nothing but the addresses of functions.
static TABLE_OF_TEN: TableOfTen = TableOfTen { log, destructors: [leave; 2] };
static TABLE_OF_ELEVEN: TableOfEleven = TableOfEleven { language, info, destructors: [leave; 2], log };

impl Logger {
    /// A logger for a library of that layout. It lives as long as the process, since TensorRT keeps the first that it
    /// is given for what it has to say of no particular object.
    pub(crate) fn new(layout: Layout) -> &'static Logger {
        let table = match layout {
            Layout::Ten => (&raw const TABLE_OF_TEN).cast(),
            Layout::Eleven => (&raw const TABLE_OF_ELEVEN).cast(),
        };
        Box::leak(Box::new(Logger { table }))
    }

    /// For TensorRT, which only calls it.
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }
}

// SAFETY: a logger is never changed.
unsafe impl Sync for Logger {}
// SAFETY: as above.
unsafe impl Send for Logger {}

/// What is kept of one call's errors, in bytes.
const KEPT: usize = 2048;

thread_local! {
    /// What TensorRT called errors on this thread since the last [`errors_of`] began.
    static ERRORS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does something that calls TensorRT, and gives with it what TensorRT logged as errors meanwhile on this thread.
pub(crate) fn errors_of<R>(call: impl FnOnce() -> R) -> (R, String) {
    ERRORS.with_borrow_mut(String::clear);
    let result = call();
    (result, ERRORS.with_borrow_mut(std::mem::take))
}

fn keep(message: &str) {
    ERRORS.with_borrow_mut(|errors| {
        if errors.len() + message.len() > KEPT {
            return;
        }
        if !errors.is_empty() {
            errors.push_str("; ");
        }
        errors.push_str(message);
    });
}

/// `ILogger::log`
unsafe extern "C" fn log(_this: *mut Logger, severity: i32, message: *const c_char) {
    // A panic must not unwind into TensorRT; there is nobody here to tell of it.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if message.is_null() {
            return;
        }
        // SAFETY: TensorRT gives a C string that lives as long as the call.
        let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
        match severity {
            0 | 1 => {
                keep(&message);
                tracing::error!(target: "tensorrt", "{message}");
            }
            2 => tracing::warn!(target: "tensorrt", "{message}"),
            3 => tracing::debug!(target: "tensorrt", "{message}"),
            _ => tracing::trace!(target: "tensorrt", "{message}"),
        }
    }));
}

unsafe extern "C" fn info(_this: *const Logger) -> InterfaceInfo {
    InterfaceInfo { kind: c"ILogger".as_ptr(), major: 1, minor: 0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// In which slot `log` is.
    pub(crate) fn slot(layout: Layout) -> usize {
        let offset = match layout {
            Layout::Ten => std::mem::offset_of!(TableOfTen, log),
            Layout::Eleven => std::mem::offset_of!(TableOfEleven, log),
        };
        offset / size_of::<Slot>()
    }

    #[test]
    fn the_errors_of_a_call_are_those_that_were_logged_meanwhile_and_are_bounded() {
        let log = |severity, message: &CStr| {
            // SAFETY: as TensorRT calls it.
            unsafe { log(std::ptr::null_mut(), severity, message.as_ptr()) }
        };
        log(1, c"before");
        let (result, errors) = errors_of(|| {
            log(1, c"first");
            log(2, c"a warning");
            log(0, c"second");
            7
        });
        assert_eq!((result, errors.as_str()), (7, "first; second"));
        let ((), errors) = errors_of(|| (0..1000).for_each(|_| log(1, c"more and more")));
        assert!(!errors.is_empty() && errors.len() <= KEPT);
    }
}
