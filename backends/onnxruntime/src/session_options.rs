//! How a session is to be made.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use nerite_backend::{Cancel, CancelGuard};
use ort::sys::{ExecutionMode, GraphOptimizationLevel, OrtSessionOptions};

use crate::environment::made;
use crate::parameters::Parameters;
use crate::status::{OrtError, ort_call};
use crate::threads::SessionThreads;

/// ONNX Runtime's session options.
pub(crate) struct SessionOptions {
    options: NonNull<OrtSessionOptions>,
    /// What `options` points to.
    files: Vec<Vec<u8>>,
}

// SAFETY: options belong to no thread.
unsafe impl Send for SessionOptions {}
// SAFETY: through a shared reference they are only read, or their cancellation flag is set, which is an atomic made to
// be set while another thread creates a session.
unsafe impl Sync for SessionOptions {}

impl SessionOptions {
    /// Options for a model of that name; `graph_level` is the configuration's `optimization.graph.level`.
    pub(crate) fn new(
        model: &str,
        graph_level: i32,
        parameters: &Parameters,
        threads: SessionThreads,
    ) -> Result<SessionOptions, OrtError> {
        let mut options = null_mut();
        // SAFETY: the result goes to a local.
        unsafe { ort_call!(CreateSessionOptions(&mut options)) }?;
        let options = SessionOptions { options: made(options)?, files: Vec::new() };
        let log_id = CString::new(model).unwrap_or_default();
        let raw = options.options.as_ptr();
        // SAFETY: the options were just made and nobody else has them; the name is a C string, which is copied.
        unsafe {
            ort_call!(SetSessionLogId(raw, log_id.as_ptr()))?;
            ort_call!(SetSessionGraphOptimizationLevel(raw, optimization(graph_level)))?;
        }
        options.set_threads(threads)?;
        options.set_memory(parameters)?;
        Ok(options)
    }

    fn set_threads(&self, threads: SessionThreads) -> Result<(), OrtError> {
        let raw = self.options.as_ptr();
        let SessionThreads::Own { intra_op, inter_op, parallel } = threads else {
            // SAFETY: only `new` calls this, with options that nobody else has yet.
            return unsafe { ort_call!(DisablePerSessionThreads(raw)) };
        };
        let mode = if parallel { ExecutionMode::ORT_PARALLEL } else { ExecutionMode::ORT_SEQUENTIAL };
        // SAFETY: as above.
        unsafe {
            ort_call!(SetSessionExecutionMode(raw, mode))?;
            ort_call!(SetIntraOpNumThreads(raw, intra_op.into()))?;
            ort_call!(SetInterOpNumThreads(raw, inter_op.into()))?;
        }
        self.set_entry(c"session.intra_op.allow_spinning", false)?;
        self.set_entry(c"session.inter_op.allow_spinning", false)
    }

    fn set_memory(&self, parameters: &Parameters) -> Result<(), OrtError> {
        let (api, raw) = (ort::api(), self.options.as_ptr());
        if let Some(wanted) = parameters.memory_arena {
            let set = if wanted { api.EnableCpuMemArena } else { api.DisableCpuMemArena };
            // SAFETY: only `new` calls this, with options that nobody else has yet.
            unsafe { crate::status::check(set(raw)) }?;
        }
        if let Some(wanted) = parameters.memory_pattern {
            let set = if wanted { api.EnableMemPattern } else { api.DisableMemPattern };
            // SAFETY: as above.
            unsafe { crate::status::check(set(raw)) }?;
        }
        match parameters.device_allocator_for_initializers {
            Some(wanted) => self.set_entry(c"session.use_device_allocator_for_initializers", wanted),
            None => Ok(()),
        }
    }

    fn set_entry(&self, key: &CStr, value: bool) -> Result<(), OrtError> {
        let value = if value { c"1" } else { c"0" };
        // SAFETY: only `new` gets here, with options that nobody else has yet; both strings are copied.
        unsafe { ort_call!(AddSessionConfigEntry(self.options.as_ptr(), key.as_ptr(), value.as_ptr())) }
    }

    /// Has sessions take what their model keeps in the files of these names from here, when they are made.
    pub(crate) fn add_files(&mut self, files: Vec<(CString, Vec<u8>)>) -> Result<(), OrtError> {
        if files.is_empty() {
            return Ok(());
        }
        let (names, mut files): (Vec<CString>, Vec<Vec<u8>>) = files.into_iter().unzip();
        let names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let lengths: Vec<_> = files.iter().map(Vec::len).collect();
        let pointers: Vec<*mut c_char> = files.iter_mut().map(|file| file.as_mut_ptr().cast()).collect();
        // Moving a vector leaves its bytes where they are.
        self.files.append(&mut files);
        // SAFETY: nobody else has the options; names, files and lengths are as many as is said and outlive the call. The
        // files are used when a session is made, which copies what it needs of them, and live as long as the options.
        unsafe {
            ort_call!(AddExternalInitializersFromMemory(
                self.options.as_ptr(),
                names.as_ptr(),
                pointers.as_ptr(),
                lengths.as_ptr(),
                lengths.len()
            ))
        }
    }

    /// Gives the making of a session up when `cancel` is cancelled, as long as the guard lives.
    pub(crate) fn watch(self: &Arc<Self>, cancel: &Cancel) -> CancelGuard {
        let options = Arc::clone(self);
        cancel.on_cancel(move || {
            // SAFETY: the watcher keeps the options alive; setting the flag is meant to be done from other threads.
            let set =
                unsafe { ort_call!(SessionOptionsSetLoadCancellationFlag(options.options.as_ptr(), true)) };
            if let Err(error) = set {
                tracing::debug!("a load goes on although it was cancelled: {error}");
            }
        })
    }

    /// For making a session.
    pub(crate) fn as_ptr(&self) -> *const OrtSessionOptions {
        self.options.as_ptr()
    }
}

impl Drop for SessionOptions {
    fn drop(&mut self) {
        // SAFETY: made by `new`, released once; a session copies what it needs of them.
        unsafe { (ort::api().ReleaseSessionOptions)(self.options.as_ptr()) }
    }
}

/// What Triton's levels mean; any other is the default.
fn optimization(graph_level: i32) -> GraphOptimizationLevel {
    match graph_level {
        -1 => GraphOptimizationLevel::ORT_ENABLE_BASIC,
        1 => GraphOptimizationLevel::ORT_ENABLE_EXTENDED,
        2 => GraphOptimizationLevel::ORT_DISABLE_ALL,
        _ => GraphOptimizationLevel::ORT_ENABLE_ALL,
    }
}
