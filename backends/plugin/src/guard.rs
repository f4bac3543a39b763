//! What every function of the C API does with what comes in from C, and with what goes wrong.

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;

use crate::c_api::server::error;
use crate::handle::{self, Object};

/// Does what a function of the C API is to do. What goes wrong becomes an error that the plugin owns; so does a panic,
/// which must not unwind into C.
pub(crate) fn answer(body: impl FnOnce() -> Result<(), BackendError>) -> *mut abi::Error {
    // Objects that a panic may leave half changed are behind locks that do not poison, and sound in any state.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => std::ptr::null_mut(),
        Ok(Err(problem)) => error::export(problem),
        Err(_) => error::export(BackendError::internal("the server panicked in a function of its API")),
    }
}

/// The same for a function that returns a value, which is `otherwise` where something goes wrong.
pub(crate) fn value<T>(otherwise: T, body: impl FnOnce() -> Result<T, BackendError>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(problem)) => {
            tracing::error!("a plugin misused the server's API: {problem}");
            otherwise
        }
        Err(_) => otherwise,
    }
}

/// Stores what a function returns through a pointer named `name`.
///
/// # Safety
/// `place` is null, or the plugin's and may be written.
pub(crate) unsafe fn store<T>(place: *mut T, name: &str, value: T) -> Result<(), BackendError> {
    check(place, name)?;
    // SAFETY: not null, so by the caller's word it may be written.
    unsafe { place.write(value) };
    Ok(())
}

/// The same where the plugin may say by a null pointer that it does not want to know.
///
/// # Safety
/// As for [`store`].
pub(crate) unsafe fn store_if_asked<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: not null, so by the caller's word it may be written.
        unsafe { place.write(value) };
    }
}

/// Checks that a result can be stored there, before it is made.
pub(crate) fn check<T>(place: *mut T, name: &str) -> Result<(), BackendError> {
    if place.is_null() {
        return Err(BackendError::invalid(format!("{name} is NULL, where a result is to be stored")));
    }
    Ok(())
}

/// An error for an index that is too large.
pub(crate) fn out_of_bounds(index: usize, what: &str, count: usize) -> BackendError {
    BackendError::invalid(format!("out of bounds index {index}, there are {count} {what}"))
}

/// Stores the handle of a new object, which is the plugin's from then on.
///
/// # Safety
/// As for [`store`].
pub(crate) unsafe fn hand_out<T: Object>(
    place: *mut *mut T::C,
    name: &str,
    object: T,
) -> Result<(), BackendError> {
    check(place, name)?;
    // SAFETY: by the caller's word.
    unsafe { store(place, name, handle::export(object)?) }
}

/// Bytes that a plugin passes; none may be where there are none.
///
/// # Safety
/// `base` is null, or points to so many bytes that do not change while they are used.
pub(crate) unsafe fn bytes<'a>(
    base: *const u8,
    byte_size: usize,
    name: &str,
) -> Result<&'a [u8], BackendError> {
    if byte_size == 0 {
        return Ok(&[]);
    }
    if base.is_null() || byte_size > isize::MAX as usize {
        return Err(BackendError::invalid(format!(
            "{name} is NULL or of no size that memory has, where bytes are needed"
        )));
    }
    // SAFETY: not null and of a possible size, so by the caller's word there are so many.
    Ok(unsafe { slice::from_raw_parts(base, byte_size) })
}

/// A text that a plugin passes. Bytes that are not UTF-8 are replaced: names and messages are for people and logs.
///
/// # Safety
/// `text` is null, or points to bytes that end with a NUL and do not change meanwhile.
pub(crate) unsafe fn text(text: *const c_char, name: &str) -> Result<String, BackendError> {
    // SAFETY: by the caller's word.
    Ok(unsafe { c_str(text, name) }?.to_string_lossy().into_owned())
}

/// The same as it is.
///
/// # Safety
/// As for [`text`], for as long as it is used.
pub(crate) unsafe fn c_str<'a>(text: *const c_char, name: &str) -> Result<&'a CStr, BackendError> {
    if text.is_null() {
        return Err(BackendError::invalid(format!("{name} is NULL, where a text is needed")));
    }
    // SAFETY: not null, so by the caller's word it ends with a NUL.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// The extents that a plugin passes; none may be where there are none.
///
/// # Safety
/// `base` is null, or points to so many numbers that do not change while they are used.
pub(crate) unsafe fn extents<'a>(
    base: *const i64,
    count: u32,
    name: &str,
) -> Result<&'a [i64], BackendError> {
    if count == 0 {
        return Ok(&[]);
    }
    if base.is_null() || !base.is_aligned() {
        return Err(BackendError::invalid(format!("{name} is no pointer to {count} numbers of 64 bits")));
    }
    // SAFETY: neither null nor in between, so by the caller's word there are so many.
    Ok(unsafe { slice::from_raw_parts(base, count as usize) })
}
