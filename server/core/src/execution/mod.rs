//! How requests reach an engine: a queue and free instances under one short lock, a pure decision, a pool of threads.

mod call;
mod decide;
mod executor;
mod pool;
mod scheduler;
#[cfg(test)]
mod tests;

pub use call::Answer;
pub(crate) use call::{Ledger, Open, open};
pub use executor::Executor;
pub use pool::{Job, Pool};
pub use scheduler::{Dispatch, Scheduler};
