//! The server's log.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fmt::{Arguments, Display};

pub use nerite_plugin_abi::LogLevel;

use crate::error::{Error, RawError};
use crate::sys;

/// Writes to the server's log, as [`println!`] does to the standard output, what helps to follow along.
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => { $crate::log_at!($crate::LogLevel::INFO, $($text)+) };
}

/// Writes to the server's log what somebody should look at.
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => { $crate::log_at!($crate::LogLevel::WARN, $($text)+) };
}

/// Writes to the server's log what has gone wrong.
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => { $crate::log_at!($crate::LogLevel::ERROR, $($text)+) };
}

/// Writes to the server's log what is of use to those who look for a fault.
#[macro_export]
macro_rules! verbose {
    ($($text:tt)+) => { $crate::log_at!($crate::LogLevel::VERBOSE, $($text)+) };
}

/// Writes to the server's log at that level; the text is only made where somebody reads it.
#[doc(hidden)]
#[macro_export]
macro_rules! log_at {
    ($level:expr, $($text:tt)+) => {
        $crate::write_log($level, concat!(file!(), "\0"), line!(), format_args!($($text)+))
    };
}

/// Writes a line; `file` ends with a zero.
#[doc(hidden)]
pub fn write(level: LogLevel, file: &'static str, line: u32, text: Arguments<'_>) {
    // SAFETY: the call takes a number.
    if !unsafe { sys::TRITONSERVER_LogIsEnabled(level) } {
        return;
    }
    let Ok(text) = CString::new(text.to_string().replace('\0', "\u{fffd}")) else { return };
    let file = CStr::from_bytes_until_nul(file.as_bytes()).unwrap_or(c"");
    let line = i32::try_from(line).unwrap_or(0);
    // SAFETY: both texts end with a zero and outlive the call.
    let error = unsafe { sys::TRITONSERVER_LogMessage(level, file.as_ptr(), line, text.as_ptr()) };
    if !error.is_null() {
        drop(RawError(error));
    }
}

/// Says that a call failed where nobody is left to tell it to.
#[cold]
pub(crate) fn complaint(what: impl Display, error: &Error) {
    crate::error!("{what}: {error}");
}
