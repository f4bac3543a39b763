//! How full batches are where nothing is configured but `dynamic_batching`: an engine that takes 2 ms for any batch of up
//! to 32 rows, one instance, 64 callers that each send the next request when they have the last one's answer.
//!
//! Prints the mean batch and the throughput as a share of what full batches would give. `scripts/bench batches` runs it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nerite_backend::{
    Artifact, Backend, BackendError, Batched, Cancel, Compute, DType, Declaration, Instance, InstanceKind,
    InstanceSpec, Meta, Model, Outputs, Run, Shape, Slots, Tensor, TensorDeclaration,
};
use nerite_core::ModelVersion;
use nerite_core::admission::{Admitted, QueueTerms};
use nerite_core::execution::{Machinery, MachineryOptions, Network};
use nerite_core::lifecycle::Loader;
use nerite_core::model::{
    ConfigSource, InputSpec, InstanceGroup, LoadError, LoadPlan, ModelDraft, ModelSpec, OutputSpec,
    Scheduling, SlotCounts,
};
use nerite_core::repository::ModelDirectory;

const CALLERS: usize = 64;
const MOST_ROWS: u32 = 32;
const RUN: Duration = Duration::from_millis(2);
const FOR: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut means: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let version = load(&runtime)?;
        let begun = Instant::now();
        runtime.block_on(call_until(&version, begun + FOR));
        let statistics = version.statistics();
        let mean = statistics.inferences() as f64 / statistics.executions() as f64;
        let full = f64::from(MOST_ROWS) / RUN.as_secs_f64();
        let share = statistics.inferences() as f64 / begun.elapsed().as_secs_f64() / full;
        println!(
            "mean batch {mean:.1} of {MOST_ROWS}, {:.0} % of the throughput of full batches",
            share * 100.0
        );
        means.push(mean);
    }
    means.sort_by(f64::total_cmp);
    println!("median of {ROUNDS}: mean batch {:.1} of {MOST_ROWS}", means[ROUNDS / 2]);
    Ok(())
}

/// Callers in a closed loop, until that time.
async fn call_until(version: &Arc<ModelVersion>, end: Instant) {
    let caller = || {
        let version = Arc::clone(version);
        tokio::spawn(async move {
            while Instant::now() < end {
                let response = version.infer(request(), Instant::now()).await;
                assert!(response.error.is_none(), "{:?}", response.error);
            }
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(|_| caller()).collect();
    for caller in callers {
        caller.await.expect("no caller panics");
    }
}

fn request() -> Admitted {
    let input = Tensor::new(DType::U8, Shape::new(&[1, 1]), Bytes::from_static(&[7]));
    let inputs = [Some(input)].into_iter().collect();
    Admitted { inputs, wanted: Slots::all(1), rows: 1, meta: Meta::default(), terms: QueueTerms::default() }
}

fn load(runtime: &tokio::runtime::Runtime) -> Result<Arc<ModelVersion>, Box<dyn std::error::Error>> {
    let threads = runtime.metrics().num_workers();
    let network = Some(Network { runtime: runtime.handle().clone(), threads });
    let machinery = Machinery::new(MachineryOptions { network, ..MachineryOptions::default() });
    let engine: Arc<dyn Backend> = Arc::new(Sleeper);
    let backends = HashMap::from([("sleeper".to_owned(), engine)]);
    let loader = Loader::new(Box::new(Configured), backends, Arc::new(machinery));
    let directory = ModelDirectory { name: "m".to_owned(), versions: vec![1], ..ModelDirectory::default() };
    let opened = loader.open(directory.into()).map_err(|error| error.to_string())?;
    Ok(loader.load(&opened, 1, &Cancel::default())?)
}

/// An engine that sleeps and gives back what it was given.
struct Sleeper;

impl Backend for Sleeper {
    fn load(&self, _: &Artifact<'_>, _: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        let tensor = |name: &str| TensorDeclaration {
            name: name.to_owned(),
            dtype: DType::U8,
            shape: Shape::new(&[-1, 1]),
            optional: false,
        };
        Ok(Arc::new(SleepingModel(Declaration {
            inputs: vec![tensor("x")],
            outputs: vec![tensor("y")],
            ..Declaration::default()
        })))
    }
}

struct SleepingModel(Declaration);

impl Model for SleepingModel {
    fn declaration(&self) -> &Declaration {
        &self.0
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        Ok(Box::new(Batched::new(Sleeping, spec)))
    }
}

struct Sleeping;

impl Compute for Sleeping {
    fn compute(
        &mut self,
        inputs: &[Option<Tensor>],
        _: &Slots,
        _: &Run<'_>,
    ) -> Result<Outputs, BackendError> {
        thread::sleep(RUN);
        Ok(inputs.iter().cloned().collect())
    }
}

/// The configuration of the only model.
struct Configured;

impl ConfigSource for Configured {
    fn read(&self, _: &ModelDirectory, _: Option<&str>) -> Result<Arc<dyn ModelDraft>, LoadError> {
        let group =
            InstanceGroup { name: "m".to_owned(), kind: InstanceKind::Cpu, count: 1, rate_limit: None };
        let plan = LoadPlan {
            backend: "sleeper".to_owned(),
            instances: vec![group],
            parameters: BTreeMap::new(),
            ..LoadPlan::default()
        };
        Ok(Arc::new(Draft(plan)))
    }
}

struct Draft(LoadPlan);

impl ModelDraft for Draft {
    fn plan(&self) -> &LoadPlan {
        &self.0
    }

    fn complete(&self, _: &Declaration) -> Result<ModelSpec, LoadError> {
        let (dtype, dims) = (DType::U8, Shape::new(&[1]));
        let input = InputSpec {
            name: "x".to_owned(),
            dtype,
            dims: dims.clone(),
            reshape: None,
            optional: false,
            slot: 0,
        };
        let output = OutputSpec { name: "y".to_owned(), dtype, dims, reshape: None, labels: None, slot: 0 };
        Ok(ModelSpec {
            name: "m".to_owned(),
            platform: "sleeper".to_owned(),
            max_batch_size: MOST_ROWS,
            scheduling: Scheduling { dynamic_batching: true, ..Scheduling::default() },
            ragged: Arc::default(),
            sequences: None,
            decoupled: false,
            response_cache: false,
            inputs: vec![input],
            outputs: vec![output],
            slots: SlotCounts { inputs: 1, outputs: 1 },
            metric_tags: Default::default(),
            published: Bytes::new(),
        })
    }
}
