use std::collections::HashMap;
use std::fs;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};

use nerite_backend::{
    Artifact, Backend, BackendError, Batch, Cancel, Condition, DType, Declaration, Instance, InstanceSpec,
    Model, Shape, TensorDeclaration, lose_thread,
};
use parking_lot::Mutex;

use super::handle::{End, Execution, Handle};

/// An engine whose [`Handle`] does the work.
pub(crate) struct MockEngine {
    declaration: Declaration,
    shared: Arc<Shared>,
}

/// How a call of the engine goes wrong.
#[derive(Clone)]
pub(crate) enum Fault {
    Error(BackendError),
    Panic(&'static str),
    /// The engine does not give the thread back.
    Loss(BackendError),
}

impl Fault {
    pub(super) fn strike(self) -> BackendError {
        match self {
            Fault::Error(error) => error,
            // Unlike `panic!`, this prints nothing.
            Fault::Panic(text) => resume_unwind(Box::new(text)),
            Fault::Loss(reason) => lose_thread(&reason),
        }
    }
}

/// Something that the test does from within the engine.
pub(super) type Act = Box<dyn FnOnce() + Send>;

pub(super) struct Shared {
    arrivals: Sender<Execution>,
    pub(super) load_faults: Mutex<HashMap<(String, u64), Fault>>,
    pub(super) load_gates: Mutex<HashMap<(String, u64), Receiver<()>>>,
    pub(super) meanwhile: Mutex<HashMap<(String, u64), Act>>,
    pub(super) cancels: Mutex<HashMap<(String, u64), Cancel>>,
    pub(super) loads: AtomicUsize,
    pub(super) instance_fault: Mutex<Option<Fault>>,
    pub(super) instance_gate: Mutex<Option<Receiver<()>>>,
    pub(super) ready: Mutex<Option<Result<(), Fault>>>,
    pub(super) made_on: Mutex<String>,
    pub(super) executions: AtomicUsize,
    pub(super) is_brief: AtomicBool,
    pub(super) drop_fault: Mutex<Option<Fault>>,
    running: AtomicUsize,
    pub(super) most_running: AtomicUsize,
    pub(super) instances: AtomicUsize,
    pub(super) failed_instances: AtomicUsize,
    pub(super) instances_alive: AtomicUsize,
}

impl MockEngine {
    pub(crate) fn new(declaration: Declaration) -> (MockEngine, Handle) {
        let (arrivals, arrived) = channel();
        let shared = Arc::new(Shared {
            arrivals,
            load_faults: Mutex::default(),
            load_gates: Mutex::default(),
            meanwhile: Mutex::default(),
            cancels: Mutex::default(),
            loads: AtomicUsize::new(0),
            instance_fault: Mutex::default(),
            instance_gate: Mutex::default(),
            ready: Mutex::default(),
            made_on: Mutex::default(),
            executions: AtomicUsize::new(0),
            is_brief: AtomicBool::new(false),
            drop_fault: Mutex::default(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            instances: AtomicUsize::new(0),
            failed_instances: AtomicUsize::new(0),
            instances_alive: AtomicUsize::new(0),
        });
        (MockEngine { declaration, shared: Arc::clone(&shared) }, Handle::new(arrived, shared))
    }
}

impl Backend for MockEngine {
    /// A version with a file `broken` cannot be loaded; what a file `content` holds is kept for [`content`].
    fn load(&self, artifact: &Artifact<'_>, cancel: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        let version = (artifact.model.to_owned(), artifact.version);
        self.shared.loads.fetch_add(1, SeqCst);
        self.shared.cancels.lock().insert(version.clone(), cancel.clone());
        let content = fs::read_to_string(artifact.directory.join("content")).unwrap_or_default();
        if artifact.directory.join("broken").exists() {
            return Err(BackendError::invalid("it is broken"));
        }
        let meanwhile = self.shared.meanwhile.lock().remove(&version);
        meanwhile.into_iter().for_each(|act| act());
        let gate = self.shared.load_gates.lock().remove(&version);
        if let Some(gate) = gate {
            gate.recv().expect_err("nothing is sent, and the test drops its end");
        }
        let fault = self.shared.load_faults.lock().get(&version).cloned();
        match fault {
            Some(fault) => Err(fault.strike()),
            None => {
                let mut declaration = self.declaration.clone();
                let (dtype, shape) = (DType::Bytes, Shape::default());
                declaration.outputs.push(TensorDeclaration { name: content, dtype, shape, optional: false });
                Ok(Arc::new(MockModel { declaration, shared: Arc::clone(&self.shared) }))
            }
        }
    }
}

/// What the file `content` held that a model was loaded from.
pub(crate) fn content(model: &dyn Model) -> String {
    model.declaration().outputs.last().map(|output| output.name.clone()).unwrap_or_default()
}

struct MockModel {
    declaration: Declaration,
    shared: Arc<Shared>,
}

impl Model for MockModel {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn is_brief(&self) -> bool {
        self.shared.is_brief.load(SeqCst)
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        let gate = self.shared.instance_gate.lock().take();
        if let Some(gate) = gate {
            gate.recv().expect_err("nothing is sent, and the test drops its end");
        }
        let fault = self.shared.instance_fault.lock().clone();
        if let Some(fault) = fault {
            self.shared.failed_instances.fetch_add(1, SeqCst);
            return Err(fault.strike());
        }
        *self.shared.made_on.lock() = std::thread::current().name().unwrap_or_default().to_owned();
        self.shared.instances.fetch_add(1, SeqCst);
        self.shared.instances_alive.fetch_add(1, SeqCst);
        Ok(Box::new(MockInstance { spec: spec.clone(), shared: Arc::clone(&self.shared) }))
    }
}

struct MockInstance {
    spec: InstanceSpec,
    shared: Arc<Shared>,
}

impl Drop for MockInstance {
    fn drop(&mut self) {
        self.shared.instances_alive.fetch_sub(1, SeqCst);
        let fault = self.shared.drop_fault.lock().take();
        fault.into_iter().for_each(|fault| drop(fault.strike()));
    }
}

impl Instance for MockInstance {
    /// Hands the batch to the handle and stays busy until that lets it go.
    fn execute(&mut self, batch: Batch) -> Condition {
        let running = self.shared.running.fetch_add(1, SeqCst) + 1;
        self.shared.most_running.fetch_max(running, SeqCst);
        self.shared.executions.fetch_add(1, SeqCst);
        let (end, ended) = channel();
        let execution = Execution::new(&self.spec, batch, end);
        let outcome = if self.shared.arrivals.send(execution).is_ok() { ended.recv().ok() } else { None };
        self.shared.running.fetch_sub(1, SeqCst);
        match outcome {
            Some(End::Return(condition)) => condition,
            Some(End::Loss(reason)) => lose_thread(&reason),
            Some(End::Panic(_unwound)) => resume_unwind(Box::new("the mock engine was told to panic")),
            None => Condition::Sound,
        }
    }

    fn ready(&mut self) -> Option<Result<(), BackendError>> {
        let answer = self.shared.ready.lock().clone()?;
        Some(answer.map_err(Fault::strike))
    }
}
