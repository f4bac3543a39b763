//! Everything about a request that can be seen to be wrong is refused here, before the queue.

mod admit;
mod given;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

pub(crate) use admit::admit_step;
pub use admit::{Admitted, admit};
pub(crate) use given::{StepInput, StepRequest};
pub use refusal::Refusal;
pub(crate) use refusal::RequestPrefix;
pub use request::{InferInput, InferOutput, InferRequest, QueueTerms};
