use crate::{DType, Shape};

/// What a loaded model says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    /// Its inputs; an input's place here is its slot.
    pub inputs: Vec<TensorDeclaration>,
    /// Its outputs; an output's place here is its slot.
    pub outputs: Vec<TensorDeclaration>,
}

/// One input or output of a model, as the model has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorDeclaration {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its whole shape, with the batch dimension if it has one; -1 for an extent that may vary.
    pub shape: Shape,
    /// Whether a request may leave it out (inputs only).
    pub optional: bool,
}
