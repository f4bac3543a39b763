//! The driver's functions, found by name in its library.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null;

use libloading::Library;

use crate::error::CudaError;

/// A `CUcontext`.
pub(crate) type Context = *mut c_void;
/// A `CUstream`, which is a `cudaStream_t` too.
pub type StreamHandle = *mut c_void;
/// A `CUevent`.
pub(crate) type EventHandle = *mut c_void;
/// A `CUdeviceptr`.
pub type DevicePointer = u64;

macro_rules! functions {
    ($($function:ident($($argument:ty),*);)*) => {
        /// The functions that are used, under the names by which the library has them.
        #[expect(non_snake_case, reason = "the driver's own names")]
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Api {
            $(pub(crate) $function: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Api {
            /// Finds all of them; the error names the one that is missing.
            pub(crate) fn find(library: &Library) -> Result<Api, libloading::Error> {
                Ok(Api {
                    $($function: {
                        // SAFETY: the type is what cuda.h declares for a function of that name, and the name, suffix
                        // included, stands for that signature for good.
                        let found = unsafe {
                            library.get::<unsafe extern "C" fn($($argument),*) -> c_int>(stringify!($function))
                        };
                        *found?
                    },)*
                })
            }
        }
    };
}

functions! {
    cuInit(c_uint);
    cuDeviceGetCount(*mut c_int);
    cuDeviceGet(*mut c_int, c_int);
    cuDeviceGetName(*mut c_char, c_int, c_int);
    cuGetErrorName(c_int, *mut *const c_char);
    cuDevicePrimaryCtxRetain(*mut Context, c_int);
    cuDevicePrimaryCtxRelease_v2(c_int);
    cuCtxSetCurrent(Context);
    cuMemAlloc_v2(*mut DevicePointer, usize);
    cuMemFree_v2(DevicePointer);
    cuMemHostAlloc(*mut *mut c_void, usize, c_uint);
    cuMemFreeHost(*mut c_void);
    cuMemcpyHtoDAsync_v2(DevicePointer, *const c_void, usize, StreamHandle);
    cuMemcpyDtoHAsync_v2(*mut c_void, DevicePointer, usize, StreamHandle);
    cuStreamCreate(*mut StreamHandle, c_uint);
    cuStreamSynchronize(StreamHandle);
    cuStreamDestroy_v2(StreamHandle);
    cuEventCreate(*mut EventHandle, c_uint);
    cuEventRecord(EventHandle, StreamHandle);
    cuEventSynchronize(EventHandle);
    cuEventDestroy_v2(EventHandle);
}

impl Api {
    /// What a call's result says.
    pub(crate) fn check(&self, call: &'static str, code: c_int) -> Result<(), CudaError> {
        if code == 0 {
            return Ok(());
        }
        let mut name = null();
        // SAFETY: the result goes to a local; it is null or a string for the process's life.
        let name = unsafe {
            (self.cuGetErrorName)(code, &mut name);
            if name.is_null() { None } else { Some(CStr::from_ptr(name).to_string_lossy().into_owned()) }
        };
        Err(CudaError {
            call,
            code,
            name: name.unwrap_or_else(|| "an error that it has no name for".to_owned()),
        })
    }
}

/// Calls a function of the driver: `cuda_call!(api, cuInit(0))`.
macro_rules! cuda_call {
    ($api:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        let api = $api;
        api.check(stringify!($function), (api.$function)($($argument),*))
    }};
}
pub(crate) use cuda_call;
