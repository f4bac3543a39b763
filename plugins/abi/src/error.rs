//! Codes of errors.

numbers! {
    /// `TRITONSERVER_Error_Code`: what kind of failure an error is; on the wire each has its gRPC status.
    ErrorCode {
        /// `TRITONSERVER_ERROR_UNKNOWN`
        UNKNOWN = 0,
        /// `TRITONSERVER_ERROR_INTERNAL`
        INTERNAL = 1,
        /// `TRITONSERVER_ERROR_NOT_FOUND`
        NOT_FOUND = 2,
        /// `TRITONSERVER_ERROR_INVALID_ARG`
        INVALID_ARG = 3,
        /// `TRITONSERVER_ERROR_UNAVAILABLE`
        UNAVAILABLE = 4,
        /// `TRITONSERVER_ERROR_UNSUPPORTED`
        UNSUPPORTED = 5,
        /// `TRITONSERVER_ERROR_ALREADY_EXISTS`
        ALREADY_EXISTS = 6,
        /// `TRITONSERVER_ERROR_CANCELLED`
        CANCELLED = 7,
    }
}
