//! What clients may have done to the models.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use nerite_backend::Code;
use nerite_core::lifecycle::{LoadFailure, Manager, Overrides};
use nerite_core::model::OpenError;
use nerite_core::repository::{Found, find, names};
use parking_lot::Mutex;

use crate::settings::ControlMode;

/// The models as clients control them, if they may.
pub(crate) struct Control {
    manager: Manager,
    mode: ControlMode,
    repositories: Arc<[PathBuf]>,
    turns: Turns,
}

/// The right to look at a model, held from the look at its files until the manager is told of it.
type Turn = tokio::sync::Mutex<()>;

/// The turns of the models that somebody looks at.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Weak<Turn>>>);

impl Turns {
    /// The turn of a model. A directory that does not answer holds up those who want that model, and no others.
    fn of(&self, model: &str) -> Arc<Turn> {
        let mut turns = self.0.lock();
        if let Some(turn) = turns.get(model).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::default());
        turns.insert(model.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// Why a client does not get what it asks for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Somebody else decides what is loaded. The words are Triton's, also where nothing polls.
    #[error("explicit model load / unload is not allowed if polling is enabled")]
    NotExplicit,
    /// What is asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The load failed.
    #[error("{0}")]
    Load(#[from] LoadFailure),
    /// The look at the repositories panicked, or the server is exiting.
    #[error("the model repositories cannot be looked at: {0}")]
    Look(#[from] tokio::task::JoinError),
}

impl ControlError {
    /// The kind of failure.
    pub(crate) fn code(&self) -> Code {
        match self {
            ControlError::NotExplicit => Code::Unavailable,
            ControlError::Invalid(_) => Code::InvalidArgument,
            ControlError::Load(failure) => failure.code(),
            ControlError::Look(_) => Code::Internal,
        }
    }
}

impl Control {
    /// Control of the models of these repositories.
    pub(crate) fn new(manager: Manager, mode: ControlMode, repositories: &[PathBuf]) -> Control {
        Control { manager, mode, repositories: repositories.into(), turns: Turns::default() }
    }

    /// Loads a model, or loads it anew where it has changed, and returns when it is served.
    pub(crate) async fn load(&self, model: String, overrides: Overrides) -> Result<(), ControlError> {
        self.require_explicit()?;
        check_name(&model)?;
        overrides.check(&model).map_err(|error| ControlError::Invalid(error.message))?;
        // Who looks first is heard first: what was seen earlier must not take the place of what was seen later.
        let turn = self.turns.of(&model);
        let turn = turn.lock().await;
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
        let wanted = self.manager.want(vec![(model, source)]);
        drop(turn);
        match wanted.await.into_iter().next() {
            None => Ok(()),
            Some(failure) => Err(failure.into()),
        }
    }

    /// Unloads a model, which may not even be known, and returns when it cannot be found any more. `dependents`: of an
    /// ensemble the models too that were loaded for it alone.
    pub(crate) async fn unload(&self, model: String, dependents: bool) -> Result<(), ControlError> {
        self.require_explicit()?;
        match dependents {
            true => self.manager.unload_with_dependents(&model).await,
            false => self.manager.unload(&model, false).await,
        }
        // Only then is looked whether it is still to be known, since a look may take long.
        let repositories = Arc::clone(&self.repositories);
        let name = model.clone();
        let found = tokio::task::spawn_blocking(move || find(&repositories, &name)).await?;
        if found == Found::Absent {
            self.manager.unload(&model, true).await;
        }
        Ok(())
    }

    /// The names of all models that are in the repositories now.
    pub(crate) async fn names(&self) -> Result<Vec<String>, ControlError> {
        let repositories = Arc::clone(&self.repositories);
        Ok(tokio::task::spawn_blocking(move || names(&repositories)).await?)
    }

    fn require_explicit(&self) -> Result<(), ControlError> {
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
        return Err(ControlError::Invalid(text.to_owned()));
    }
    if name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
        return Err(ControlError::Invalid(format!(
            "invalid model name '{name}', model name must not contain path traversal characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn those_who_want_the_same_model_wait_for_each_other_and_for_nobody_else() {
        let turns = Turns::default();
        let first = turns.of("a");
        let held = first.try_lock().unwrap();
        assert!(turns.of("a").try_lock().is_err());
        assert!(turns.of("b").try_lock().is_ok());
        drop(held);
        assert!(turns.of("a").try_lock().is_ok());
        drop(first);
        let last = turns.of("c");
        assert_eq!((turns.0.lock().len(), Arc::strong_count(&last)), (1, 1), "of the others nothing is kept");
    }
}
