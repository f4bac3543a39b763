use nerite_backend::{BackendError, Code};

/// Why a model never came to versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its directory or its configuration cannot be used.
    #[error(transparent)]
    Unreadable(LoadError),
    /// Its version policy selects none of the versions that it has.
    #[error(transparent)]
    NoVersion(LoadError),
    /// It is an ensemble whose models are not there, or do not fit together.
    #[error(transparent)]
    Composition(LoadError),
}

impl OpenError {
    /// That a look at its directory found it not to be servable, for that reason.
    pub(crate) fn refused(reason: impl Into<String>) -> OpenError {
        OpenError::Unreadable(LoadError::internal(reason))
    }

    /// The kind of failure.
    pub fn code(&self) -> Code {
        match self {
            OpenError::Unreadable(error) | OpenError::NoVersion(error) | OpenError::Composition(error) => {
                error.code
            }
        }
    }
}

/// Why a model, or a version of it, is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct LoadError {
    /// The kind of failure.
    pub code: Code,
    /// What is wrong and, where possible, what to do about it.
    pub message: String,
}

impl LoadError {
    /// An error of that kind.
    pub fn new(code: Code, message: impl Into<String>) -> LoadError {
        LoadError { code, message: message.into() }
    }

    /// A model or configuration that is wrong in itself.
    pub fn invalid(message: impl Into<String>) -> LoadError {
        LoadError::new(Code::InvalidArgument, message)
    }

    /// A failure of reading or of the engine.
    pub fn internal(message: impl Into<String>) -> LoadError {
        LoadError::new(Code::Internal, message)
    }
}

impl From<BackendError> for LoadError {
    fn from(error: BackendError) -> LoadError {
        LoadError { code: error.code, message: error.message }
    }
}
