//! The one place where kinds of failure become gRPC statuses.

use nerite_backend::{BackendError, Code};
use nerite_core::admission::Refusal;
use nerite_core::registry::LookupError;
use tonic::Status;

use crate::control::ControlError;
use crate::inflight::Full;

/// The longest message, in bytes. It travels in a header, which clients limit (gRPC's C core to 8 KiB in all), and may
/// quote what a client sent.
const LONGEST: usize = 2_000;

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
    Status::new(code, shortened(message.into()))
}

fn shortened(mut message: String) -> String {
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push('…');
    }
    message
}

/// The caller's mistake.
pub(super) fn invalid(message: impl Into<String>) -> Status {
    status(Code::InvalidArgument, message)
}

/// Something that this server does not do.
pub(super) fn unsupported(message: impl Into<String>) -> Status {
    status(Code::Unsupported, message)
}

/// A failure that is not the caller's.
pub(super) fn internal(message: impl Into<String>) -> Status {
    status(Code::Internal, message)
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

pub(super) fn of_control(error: &ControlError) -> Status {
    status(error.code(), error.to_string())
}

/// Never RESOURCE_EXHAUSTED, which clients do not try again.
pub(super) fn of_full(full: &Full) -> Status {
    status(Code::Unavailable, full.to_string())
}

pub(super) fn exiting() -> Status {
    Status::unavailable("Server exiting")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_too_long_for_a_header_is_cut_between_characters() {
        let status = invalid("é".repeat(5_000));
        assert!(status.message().len() < 2_100 && status.message().ends_with("é…"));
        assert_eq!(invalid("short").message(), "short");
    }
}
