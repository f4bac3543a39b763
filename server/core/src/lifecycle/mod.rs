//! The way of a model: from its directory to the registry, and out of it.
//!
//! ```text
//! Manager ──Event──▶ Worker ──Job──▶ threads that load ──Outcome──▶ Worker ──▶ Registry (one atomic swap)
//! (a handle)         the one owner   Loader: configuration,
//!                    of every life   engine, instances
//! ```

mod composition;
mod event;
mod failure;
mod guard;
mod job;
mod life;
mod loader;
mod manager;
mod no_version;
mod overrides;
mod parts;
mod slots;
mod source;
#[cfg(test)]
mod tests;
mod warm_up;
mod worker;

pub use event::{Wanted, as_seen};
pub use failure::LoadFailure;
pub use loader::{Loader, OpenedModel, VersionOutcome};
pub use manager::{Manager, ManagerOptions};
pub use overrides::{Overrides, remove_leftovers};
pub use parts::Part;
pub use source::Source;
