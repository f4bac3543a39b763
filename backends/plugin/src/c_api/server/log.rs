//! The log, which plugins write to as well.

use std::ffi::{c_char, c_int};

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::LogLevel;
use tracing::Level;

use crate::{LOG_TARGET, guard};

/// Writes a line of a plugin's. `log.file` and `log.line` say where in the plugin's source it comes from; whoever
/// writes the log puts them in the place of ours.
macro_rules! event {
    ($level:expr, $file:expr, $line:expr, $message:expr) => {
        tracing::event!(
            target: LOG_TARGET,
            $level,
            log.file = $file,
            log.line = $line,
            "{}",
            $message
        )
    };
}

/// Whether lines of a level are written.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_LogIsEnabled(level: LogLevel) -> bool {
    guard::value(false, || {
        Ok(match level {
            LogLevel::INFO => tracing::enabled!(target: LOG_TARGET, Level::INFO),
            LogLevel::WARN => tracing::enabled!(target: LOG_TARGET, Level::WARN),
            LogLevel::ERROR => tracing::enabled!(target: LOG_TARGET, Level::ERROR),
            LogLevel::VERBOSE => tracing::enabled!(target: LOG_TARGET, Level::DEBUG),
            _ => false,
        })
    })
}

/// Writes a line to the log, if lines of that level are written.
///
/// # Safety
/// `filename` and `msg` are null or texts of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_LogMessage(
    level: LogLevel,
    filename: *const c_char,
    line: c_int,
    msg: *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        // SAFETY: none is needed.
        if level <= LogLevel::VERBOSE && !unsafe { TRITONSERVER_LogIsEnabled(level) } {
            return Ok(());
        }
        // SAFETY: by the caller's word.
        let (message, file) = unsafe { (guard::text(msg, "msg")?, guard::text(filename, "filename")) };
        let (file, line) = (file.as_deref().unwrap_or("plugin"), u32::try_from(line).unwrap_or(0));
        match level {
            LogLevel::INFO => event!(Level::INFO, file, line, message),
            LogLevel::WARN => event!(Level::WARN, file, line, message),
            LogLevel::ERROR => event!(Level::ERROR, file, line, message),
            LogLevel::VERBOSE => event!(Level::DEBUG, file, line, message),
            _ => return Err(BackendError::invalid(format!("{} is no level of the log", level.0))),
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::c_api::server::error;

    #[test]
    fn a_line_needs_a_level_and_a_text() {
        // SAFETY: texts and null pointers.
        let write = |level, message| unsafe {
            error::take(TRITONSERVER_LogMessage(LogLevel(level), c"p.cc".as_ptr(), 7, message))
        };
        write(0, c"line".as_ptr()).unwrap();
        assert!(write(99, c"line".as_ptr()).is_err());
        // Nothing is written here, and so nothing is read.
        write(0, ptr::null()).unwrap();
    }
}
