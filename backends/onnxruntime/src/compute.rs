use std::sync::Arc;

use nerite_backend::{BackendError, Code, Compute, Outputs, Run, Slot, Slots, Tensor};
use smallvec::SmallVec;

use crate::output;
use crate::run::{self, Inputs};
use crate::run_options::{RunOptions, Watch};
use crate::session::Session;
use crate::status::OrtError;
use crate::value::Input;

/// One executor of a session on the processor.
pub(crate) struct OrtCompute {
    session: Arc<Session>,
    options: Arc<RunOptions>,
}

impl OrtCompute {
    /// An executor.
    pub(crate) fn new(session: Arc<Session>, options: RunOptions) -> OrtCompute {
        OrtCompute { session, options: Arc::new(options) }
    }
}

/// The tensors that are there as values, each with its slot.
pub(crate) fn given<'a>(
    session: &Session,
    tensors: &'a [Option<Tensor>],
) -> Result<Inputs<'a>, BackendError> {
    let known = session.inputs().len();
    if tensors.len() > known {
        return Err(BackendError::internal(format!("{} inputs for a model that has {known}", tensors.len())));
    }
    let given = tensors.iter().enumerate().filter_map(|(slot, tensor)| Some((slot, tensor.as_ref()?)));
    given.map(|(slot, tensor)| Ok((slot, Input::new(session.environment(), tensor)?))).collect()
}

/// The slots of the outputs that somebody wants.
pub(crate) fn wanted_slots(session: &Session, wanted: &Slots) -> SmallVec<[Slot; 8]> {
    (0..session.outputs().len()).filter(|&slot| wanted.contains(slot)).collect()
}

/// Why a run failed: because it was given up, if it was.
pub(crate) fn why_ended(watch: Option<&Watch<'_>>, error: OrtError) -> BackendError {
    match watch.is_some_and(Watch::terminated) {
        true => BackendError::new(Code::Cancelled, "the request was cancelled while the model ran"),
        false => error.into(),
    }
}

/// The model left an output without a value.
#[cold]
pub(crate) fn missing(session: &Session, slot: Slot) -> BackendError {
    let name = session.outputs()[slot].to_string_lossy();
    BackendError::internal(format!("the model gave no value for output '{name}'"))
}

impl Compute for OrtCompute {
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        wanted: &Slots,
        run: &Run<'_>,
    ) -> Result<Outputs, BackendError> {
        let slots = wanted_slots(&self.session, wanted);
        let mut outputs = Outputs::from_elem(None, self.session.outputs().len());
        if slots.is_empty() {
            return Ok(outputs);
        }
        let inputs = given(&self.session, inputs)?;
        let watch = run.cancel.map(|cancel| self.options.watch(cancel));
        let values = run::run(&self.session, &self.options, &inputs, &slots)
            .map_err(|error| why_ended(watch.as_ref(), error))?;
        drop(watch);
        for (slot, value) in slots.into_iter().zip(values) {
            let value = value.ok_or_else(|| missing(&self.session, slot))?;
            outputs[slot] = Some(output::into_tensor(&self.session, value, &inputs)?);
        }
        Ok(outputs)
    }
}
