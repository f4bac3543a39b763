//! What clients may have done to the models.

use std::path::PathBuf;
use std::sync::Arc;

use nerite_backend::Code;
use nerite_core::lifecycle::{LoadFailure, Manager, Overrides};
use nerite_core::model::OpenError;
use nerite_core::repository::{Found, find, names};

use crate::settings::ControlMode;

/// The models as clients control them, if they may.
pub(crate) struct Control {
    manager: Manager,
    mode: ControlMode,
    repositories: Arc<[PathBuf]>,
}

/// Why a client does not get what it asks for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Somebody else decides what is loaded.
    #[error("explicit model load / unload is not allowed if polling is enabled")]
    NotExplicit,
    /// No model can have such a name.
    #[error("{0}")]
    Name(String),
    /// The load failed.
    #[error("{0}")]
    Load(#[from] LoadFailure),
    /// A thread that was to look at the repositories was not to be had.
    #[error("the model repositories cannot be looked at: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl ControlError {
    /// The kind of failure.
    pub(crate) fn code(&self) -> Code {
        match self {
            ControlError::NotExplicit => Code::Unavailable,
            ControlError::Name(_) => Code::InvalidArgument,
            ControlError::Load(failure) => failure.code(),
            ControlError::Thread(_) => Code::Internal,
        }
    }
}

impl Control {
    /// Control of the models of these repositories.
    pub(crate) fn new(manager: Manager, mode: ControlMode, repositories: &[PathBuf]) -> Control {
        Control { manager, mode, repositories: repositories.into() }
    }

    /// Loads a model, or loads it anew where it has changed, and returns when it is served.
    pub(crate) async fn load(&self, model: String, overrides: Overrides) -> Result<(), ControlError> {
        self.is_explicit()?;
        check_name(&model)?;
        let repositories = Arc::clone(&self.repositories);
        let name = model.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let found = find(&repositories, &name);
            let is_nowhere = found == Found::Absent && overrides.files.is_empty();
            (overrides.apply(&name, found).map_err(OpenError::Unreadable), is_nowhere)
        });
        let source = match looked.await? {
            // Nothing is kept of it: whoever makes names up would fill the memory with them.
            (Err(error), true) => {
                let failure = LoadFailure::Model { model, error };
                tracing::error!("{failure}");
                return Err(failure.into());
            }
            (source, _) => source,
        };
        match self.manager.want(vec![(model, source)]).await.into_iter().next() {
            None => Ok(()),
            Some(failure) => Err(failure.into()),
        }
    }

    /// Unloads a model, which may not even be known, and returns when it cannot be found any more.
    pub(crate) async fn unload(&self, model: String) -> Result<(), ControlError> {
        self.is_explicit()?;
        let repositories = Arc::clone(&self.repositories);
        let name = model.clone();
        let found = tokio::task::spawn_blocking(move || find(&repositories, &name)).await?;
        self.manager.unload(&model, matches!(found, Found::Absent)).await;
        Ok(())
    }

    /// The names of all models that are in the repositories now.
    pub(crate) async fn names(&self) -> Result<Vec<String>, ControlError> {
        let repositories = Arc::clone(&self.repositories);
        Ok(tokio::task::spawn_blocking(move || names(&repositories)).await?)
    }

    fn is_explicit(&self) -> Result<(), ControlError> {
        match self.mode {
            ControlMode::Explicit => Ok(()),
            ControlMode::None | ControlMode::Poll => Err(ControlError::NotExplicit),
        }
    }
}

/// Refuses what would lead out of the repositories; in Triton's words.
fn check_name(name: &str) -> Result<(), ControlError> {
    if name.is_empty() {
        let text = "Model name cannot be empty. Please enter a valid name to deploy.";
        return Err(ControlError::Name(text.to_owned()));
    }
    if name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
        return Err(ControlError::Name(format!(
            "invalid model name '{name}', model name must not contain path traversal characters"
        )));
    }
    Ok(())
}
