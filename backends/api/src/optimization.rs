use std::collections::BTreeMap;

/// What a configuration's `optimization` asks of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Optimization {
    /// `graph.level`: 0 is the backend's default, and what the others mean is its own business.
    pub graph_level: i32,
    /// `execution_accelerators.gpu_execution_accelerator`, for instances on GPUs.
    pub gpu_accelerators: Vec<Accelerator>,
    /// `execution_accelerators.cpu_execution_accelerator`.
    pub cpu_accelerators: Vec<Accelerator>,
}

impl Optimization {
    /// Nothing.
    pub const NONE: Optimization =
        Optimization { graph_level: 0, gpu_accelerators: Vec::new(), cpu_accelerators: Vec::new() };
}

/// Something that an engine may hand parts of a model to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accelerator {
    /// Its name, for instance `tensorrt`.
    pub name: String,
    /// Its parameters, whose meaning is its own.
    pub parameters: BTreeMap<String, String>,
}
