//! The way of a model: from its directory to the registry, and out of it.

mod loader;
mod manager;
mod no_version;
mod parallel;
mod state;
#[cfg(test)]
mod tests;
mod warm_up;

pub use loader::{Loader, OpenedModel, VersionOutcome};
pub use manager::{LoadFailure, Manager};
