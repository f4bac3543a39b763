//! What is on disk, and how it changes.
//!
//! A look at a model: [`find`]. What differs from what is known goes through [`Settling`], until it is over. When to look:
//! [`Watcher`], to which notification puts what happens into its inbox.

mod directory;
mod file_system;
mod fingerprint;
mod inbox;
mod notification;
mod places;
mod root;
mod settling;
mod watcher;

pub(crate) use directory::version_number;
pub use directory::{Found, ModelDirectory, ScanError, Scanned, find, names, scan};
pub use fingerprint::{Digest, Fingerprint, digest};
pub use settling::{Change, Settling, Sighting};
pub use watcher::{Watcher, WatcherOptions};
