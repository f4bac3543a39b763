//! Traces of requests.

use core::ffi::{c_char, c_void};

use crate::{DataType, InferenceTrace, MemoryType};

numbers! {
    /// `TRITONSERVER_InferenceTraceLevel`: what a trace records; the values combine as bits.
    InferenceTraceLevel {
        /// `TRITONSERVER_TRACE_LEVEL_DISABLED`
        DISABLED = 0,
        /// `TRITONSERVER_TRACE_LEVEL_MIN`, deprecated.
        MIN = 1,
        /// `TRITONSERVER_TRACE_LEVEL_MAX`, deprecated.
        MAX = 2,
        /// `TRITONSERVER_TRACE_LEVEL_TIMESTAMPS`: when each step was.
        TIMESTAMPS = 4,
        /// `TRITONSERVER_TRACE_LEVEL_TENSORS`: the contents of inputs and outputs.
        TENSORS = 8,
    }
}

numbers! {
    /// `TRITONSERVER_InferenceTraceActivity`: a step on a request's way.
    InferenceTraceActivity {
        /// `TRITONSERVER_TRACE_REQUEST_START`
        REQUEST_START = 0,
        /// `TRITONSERVER_TRACE_QUEUE_START`
        QUEUE_START = 1,
        /// `TRITONSERVER_TRACE_COMPUTE_START`
        COMPUTE_START = 2,
        /// `TRITONSERVER_TRACE_COMPUTE_INPUT_END`
        COMPUTE_INPUT_END = 3,
        /// `TRITONSERVER_TRACE_COMPUTE_OUTPUT_START`
        COMPUTE_OUTPUT_START = 4,
        /// `TRITONSERVER_TRACE_COMPUTE_END`
        COMPUTE_END = 5,
        /// `TRITONSERVER_TRACE_REQUEST_END`
        REQUEST_END = 6,
        /// `TRITONSERVER_TRACE_TENSOR_QUEUE_INPUT`
        TENSOR_QUEUE_INPUT = 7,
        /// `TRITONSERVER_TRACE_TENSOR_BACKEND_INPUT`
        TENSOR_BACKEND_INPUT = 8,
        /// `TRITONSERVER_TRACE_TENSOR_BACKEND_OUTPUT`
        TENSOR_BACKEND_OUTPUT = 9,
        /// `TRITONSERVER_TRACE_CUSTOM_ACTIVITY`: one that a backend names.
        CUSTOM_ACTIVITY = 10,
    }
}

/// `TRITONSERVER_InferenceTraceActivityFn_t`: told of a step, which was at `timestamp_ns`.
pub type InferenceTraceActivityFn = unsafe extern "C" fn(
    trace: *mut InferenceTrace,
    activity: InferenceTraceActivity,
    timestamp_ns: u64,
    userp: *mut c_void,
);

/// `TRITONSERVER_InferenceTraceTensorActivityFn_t`: told of a tensor's contents.
pub type InferenceTraceTensorActivityFn = unsafe extern "C" fn(
    trace: *mut InferenceTrace,
    activity: InferenceTraceActivity,
    name: *const c_char,
    datatype: DataType,
    base: *const c_void,
    byte_size: usize,
    shape: *const i64,
    dim_count: u64,
    memory_type: MemoryType,
    memory_type_id: i64,
    userp: *mut c_void,
);

/// `TRITONSERVER_InferenceTraceReleaseFn_t`: told that nothing more is recorded; the callee owns the trace from then
/// on.
pub type InferenceTraceReleaseFn = unsafe extern "C" fn(trace: *mut InferenceTrace, userp: *mut c_void);
