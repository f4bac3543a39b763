use std::path::PathBuf;

/// Why a call of NVML failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed: {text} ({code})")]
pub struct NvmlError {
    /// The function.
    pub call: &'static str,
    /// What it returned.
    pub code: i32,
    /// NVML's text for that.
    pub text: String,
}

impl NvmlError {
    /// Whether this says no more than that the device cannot tell: it lacks what is asked for, as a MIG-enabled one its
    /// utilization, or keeps it from this process.
    pub fn is_refusal(&self) -> bool {
        const NOT_SUPPORTED: i32 = 3;
        const NO_PERMISSION: i32 = 4;
        const FUNCTION_NOT_FOUND: i32 = 13;
        const NO_DATA: i32 = 21;
        const DEPRECATED: i32 = 26;
        matches!(self.code, NOT_SUPPORTED | NO_PERMISSION | FUNCTION_NOT_FOUND | NO_DATA | DEPRECATED)
    }
}

/// Why there is no NVML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Its library is not there, or cannot be loaded.
    #[error("'{}' cannot be loaded ({why})", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// The words of the system's loader.
        why: String,
    },
    /// It lacks a function.
    #[error("'{}' is not NVML, or one that is too old ({why})", path.display())]
    Foreign {
        /// The library.
        path: PathBuf,
        /// The words of the system's loader.
        why: String,
    },
    /// It does not start.
    #[error("NVML does not start: {0}")]
    Start(#[from] NvmlError),
}

impl LoadError {
    /// Whether it is as on any machine that has no GPU: neither library nor driver are missed by anybody there.
    pub fn is_absence(&self) -> bool {
        const DRIVER_NOT_LOADED: i32 = 9;
        const GPU_NOT_FOUND: i32 = 28;
        match self {
            LoadError::Library { .. } => true,
            LoadError::Foreign { .. } => false,
            LoadError::Start(error) => matches!(error.code, DRIVER_NOT_LOADED | GPU_NOT_FOUND),
        }
    }
}
