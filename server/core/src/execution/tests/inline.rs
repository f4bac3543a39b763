//! Executions on the threads of the network.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nerite_backend::{BackendError, Ragged, Slots};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::{batches_of_8, one_by_one, send};
use crate::execution::{Machinery, MachineryOptions, Network, Pool};
use crate::mock::{Execution, Fault, Handle, ManualClock, plan, poll, serve_with, until, wait};
use crate::model::{ModelSpec, Scheduling};
use crate::version::ModelVersion;

/// A network of two threads, and a clock by which every execution takes no time unless the test says so.
struct World {
    /// For as long as the process: a thread that an engine keeps would hold up its end.
    network: &'static Runtime,
    clock: Arc<ManualClock>,
    machinery: Arc<Machinery>,
}

impl World {
    fn new() -> World {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let network = builder.worker_threads(2).enable_all().thread_name("network").build().unwrap();
        let network = Box::leak(Box::new(network));
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
fn a_decoupled_model_is_never_executed_on_the_network_however_fast_it_is() {
    let world = World::new();
    let spec = ModelSpec { decoupled: true, ..one_by_one() };
    let (version, handle) = serve_with(spec, plan(1), Arc::clone(&world.machinery));
    handle.be_brief();
    for _ in 0..50 {
        let version = Arc::clone(&version);
        let caller = world.network.spawn(async move {
            let answer = send(&version, "a", 1);
            answer.await
        });
        let execution = handle.next();
        assert_eq!(execution.thread, "nerite-execute", "it may wait for a caller that reads slowly");
        execution.succeed();
        assert_eq!(wait(caller).unwrap().error, None);
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
fn the_network_has_another_thread_for_each_that_an_engine_keeps() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 1);
    // More than it has threads, and more than may execute there at a time.
    for _ in 0..4 {
        let lost = BackendError::internal("its thread is lost");
        // The one before may not have given back the right to execute there yet; then it is the pool's turn.
        until(|| {
            let answer = send(&version, "a", 1);
            let execution = handle.next();
            let is_inline = execution.thread == "network";
            match is_inline {
                true => execution.lose_thread(&lost),
                false => execution.succeed(),
            }
            assert_eq!(wait(answer).error.as_ref(), is_inline.then_some(&lost));
            until(|| version.free_instances() == 1);
            is_inline
        });
        let answer = send(&version, "b", 1);
        handle.next().succeed();
        assert_eq!(wait(answer).error, None);
        until(|| version.free_instances() == 1);
    }
}

#[test]
fn an_instance_that_breaks_on_the_network_is_examined_and_made_anew_on_the_pool() {
    for doubtful in [true, false] {
        let world = World::new();
        let (version, handle) = world.fast(one_by_one(), 1);
        handle.say_ready(Err(Fault::Panic("asked")));
        let answer = send(&version, "a", 1);
        let (execution, error) = (world.inline(&handle), BackendError::internal("it broke"));
        match doubtful {
            true => execution.fail_doubtfully(&error),
            false => execution.break_down(&error),
        }
        assert_eq!(wait(answer).error, Some(error));
        until(|| version.free_instances() == 1);
        assert_eq!((handle.instances(), handle.made_on().as_str()), (2, "nerite-execute"));
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
    // Its call ends with the one that executes, which does not come back to look again.
    until(|| version.called() == 0);
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
fn while_a_model_hangs_on_the_network_its_connections_are_looked_after() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 1);
    handle.be_brief();
    let (mut bringing, socket) = connection();
    let (answer, hanging) = mpsc::channel();
    world.network.spawn(async move {
        TcpStream::from_std(socket).unwrap().read_u8().await.expect("the peer writes");
        // Returns when the execution is over, since this thread executes it.
        answer.send(send(&version, "hanging", 1)).expect("the test waits");
    });
    let (mut other, socket) = connection();
    world.network.spawn(async move {
        let mut socket = TcpStream::from_std(socket).unwrap();
        let byte = socket.read_u8().await.expect("the peer writes");
        socket.write_u8(byte).await.expect("the peer reads");
    });
    // Both threads sleep, one of them for the sockets' sake: that one will execute, and be missing there.
    thread::sleep(Duration::from_millis(50));
    bringing.write_all(&[1]).unwrap();
    let stuck = world.inline(&handle);
    world.clock.advance(Duration::from_secs(1));
    other.write_all(&[2]).unwrap();
    let mut byte = [0];
    other.read_exact(&mut byte).expect("the other connection is served");
    assert_eq!(byte, [2]);
    stuck.succeed();
    assert_eq!(wait(hanging.recv().unwrap()).error, None);
}

/// The two ends of a connection, of which the second is for the network.
fn connection() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours, theirs)
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

#[test]
fn an_execution_that_hangs_is_not_counted_on_when_its_model_is_fast_again() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 2);
    let hanging = send(&version, "hanging", 1);
    let stuck = world.inline(&handle);
    world.clock.advance(Duration::from_secs(1));
    for _ in 0..10 {
        // The other instance makes the model fast again, and the only place on the network is taken.
        let answer = send(&version, "quick", 1);
        handle.next().succeed();
        assert_eq!(wait(answer).error, None);
        until(|| version.free_instances() == 1);
    }
    stuck.succeed();
    assert_eq!(wait(hanging).error, None);
    until(|| version.free_instances() == 2);
}

#[test]
fn a_request_that_was_executed_is_answered_before_its_thread_executes_another() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 1);
    let (answered, answers) = mpsc::channel();
    for id in ["first", "second"] {
        let (version, answered) = (Arc::clone(&version), answered.clone());
        world.network.spawn(async move {
            let response = send(&version, id, 1).await;
            answered.send((id, response.error)).expect("the test waits");
        });
        until(|| handle.executions() == 9);
    }
    world.inline(&handle).succeed();
    assert_eq!(answers.recv().unwrap(), ("first", None));
    handle.next().succeed();
    assert_eq!(answers.recv().unwrap(), ("second", None));
}

#[test]
fn a_caller_that_gives_up_is_let_go_while_its_request_is_executed_on_the_network() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 1);
    let (gone, heard) = mpsc::channel();
    let calling = Arc::clone(&version);
    world.network.spawn(async move {
        let limited = tokio::time::timeout(Duration::from_millis(20), send(&calling, "hanging", 1));
        gone.send(limited.await.is_err()).expect("the test waits");
    });
    let stuck = world.inline(&handle);
    // Another thread of the network takes over.
    world.clock.advance(Duration::from_secs(1));
    assert!(heard.recv().unwrap(), "the caller gave up");
    assert!(stuck.requests()[0].cancel().is_cancelled());
    stuck.succeed();
}

#[test]
fn a_lone_request_to_a_model_whose_engine_says_it_is_brief_is_executed_by_the_task_that_brings_it() {
    let world = World::new();
    let (version, handle) = world.fast(one_by_one(), 1);
    handle.be_brief();
    executed_by_its_task(&world, version, &handle);
}

#[test]
fn a_lone_request_to_a_model_whose_configuration_says_it_is_brief_is_executed_by_the_task_that_brings_it() {
    let world = World::new();
    let scheduling = Scheduling { brief: true, ..Scheduling::default() };
    let (version, handle) = world.fast(ModelSpec { scheduling, ..one_by_one() }, 1);
    executed_by_its_task(&world, version, &handle);
}

fn executed_by_its_task(world: &World, version: Arc<ModelVersion>, handle: &Handle) {
    let (done, over) = mpsc::channel();
    world.network.spawn(async move {
        let mut answer = send(&version, "lone", 1);
        done.send(poll(&mut answer).is_some()).expect("the test waits");
    });
    world.inline(handle).succeed();
    assert!(over.recv().unwrap(), "it is answered when it has been sent");
}

#[test]
fn a_brief_model_whose_requests_are_ragged_is_not_since_a_row_may_be_long() {
    let world = World::new();
    let ragged = Ragged { inputs: Slots::from_iter([0]), ..Ragged::default() };
    let (version, handle) = world.fast(ModelSpec { ragged: Arc::new(ragged), ..one_by_one() }, 1);
    handle.be_brief();
    let (done, over) = mpsc::channel();
    world.network.spawn(async move {
        let mut answer = send(&version, "ragged", 1);
        done.send(poll(&mut answer).is_some()).expect("the test waits");
        answer.await
    });
    let execution = world.inline(&handle);
    let answered = over.recv_timeout(Duration::from_secs(10));
    assert_eq!(answered, Ok(false), "its caller's task goes on meanwhile");
    execution.succeed();
}
