//! The parameters of a request.

use std::ffi::c_char;

use nerite_backend::{BackendError, Parameter};
use nerite_plugin_abi as abi;

use super::change;
use crate::guard;

fn set_parameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: impl FnOnce() -> Result<Parameter, BackendError>,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the word of the callers below.
        let name = unsafe { guard::text(key, "key") }?;
        let value = value()?;
        match state.parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => state.parameters.push((name, value)),
        }
        Ok(())
    })
}

/// Gives a request a parameter that is a text.
///
/// # Safety
/// `key` and `value` are texts of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetStringParameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: *const c_char,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    set_parameter(request, key, || Ok(Parameter::String(unsafe { guard::text(value, "value") }?)))
}

/// Gives a request a parameter that is a whole number.
///
/// # Safety
/// `key` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetIntParameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: i64,
) -> *mut abi::Error {
    set_parameter(request, key, || Ok(Parameter::Int(value)))
}

/// Gives a request a parameter that is true or false.
///
/// # Safety
/// `key` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetBoolParameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: bool,
) -> *mut abi::Error {
    set_parameter(request, key, || Ok(Parameter::Bool(value)))
}

/// Gives a request a parameter that is a number.
///
/// # Safety
/// `key` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetDoubleParameter(
    request: *mut abi::InferenceRequest,
    key: *const c_char,
    value: f64,
) -> *mut abi::Error {
    set_parameter(request, key, || Ok(Parameter::Double(value)))
}
