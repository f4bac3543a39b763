use std::sync::Arc;

use nerite_backend::{BackendError, Code, Compute, Outputs, Run, Slot, Slots, Tensor};
use smallvec::SmallVec;

use crate::output;
use crate::run::{self, Inputs};
use crate::run_options::RunOptions;
use crate::session::Session;
use crate::value::Input;

/// One executor of a session.
pub(crate) struct OrtCompute {
    session: Arc<Session>,
    options: Arc<RunOptions>,
}

impl OrtCompute {
    /// An executor; with `shrink_arena`, each run gives the memory back that it needed.
    pub(crate) fn new(session: Arc<Session>, shrink_arena: bool) -> Result<OrtCompute, BackendError> {
        Ok(OrtCompute { session, options: Arc::new(RunOptions::new(shrink_arena)?) })
    }

    fn inputs<'a>(&self, tensors: &'a [Option<Tensor>]) -> Result<Inputs<'a>, BackendError> {
        let known = self.session.inputs().len();
        if tensors.len() > known {
            return Err(BackendError::internal(format!(
                "{} inputs for a model that has {known}",
                tensors.len()
            )));
        }
        let given = tensors.iter().enumerate().filter_map(|(slot, tensor)| Some((slot, tensor.as_ref()?)));
        given.map(|(slot, tensor)| Ok((slot, Input::new(self.session.environment(), tensor)?))).collect()
    }

    fn missing(&self, slot: Slot) -> BackendError {
        let name = self.session.outputs()[slot].to_string_lossy();
        BackendError::internal(format!("the model gave no value for output '{name}'"))
    }
}

impl Compute for OrtCompute {
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        wanted: &Slots,
        run: &Run<'_>,
    ) -> Result<Outputs, BackendError> {
        let count = self.session.outputs().len();
        let slots: SmallVec<[Slot; 8]> = (0..count).filter(|&slot| wanted.contains(slot)).collect();
        let mut outputs = Outputs::from_elem(None, count);
        if slots.is_empty() {
            return Ok(outputs);
        }
        let inputs = self.inputs(inputs)?;
        let watch = run.cancel.map(|cancel| self.options.watch(cancel));
        let values = run::run(&self.session, &self.options, &inputs, &slots).map_err(|error| match watch
            .as_ref()
            .is_some_and(|watch| watch.terminated())
        {
            true => BackendError::new(Code::Cancelled, "the request was cancelled while the model ran"),
            false => error.into(),
        })?;
        drop(watch);
        for (slot, value) in slots.into_iter().zip(values) {
            let value = value.ok_or_else(|| self.missing(slot))?;
            outputs[slot] = Some(output::into_tensor(&self.session, value, &inputs)?);
        }
        Ok(outputs)
    }
}
