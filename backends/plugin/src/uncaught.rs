//! Threads that a plugin ends: by an exception of C++ where nothing can catch it, in a destructor or in a thread of its own;
//! or by `pthread_exit`.
//!
//! C++ ends the process over such an exception, and every model with it. Triton's Python backend throws one in a destructor
//! where a model's process is killed while it holds a lock in the memory that the two share. Here the thread alone ends its
//! work: it is kept for ever, since its stack must not be left, with whatever it has locked. If it is one of the server's, who
//! called the plugin on it is told, and goes on without it.

use std::cell::Cell;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use libloading::os::unix::Library;
use nerite_backend::{BackendError, Code, lose_thread};

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

/// Threads that are kept take memory for ever. With so many no instance is made any more, by any plugin.
const MOST_KEPT: usize = 256;

/// How many threads are kept.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Whether instances may still be made.
pub(crate) fn check() -> Result<(), BackendError> {
    match KEPT.load(Ordering::Relaxed) {
        MOST_KEPT.. => Err(BackendError::new(
            Code::Unavailable,
            format!(
                "plugins have ended {MOST_KEPT} threads, by exceptions that nothing can catch or by pthread_exit; restart the \
                 server"
            ),
        )),
        _ => Ok(()),
    }
}

thread_local! {
    /// Whether this thread is loading a library, which runs its initialisers.
    static LOADING: Cell<bool> = const { Cell::new(false) };
}

/// Does what loads a library.
pub(crate) fn while_loading<R>(load: impl FnOnce() -> R) -> R {
    LOADING.set(true);
    let loaded = load();
    LOADING.set(false);
    loaded
}

extern "C" fn keep_the_thread() {
    keep("an exception that nothing can catch");
}

/// What `boundary.cpp` does where a plugin ends the thread that called it: that must not unwind the frames of Rust.
#[unsafe(no_mangle)]
extern "C" fn nerite_keep_exiting_thread() {
    keep("pthread_exit");
}

/// The same where an entry point lets an exception out that is not of C++, such as a panic of another Rust.
#[unsafe(no_mangle)]
extern "C" fn nerite_keep_foreign_exception() {
    keep("an exception that is not of C++");
}

fn keep(by: &str) -> ! {
    if LOADING.get() {
        // The loader of libraries is locked, and would be for ever: nothing could go on.
        tracing::error!(
            "a plugin ended the thread that loads it by {by}; the daemon ends, since no other could load or end"
        );
        process::abort();
    }
    KEPT.fetch_add(1, Ordering::Relaxed);
    let name = thread::current().name().unwrap_or("one of its own").to_owned();
    tracing::error!(
        "a plugin ended a thread ({name}) by {by}; the thread is kept as it is, and what waits for it within the plugin waits \
         for ever"
    );
    lose_thread(&BackendError::internal(format!(
        "the model's backend ended a thread of the server's by {by}"
    )))
}
