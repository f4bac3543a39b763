//! Text as C has it: characters up to a zero.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};

use crate::error::{Error, Result};

/// How long a name may be so that nothing is allocated to pass it on, its zero included.
const SHORT: usize = 64;

/// Calls `pass` with the text as C has it. Fails where the text holds a zero.
#[inline]
pub(crate) fn with_c_text<T>(text: &str, pass: impl FnOnce(*const c_char) -> T) -> Result<T> {
    let mut short = [0; SHORT];
    if let Some(room) = short.get_mut(..text.len()).filter(|room| room.len() < SHORT) {
        room.copy_from_slice(text.as_bytes());
        let text = CStr::from_bytes_until_nul(&short).ok().filter(|c| c.count_bytes() == text.len());
        return text.map(|text| pass(text.as_ptr())).ok_or_else(has_a_zero);
    }
    CString::new(text).map(|text| pass(text.as_ptr())).map_err(|_| has_a_zero())
}

#[cold]
fn has_a_zero() -> Error {
    Error::invalid_argument("text that is passed to the server holds a zero character")
}

/// Text that the server has; null is no text, which is empty.
///
/// # Safety
///
/// The pointer is null or points to characters up to a zero that neither move nor change during `'a`.
#[inline]
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str> {
    if text.is_null() {
        return Ok("");
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Error::internal("the server passed text that is not UTF-8"))
}
