//! Answers that are kept for requests that are the same, and requests that are the same while they are executed.
//!
//! ```text
//! infer ──▶ Key ──hash──▶ a shard: Kept ── the same ──▶ the answer, at once
//!                                  │ not there
//!                                  ▼
//!                                  Flights ── the same is under way ──▶ Waiting, until that lands
//!                                  │ it is not
//!                                  ▼
//!                         the queue, the engine ──▶ Leading ──▶ keep the answer, give it to those who wait
//! ```
//!
//! [`Kept`] and [`Flights`] are pure. What is found by its hash is compared in full before it is an answer.

mod cache;
mod entry;
mod flights;
mod kept;
mod key;
mod leading;
mod lookup;
#[cfg(test)]
mod tests;
mod version_cache;
mod waiting;

pub(crate) use cache::Lease;
pub use cache::{ResponseCache, Usage};
pub(crate) use lookup::Lookup;
pub(crate) use version_cache::{Asked, VersionCache};
