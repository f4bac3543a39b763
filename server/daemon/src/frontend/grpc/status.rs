//! The one place where kinds of failure become gRPC statuses.

use nerite_backend::{BackendError, Code};
use nerite_core::admission::Refusal;
use nerite_core::registry::LookupError;
use tonic::Status;

/// The gRPC status of a kind of failure.
pub(super) fn status(code: Code, message: impl Into<String>) -> Status {
    let code = match code {
        Code::Unknown => tonic::Code::Unknown,
        Code::Internal => tonic::Code::Internal,
        Code::NotFound => tonic::Code::NotFound,
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::Unsupported => tonic::Code::Unimplemented,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::Cancelled => tonic::Code::Cancelled,
    };
    Status::new(code, message)
}

pub(super) fn of_lookup(error: &LookupError) -> Status {
    status(error.code(), error.to_string())
}

pub(super) fn of_refusal(refusal: &Refusal) -> Status {
    status(refusal.code(), refusal.to_string())
}

pub(super) fn of_backend(error: BackendError) -> Status {
    status(error.code, error.message)
}

pub(super) fn exiting() -> Status {
    Status::unavailable("Server exiting")
}
