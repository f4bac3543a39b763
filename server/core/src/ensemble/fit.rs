//! Whether the models of an ensemble fit together. The complaints are those of Triton.

use nerite_backend::{DType, Shape};

use super::Graph;
use super::graph::{Step, TensorId};
use super::shapes::agree;
use crate::model::{EnsemblePlan, LoadError, ModelSpec};

/// An ensemble whose models fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// Which steps may answer any number of times.
    pub(super) many: Vec<bool>,
}

/// What is known of a tensor, and from which model.
#[derive(Clone)]
struct Known<'a> {
    model: &'a str,
    dtype: DType,
    /// Without the batch dimension.
    dims: Shape,
    /// With it, if there is one.
    full: Shape,
}

impl Graph {
    /// Checks that these models, by step, fit together.
    pub(super) fn fit(
        &self,
        name: &str,
        plan: &EnsemblePlan,
        models: &[&ModelSpec],
    ) -> Result<Fit, LoadError> {
        let mut fitting = Fitting { graph: self, name, known: vec![None; self.tensors.len()] };
        fitting.know_own(plan);
        for (step, model) in self.steps.iter().zip(models) {
            check_batches(name, plan.max_batch_size, model)?;
            fitting.inputs(step, model)?;
            fitting.outputs(step, model)?;
        }
        let many = models.iter().map(|model| model.decoupled).collect();
        let fit = Fit { many };
        self.check_origins(name, models, &fit)?;
        Ok(fit)
    }

    /// What comes from different responses of decoupled steps does not belong together.
    fn check_origins(&self, name: &str, models: &[&ModelSpec], fit: &Fit) -> Result<(), LoadError> {
        let mut origin: Vec<Option<usize>> = vec![None; self.tensors.len()];
        let mixed = |model: &str| {
            Err(LoadError::invalid(format!(
                "in ensemble {name}, step of model '{model}' receives inputs originated from different decoupled models; \
                 a step gets inputs that all come with the same response of a decoupled one"
            )))
        };
        let same = |origin: &[Option<usize>], tensors: &[TensorId]| {
            tensors.windows(2).all(|pair| origin[pair[0]] == origin[pair[1]])
        };
        for &step in &self.order {
            let Step { inputs, outputs, .. } = &self.steps[step];
            let inputs: Vec<TensorId> = inputs.iter().map(|&(_, tensor)| tensor).collect();
            if !same(&origin, &inputs) {
                return mixed(&models[step].name);
            }
            let inherited = inputs.first().and_then(|&tensor| origin[tensor]);
            let of_outputs = if fit.many[step] { Some(step) } else { inherited };
            outputs.iter().for_each(|&(_, tensor)| origin[tensor] = of_outputs);
        }
        if same(&origin, &self.outputs) { Ok(()) } else { mixed(name) }
    }
}

/// A batching ensemble may have models that do not batch, where whole shapes agree.
fn check_batches(name: &str, most: u32, model: &ModelSpec) -> Result<(), LoadError> {
    if model.max_batch_size == 0 || model.max_batch_size >= most {
        return Ok(());
    }
    let (step, its) = (&model.name, model.max_batch_size);
    Err(LoadError::invalid(format!(
        "ensemble {name} allows maximum batch size {most}, but it contains model {step} which only allows maximum batch \
         size to be {its}; lower the ensemble's max_batch_size, or raise the model's"
    )))
}

struct Fitting<'a> {
    graph: &'a Graph,
    name: &'a str,
    known: Vec<Option<Known<'a>>>,
}

impl<'a> Fitting<'a> {
    fn know_own(&mut self, plan: &EnsemblePlan) {
        let batching = plan.max_batch_size > 0;
        let inputs = plan.declaration.inputs.iter().enumerate();
        let outputs = self.graph.outputs.iter().copied().zip(&plan.declaration.outputs);
        let mut own = Vec::new();
        for (tensor, declared) in inputs.chain(outputs) {
            let dims = Shape::new(declared.shape.get(usize::from(batching)..).unwrap_or_default());
            own.push((
                tensor,
                Known { model: self.name, dtype: declared.dtype, dims, full: declared.shape.clone() },
            ));
        }
        for (tensor, known) in own {
            self.known[tensor].get_or_insert(known);
        }
    }

    fn inputs(&mut self, step: &Step, model: &'a ModelSpec) -> Result<(), LoadError> {
        let (name, step_name) = (self.name, &model.name);
        for (input, tensor) in &step.inputs {
            let Some(spec) = model.inputs.iter().find(|spec| spec.name == *input) else {
                let tensor = &self.graph.tensors[*tensor].name;
                return Err(LoadError::invalid(format!(
                    "in ensemble {name}, ensemble tensor {tensor} is mapping to non-existing input {input} in model \
                     {step_name}; its inputs are: {}",
                    listed(model.inputs.iter().map(|input| &input.name))
                )));
            };
            self.agree(*tensor, model, spec.dtype, &spec.dims)?;
        }
        let is_mapped = |name: &str| step.inputs.iter().any(|(input, _)| input == name);
        match model.inputs.iter().find(|input| !input.optional && !is_mapped(&input.name)) {
            None => Ok(()),
            Some(unmapped) => Err(LoadError::invalid(format!(
                "in ensemble {name}, input {} in model {step_name} is not mapped to any ensemble tensors; add it to the \
                 input_map of the step",
                unmapped.name
            ))),
        }
    }

    fn outputs(&mut self, step: &Step, model: &'a ModelSpec) -> Result<(), LoadError> {
        let (name, step_name) = (self.name, &model.name);
        for (output, tensor) in &step.outputs {
            let Some(spec) = model.outputs.iter().find(|spec| spec.name == *output) else {
                let tensor = &self.graph.tensors[*tensor].name;
                return Err(LoadError::invalid(format!(
                    "in ensemble {name}, ensemble tensor {tensor} is mapped from non-existing output {output} in model \
                     {step_name}; its outputs are: {}",
                    listed(model.outputs.iter().map(|output| &output.name))
                )));
            };
            self.agree(*tensor, model, spec.dtype, &spec.dims)?;
        }
        Ok(())
    }

    /// Shapes must agree with the batch dimension or without: a tensor may go from a model that batches to one that does
    /// not. Where an extent may vary, each request is checked.
    fn agree(
        &mut self,
        tensor: TensorId,
        model: &'a ModelSpec,
        dtype: DType,
        dims: &Shape,
    ) -> Result<(), LoadError> {
        let here = Known { model: &model.name, dtype, dims: dims.clone(), full: model.full_shape(dims) };
        let Some(known) = &self.known[tensor] else {
            self.known[tensor] = Some(here);
            return Ok(());
        };
        let what = match () {
            () if known.dtype != here.dtype => {
                let (a, b) = (known.dtype.config_name(), here.dtype.config_name());
                format!("inconsistent data type: {a} is inferred from model {} while {b}", known.model)
            }
            () if !agree(&known.dims, &here.dims) && !agree(&known.full, &here.full) => {
                let (a, b) = (&known.full, &here.full);
                format!("inconsistent shape: {a} is inferred from model {} while {b}", known.model)
            }
            () => return Ok(()),
        };
        let (name, tensor) = (self.name, &self.graph.tensors[tensor].name);
        Err(LoadError::invalid(format!(
            "in ensemble {name}, ensemble tensor {tensor}: {what} is inferred from model {}; a tensor has one type and \
             one shape in all that write or read it",
            here.model
        )))
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}
