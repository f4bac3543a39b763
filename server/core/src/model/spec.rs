use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nerite_backend::{DType, Ragged, Shape, Slot, Tensor};

use super::{Scheduling, SequenceBatching};
use crate::reshape::reshaped;

/// A model as it is served: its configuration, completed from what the engine says of it, with names resolved.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// The model's name.
    pub name: String,
    /// What metadata gives as its platform, for instance `onnxruntime_onnx`.
    pub platform: String,
    /// The largest number of rows in a batch; 0 for a model without batching, whose shapes have no batch dimension.
    pub max_batch_size: u32,
    /// How requests wait, and which are executed together.
    pub scheduling: Scheduling,
    /// In what requests of a batch may differ, and how the engine is told.
    pub ragged: Arc<Ragged>,
    /// Set if its requests are parts of sequences.
    pub sequences: Option<Arc<SequenceBatching>>,
    /// Whether a request may have any number of responses.
    pub decoupled: bool,
    /// Whether its answers are kept for requests that are the same, where the server keeps any.
    pub response_cache: bool,
    /// Its inputs, in the order of the configuration.
    pub inputs: Vec<InputSpec>,
    /// Its outputs, in the order of the configuration.
    pub outputs: Vec<OutputSpec>,
    /// How many inputs and outputs the engine's declaration has; slots are below these.
    pub slots: SlotCounts,
    /// What the configuration wants its metrics to be labelled with, by name.
    pub metric_tags: BTreeMap<String, String>,
    /// The completed configuration as `inference.ModelConfig` in its wire encoding. The core does not look into it.
    pub published: Bytes,
}

/// How many inputs and outputs a model's declaration has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounts {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
}

/// An input as callers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its shape without the batch dimension; -1 for an extent that may vary.
    pub dims: Shape,
    /// The shape, again without the batch dimension, in which the engine gets it, if another.
    pub reshape: Option<Shape>,
    /// Whether a request may leave it out.
    pub optional: bool,
    /// Its place in the engine's declaration.
    pub slot: Slot,
}

/// An output as callers see it.
#[derive(Clone, Debug)]
pub struct OutputSpec {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its shape without the batch dimension; -1 for an extent that may vary.
    pub dims: Shape,
    /// The shape, again without the batch dimension, in which the engine gives it, if another.
    pub reshape: Option<Shape>,
    /// What its elements stand for, by index, for classification.
    pub labels: Option<Arc<[String]>>,
    /// Its place in the engine's declaration.
    pub slot: Slot,
}

impl OutputSpec {
    /// The tensor that the engine gave, in the shape that the configuration shows to callers. `batching` says whether it
    /// has a batch dimension in front.
    pub fn as_configured(&self, tensor: Tensor, batching: bool) -> Tensor {
        let Some(from) = &self.reshape else { return tensor };
        let (batch, dims) = tensor.shape.split_at(usize::from(batching).min(tensor.shape.len()));
        let shape = batch.iter().copied().chain(reshaped(from, dims, &self.dims)).collect();
        Tensor { shape, ..tensor }
    }
}

impl ModelSpec {
    /// Whether tensors have a batch dimension in front.
    pub fn batching(&self) -> bool {
        self.max_batch_size > 0
    }

    /// Whether several requests may share a batch.
    pub(crate) fn combines(&self) -> bool {
        self.scheduling.dynamic_batching && self.batching()
    }

    /// How many inputs a request must have at least.
    pub fn required_inputs(&self) -> usize {
        self.inputs.iter().filter(|input| !input.optional).count()
    }

    /// The whole shape of a tensor with these `dims`: -1 in front if there is a batch dimension.
    pub fn full_shape(&self, dims: &Shape) -> Shape {
        if self.batching() { dims.prepend(-1) } else { dims.clone() }
    }
}
