use std::collections::BTreeMap;

use nerite_backend::Declaration;

/// What an ensemble is: a model whose requests go through other models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnsemblePlan {
    /// The largest number of rows in a request; 0 for an ensemble whose shapes have no batch dimension.
    pub max_batch_size: u32,
    /// Its inputs and outputs as the steps see them.
    pub declaration: Declaration,
    /// Its steps, in the order of the configuration, which is not that of their execution.
    pub steps: Vec<StepPlan>,
    /// How many requests of each step may be in flight at once, of all requests of the ensemble together; 0 sets no limit.
    pub max_inflight_requests: usize,
}

/// One model of an ensemble, and how it is connected to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// The model's name.
    pub model: String,
    /// The version; the latest if none is given.
    pub version: Option<u64>,
    /// By the model's input: the ensemble's tensor that it is given.
    pub inputs: BTreeMap<String, String>,
    /// By the model's output: the ensemble's tensor that it becomes.
    pub outputs: BTreeMap<String, String>,
}
