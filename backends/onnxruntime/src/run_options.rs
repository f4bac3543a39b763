//! The options of a run, and giving a run up from another thread.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use nerite_backend::{Cancel, CancelGuard};
use ort::sys::{OrtLoggingLevel, OrtRunOptions};
use parking_lot::Mutex;

use crate::environment::made;
use crate::status::{OrtError, ort_call};

/// ONNX Runtime's run options, used for one run after another.
pub(crate) struct RunOptions {
    options: NonNull<OrtRunOptions>,
    current: Mutex<Current>,
}

/// The run that is under way, or the next one.
#[derive(Default)]
struct Current {
    /// Tells runs apart: a watcher may come too late, when its run is over.
    number: u64,
    terminated: bool,
}

// SAFETY: options belong to no thread.
unsafe impl Send for RunOptions {}
// SAFETY: through a shared reference they are read by a run, or their terminate flag is set, which ONNX Runtime allows
// while a run reads it; setting and unsetting exclude one another by the lock.
unsafe impl Sync for RunOptions {}

impl RunOptions {
    /// Options for runs one after another, which give those arenas' memory back each time.
    pub(crate) fn new(shrunk_arenas: Option<&CStr>) -> Result<RunOptions, OrtError> {
        let mut options = null_mut();
        // SAFETY: the result goes to a local.
        unsafe { ort_call!(CreateRunOptions(&mut options)) }?;
        let options = RunOptions { options: made(options)?, current: Mutex::default() };
        // A run's failure is told to whoever asked for it; in the log, callers could write as much as they like.
        let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL as i32;
        // SAFETY: the options were just made and nobody else has them; both strings are copied.
        unsafe {
            ort_call!(RunOptionsSetRunLogSeverityLevel(options.as_ptr(), level))?;
            if let Some(arenas) = shrunk_arenas {
                let key = c"memory.enable_memory_arena_shrinkage";
                ort_call!(AddRunConfigEntry(options.as_ptr(), key.as_ptr(), arenas.as_ptr()))?;
            }
        }
        Ok(options)
    }

    /// Begins a run that is to end early when `cancel` is cancelled. The run is over when the watch is dropped.
    pub(crate) fn watch<'a>(self: &'a Arc<Self>, cancel: &Cancel) -> Watch<'a> {
        let number = self.current.lock().number;
        let options = Arc::clone(self);
        let guard = cancel.on_cancel(move || options.terminate(number));
        Watch { options: self, _guard: guard }
    }

    /// For a run.
    pub(crate) fn as_ptr(&self) -> *mut OrtRunOptions {
        self.options.as_ptr()
    }

    fn terminate(&self, number: u64) {
        let mut current = self.current.lock();
        if current.number == number {
            current.terminated = true;
            // SAFETY: the options live as long as `self`, and the flag may be set while they are in use.
            let set = unsafe { ort_call!(RunOptionsSetTerminate(self.as_ptr())) };
            if let Err(error) = set {
                tracing::debug!("a run goes on although it was cancelled: {error}");
            }
        }
    }

    fn end(&self) {
        let mut current = self.current.lock();
        current.number += 1;
        if std::mem::take(&mut current.terminated) {
            // SAFETY: as in `terminate`; the run is over.
            let unset = unsafe { ort_call!(RunOptionsUnsetTerminate(self.as_ptr())) };
            if let Err(error) = unset {
                tracing::debug!("a cancelled run's successor may fail: {error}");
            }
        }
    }
}

impl Drop for RunOptions {
    fn drop(&mut self) {
        // SAFETY: made by `new`, released once; watchers and runs keep `self` alive.
        unsafe { (ort::api().ReleaseRunOptions)(self.as_ptr()) }
    }
}

/// A run that may be given up.
pub(crate) struct Watch<'a> {
    options: &'a RunOptions,
    _guard: CancelGuard,
}

impl Watch<'_> {
    /// Whether the run was told to end early.
    pub(crate) fn terminated(&self) -> bool {
        self.options.current.lock().terminated
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.options.end();
    }
}
