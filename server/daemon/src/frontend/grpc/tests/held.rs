//! Models whose requests stay with the test.

use std::collections::HashMap;
use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nerite_backend::{
    Artifact, Backend, BackendError, Batch, Cancel, Condition, DType, Declaration, Instance, InstanceSpec,
    Model, Shape, TensorDeclaration,
};
use nerite_core::Registry;
use nerite_core::execution::Machinery;
use nerite_core::lifecycle::{Loader, Manager, ManagerOptions, as_seen};
use nerite_core::repository::scan;
use nerite_model_config::{ModelConfigs, NoGpus, Options};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::inflight::Inflight;
use crate::serving::Serving;

const CONFIG: &str = r#"
    backend: "held"
    input [{ name: "X" data_type: TYPE_UINT8 dims: [ -1 ] }]
    output [{ name: "Y" data_type: TYPE_UINT8 dims: [ -1 ] }]
"#;

/// What makes a model decoupled.
const DECOUPLED: &str = "model_transaction_policy { decoupled: true }";

/// A server of the models `held` and `many`, of which the second is decoupled.
pub(super) struct Held {
    pub(super) serving: Arc<Serving>,
    /// What is being executed. A batch that is dropped is answered with an error.
    pub(super) batches: UnboundedReceiver<Batch>,
    /// While set, every execution breaks its instance, and none can be made.
    pub(super) is_broken: Arc<AtomicBool>,
    _manager: Manager,
}

impl Held {
    /// A server that lets so many requests and bytes be in flight; 0 sets no limit.
    pub(super) fn new(requests: usize, bytes: usize) -> Held {
        let repository = tempfile::tempdir().unwrap();
        for (model, config) in [("held", CONFIG.to_owned()), ("many", format!("{CONFIG}{DECOUPLED}"))] {
            fs::create_dir_all(repository.path().join(model).join("1")).unwrap();
            fs::write(repository.path().join(model).join("config.pbtxt"), config).unwrap();
        }
        let (sender, batches) = unbounded_channel();
        let is_broken = Arc::new(AtomicBool::new(false));
        let held_model =
            HeldModel { declaration: declaration(), batches: sender, is_broken: Arc::clone(&is_broken) };
        let engine: Arc<dyn Backend> = Arc::new(Engine(held_model));
        let configs = ModelConfigs::new(Options {
            disable_auto_complete: false,
            config_name: None,
            default_max_batch_size: 0,
            default_max_queue_size: None,
            gpus: Arc::new(NoGpus),
        });
        let engines = HashMap::from([("held".to_owned(), engine)]);
        let loader = Loader::new(Box::new(configs), engines, Arc::new(Machinery::default()));
        let registry = Arc::new(Registry::default());
        let options = ManagerOptions::default();
        let manager = Manager::start(Arc::new(loader), Arc::clone(&registry), options).unwrap();
        let found = scan(&[repository.path().to_owned()]).unwrap();
        let loading = manager.want(found.into_sightings().into_iter().map(as_seen).collect());
        // In a thread of its own, since a test may be on a runtime already.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let failures = std::thread::spawn(move || runtime.block_on(loading)).join().unwrap();
        assert!(failures.is_empty(), "{}", failures[0]);
        let inflight = Arc::new(Inflight::new(NonZeroUsize::new(requests), NonZeroUsize::new(bytes)));
        Held {
            serving: Arc::new(Serving::new("test".into(), registry, inflight)),
            batches,
            is_broken,
            _manager: manager,
        }
    }
}

struct Engine(HeldModel);

impl Backend for Engine {
    fn load(&self, _: &Artifact<'_>, _: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        Ok(Arc::new(self.0.clone()))
    }
}

fn declaration() -> Declaration {
    let tensor = |name: &str| TensorDeclaration {
        name: name.to_owned(),
        dtype: DType::U8,
        shape: Shape::new(&[-1]),
        optional: false,
    };
    Declaration { inputs: vec![tensor("X")], outputs: vec![tensor("Y")], ..Declaration::default() }
}

#[derive(Clone)]
struct HeldModel {
    declaration: Declaration,
    batches: UnboundedSender<Batch>,
    is_broken: Arc<AtomicBool>,
}

impl Model for HeldModel {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        match self.is_broken.load(Ordering::SeqCst) {
            true => Err(BackendError::internal("the device is gone")),
            false => Ok(Box::new(HeldInstance(self.clone()))),
        }
    }
}

struct HeldInstance(HeldModel);

impl Instance for HeldInstance {
    fn execute(&mut self, batch: Batch) -> Condition {
        // A test that has gone no longer wants it.
        let _ = self.0.batches.send(batch);
        match self.0.is_broken.load(Ordering::SeqCst) {
            true => Condition::Broken(BackendError::internal("its process died")),
            false => Condition::Sound,
        }
    }
}
