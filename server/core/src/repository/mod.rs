//! What is on disk, and how it changes.

mod directory;
mod fingerprint;
mod settling;

pub use directory::{Found, ModelDirectory, ScanError, Scanned, find, names, scan};
pub use fingerprint::{Digest, Fingerprint, digest};
pub use settling::{Change, Settling, Sighting};
