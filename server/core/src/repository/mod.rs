//! What is on disk.

mod directory;

pub use directory::{ModelDirectory, ScanError, Scanned, scan};
