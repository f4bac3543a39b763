use std::collections::BTreeMap;

use nerite_backend::Slots;

use crate::model::{EnsemblePlan, LoadError, StepPlan};

/// The place of a tensor of an ensemble in its [`Graph`]. The ensemble's own inputs come first, by slot.
pub(super) type TensorId = usize;

/// How tensors go between the steps of an ensemble, with names resolved. It is sound in itself: every tensor is written once
/// and read, nothing waits for itself, and every output can be reached.
#[derive(Debug)]
pub struct Graph {
    /// The models, each version once.
    pub(super) models: Vec<ModelRef>,
    pub(super) steps: Vec<Step>,
    /// The steps in an order in which each comes after those that it waits for.
    pub(super) order: Vec<usize>,
    pub(super) tensors: Vec<Node>,
    /// How many of the tensors are the ensemble's inputs.
    pub(super) inputs: usize,
    /// The tensors that are the ensemble's outputs, by slot.
    pub(super) outputs: Vec<TensorId>,
}

/// A model that steps name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelRef {
    pub(super) name: String,
    /// The latest if none is given.
    pub(super) version: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Step {
    /// Which of the models.
    pub(super) model: usize,
    /// The model's inputs, and which tensor each is given.
    pub(super) inputs: Vec<(String, TensorId)>,
    /// The model's outputs, and which tensor each becomes.
    pub(super) outputs: Vec<(String, TensorId)>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    /// The step that writes it; none for an input of the ensemble.
    pub(super) writer: Option<usize>,
    /// The steps that read it, each once.
    pub(super) readers: Vec<usize>,
    /// Whether it is an output of the ensemble.
    pub(super) is_output: bool,
}

impl Graph {
    /// Resolves and checks the ensemble of that name, as far as that can be told without the models.
    pub fn new(name: &str, plan: &EnsemblePlan) -> Result<Graph, LoadError> {
        if plan.steps.is_empty() {
            return Err(LoadError::invalid(format!(
                "must specify 'step' for ensemble '{name}'; name the models that it consists of in ensemble_scheduling"
            )));
        }
        let mut graph = Builder::of(plan).build(name, plan)?;
        graph.order = graph.in_order();
        graph.check(name, plan)?;
        Ok(graph)
    }

    /// The steps that have to run for these outputs.
    pub(super) fn needed(&self, wanted: &Slots) -> Slots {
        let mut needed = Slots::default();
        let wanted: Vec<TensorId> =
            wanted.iter().filter_map(|slot| self.outputs.get(slot).copied()).collect();
        for &step in self.order.iter().rev() {
            let is_read = |&(_, tensor): &(String, TensorId)| {
                wanted.contains(&tensor)
                    || self.tensors[tensor].readers.iter().any(|&reader| needed.contains(reader))
            };
            if self.steps[step].outputs.iter().any(is_read) {
                needed.insert(step);
            }
        }
        needed
    }

    fn in_order(&self) -> Vec<usize> {
        let mut missing: Vec<usize> = self.steps.iter().map(Step::distinct_inputs).collect();
        let mut known: Vec<TensorId> = (0..self.inputs).collect();
        let mut order = Vec::with_capacity(self.steps.len());
        while let Some(tensor) = known.pop() {
            for &reader in &self.tensors[tensor].readers {
                missing[reader] -= 1;
                if missing[reader] == 0 {
                    order.push(reader);
                    known.extend(self.steps[reader].outputs.iter().map(|&(_, tensor)| tensor));
                }
            }
        }
        order
    }

    /// The complaints are those of Triton, in its order.
    fn check(&self, name: &str, plan: &EnsemblePlan) -> Result<(), LoadError> {
        let is_reached = |node: &Node| node.writer.is_none_or(|writer| self.order.contains(&writer));
        let inputs = self.tensors.iter().take(self.inputs);
        if let Some(input) = inputs.into_iter().find(|node| node.readers.is_empty()) {
            return Err(LoadError::invalid(format!(
                "ensemble input '{}' for ensemble '{name}' is not used; give it to a step in its input_map, or remove it",
                input.name
            )));
        }
        for &output in &self.outputs {
            let node = &self.tensors[output];
            if node.writer.is_none() && output >= self.inputs && node.readers.is_empty() {
                return Err(LoadError::invalid(format!(
                    "ensemble output '{}' for ensemble '{name}' is not used; write it in the output_map of a step, or \
                     remove it",
                    node.name
                )));
            }
            if !is_reached(node) || node.writer.is_none() && output >= self.inputs {
                return Err(LoadError::invalid(format!(
                    "output '{}' for ensemble '{name}' is not written; {}",
                    node.name,
                    self.missing(plan)
                )));
            }
        }
        let is_used = |node: &&Node| !node.readers.is_empty() && is_reached(node);
        let inner = self.tensors.iter().filter(|node| !node.is_output);
        match inner.into_iter().find(|node| !is_used(node) || node.writer.is_none() && !self.is_input(node)) {
            None => Ok(()),
            Some(unused) => {
                let remedy = match unused.readers.is_empty() {
                    true => "remove it from the output_map, or read it in the input_map of a step".to_owned(),
                    false => self.missing(plan),
                };
                let tensor = &unused.name;
                Err(LoadError::invalid(format!(
                    "ensemble tensor '{tensor}' is unused in ensemble '{name}'; {remedy}"
                )))
            }
        }
    }

    fn is_input(&self, node: &Node) -> bool {
        self.tensors.iter().take(self.inputs).any(|input| std::ptr::eq(input, node))
    }

    /// Why some step never runs.
    fn missing(&self, plan: &EnsemblePlan) -> String {
        let stuck = (0..self.steps.len()).find(|step| !self.order.contains(step));
        let nobody_writes = stuck.and_then(|step| {
            let mut inputs = self.steps[step].inputs.iter();
            inputs.find(|&&(_, tensor)| self.tensors[tensor].writer.is_none() && tensor >= self.inputs)
        });
        match (stuck, nobody_writes) {
            (_, Some(&(_, tensor))) => format!(
                "nothing writes '{}', which a step reads: correct its name, or make it an input of the ensemble",
                self.tensors[tensor].name
            ),
            (Some(step), None) => {
                let model = plan.steps.get(step).map(|step| step.model.as_str()).unwrap_or_default();
                format!("step {step}, of model '{model}', waits for its own outputs: break the circle")
            }
            (None, None) => "write it in the output_map of a step".to_owned(),
        }
    }
}

impl Step {
    fn distinct_inputs(&self) -> usize {
        let mut tensors: Vec<TensorId> = self.inputs.iter().map(|&(_, tensor)| tensor).collect();
        tensors.sort_unstable();
        tensors.dedup();
        tensors.len()
    }
}

/// A graph on its way, with the tensors by name.
struct Builder<'a> {
    graph: Graph,
    by_name: BTreeMap<&'a str, TensorId>,
}

impl<'a> Builder<'a> {
    fn of(plan: &'a EnsemblePlan) -> Builder<'a> {
        let graph = Graph {
            models: Vec::new(),
            steps: Vec::new(),
            order: Vec::new(),
            tensors: Vec::new(),
            inputs: plan.declaration.inputs.len(),
            outputs: Vec::new(),
        };
        let mut builder = Builder { graph, by_name: BTreeMap::new() };
        for input in &plan.declaration.inputs {
            // Of two of the same name, the second is complained of elsewhere.
            let id = builder.add(&input.name);
            builder.by_name.entry(&input.name).or_insert(id);
        }
        for output in &plan.declaration.outputs {
            let id = builder.tensor(&output.name);
            builder.graph.tensors[id].is_output = true;
            builder.graph.outputs.push(id);
        }
        builder
    }

    fn build(mut self, name: &str, plan: &'a EnsemblePlan) -> Result<Graph, LoadError> {
        for (number, step) in plan.steps.iter().enumerate() {
            check_step(name, number, step)?;
            let outputs = step.outputs.iter().map(|(output, tensor)| (output.clone(), self.tensor(tensor)));
            let outputs: Vec<_> = outputs.collect();
            for &(_, tensor) in &outputs {
                let is_input = tensor < self.graph.inputs;
                let node = &mut self.graph.tensors[tensor];
                if is_input || node.writer.replace(number).is_some() {
                    return Err(LoadError::invalid(format!(
                        "ensemble tensor '{}' can appear in an output map only once for ensemble '{name}' step {number}; \
                         give what is written there another name{}",
                        node.name,
                        if is_input { ", since it is an input of the ensemble" } else { "" }
                    )));
                }
            }
            let inputs = step.inputs.iter().map(|(input, tensor)| (input.clone(), self.tensor(tensor)));
            let inputs: Vec<_> = inputs.collect();
            for &(_, tensor) in &inputs {
                let readers = &mut self.graph.tensors[tensor].readers;
                if readers.last() != Some(&number) {
                    readers.push(number);
                }
            }
            let wanted = ModelRef { name: step.model.clone(), version: step.version };
            let known = self.graph.models.iter().position(|model| *model == wanted);
            let model = known.unwrap_or_else(|| {
                self.graph.models.push(wanted);
                self.graph.models.len() - 1
            });
            self.graph.steps.push(Step { model, inputs, outputs });
        }
        Ok(self.graph)
    }

    fn tensor(&mut self, name: &'a str) -> TensorId {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        let id = self.add(name);
        self.by_name.insert(name, id);
        id
    }

    fn add(&mut self, name: &str) -> TensorId {
        let node = Node { name: name.to_owned(), writer: None, readers: Vec::new(), is_output: false };
        self.graph.tensors.push(node);
        self.graph.tensors.len() - 1
    }
}

fn check_step(name: &str, number: usize, step: &StepPlan) -> Result<(), LoadError> {
    let missing = [
        ("model_name", step.model.is_empty()),
        ("input_map", step.inputs.is_empty()),
        ("output_map", step.outputs.is_empty()),
    ];
    match missing.into_iter().find(|&(_, is_missing)| is_missing) {
        None => Ok(()),
        Some((field, _)) => Err(LoadError::invalid(format!(
            "must specify '{field}' in step {number} of ensemble '{name}'; add it to the step"
        ))),
    }
}
