use smallvec::SmallVec;

use crate::{BackendError, Cancel, Slots, Tensor};

/// A run's outputs by slot; `None` where an output was not wanted.
pub type Outputs = SmallVec<[Option<Tensor>; 2]>;

/// The easy way to write an engine: one contiguous tensor per input, one per output.
pub trait Compute: Send {
    /// Runs the model once.
    ///
    /// `inputs` are by slot, `None` where an optional one was left out. Each lies in host memory in one piece, aligned
    /// to its element size. With batching, the first extent of every input is the number of rows, but of those that
    /// are [ragged](crate::Ragged) or made from the batch. The result has a tensor for every wanted slot.
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        wanted: &Slots,
        run: &Run<'_>,
    ) -> Result<Outputs, BackendError>;
}

/// The circumstances of a run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Set where a single caller is served: the run may be given up when that caller goes away.
    pub cancel: Option<&'a Cancel>,
}
