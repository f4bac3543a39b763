//! Instances that execute for too long.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nerite_backend::BackendError;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tracing::field::{Field, Visit};
use tracing::{Dispatch as Log, Event, Level, Metadata, Subscriber, span};

use super::{one_by_one, send};
use crate::execution::machinery::Threads;
use crate::execution::{Clock, Errand, Job, Machinery, MachineryOptions, Network, Pool, Stall};
use crate::mock::{Fault, Handle, ManualClock, plan, serve_with, until, wait};
use crate::registry::{ModelEntry, Registry};
use crate::version::ModelVersion;

const LIMIT: Duration = Duration::from_secs(30);

fn options() -> MachineryOptions {
    MachineryOptions { stall: Some(LIMIT), ..MachineryOptions::default() }
}

/// A model with so many instances and a clock that the test sets.
fn serve(instances: u32, options: MachineryOptions) -> (Arc<ManualClock>, Arc<ModelVersion>, Handle) {
    serve_on(Arc::new(Pool::new()), instances, options)
}

fn serve_on(
    threads: Arc<dyn Threads>,
    instances: u32,
    options: MachineryOptions,
) -> (Arc<ManualClock>, Arc<ModelVersion>, Handle) {
    let clock = ManualClock::new();
    let machinery = Machinery::with(threads, Arc::clone(&clock) as _, options);
    let (version, handle) = serve_with(one_by_one(), plan(instances), Arc::new(machinery));
    (clock, version, handle)
}

fn stalled(version: &ModelVersion) -> Vec<String> {
    let stalls: Vec<String> = version.stalls().into_iter().map(|stall| stall.instance).collect();
    assert_eq!(version.is_stalled(), !stalls.is_empty());
    stalls
}

#[test]
fn an_instance_that_executes_for_too_long_is_stalled_until_its_execution_ends() {
    let (clock, version, handle) = serve(2, options());
    let began = clock.now();
    let hanging = send(&version, "hanging", 1);
    let stuck = handle.next();
    clock.advance(LIMIT - Duration::from_secs(1));
    assert_eq!(stalled(&version), [""; 0]);
    let quick = send(&version, "quick", 1);
    handle.next().succeed();
    assert_eq!(wait(quick).error, None);
    clock.advance(Duration::from_secs(1));
    assert!(version.is_stalled());
    assert_eq!(version.stalls(), [Stall { instance: stuck.instance.clone(), since: began }]);
    stuck.succeed();
    assert_eq!(wait(hanging).error, None);
    until(|| version.free_instances() == 2);
    assert_eq!(stalled(&version), [""; 0]);
}

#[test]
fn a_stall_that_begins_or_ends_is_a_change_of_the_registry_that_serves_the_version() {
    let (clock, version, handle) = serve(1, options());
    let registry = Registry::default();
    registry.announce(["m"].into_iter());
    let ready = [(1, Arc::clone(&version))].into();
    registry.publish("m", ModelEntry { ready, ..ModelEntry::default() });
    let mut changes = registry.changes();
    let answer = send(&version, "hanging", 1);
    let hanging = handle.next();
    assert!(!changes.has_changed().unwrap(), "an execution is none");
    clock.advance(LIMIT);
    assert!(version.is_stalled());
    until(|| changes.has_changed().unwrap());
    changes.mark_unchanged();
    hanging.succeed();
    assert_eq!(wait(answer).error, None);
    until(|| changes.has_changed().unwrap());
    assert!(!version.is_stalled());
}

#[test]
fn each_instance_of_a_model_is_looked_after_by_itself() {
    let (clock, version, handle) = serve(3, options());
    let _first = send(&version, "first", 1);
    let first = handle.next();
    clock.advance(Duration::from_secs(10));
    let _second = send(&version, "second", 1);
    let second = handle.next();
    clock.advance(Duration::from_secs(20));
    assert_eq!(stalled(&version), [first.instance.as_str()]);
    clock.advance(Duration::from_secs(10));
    assert_eq!(stalled(&version).len(), 2);
    let name = second.instance.clone();
    first.succeed();
    until(|| version.free_instances() == 2);
    assert_eq!(stalled(&version), [name]);
    second.succeed();
    until(|| version.free_instances() == 3);
    assert_eq!(stalled(&version), [""; 0]);
}

#[test]
fn there_is_one_alarm_at_most_and_none_where_nothing_executes() {
    let (clock, version, handle) = serve(2, options());
    assert_eq!(clock.alarms(), 0, "of a model that was not asked for anything");
    for i in 0..10 {
        let answer = send(&version, &i.to_string(), 1);
        handle.next().succeed();
        assert_eq!(wait(answer).error, None);
        until(|| version.free_instances() == 2);
        assert_eq!(clock.alarms(), 1);
        clock.advance(Duration::from_secs(1));
    }
    clock.advance(LIMIT);
    assert_eq!(clock.alarms(), 0);
    let _hanging = send(&version, "hanging", 1);
    let stuck = handle.next();
    clock.advance(LIMIT);
    assert_eq!((stalled(&version).len(), clock.alarms()), (1, 0), "what is known needs no look");
    stuck.succeed();
    until(|| version.free_instances() == 2);
    assert_eq!((stalled(&version).len(), clock.alarms()), (0, 0));
}

#[test]
fn where_no_limit_is_set_nothing_stalls_and_no_alarm_is_set() {
    let (clock, version, handle) = serve(1, MachineryOptions::default());
    let _hanging = send(&version, "hanging", 1);
    let stuck = handle.next();
    assert_eq!(clock.alarms(), 0);
    clock.advance(LIMIT * 1000);
    assert_eq!(stalled(&version), [""; 0]);
    stuck.succeed();
}

#[test]
fn an_instance_that_panics_leaves_no_mark_whether_it_is_replaced_or_lost() {
    for fault in [None, Some(Fault::Error(BackendError::internal("the device is gone")))] {
        let (clock, version, handle) = serve(2, options());
        let hanging = send(&version, "hanging", 1);
        let stuck = handle.next();
        clock.advance(LIMIT);
        assert_eq!(stalled(&version), [stuck.instance.as_str()]);
        let instances = if fault.is_some() { 1 } else { 2 };
        fault.into_iter().for_each(|fault| handle.fail_instances(fault));
        stuck.panic();
        assert!(wait(hanging).error.is_some());
        until(|| !version.is_stalled() && version.free_instances() == instances);
        assert_eq!(stalled(&version), [""; 0]);
        // Whoever takes its place is looked after as well.
        let _next = send(&version, "next", 1);
        let stuck = handle.next();
        clock.advance(LIMIT);
        assert_eq!(stalled(&version), [stuck.instance.as_str()]);
        stuck.succeed();
    }
}

#[test]
fn the_last_instance_that_is_lost_leaves_no_mark() {
    let (clock, version, handle) = serve(1, options());
    let hanging = send(&version, "hanging", 1);
    let stuck = handle.next();
    clock.advance(LIMIT);
    assert!(version.is_stalled());
    handle.fail_instances(Fault::Panic("again"));
    stuck.panic();
    assert!(wait(hanging).error.is_some());
    until(|| !version.is_stalled());
    assert_eq!(version.stalls(), []);
}

/// A network of two threads, and a model that was found to be fast on them.
fn fast() -> (Runtime, Arc<ManualClock>, Arc<ModelVersion>, Handle) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let network = builder.worker_threads(2).enable_all().thread_name("network").build().unwrap();
    let runtime = network.handle().clone();
    let network_options = Some(Network { runtime, threads: 2 });
    let (clock, version, handle) = serve(1, MachineryOptions { network: network_options, ..options() });
    for _ in 0..8 {
        let answer = send(&version, "measured", 1);
        handle.next().succeed();
        assert_eq!(wait(answer).error, None);
        until(|| version.free_instances() == 1);
    }
    // The alarm of those rings, and is not set again.
    clock.advance(LIMIT);
    (network, clock, version, handle)
}

#[test]
fn an_execution_on_the_network_counts_as_any_other() {
    for brief in [false, true] {
        let (network, clock, version, handle) = fast();
        if brief {
            handle.be_brief();
        }
        let (answer, hanging) = mpsc::channel();
        let calling = Arc::clone(&version);
        network.spawn(async move {
            // If the model is brief, this returns when the execution is over.
            answer.send(send(&calling, "hanging", 1)).expect("the test waits");
        });
        let stuck = handle.next();
        assert_eq!(stuck.thread, "network");
        clock.advance(LIMIT);
        assert_eq!(stalled(&version), [stuck.instance.as_str()], "{brief}");
        stuck.succeed();
        assert_eq!(wait(hanging.recv().unwrap()).error, None);
        until(|| version.free_instances() == 1);
        assert_eq!(stalled(&version), [""; 0]);
    }
}

/// Threads whose log is listened to.
struct Heard(Log);

impl Threads for Heard {
    fn run(&self, errand: Errand) {
        let log = self.0.clone();
        thread::spawn(move || tracing::dispatcher::with_default(&log, || errand.run()));
    }
}

/// Keeps the lines of a log.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<(Level, String)>>>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("nerite_core")
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.0.lock().push((*event.metadata().level(), text.0));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        write!(self.0, "{value:?}").expect("a string takes everything");
    }
}

#[test]
fn a_stall_is_one_line_of_the_log_when_it_is_found_and_one_when_it_ends() {
    let listener = Listener::default();
    // Where there is one subscriber alone, a line that a thread without it comes to first is off for all.
    let _other = Log::new(Listener::default());
    let log = Log::new(listener.clone());
    let (clock, version, handle) = serve_on(Arc::new(Heard(log.clone())), 1, options());
    let _hanging = send(&version, "hanging", 1);
    let stuck = handle.next();
    let pass = |time| tracing::dispatcher::with_default(&log, || clock.advance(time));
    pass(LIMIT);
    pass(LIMIT);
    let found = (
        Level::ERROR,
        "model 'M' version 1: instance 'group_0' is stalled: it has been executing for 30.0 s".to_owned(),
    );
    assert_eq!(*listener.0.lock(), std::slice::from_ref(&found));
    stuck.succeed();
    until(|| listener.0.lock().len() == 2);
    let ended = (
        Level::INFO,
        "model 'M' version 1: instance 'group_0', which was stalled, ended after 60.0 s".to_owned(),
    );
    assert_eq!(*listener.0.lock(), [found, ended]);
}
