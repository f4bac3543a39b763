//! The end of a process that has used the library.
#![allow(unsafe_code)]

use std::ffi::c_int;

// SAFETY: `_exit` is POSIX's, takes an int, does not return, and asks nothing of its caller: it frees nothing and runs
// nothing of this process that could find its data half-changed.
unsafe extern "C" {
    safe fn _exit(status: c_int) -> !;
}

/// Ends the process at once, with all of its threads.
///
/// The usual end runs the destructors of the library's globals while the process's other threads go on, and a thread that
/// is then loading a model, or executing one, crashes. Nothing is flushed here: who has buffers writes them out first.
pub fn exit_without_destructors(status: u8) -> ! {
    _exit(c_int::from(status))
}
