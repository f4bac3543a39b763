use nerite_backend::{BackendError, Code};

/// Why a call of the driver failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed with {name} ({code})")]
pub struct CudaError {
    /// The function.
    pub call: &'static str,
    /// What it returned.
    pub code: i32,
    /// The driver's name for that.
    pub name: String,
}

impl CudaError {
    /// There is no memory left on the device, or none that can be pinned.
    pub const OUT_OF_MEMORY: i32 = 2;
    /// There is no device, or none that this process may use.
    pub const NO_DEVICE: i32 = 100;

    /// Whether it leaves the device useless to this process: the driver answers every further call on it with the same
    /// error. These are the errors of which its manual says that the process must be ended, and those of a device that
    /// is gone.
    pub fn is_sticky(&self) -> bool {
        const DEINITIALIZED: i32 = 4;
        const DEVICE_UNAVAILABLE: i32 = 46;
        const UNCORRECTABLE: [i32; 3] = [214, 220, 226];
        const ILLEGAL_ADDRESS: i32 = 700;
        const LAUNCH_TIMEOUT: i32 = 702;
        const CONTEXT_IS_DESTROYED: i32 = 709;
        const ASSERT: i32 = 710;
        const UNKNOWN: i32 = 999;
        matches!(
            self.code,
            DEINITIALIZED | DEVICE_UNAVAILABLE | ILLEGAL_ADDRESS | LAUNCH_TIMEOUT | CONTEXT_IS_DESTROYED | ASSERT
                // From the hardware's stack to a launch that failed.
                | 714..=719 | UNKNOWN
        ) || UNCORRECTABLE.contains(&self.code)
    }
}

impl From<CudaError> for BackendError {
    fn from(error: CudaError) -> BackendError {
        let code = match error.code {
            CudaError::OUT_OF_MEMORY => Code::Unavailable,
            _ if error.is_sticky() => Code::Unavailable,
            _ => Code::Internal,
        };
        BackendError::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_every_further_call_repeats_is_sticky_and_want_of_memory_is_not() {
        let error = |code| CudaError { call: "cuX", code, name: "CUDA_ERROR_X".to_owned() };
        for sticky in [4, 46, 214, 700, 702, 710, 714, 719, 999] {
            assert!(error(sticky).is_sticky(), "{sticky}");
        }
        for passing in [1, 2, 100, 101, 201, 400, 600, 701, 801] {
            assert!(!error(passing).is_sticky(), "{passing}");
        }
        assert_eq!(BackendError::from(error(2)).code, Code::Unavailable);
        assert_eq!(error(1).to_string(), "cuX failed with CUDA_ERROR_X (1)");
    }
}
