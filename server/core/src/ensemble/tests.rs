#[cfg(feature = "shuttle")]
mod interleavings;
mod places;
mod property;
mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nerite_backend::{DType, Shape, TensorDeclaration};

use super::Pipeline;
use crate::execution::Machinery;
use crate::mock::model;
use crate::model::{EnsemblePlan, ModelSpec, OutputSpec, StepPlan};
use crate::registry::{ModelEntry, Registry};
use crate::version::ModelVersion;

/// A step, whose model's inputs and outputs become these tensors.
fn step(model: &str, inputs: &[(&str, &str)], outputs: &[(&str, &str)]) -> StepPlan {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    StepPlan { model: model.to_owned(), version: None, inputs: map(inputs), outputs: map(outputs) }
}

/// An ensemble of batches of up to 8 rows, of bytes, one a row.
fn plan(inputs: &[&str], outputs: &[&str], steps: Vec<StepPlan>) -> EnsemblePlan {
    let tensor = |name: &&str| TensorDeclaration {
        name: (*name).to_owned(),
        dtype: DType::U8,
        shape: Shape::new(&[-1, 1]),
        optional: false,
    };
    let mut plan = EnsemblePlan { max_batch_size: 8, steps, ..EnsemblePlan::default() };
    plan.declaration.inputs = inputs.iter().map(tensor).collect();
    plan.declaration.outputs = outputs.iter().map(tensor).collect();
    plan
}

/// An ensemble from X to Y through models of an input X and an output X_OUT.
fn chain(models: &[&str]) -> EnsemblePlan {
    let names: Vec<String> = (0..models.len()).map(|place| format!("t{place}")).collect();
    let before = |place: usize| if place == 0 { "X" } else { &names[place] };
    let after = |place: usize| if place + 1 == models.len() { "Y" } else { &names[place + 1] };
    let steps = models.iter().enumerate();
    let steps = steps.map(|(place, name)| step(name, &[("X", before(place))], &[("X_OUT", after(place))]));
    plan(&["X"], &["Y"], steps.collect())
}

/// Makes versions known, each as the only one of its model.
fn serve_all(registry: &Arc<Registry>, versions: &[Arc<ModelVersion>]) {
    registry.announce(versions.iter().map(|version| version.spec.name.as_str()));
    for version in versions {
        let ready = BTreeMap::from([(1, Arc::clone(version))]);
        registry.publish(&version.spec.name, ModelEntry { ready, ..ModelEntry::default() });
    }
}

/// The ensemble `E` of models that the registry has.
fn ensemble(registry: &Arc<Registry>, plan: &EnsemblePlan) -> Arc<ModelVersion> {
    named("E", registry, plan, &Machinery::default())
}

fn named(
    name: &str,
    registry: &Arc<Registry>,
    plan: &EnsemblePlan,
    machinery: &Machinery,
) -> Arc<ModelVersion> {
    let models = plan.steps.iter().map(|step| registry.lookup(&step.model, None).expect("it is served"));
    let models: Vec<_> = models.collect();
    let pipeline = Pipeline::new(name, plan, &models, Arc::downgrade(registry), machinery).expect("it fits");
    let inputs = plan.declaration.inputs.iter().enumerate();
    let inputs = inputs.map(|(slot, input)| crate::mock::input(&input.name, input.dtype, &[1], slot));
    let outputs = plan.declaration.outputs.iter().enumerate();
    let outputs = outputs.map(|(slot, output)| OutputSpec {
        name: output.name.clone(),
        dtype: output.dtype,
        dims: Shape::new(&[1]),
        reshape: None,
        labels: None,
        slot,
    });
    let spec = ModelSpec {
        decoupled: pipeline.is_decoupled(),
        outputs: outputs.collect(),
        ..model(name, plan.max_batch_size, inputs.collect())
    };
    Arc::new(ModelVersion::of_ensemble(1, spec, pipeline, Arc::default(), Duration::ZERO))
}
