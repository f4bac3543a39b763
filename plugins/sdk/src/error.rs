//! Why something failed.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt::Display;

use nerite_plugin_abi as abi;

pub use nerite_plugin_abi::ErrorCode;

use crate::sys;
use crate::text::text;

/// What a call of this crate, or a backend, returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, with the code and the message that the client sees.
///
/// The constructors take anything that can be shown, and so other errors as well:
///
/// ```
/// # use nerite_plugin::{Error, Result};
/// fn weight(text: &str) -> Result<f32> {
///     text.parse().map_err(Error::invalid_argument)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    code: ErrorCode,
    message: String,
}

impl Error {
    /// An error of any code.
    pub fn new(code: ErrorCode, message: impl Display) -> Error {
        Error { code, message: message.to_string() }
    }

    /// What the client sent, or what the configuration says, cannot be used: INVALID_ARGUMENT on the wire.
    pub fn invalid_argument(message: impl Display) -> Error {
        Error::new(ErrorCode::INVALID_ARG, message)
    }

    /// The backend failed: INTERNAL on the wire.
    pub fn internal(message: impl Display) -> Error {
        Error::new(ErrorCode::INTERNAL, message)
    }

    /// Something that was named is not there: NOT_FOUND on the wire.
    pub fn not_found(message: impl Display) -> Error {
        Error::new(ErrorCode::NOT_FOUND, message)
    }

    /// The backend cannot do this: UNIMPLEMENTED on the wire.
    pub fn unsupported(message: impl Display) -> Error {
        Error::new(ErrorCode::UNSUPPORTED, message)
    }

    /// The backend cannot do this now: UNAVAILABLE on the wire, and the client may try again.
    pub fn unavailable(message: impl Display) -> Error {
        Error::new(ErrorCode::UNAVAILABLE, message)
    }

    /// Nobody waits for the answer any more: CANCELLED on the wire.
    pub fn cancelled() -> Error {
        Error::new(ErrorCode::CANCELLED, "the request was cancelled")
    }

    /// Which kind of failure it is.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The same as an object of the server's, which whoever is given it deletes.
    pub(crate) fn to_raw(&self) -> *mut abi::Error {
        let message = CString::new(self.message.replace('\0', "\u{fffd}")).unwrap_or_default();
        // SAFETY: the message ends with a zero and outlives the call, which copies it.
        unsafe { sys::TRITONSERVER_ErrorNew(self.code, message.as_ptr()) }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::internal(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::internal(error)
    }
}

/// An error object of the server's that is deleted with this.
pub(crate) struct RawError(pub(crate) *mut abi::Error);

impl Drop for RawError {
    fn drop(&mut self) {
        // SAFETY: whoever made this handed over an error that nobody else deletes.
        unsafe { sys::TRITONSERVER_ErrorDelete(self.0) };
    }
}

/// What a function of the API returned: null is success, anything else an error that is the caller's, here deleted.
///
/// # Safety
///
/// The pointer is null or was just returned by a function of the API, and nobody else deletes it.
#[inline]
pub(crate) unsafe fn check(error: *mut abi::Error) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    Err(unsafe { taken(error) })
}

/// # Safety
///
/// As of [`check`], but for null.
#[cold]
unsafe fn taken(error: *mut abi::Error) -> Error {
    let error = RawError(error);
    // SAFETY: the object is alive until the end of this function, and so is the message, which is copied.
    let (code, message) = unsafe {
        (
            sys::TRITONSERVER_ErrorCode(error.0),
            text(sys::TRITONSERVER_ErrorMessage(error.0)).map(str::to_owned),
        )
    };
    Error { code, message: message.unwrap_or_else(|error| error.message) }
}
