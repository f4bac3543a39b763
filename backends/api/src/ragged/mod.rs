//! Batches of requests whose shapes differ.

mod batch_input;
mod batch_output;

use smallvec::SmallVec;

pub use batch_input::{BatchInput, BatchInputKind, BatchInputType};
pub use batch_output::BatchOutput;

use crate::{BackendError, Inputs, Request, Shape, Slot, Slots};

/// What the requests of a batch may differ in, and how their model is told. The terms are those of
/// `allow_ragged_batch`, `batch_input` and `batch_output` in `inference.ModelConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ragged {
    /// The inputs that may have another shape in each request. [`Batched`](crate::Batched) puts all their elements into
    /// one dimension, also those of a request that is alone.
    pub inputs: Slots,
    /// The inputs that are made from the requests of a batch.
    pub batch_inputs: Vec<BatchInput>,
    /// The outputs that are cut up by the requests' shapes, and not by their rows.
    pub batch_outputs: Vec<BatchOutput>,
}

impl Ragged {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.batch_inputs.is_empty() && self.batch_outputs.is_empty()
    }

    /// Adds what is made from the requests to the inputs of their batch.
    pub(crate) fn add_batch_inputs(
        &self,
        inputs: &mut Inputs,
        requests: &[Request],
    ) -> Result<(), BackendError> {
        for batch_input in &self.batch_inputs {
            let tensor = batch_input.tensor(&shapes(requests, batch_input.source)?)?;
            for &target in &batch_input.targets {
                let place = inputs.get_mut(target);
                *place.ok_or_else(|| BackendError::internal("a batch input has no place"))? =
                    Some(tensor.clone());
            }
        }
        Ok(())
    }

    /// How that output is cut up, if not by rows.
    pub(crate) fn batch_output(&self, output: Slot) -> Option<&BatchOutput> {
        self.batch_outputs.iter().find(|batch_output| batch_output.target == output)
    }
}

/// The shapes of an input, by request.
pub(crate) fn shapes(requests: &[Request], input: Slot) -> Result<SmallVec<[&Shape; 8]>, BackendError> {
    let shape = |request| {
        let tensor = Request::inputs(request).get(input).and_then(Option::as_ref);
        tensor.map(|tensor| &tensor.shape).ok_or_else(|| {
            BackendError::invalid("the request leaves out an input whose shape the model is told: send it")
        })
    };
    requests.iter().map(shape).collect()
}

/// How many elements a tensor of that shape has; admission lets no other shapes pass than those that have a number.
fn count(shape: &Shape) -> Result<usize, BackendError> {
    shape.elements().ok_or_else(|| BackendError::internal("a request has more elements than can be counted"))
}
