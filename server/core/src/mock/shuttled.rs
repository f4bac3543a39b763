//! What the tests have in common whose threads take turns as shuttle chooses.

use std::sync::Arc;

use nerite_backend::{InstanceKind, InstanceSpec, Model};
use shuttle::thread;

use crate::execution::{Errand, Executor, Job, Threads};
use crate::statistics::Statistics;

/// Calls a new thread each time, so that the order of everything is shuttle's to choose.
pub(crate) struct Spawning;

impl Threads for Spawning {
    fn run(&self, errand: Errand) {
        thread::spawn(move || errand.run());
    }
}

/// An instance of that engine, with batching, that tells there of its executions.
pub(crate) fn executor(engine: &dyn Model, statistics: &Arc<Statistics>) -> Executor {
    let instance = InstanceSpec {
        name: String::new(),
        kind: InstanceKind::Cpu,
        batching: true,
        ragged: Arc::default(),
        executions: Arc::clone(statistics) as _,
    };
    Executor::new(engine, instance).expect("the engine makes instances")
}
