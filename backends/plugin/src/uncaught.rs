//! Exceptions of C++ that a plugin lets out of one of its threads.
//!
//! C++ ends the process over one, and every model with it. Triton's Python backend throws one where a model's process is
//! killed while it holds a lock in the memory that the two share. Here the thread alone ends its work: it is kept for ever,
//! since its stack must not be left, with whatever it has locked.

use std::thread;

use libloading::os::unix::Library;

/// `void (*)()`, which must not return.
type Handler = extern "C" fn();

/// `std::terminate_handler std::set_terminate(std::terminate_handler)`, by its name in the Itanium ABI.
const SET_TERMINATE: &[u8] = b"_ZSt13set_terminatePFvvE\0";

/// Has the C++ runtime that a library brings, if it does, keep a thread with an uncaught exception in place of ending the
/// process.
pub(crate) fn keep_the_process(library: &Library) {
    // SAFETY: what has this name has this type in every C++ runtime of the ABI. It is looked for in the library and in what
    // it needs.
    let found =
        unsafe { library.get::<unsafe extern "C" fn(Option<Handler>) -> Option<Handler>>(SET_TERMINATE) };
    if let Ok(set_terminate) = found {
        // SAFETY: the handler may be called on any thread, at any time, and does not return, as C++ asks of it.
        unsafe { set_terminate(Some(keep_the_thread)) };
    }
}

extern "C" fn keep_the_thread() {
    let name = thread::current().name().unwrap_or("one of its own").to_owned();
    tracing::error!(
        "a plugin let an exception out of a thread ({name}), which is kept as it is; what waits for it waits for ever: \
         unload the plugin's model, and restart the server when convenient"
    );
    loop {
        thread::park();
    }
}
