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

    /// Whether the models are as they have to be.
    pub(crate) fn is_met(&self, registry: &Registry) -> bool {
        match self {
            Readiness::Any => true,
            Readiness::Strict => registry.entries().values().all(|entry| is_as_it_should_be(entry)),
            Readiness::Models(names) => names.iter().all(|name| {
                registry
                    .entry(name)
                    .is_some_and(|entry| !entry.ready.is_empty() && is_as_it_should_be(&entry))
            }),
        }
    }
}

/// Every version serves, or was unloaded, and none is stalled. A model that never came to versions is not as it should be;
/// one whose last change failed is, if what was there before serves.
fn is_as_it_should_be(entry: &ModelEntry) -> bool {
    let is_fine = |status: &Status| match status.state {
        PublicState::Ready | PublicState::Unloading => true,
        PublicState::Unavailable => status.is_unloaded(),
        PublicState::Loading => false,
    };
    let has_failed = entry.failure.is_some() && entry.ready.is_empty();
    !has_failed
        && entry.versions.values().all(is_fine)
        && !entry.ready.values().any(|version| version.is_stalled())
}
