//! The floor for a daemon's start-up: opens ONNX Runtime's library, makes sessions of the model files given as
//! arguments under the options that the backend uses, and exits. The library is found through `ORT_DYLIB_PATH`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::process::ExitCode;
use std::ptr::null_mut;

use ort::sys::{GraphOptimizationLevel, OrtLoggingLevel, OrtStatusPtr};

fn main() -> ExitCode {
    match load(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn load(files: impl Iterator<Item = String>) -> Result<(), String> {
    let library = std::env::var_os("ORT_DYLIB_PATH").ok_or("set ORT_DYLIB_PATH to ONNX Runtime's library")?;
    ort::init_from(library).map(drop).map_err(|error| error.to_string())?;
    let api = ort::api();
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as i32);
    let (mut pool, mut env, mut options) = (null_mut(), null_mut(), null_mut());
    // SAFETY: every call gets what the calls before it made, C strings, and locals for its result; nothing is released
    // before the process ends.
    unsafe {
        check((api.CreateThreadingOptions)(&mut pool))?;
        check((api.SetGlobalIntraOpNumThreads)(pool, threads))?;
        check((api.SetGlobalInterOpNumThreads)(pool, 1))?;
        check((api.SetGlobalSpinControl)(pool, 0))?;
        let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_WARNING;
        check((api.CreateEnvWithGlobalThreadPools)(level, c"bare".as_ptr(), pool, &mut env))?;
        check((api.DisableTelemetryEvents)(env))?;
        check((api.CreateSessionOptions)(&mut options))?;
        check((api.SetSessionGraphOptimizationLevel)(options, GraphOptimizationLevel::ORT_ENABLE_ALL))?;
        check((api.DisablePerSessionThreads)(options))?;
    }
    for file in files {
        let path = CString::new(file).map_err(|error| error.to_string())?;
        let mut session = null_mut();
        // SAFETY: as above.
        unsafe { check((api.CreateSession)(env, path.as_ptr(), options, &mut session)) }?;
    }
    Ok(())
}

/// # Safety
/// The status must be one that ONNX Runtime just gave.
unsafe fn check(status: OrtStatusPtr) -> Result<(), String> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: the caller vouches for the status, whose message is a C string. It is not released: the process ends.
    Err(unsafe { CStr::from_ptr((ort::api().GetErrorMessage)(status.0)) }.to_string_lossy().into_owned())
}
