//! Levels and formats of the log.

numbers! {
    /// `TRITONSERVER_LogLevel`: how much a line of the log matters.
    LogLevel {
        /// `TRITONSERVER_LOG_INFO`
        INFO = 0,
        /// `TRITONSERVER_LOG_WARN`
        WARN = 1,
        /// `TRITONSERVER_LOG_ERROR`
        ERROR = 2,
        /// `TRITONSERVER_LOG_VERBOSE`
        VERBOSE = 3,
    }
}

numbers! {
    /// `TRITONSERVER_LogFormat`: how lines of the log begin.
    LogFormat {
        /// `TRITONSERVER_LOG_DEFAULT`: level, month, day and time of day.
        DEFAULT = 0,
        /// `TRITONSERVER_LOG_ISO8601`: a full timestamp, then the level.
        ISO8601 = 1,
    }
}
