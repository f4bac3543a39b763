//! Executions on the threads of the network.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{batches_of_8, one_by_one, send};
use crate::execution::{Machinery, MachineryOptions, Network, Pool};
use crate::mock::{Execution, Handle, ManualClock, plan, serve_with, until, wait};
use crate::model::ModelSpec;
use crate::version::ModelVersion;

/// A network of two threads, and a clock by which every execution takes no time unless the test says so.
struct World {
    network: Runtime,
    clock: Arc<ManualClock>,
    machinery: Arc<Machinery>,
}

impl World {
    fn new() -> World {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let network = builder.worker_threads(2).enable_time().thread_name("network").build().unwrap();
        let clock = ManualClock::new();
        let runtime = network.handle().clone();
        let options = MachineryOptions {
            network: Some(Network { runtime, threads: 2 }),
            ..MachineryOptions::default()
        };
        let machinery = Machinery::with(Arc::new(Pool::new()), Arc::clone(&clock) as _, options);
        World { network, clock, machinery: Arc::new(machinery) }
    }

    /// A model that has been measured and found to be fast.
    fn fast(&self, spec: ModelSpec, instances: u32) -> (Arc<ModelVersion>, Handle) {
        let (version, handle) = serve_with(spec, plan(instances), Arc::clone(&self.machinery));
        for _ in 0..8 {
            let answer = send(&version, "measured", 1);
            let execution = handle.next();
            assert_eq!(execution.thread, "nerite-execute");
            execution.succeed();
            assert_eq!(wait(answer).error, None);
            until(|| version.free_instances() == instances as usize);
        }
        (version, handle)
    }

    /// The next execution, which is on one of the network's threads.
    fn inline(&self, handle: &Handle) -> Execution {
        let execution = handle.next();
        assert_eq!(execution.thread, "network");
        execution
    }
}

#[test]
fn a_model_that_was_measured_and_is_fast_is_executed_on_the_network() {
    let world = World::new();
    let (version, handle) = world.fast(batches_of_8(), 1);
    for _ in 0..100 {
        let answer = send(&version, "a", 1);
        world.inline(&handle).succeed();
        assert_eq!(wait(answer).error, None);
    }
}

#[test]
fn one_thread_of_the_network_is_always_left_for_the_connections() {
    let world = World::new();
    let (one, one_handle) = world.fast(one_by_one(), 1);
    let (two, two_handle) = world.fast(one_by_one(), 1);
    let first = send(&one, "first", 1);
    let busy = world.inline(&one_handle);
    let second = send(&two, "second", 1);
    let execution = two_handle.next();
    assert_eq!(execution.thread, "nerite-execute");
    execution.succeed();
    assert_eq!(wait(second).error, None);
    busy.succeed();
    assert_eq!(wait(first).error, None);
}

#[test]
fn an_execution_that_takes_too_long_sends_its_model_back_to_the_pool_and_the_rest_of_its_queue_is_served() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 2);
    let hanging = send(&version, "hanging", 1);
    let stuck = world.inline(&handle);
    let next = send(&version, "next", 1);
    // It may be with the one that executes; that one does not come back.
    thread::sleep(Duration::from_millis(20));
    world.clock.advance(Duration::from_secs(1));
    let execution = handle.next();
    assert_eq!((execution.ids(), execution.thread.as_str()), (vec!["next".to_owned()], "nerite-execute"));
    execution.succeed();
    assert_eq!(wait(next).error, None);
    stuck.succeed();
    assert_eq!(wait(hanging).error, None);
    until(|| version.free_instances() == 2);
    let later = send(&version, "later", 1);
    let execution = handle.next();
    assert_eq!(execution.thread, "nerite-execute", "it has to be measured again");
    execution.succeed();
    assert_eq!(wait(later).error, None);
}

#[test]
fn while_a_model_hangs_on_the_network_its_tasks_go_on() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 1);
    let hanging = send(&version, "hanging", 1);
    let stuck = world.inline(&handle);
    world.clock.advance(Duration::from_secs(1));
    for _ in 0..100 {
        world.network.block_on(async {
            tokio::spawn(tokio::time::sleep(Duration::from_micros(1))).await.unwrap();
        });
    }
    stuck.succeed();
    assert_eq!(wait(hanging).error, None);
}

#[test]
fn after_the_last_execution_nobody_looks_after_the_network_any_more() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 1);
    let answer = send(&version, "a", 1);
    world.inline(&handle).succeed();
    assert_eq!(wait(answer).error, None);
    until(|| version.free_instances() == 1);
    assert_eq!(world.clock.alarms(), 1);
    until(|| {
        world.clock.advance(Duration::from_secs(1));
        world.clock.alarms() == 0
    });
}
