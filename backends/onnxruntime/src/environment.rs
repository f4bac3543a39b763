//! The process's one ONNX Runtime environment.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::path::PathBuf;
use std::ptr::{NonNull, null_mut};

use nerite_backend::BackendError;
use ort::sys::{
    OrtAllocator, OrtAllocatorType, OrtEnv, OrtLoggingLevel, OrtMemType, OrtMemoryInfo, OrtThreadingOptions,
};
use parking_lot::Mutex;

use crate::status::{OrtError, ort_call};
use crate::threads::Threads;
use crate::{Options, library, logging};

const NAME: &CStr = c"nerite";
const LOG_LEVEL: OrtLoggingLevel = OrtLoggingLevel::ORT_LOGGING_LEVEL_WARNING;

/// What every session needs. It lives as long as the process: threads of ONNX Runtime may still be there when it ends.
pub(crate) struct Environment {
    pub(crate) env: NonNull<OrtEnv>,
    /// Says "host memory" of an input's memory.
    pub(crate) cpu: NonNull<OrtMemoryInfo>,
    /// Allocates host memory without an arena.
    pub(crate) allocator: NonNull<OrtAllocator>,
    pub(crate) threads: Threads,
    /// Where the library is.
    pub(crate) library: PathBuf,
}

// SAFETY: ONNX Runtime's environment, a memory info and the default allocator may be used from any thread at any time;
// none of the three is ever changed or released after they were made.
unsafe impl Send for Environment {}
// SAFETY: as above.
unsafe impl Sync for Environment {}

static ENVIRONMENT: Mutex<Option<&'static Environment>> = Mutex::new(None);

/// The environment; made, and the library loaded, by the first call that succeeds, whose options hold from then on.
pub(crate) fn get(options: &Options) -> Result<&'static Environment, BackendError> {
    let mut made = ENVIRONMENT.lock();
    if let Some(environment) = *made {
        return Ok(environment);
    }
    let library = library::load(options.library.as_deref())?;
    let threads = Threads::new(options);
    let environment: &'static Environment = Box::leak(Box::new(create(threads, library)?));
    tracing::debug!(?threads, "ONNX Runtime is loaded: {}", ort::info());
    Ok(made.insert(environment))
}

fn create(threads: Threads, library: PathBuf) -> Result<Environment, OrtError> {
    let env = if threads.pool { create_with_pool(threads)? } else { create_without_pool()? };
    let (mut cpu, mut allocator) = (null_mut(), null_mut());
    // SAFETY: the environment was just made, the results go to locals, and what is not null afterwards is valid.
    unsafe {
        ort_call!(DisableTelemetryEvents(env.as_ptr()))?;
        let (arena, memory) = (OrtAllocatorType::OrtArenaAllocator, OrtMemType::OrtMemTypeDefault);
        ort_call!(CreateCpuMemoryInfo(arena, memory, &mut cpu))?;
        ort_call!(GetAllocatorWithDefaultOptions(&mut allocator))?;
    }
    Ok(Environment { env, cpu: made(cpu)?, allocator: made(allocator)?, threads, library })
}

fn create_with_pool(threads: Threads) -> Result<NonNull<OrtEnv>, OrtError> {
    let pool = PoolOptions::new()?;
    let mut env = null_mut();
    // SAFETY: the options were just made and outlive the calls; the logger is a function for the process's life and
    // takes no parameter; the name is a C string; the result goes to a local.
    unsafe {
        ort_call!(SetGlobalIntraOpNumThreads(pool.0.as_ptr(), threads.intra_op.into()))?;
        // Models that run their branches at once have threads of their own for that (see `session_options`).
        ort_call!(SetGlobalInterOpNumThreads(pool.0.as_ptr(), 1))?;
        ort_call!(SetGlobalSpinControl(pool.0.as_ptr(), 0))?;
        ort_call!(CreateEnvWithCustomLoggerAndGlobalThreadPools(
            logging::log,
            null_mut(),
            LOG_LEVEL,
            NAME.as_ptr(),
            pool.0.as_ptr(),
            &mut env
        ))?;
    }
    made(env)
}

fn create_without_pool() -> Result<NonNull<OrtEnv>, OrtError> {
    let mut env = null_mut();
    // SAFETY: the logger is a function for the process's life and takes no parameter; the name is a C string; the
    // result goes to a local.
    unsafe {
        ort_call!(CreateEnvWithCustomLogger(logging::log, null_mut(), LOG_LEVEL, NAME.as_ptr(), &mut env))
    }?;
    made(env)
}

struct PoolOptions(NonNull<OrtThreadingOptions>);

impl PoolOptions {
    fn new() -> Result<PoolOptions, OrtError> {
        let mut options = null_mut();
        // SAFETY: the result goes to a local.
        unsafe { ort_call!(CreateThreadingOptions(&mut options)) }?;
        made(options).map(PoolOptions)
    }
}

impl Drop for PoolOptions {
    fn drop(&mut self) {
        // SAFETY: made by `new`, released once; an environment copies what it needs of them.
        unsafe { (ort::api().ReleaseThreadingOptions)(self.0.as_ptr()) }
    }
}

/// What a call that succeeded has made.
pub(crate) fn made<T>(pointer: *mut T) -> Result<NonNull<T>, OrtError> {
    NonNull::new(pointer)
        .ok_or_else(|| OrtError { code: 1, message: "a call succeeded and gave nothing".to_string() })
}
