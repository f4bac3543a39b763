//! What passes with a request, and how it is let go.

use core::ffi::c_void;

use crate::InferenceRequest;

numbers! {
    /// `TRITONSERVER_RequestFlag`: a request's place in its sequence.
    RequestFlags {
        /// `TRITONSERVER_REQUEST_FLAG_SEQUENCE_START`: the first of its sequence.
        SEQUENCE_START = 1,
        /// `TRITONSERVER_REQUEST_FLAG_SEQUENCE_END`: the last of its sequence.
        SEQUENCE_END = 2,
    }
}

numbers! {
    /// `TRITONSERVER_RequestReleaseFlag`: what becomes of a request that is released.
    RequestReleaseFlags {
        /// `TRITONSERVER_REQUEST_RELEASE_ALL`: it is over.
        ALL = 1,
        /// `TRITONSERVER_REQUEST_RELEASE_RESCHEDULE`: it goes to the model once more.
        RESCHEDULE = 2,
    }
}

/// `TRITONSERVER_InferenceRequestReleaseFn_t`: called when the server no longer needs a request that a plugin made,
/// which the callee owns from then on. The second argument holds [`RequestReleaseFlags`].
pub type InferenceRequestReleaseFn =
    unsafe extern "C" fn(request: *mut InferenceRequest, flags: u32, userp: *mut c_void);
