//! What passes with a response.

use core::ffi::c_void;

use crate::InferenceResponse;

numbers! {
    /// `TRITONSERVER_ResponseCompleteFlag`: what is said with a response, or without one.
    ResponseCompleteFlags {
        /// `TRITONSERVER_RESPONSE_COMPLETE_FINAL`: no further response follows.
        FINAL = 1,
    }
}

/// `TRITONSERVER_InferenceResponseCompleteFn_t`: called with each response to a request that a plugin made, which the
/// callee owns from then on; it is null where there are only flags. The second argument holds
/// [`ResponseCompleteFlags`].
pub type InferenceResponseCompleteFn =
    unsafe extern "C" fn(response: *mut InferenceResponse, flags: u32, userp: *mut c_void);
