//! Loads, unloads, requests and a shutdown, in many thousands of interleavings of their threads, which shuttle chooses at
//! random. Run with the feature `shuttle`.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use nerite_backend::{
    Artifact, Batch, Cancel, Condition, Declaration, Instance, InstanceSpec, Model, Phases, Response,
};
use shuttle::future::block_on;
use shuttle::thread;

use super::*;
use crate::execution::{Errand, Job, Machinery, MachineryOptions, Threads};
use crate::mock::{ManualClock, directory};

const ITERATIONS: usize = 3_000;

/// Calls a new thread each time, so that the order of everything is shuttle's to choose.
struct Spawning;

impl Threads for Spawning {
    fn run(&self, errand: Errand) {
        thread::spawn(move || errand.run());
    }
}

/// An engine that takes its time, and counts what there is of it.
#[derive(Clone, Default)]
struct Engine {
    declaration: Arc<Declaration>,
    instances: Arc<AtomicUsize>,
}

impl Backend for Engine {
    fn load(&self, _: &Artifact<'_>, cancel: &Cancel) -> Result<Arc<dyn Model>, BackendError> {
        thread::yield_now();
        match cancel.is_cancelled() {
            true => Err(BackendError::new(Code::Cancelled, "cancelled")),
            false => Ok(Arc::new(self.clone())),
        }
    }
}

impl Model for Engine {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        self.instances.fetch_add(1, SeqCst);
        Ok(Box::new(Executing(self.clone())))
    }
}

struct Executing(Engine);

impl Instance for Executing {
    fn execute(&mut self, batch: Batch) -> Condition {
        thread::yield_now();
        for request in batch.into_requests() {
            let now = Instant::now();
            request.report(&Phases { start: now, input_end: now, infer_end: now, end: now }, Ok(()));
            request.responder().send(Response::complete(Default::default()));
        }
        Condition::Sound
    }
}

impl Drop for Executing {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, SeqCst);
    }
}

struct Stage {
    manager: Manager,
    registry: Arc<Registry>,
    engine: Engine,
}

fn stage() -> Stage {
    let engine = Engine::default();
    let machinery = Machinery::with(Arc::new(Spawning), ManualClock::new(), MachineryOptions::default());
    let configs = MockConfigs::default().with(versions(VersionPolicy::All), spec("m"));
    let backends = HashMap::from([("mock".to_owned(), Arc::new(engine.clone()) as Arc<dyn Backend>)]);
    let loader = Arc::new(Loader::new(Box::new(configs), backends, Arc::new(machinery)));
    let registry = Arc::new(Registry::default());
    let options = ManagerOptions { load_threads: 2, ..ManagerOptions::default() };
    let manager = Manager::start(loader, Arc::clone(&registry), options).unwrap();
    Stage { manager, registry, engine }
}

fn wanted(versions: &[u64]) -> Vec<Wanted> {
    vec![("m".to_owned(), Ok(directory("m", versions).into()))]
}

/// Asks for an inference, if the model can be found; it is answered.
fn ask(registry: &Registry) -> bool {
    let Ok(version) = registry.lookup("m", None) else { return false };
    let response = block_on(version.infer(request("r", 1), Instant::now()));
    assert!(response.error.is_none_or(|error| error.code == Code::Unavailable));
    true
}

#[test]
fn whoever_finds_a_model_is_answered_and_after_a_shutdown_nothing_is_left() {
    shuttle::check_random(
        || {
            let Stage { manager, registry, engine } = stage();
            let changes = {
                let manager = manager.clone();
                thread::spawn(move || {
                    let first = manager.want(wanted(&[1]));
                    let second = manager.want(wanted(&[1, 2]));
                    drop(block_on(first));
                    drop(block_on(second));
                    block_on(manager.unload("m", false));
                    drop(manager.want(wanted(&[2])));
                })
            };
            let requests = {
                let registry = Arc::clone(&registry);
                thread::spawn(move || {
                    for _ in 0..3 {
                        ask(&registry);
                    }
                })
            };
            thread::yield_now();
            block_on(manager.shut_down());
            assert!(registry.lookup("m", None).is_err());
            changes.join().unwrap();
            requests.join().unwrap();
            // What was being loaded when it shut down is let go of on its own.
            while engine.instances.load(SeqCst) > 0 {
                thread::yield_now();
            }
        },
        ITERATIONS,
    );
}

#[test]
fn a_model_that_was_served_is_found_whatever_is_loaded_in_its_place() {
    shuttle::check_random(
        || {
            let Stage { manager, registry, engine } = stage();
            assert_eq!(block_on(manager.want(wanted(&[1]))), []);
            let changes = {
                let manager = manager.clone();
                thread::spawn(move || {
                    assert_eq!(block_on(manager.want(wanted(&[1, 2]))), []);
                    assert_eq!(block_on(manager.want(wanted(&[2]))), []);
                })
            };
            (0..4).for_each(|_| assert!(ask(&registry)));
            changes.join().unwrap();
            assert_eq!(registry.lookup("m", None).unwrap().version, 2);
            block_on(manager.shut_down());
            assert_eq!(engine.instances.load(SeqCst), 0);
        },
        ITERATIONS,
    );
}
