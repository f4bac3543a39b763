//! What is on disk.

mod directory;
mod fingerprint;

pub use directory::{Found, ModelDirectory, ScanError, Scanned, find, names, scan};
pub use fingerprint::{Digest, Fingerprint, digest};
