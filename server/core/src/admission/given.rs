use nerite_backend::{Data, Meta, Tensor};

use super::{InferInput, QueueTerms};

/// A request that a step of an ensemble makes.
pub(crate) struct StepRequest<'a> {
    pub(crate) inputs: Vec<StepInput<'a>>,
    /// The outputs asked for, each with something else of the asker's.
    pub(crate) outputs: &'a [(String, usize)],
    pub(crate) meta: Meta,
    pub(crate) terms: QueueTerms,
}

/// An input whose elements some model gave, or the ensemble's caller.
pub(crate) struct StepInput<'a> {
    pub(crate) name: &'a str,
    pub(crate) tensor: Tensor,
}

/// An input to be checked, whoever gives it.
pub(super) trait Given {
    /// Its name.
    fn name(&self) -> &str;
    /// The wire name of its element type.
    fn datatype(&self) -> &str;
    /// Its shape, with the batch dimension if the model has one.
    fn shape(&self) -> &[i64];
    /// Whether its elements are there.
    fn has_data(&self) -> bool;
    /// Its elements in wire layout.
    fn into_data(self) -> Data;
}

impl Given for InferInput {
    fn name(&self) -> &str {
        &self.name
    }

    fn datatype(&self) -> &str {
        &self.datatype
    }

    fn shape(&self) -> &[i64] {
        &self.shape
    }

    fn has_data(&self) -> bool {
        self.data.is_some()
    }

    fn into_data(self) -> Data {
        self.data.unwrap_or_default().into()
    }
}

impl Given for StepInput<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn datatype(&self) -> &str {
        self.tensor.dtype.wire_name()
    }

    fn shape(&self) -> &[i64] {
        &self.tensor.shape
    }

    fn has_data(&self) -> bool {
        true
    }

    fn into_data(self) -> Data {
        self.tensor.data
    }
}
