//! Everything about a request that can be seen to be wrong is refused here, before the queue.

mod admit;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

pub use admit::{Admitted, admit};
pub use refusal::Refusal;
pub(crate) use refusal::RequestPrefix;
pub use request::{InferInput, InferOutput, InferRequest, QueueTerms};
