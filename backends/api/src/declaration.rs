use crate::{DType, Shape};

/// What a loaded model says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    /// Its inputs; an input's place here is its slot.
    pub inputs: Vec<TensorDeclaration>,
    /// Its outputs; an output's place here is its slot.
    pub outputs: Vec<TensorDeclaration>,
    /// What has become of its configuration.
    pub configuration: Configuration,
}

/// What a backend made of a model's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Configuration {
    /// It left it alone: the server completes from the tensors what the configuration leaves out, and the engine is
    /// given what the configuration says of [ragged](crate::Ragged) batches.
    #[default]
    FromTensors,
    /// It took the tensors from it, so that there is nothing to complete, and makes batches of them itself.
    AsWritten,
    /// It completed it itself, to this one, in protobuf's JSON, and makes batches itself.
    Completed(String),
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
