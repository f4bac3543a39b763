//! ONNX Runtime's log messages become events of `tracing`.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ort::sys::OrtLoggingLevel;

/// The logger that the environment is made with.
///
/// # Safety
/// To be called by ONNX Runtime alone, whose strings are null or C strings that outlive the call.
pub(crate) unsafe extern "system" fn log(
    _parameter: *mut c_void,
    severity: OrtLoggingLevel,
    category: *const c_char,
    id: *const c_char,
    location: *const c_char,
    message: *const c_char,
) {
    // A panic must not unwind into ONNX Runtime; there is nobody here to tell of it.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller vouches for the strings.
        let [category, model, location, message] =
            unsafe { [text(category), text(id), text(location), text(message)] };
        match severity {
            OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL | OrtLoggingLevel::ORT_LOGGING_LEVEL_ERROR => {
                tracing::error!(target: "onnxruntime", %model, %category, %location, "{message}");
            }
            OrtLoggingLevel::ORT_LOGGING_LEVEL_WARNING => {
                tracing::warn!(target: "onnxruntime", %model, %category, %location, "{message}");
            }
            OrtLoggingLevel::ORT_LOGGING_LEVEL_INFO | OrtLoggingLevel::ORT_LOGGING_LEVEL_VERBOSE => {
                tracing::debug!(target: "onnxruntime", %model, %category, %location, "{message}");
            }
        }
    }));
}

unsafe fn text<'a>(string: *const c_char) -> Cow<'a, str> {
    if string.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: it is not null, and then the caller of `log` vouches for it.
    unsafe { CStr::from_ptr(string) }.to_string_lossy()
}
