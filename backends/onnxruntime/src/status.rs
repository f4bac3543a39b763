//! From ONNX Runtime's statuses to errors.
#![allow(unsafe_code)]

use std::ffi::CStr;

use nerite_backend::BackendError;
use ort::sys::{OrtErrorCode, OrtStatus, OrtStatusPtr};

/// What ONNX Runtime said when a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("onnx runtime error {code}: {message}")]
pub(crate) struct OrtError {
    /// Its `OrtErrorCode`.
    pub(crate) code: i32,
    /// Its message, on one line.
    pub(crate) message: String,
}

impl OrtError {
    pub(crate) const FAIL: i32 = OrtErrorCode::ORT_FAIL as i32;
    pub(crate) const NO_SUCH_FILE: i32 = OrtErrorCode::ORT_NO_SUCHFILE as i32;
    pub(crate) const INVALID_ARGUMENT: i32 = OrtErrorCode::ORT_INVALID_ARGUMENT as i32;
    pub(crate) const INVALID_PROTOBUF: i32 = OrtErrorCode::ORT_INVALID_PROTOBUF as i32;
    pub(crate) const NOT_IMPLEMENTED: i32 = OrtErrorCode::ORT_NOT_IMPLEMENTED as i32;
    pub(crate) const INVALID_GRAPH: i32 = OrtErrorCode::ORT_INVALID_GRAPH as i32;
}

impl From<OrtError> for BackendError {
    fn from(error: OrtError) -> BackendError {
        BackendError::internal(error.to_string())
    }
}

/// Calls a function of ONNX Runtime's API that gives a status; to be used in an `unsafe` block that argues for it.
macro_rules! ort_call {
    ($function:ident($($argument:expr),* $(,)?)) => {
        $crate::status::check((ort::api().$function)($($argument),*))
    };
}
pub(crate) use ort_call;

/// The status as a result.
///
/// # Safety
/// The status must be null or one that ONNX Runtime just gave, which is released here.
pub(crate) unsafe fn check(status: OrtStatusPtr) -> Result<(), OrtError> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: the caller vouches for the status, which is not null.
    Err(unsafe { take(status.0) })
}

/// A message as a line of a log: some end with a new line or have several.
fn on_one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cold]
unsafe fn take(status: *mut OrtStatus) -> OrtError {
    let api = ort::api();
    // A newer library may have codes that `OrtErrorCode` lacks, and an enum must not hold those.
    //
    // SAFETY: `OrtErrorCode` is `repr(i32)`, so the signatures agree in everything but the set of legal values.
    let code_of = unsafe {
        std::mem::transmute::<
            unsafe extern "system" fn(*const OrtStatus) -> OrtErrorCode,
            unsafe extern "system" fn(*const OrtStatus) -> i32,
        >(api.GetErrorCode)
    };
    // SAFETY: the caller vouches for the status; its message is a C string that lives as long as it, and it is released
    // once, after the last use.
    unsafe {
        let code = code_of(status);
        let message = CStr::from_ptr((api.GetErrorMessage)(status)).to_string_lossy().into_owned();
        (api.ReleaseStatus)(status);
        OrtError { code, message: on_one_line(&message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_is_put_on_one() {
        assert_eq!(on_one_line("first:\n\n  second \r\nthird\n"), "first: second third");
        assert_eq!(on_one_line("as  it is"), "as  it is");
    }
}
