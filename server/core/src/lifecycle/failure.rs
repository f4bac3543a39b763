use std::fmt;

use nerite_backend::Code;

use crate::model::{LoadError, OpenError};

/// A model, or a version of one, that could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFailure {
    /// It never came to versions.
    Model {
        /// The model's name.
        model: String,
        /// The reason.
        error: OpenError,
    },
    /// One of its versions failed.
    Version {
        /// The model's name.
        model: String,
        /// The version.
        version: u64,
        /// The reason.
        error: LoadError,
    },
    /// The load was given up before its end.
    Abandoned {
        /// The model's name.
        model: String,
        /// Who wanted what else.
        reason: &'static str,
    },
}

impl LoadFailure {
    /// The kind of failure that a caller who asked for the load is told; as in Triton, which knows two.
    pub fn code(&self) -> Code {
        match self {
            LoadFailure::Model { error: OpenError::Unreadable(_), .. } => Code::Internal,
            LoadFailure::Model { error: OpenError::NoVersion(_) | OpenError::Composition(_), .. }
            | LoadFailure::Version { .. } => Code::InvalidArgument,
            LoadFailure::Abandoned { .. } => Code::Unavailable,
        }
    }
}

impl std::error::Error for LoadFailure {}

/// The texts are those of Triton, which hides the cause behind the first.
impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadFailure::Model { model, error: OpenError::Unreadable(error) } => {
                write!(f, "failed to load '{model}', failed to poll from model repository: {error}")
            }
            LoadFailure::Model {
                model,
                error: OpenError::NoVersion(error) | OpenError::Composition(error),
            } => {
                write!(f, "load failed for model '{model}': {}", error.message)
            }
            LoadFailure::Version { model, version, error } => write!(
                f,
                "load failed for model '{model}': version {version} is at UNAVAILABLE state: {error};"
            ),
            LoadFailure::Abandoned { model, reason } => {
                write!(f, "load of model '{model}' was given up: {reason}")
            }
        }
    }
}
