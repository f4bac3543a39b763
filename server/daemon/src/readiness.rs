//! Whether the server is ready, as far as that depends on its models.

use std::collections::BTreeSet;

use nerite_core::Registry;
use nerite_core::registry::{ModelEntry, PublicState, Status};

/// What the server's readiness depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// No model: it is ready as soon as it serves.
    Any,
    /// Every model that was to be loaded and not unloaded since; as Triton's `--strict-readiness`.
    Strict,
    /// These models alone.
    Models(BTreeSet<String>),
}

impl Readiness {
    /// By the settings of the same names.
    pub(crate) fn new(strict: bool, models: &[String]) -> Readiness {
        match models {
            [] if strict => Readiness::Strict,
            [] => Readiness::Any,
            models => Readiness::Models(models.iter().cloned().collect()),
        }
    }

    /// Whether it can be met while other models are still being loaded for the first time.
    pub(crate) fn is_of_some_models(&self) -> bool {
        matches!(self, Readiness::Models(_))
    }

    /// Says in the log which of the models that it depends on are not there to be loaded.
    pub(crate) fn warn_of_unknown(&self, is_known: impl Fn(&str) -> bool) {
        let Readiness::Models(names) = self else { return };
        for name in names.iter().filter(|name| !is_known(name)) {
            tracing::warn!(
                "--ready-models names '{name}', which is not among the models to be loaded: the server is not ready until it \
                 is served"
            );
        }
    }

    /// Whether the models are as they have to be.
    pub(crate) fn is_met(&self, registry: &Registry) -> bool {
        match self {
            Readiness::Any => true,
            Readiness::Strict => registry.all(is_as_it_should_be),
            Readiness::Models(names) => names.iter().all(|name| {
                registry
                    .entry(name)
                    .is_some_and(|entry| !entry.ready.is_empty() && is_as_it_should_be(&entry))
            }),
        }
    }
}

/// A model is as it should be while something of it serves and can be counted on, whatever is being changed or could
/// not be: what was there before goes on. (Triton's server is not ready while a new version is loaded beside the old, and
/// for good when that fails.) One of which nothing serves is as it should be if that is what was asked for.
fn is_as_it_should_be(entry: &ModelEntry) -> bool {
    if !entry.ready.is_empty() {
        return entry.ready.values().all(|version| version.is_sound());
    }
    let is_gone = |status: &Status| match status.state {
        PublicState::Unloading => true,
        PublicState::Unavailable => status.is_unloaded(),
        PublicState::Ready | PublicState::Loading => false,
    };
    entry.failure.is_none() && entry.versions.values().all(is_gone)
}
