//! `TRITONSERVER_Error`.

use std::ffi::{CString, c_char};
use std::ptr;

use nerite_backend::{BackendError, Code};
use nerite_plugin_abi as abi;
use nerite_plugin_abi::ErrorCode;

use crate::guard;
use crate::handle::{self, object};

/// Why a call failed, by either side.
pub(crate) struct Error {
    code: ErrorCode,
    message: CString,
}

object!(Error, Error, "TRITONSERVER_Error");

impl Error {
    /// What a plugin says with it. One who says nothing leaves whoever reads it at least with that.
    fn said(&self) -> BackendError {
        let code = from_abi(self.code);
        if self.message.is_empty() {
            return BackendError::new(
                code,
                format!("the model's backend failed and did not say why ({code})"),
            );
        }
        BackendError::new(code, self.message.to_string_lossy())
    }
}

/// Makes an error that the plugin owns.
pub(crate) fn export(error: BackendError) -> *mut abi::Error {
    let error = Error { code: to_abi(error.code), message: c_string(error.message) };
    // Null would be success. Where not even an error can be kept, any handle that is no good does: it is deleted in
    // vain.
    handle::export(error).unwrap_or_else(|_| ptr::without_provenance_mut(usize::MAX))
}

/// Takes an error that a plugin returned; `Ok` if it returned none.
pub(crate) fn take(error: *mut abi::Error) -> Result<(), BackendError> {
    if error.is_null() {
        return Ok(());
    }
    match handle::take::<Error>(error) {
        Ok(error) => Err(error.said()),
        Err(_) => Err(BackendError::internal("the plugin returned an error that it had deleted")),
    }
}

/// What a plugin says with an error that stays its own; `None` if it says nothing.
pub(crate) fn read(error: *mut abi::Error) -> Option<BackendError> {
    if error.is_null() {
        return None;
    }
    Some(match handle::find::<Error>(error) {
        Ok(error) => error.said(),
        Err(_) => BackendError::internal("the plugin sent an error that it had deleted"),
    })
}

/// A text for C: a NUL in it would end it, and is left out.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    bytes.retain(|&byte| byte != 0);
    CString::new(bytes).unwrap_or_default()
}

pub(crate) fn to_abi(code: Code) -> ErrorCode {
    match code {
        Code::Unknown => ErrorCode::UNKNOWN,
        Code::Internal => ErrorCode::INTERNAL,
        Code::NotFound => ErrorCode::NOT_FOUND,
        Code::InvalidArgument => ErrorCode::INVALID_ARG,
        Code::Unavailable => ErrorCode::UNAVAILABLE,
        Code::Unsupported => ErrorCode::UNSUPPORTED,
        Code::AlreadyExists => ErrorCode::ALREADY_EXISTS,
        Code::Cancelled => ErrorCode::CANCELLED,
    }
}

fn from_abi(code: ErrorCode) -> Code {
    Code::ALL.into_iter().find(|&known| to_abi(known) == code).unwrap_or(Code::Unknown)
}

/// Makes an error.
///
/// # Safety
/// `message` is null or a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ErrorNew(code: ErrorCode, message: *const c_char) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    let message = unsafe { guard::text(message, "msg") }.unwrap_or_default();
    export(BackendError::new(from_abi(code), message))
}

/// Deletes an error.
///
/// # Safety
/// None is needed: whatever is no error is told of.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ErrorDelete(error: *mut abi::Error) {
    if !error.is_null() {
        guard::value((), || handle::take::<Error>(error).map(drop));
    }
}

/// The code of an error; unknown where it is none.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ErrorCode(error: *mut abi::Error) -> ErrorCode {
    guard::value(ErrorCode::UNKNOWN, || Ok(handle::find::<Error>(error)?.code))
}

/// The name of an error's code, for instance `Internal`; the server's for good.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ErrorCodeString(error: *mut abi::Error) -> *const c_char {
    let name = guard::value(c"<invalid code>", || {
        Ok(match handle::find::<Error>(error)?.code {
            ErrorCode::UNKNOWN => c"Unknown",
            ErrorCode::INTERNAL => c"Internal",
            ErrorCode::NOT_FOUND => c"Not found",
            ErrorCode::INVALID_ARG => c"Invalid argument",
            ErrorCode::UNAVAILABLE => c"Unavailable",
            ErrorCode::UNSUPPORTED => c"Unsupported",
            ErrorCode::ALREADY_EXISTS => c"Already exists",
            ErrorCode::CANCELLED => c"Cancelled",
            _ => c"<invalid code>",
        })
    });
    name.as_ptr()
}

/// The message of an error, which has it for as long as it is not deleted.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_ErrorMessage(error: *mut abi::Error) -> *const c_char {
    guard::value(c"".as_ptr(), || Ok(handle::find::<Error>(error)?.message.as_ptr()))
}
