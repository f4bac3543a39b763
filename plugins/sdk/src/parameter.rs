//! Parameters of requests and responses.

#![allow(unsafe_code)]

use std::ffi::c_void;

use nerite_plugin_abi::ParameterType;

use crate::error::{Error, Result};
use crate::text::text;

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Parameter<'r> {
    /// Text.
    String(&'r str),
    /// A whole number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// A number.
    Double(f64),
}

impl<'r> Parameter<'r> {
    /// # Safety
    ///
    /// Behind the pointer lies a value of that kind, which does not change during `'r`.
    pub(crate) unsafe fn new(kind: ParameterType, value: *const c_void) -> Result<Parameter<'r>> {
        if value.is_null() {
            return Err(Error::internal("the server gave a parameter without value"));
        }
        // SAFETY: the caller's promise, which the kind makes precise; a bool is read as the byte it is in C.
        unsafe {
            match kind {
                ParameterType::STRING => Ok(Parameter::String(text(value.cast())?)),
                ParameterType::INT => Ok(Parameter::Int(value.cast::<i64>().read_unaligned())),
                ParameterType::BOOL => Ok(Parameter::Bool(value.cast::<u8>().read() != 0)),
                ParameterType::DOUBLE => Ok(Parameter::Double(value.cast::<f64>().read_unaligned())),
                _ => Err(Error::unsupported(format_args!(
                    "parameters of kind number {} are not known",
                    kind.0
                ))),
            }
        }
    }
}
