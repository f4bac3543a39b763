//! Kinds of parameters.

numbers! {
    /// `TRITONSERVER_ParameterType`: what a pointer to a parameter's value points to.
    ParameterType {
        /// `TRITONSERVER_PARAMETER_STRING`: characters up to a zero.
        STRING = 0,
        /// `TRITONSERVER_PARAMETER_INT`: an `int64_t`.
        INT = 1,
        /// `TRITONSERVER_PARAMETER_BOOL`: a `bool`.
        BOOL = 2,
        /// `TRITONSERVER_PARAMETER_DOUBLE`: a `double`.
        DOUBLE = 3,
        /// `TRITONSERVER_PARAMETER_BYTES`: bytes whose number is told elsewhere.
        BYTES = 4,
    }
}
