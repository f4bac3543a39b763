use std::fmt;

/// What kind of failure an error is; the front end turns it into its protocol's status. The kinds are those of
/// Triton's `TRITONSERVER_Error_Code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Nothing is known of the cause.
    Unknown,
    /// The server or an engine failed.
    Internal,
    /// What was named does not exist.
    NotFound,
    /// The caller's arguments are wrong.
    InvalidArgument,
    /// Not now; trying again later may succeed.
    Unavailable,
    /// This server cannot do that.
    Unsupported,
    /// What was to be created is there already.
    AlreadyExists,
    /// The caller gave up.
    Cancelled,
}

impl Code {
    /// Every kind.
    pub const ALL: [Code; 8] = [
        Code::Unknown,
        Code::Internal,
        Code::NotFound,
        Code::InvalidArgument,
        Code::Unavailable,
        Code::Unsupported,
        Code::AlreadyExists,
        Code::Cancelled,
    ];

    /// The value of a metric's `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Code::Unknown => "UNKNOWN",
            Code::Internal => "INTERNAL",
            Code::NotFound => "NOT_FOUND",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::Unavailable => "UNAVAILABLE",
            Code::Unsupported => "UNSUPPORTED",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::Cancelled => "CANCELLED",
        }
    }
}

/// The name that load reasons carry, for instance `Invalid argument`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Code::Unknown => "Unknown",
            Code::Internal => "Internal",
            Code::NotFound => "Not found",
            Code::InvalidArgument => "Invalid argument",
            Code::Unavailable => "Unavailable",
            Code::Unsupported => "Unsupported",
            Code::AlreadyExists => "Already exists",
            Code::Cancelled => "Cancelled",
        })
    }
}

/// Why an engine could not do what it was asked: a kind for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// The kind of failure.
    pub code: Code,
    /// What is wrong and, where possible, what to do about it.
    pub message: String,
}

impl BackendError {
    /// An error of that kind.
    pub fn new(code: Code, message: impl Into<String>) -> BackendError {
        BackendError { code, message: message.into() }
    }

    /// An error of the engine itself.
    pub fn internal(message: impl Into<String>) -> BackendError {
        BackendError::new(Code::Internal, message)
    }

    /// The end of a load that is no longer wanted.
    pub fn load_cancelled() -> BackendError {
        BackendError::new(Code::Cancelled, "the load was cancelled")
    }

    /// An error of the caller, or of a model's author.
    pub fn invalid(message: impl Into<String>) -> BackendError {
        BackendError::new(Code::InvalidArgument, message)
    }
}
