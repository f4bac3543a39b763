//! NVML's functions, found by name in its library.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};

use libloading::{AsSymbolName, Error, Library};

use crate::error::NvmlError;

/// A `nvmlDevice_t`.
pub(crate) type Handle = *mut c_void;

/// A `nvmlUtilization_t`: of the last moments, the part in which a kernel ran and that in which memory was used, in per
/// cent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utilization {
    pub(crate) gpu: c_uint,
    pub(crate) memory: c_uint,
}

/// A `nvmlMemory_t`, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryInfo {
    pub(crate) total: c_ulonglong,
    pub(crate) free: c_ulonglong,
    pub(crate) used: c_ulonglong,
}

/// Gives a text: into a buffer, of which it is told the length.
pub(crate) type Text = unsafe extern "C" fn(Handle, *mut c_char, c_uint) -> c_int;
/// Gives a value of a device.
pub(crate) type Query<T> = unsafe extern "C" fn(Handle, *mut T) -> c_int;

/// The functions that are used. What a device is asked may be missing in an old library, which then cannot tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api {
    pub(crate) init: unsafe extern "C" fn() -> c_int,
    pub(crate) error_string: unsafe extern "C" fn(c_int) -> *const c_char,
    pub(crate) count: unsafe extern "C" fn(*mut c_uint) -> c_int,
    pub(crate) handle: unsafe extern "C" fn(c_uint, *mut Handle) -> c_int,
    pub(crate) uuid: Text,
    pub(crate) name: Option<Text>,
    pub(crate) utilization: Option<Query<Utilization>>,
    pub(crate) memory: Option<Query<MemoryInfo>>,
    pub(crate) power: Option<Query<c_uint>>,
    pub(crate) power_limit: Option<Query<c_uint>>,
    pub(crate) energy: Option<Query<c_ulonglong>>,
}

impl Api {
    /// Finds them; the error names one without which nothing can be done.
    pub(crate) fn find(library: &Library) -> Result<Api, Error> {
        // SAFETY: each field's type is what nvml.h declares for the function of that name, and a name stands for its
        // signature for good: a function that changes gets another suffix.
        unsafe {
            Ok(Api {
                init: get(library, "nvmlInit_v2")?,
                error_string: get(library, "nvmlErrorString")?,
                count: get(library, "nvmlDeviceGetCount_v2")?,
                handle: get(library, "nvmlDeviceGetHandleByIndex_v2")?,
                uuid: get(library, "nvmlDeviceGetUUID")?,
                name: get(library, "nvmlDeviceGetName").ok(),
                utilization: get(library, "nvmlDeviceGetUtilizationRates").ok(),
                memory: get(library, "nvmlDeviceGetMemoryInfo").ok(),
                power: get(library, "nvmlDeviceGetPowerUsage").ok(),
                power_limit: get(library, "nvmlDeviceGetPowerManagementLimit").ok(),
                energy: get(library, "nvmlDeviceGetTotalEnergyConsumption").ok(),
            })
        }
    }

    /// What a call's result says.
    pub(crate) fn check(&self, call: &'static str, code: c_int) -> Result<(), NvmlError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: it takes any number, and gives null or a string that stays as long as the library.
        let text = unsafe {
            let text = (self.error_string)(code);
            if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
        };
        Err(NvmlError { call, code, text: text.unwrap_or_else(|| "an error without a name".to_owned()) })
    }
}

/// A function of the library.
///
/// # Safety
///
/// `T` is a function pointer of the type that the function has.
unsafe fn get<T: Copy>(library: &Library, name: impl AsSymbolName) -> Result<T, Error> {
    // SAFETY: as the caller says.
    unsafe { library.get::<T>(name) }.map(|function| *function)
}
