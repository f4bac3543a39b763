use std::path::PathBuf;

use nerite_backend::{DType, Shape};

/// A request that every instance of a model executes before the model is served, so that no caller waits for what an
/// engine does only once. The terms are those of `model_warmup` in `inference.ModelConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// Its name, for messages; may be empty.
    pub name: String,
    /// How many rows it has, at least one; of no meaning for a model without batching.
    pub rows: u32,
    /// How many times it is executed, at least once.
    pub count: u32,
    /// Its inputs.
    pub inputs: Vec<WarmUpInput>,
}

/// An input of such a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUpInput {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// The shape of a row: without the batch dimension, every extent zero or more.
    pub dims: Shape,
    /// What it holds.
    pub data: WarmUpData,
}

/// Where the elements of such an input come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmUpData {
    /// Every element is zero, false or the empty string.
    Zero,
    /// Floats are below 1 and not negative; whole numbers are 0 or 1, since they may be indices; strings are empty.
    Random,
    /// A file with the elements of one row, in wire layout; every row is the same.
    File(PathBuf),
}
