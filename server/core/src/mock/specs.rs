use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use nerite_backend::{Backend, Cancel, DType, Declaration, InstanceKind, Shape, Slot, TensorDeclaration};

use super::{Handle, MockConfigs, MockEngine};
use crate::execution::Machinery;
use crate::lifecycle::{Loader, OpenedModel, VersionOutcome};
use crate::model::{InputSpec, InstanceGroup, LoadPlan, ModelSpec, OutputSpec, Scheduling, SlotCounts};
use crate::repository::ModelDirectory;
use crate::response_cache::ResponseCache;
use crate::version::ModelVersion;

/// A required input.
pub(crate) fn input(name: &str, dtype: DType, dims: &[i64], slot: Slot) -> InputSpec {
    let (name, dims) = (name.to_owned(), Shape::new(dims));
    InputSpec { name, dtype, dims, reshape: None, optional: false, slot }
}

pub(crate) fn output(name: &str, dtype: DType, dims: &[i64], slot: Slot) -> OutputSpec {
    OutputSpec { name: name.to_owned(), dtype, dims: Shape::new(dims), reshape: None, labels: None, slot }
}

/// A model of these inputs that gives each of them back, with dynamic batching if it has batches.
pub(crate) fn model(name: &str, max_batch_size: u32, inputs: Vec<InputSpec>) -> ModelSpec {
    let outputs: Vec<OutputSpec> = inputs
        .iter()
        .map(|input| output(&format!("{}_OUT", input.name), input.dtype, &input.dims, input.slot))
        .collect();
    ModelSpec {
        name: name.to_owned(),
        platform: "mock".to_owned(),
        max_batch_size,
        scheduling: Scheduling { dynamic_batching: max_batch_size > 0, ..Scheduling::default() },
        ragged: Arc::default(),
        sequences: None,
        decoupled: false,
        response_cache: false,
        slots: SlotCounts { inputs: inputs.len(), outputs: outputs.len() },
        inputs,
        outputs,
        metric_tags: Default::default(),
        published: Bytes::new(),
    }
}

pub(crate) fn declaration(spec: &ModelSpec) -> Declaration {
    let tensor = |name: &str, dtype, dims: &Shape| TensorDeclaration {
        name: name.to_owned(),
        dtype,
        shape: spec.full_shape(dims),
        optional: false,
    };
    Declaration {
        inputs: spec.inputs.iter().map(|input| tensor(&input.name, input.dtype, &input.dims)).collect(),
        outputs: spec.outputs.iter().map(|output| tensor(&output.name, output.dtype, &output.dims)).collect(),
        ..Declaration::default()
    }
}

/// A plan for the engine `mock`.
pub(crate) fn plan(instances: u32) -> LoadPlan {
    let group = InstanceGroup {
        name: "group".to_owned(),
        kind: InstanceKind::Cpu,
        count: instances,
        rate_limit: None,
    };
    LoadPlan { backend: "mock".to_owned(), instances: vec![group], ..LoadPlan::default() }
}

/// A model's directory that is on no disk.
pub(crate) fn directory(name: &str, versions: &[u64]) -> ModelDirectory {
    let (name, versions) = (name.to_owned(), versions.to_vec());
    ModelDirectory { path: PathBuf::from("/models").join(&name), name, versions, ..Default::default() }
}

/// A model on the mock engine, to be loaded as often as a test likes. Its versions share one pool of threads.
pub(crate) struct Stage {
    loader: Loader,
    opened: OpenedModel,
}

impl Stage {
    pub(crate) fn with(spec: ModelSpec, plan: LoadPlan, machinery: Arc<Machinery>) -> (Stage, Handle) {
        Stage::with_cache(spec, plan, machinery, None)
    }

    /// The same on a server that keeps answers there.
    pub(crate) fn with_cache(
        spec: ModelSpec,
        plan: LoadPlan,
        machinery: Arc<Machinery>,
        cache: Option<Arc<ResponseCache>>,
    ) -> (Stage, Handle) {
        let (engine, handle) = MockEngine::new(declaration(&spec));
        let directory = directory(&spec.name, &[1]);
        let backends = HashMap::from([("mock".to_owned(), Arc::new(engine) as Arc<dyn Backend>)]);
        let loader = Loader::new(Box::new(MockConfigs::default().with(plan, spec)), backends, machinery)
            .with_response_cache(cache);
        let opened = loader.open(directory.into()).expect("the model can be opened");
        (Stage { loader, opened }, handle)
    }

    pub(crate) fn load(&self) -> Arc<ModelVersion> {
        self.try_load(&Cancel::default()).expect("the model can be loaded")
    }

    /// The same, where it may fail.
    pub(crate) fn try_load(&self, cancel: &Cancel) -> VersionOutcome {
        self.loader.load(&self.opened, 1, cancel)
    }
}

/// A loaded version of a model with so many instances.
pub(crate) fn serve(spec: ModelSpec, instances: u32) -> (Arc<ModelVersion>, Handle) {
    serve_with(spec, plan(instances), Arc::default())
}

/// The same with any plan and machinery.
pub(crate) fn serve_with(
    spec: ModelSpec,
    plan: LoadPlan,
    machinery: Arc<Machinery>,
) -> (Arc<ModelVersion>, Handle) {
    let (stage, handle) = Stage::with(spec, plan, machinery);
    (stage.load(), handle)
}
