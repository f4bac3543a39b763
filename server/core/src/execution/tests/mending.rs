//! Instances that cannot execute any more, and others that are made in their place.

use std::sync::Arc;
use std::time::Duration;

use nerite_backend::{BackendError, Code};

use super::{one_by_one, send, succeed_one};
use crate::execution::{Activity, Clock, Machinery, MachineryOptions, Pool};
use crate::mock::{Fault, Handle, ManualClock, plan, poll, serve_with, until, wait};
use crate::registry::{ModelEntry, Registry};
use crate::statistics::FailureReason;
use crate::version::ModelVersion;

/// For how long requests wait for an instance where there is none.
const GRACE: Duration = Duration::from_secs(5);

/// A model with so many instances and a clock that the test sets.
fn serve(instances: u32) -> (Arc<ManualClock>, Arc<ModelVersion>, Handle) {
    let clock = ManualClock::new();
    let threads = Arc::new(Pool::new());
    let machinery = Machinery::with(threads, Arc::clone(&clock) as _, MachineryOptions::default());
    let (version, handle) = serve_with(one_by_one(), plan(instances), Arc::new(machinery));
    (clock, version, handle)
}

fn died() -> BackendError {
    BackendError::internal("its process died")
}

fn cannot_be_made() -> Fault {
    Fault::Error(BackendError::internal("the device is gone"))
}

/// Has an instance break over a request.
fn break_one(version: &Arc<ModelVersion>, handle: &Handle) {
    let answer = send(version, "unlucky", 1);
    handle.next().break_down(&died());
    assert_eq!(wait(answer).error, Some(died()));
}

#[test]
fn an_instance_whose_batch_failed_wholly_is_made_anew_off_the_request_path() {
    let (_, version, handle) = serve(1);
    let made = handle.hold_instance();
    break_one(&version, &handle);
    until(|| handle.instances_alive() == 0);
    // The engine takes its time over the next one, and nobody is held up by that.
    let waiting = send(&version, "waiting", 1);
    assert_eq!((version.pending(), version.statistics().restarts()), (1, 0));
    let [mending] = version.mendings().try_into().unwrap();
    assert_eq!((mending.reason.as_str(), mending.failures, mending.next), ("its process died", 0, None));
    drop(made);
    let execution = handle.next();
    assert_eq!(execution.instance, mending.instance, "it has the name of the one before");
    execution.succeed();
    assert_eq!(wait(waiting).error, None);
    until(|| version.free_instances() == 1);
    assert_eq!((handle.instances(), handle.instances_alive(), version.statistics().restarts()), (2, 1, 1));
    assert_eq!(version.mendings(), []);
}

#[test]
fn its_siblings_serve_meanwhile() {
    let (_, version, handle) = serve(2);
    let made = handle.hold_instance();
    break_one(&version, &handle);
    until(|| version.mendings().len() == 1);
    (0..3).for_each(|_| succeed_one(&version, &handle));
    until(|| version.free_instances() == 1);
    assert!(version.is_sound() && !version.is_outage());
    let Activity { instances, busy, .. } = version.activity();
    assert_eq!((instances, busy), (2, 0));
    drop(made);
    until(|| version.free_instances() == 2);
}

#[test]
fn without_any_instance_the_model_is_not_ready_until_one_is_back() {
    let (_, version, handle) = serve(2);
    let registry = Registry::default();
    registry.announce(["m"].into_iter());
    let ready = [(1, Arc::clone(&version))].into();
    registry.publish("m", ModelEntry { ready, ..ModelEntry::default() });
    let mut changes = registry.changes();
    handle.fail_instances(cannot_be_made());
    break_one(&version, &handle);
    until(|| version.mendings().len() == 1);
    assert!(version.is_sound() && !changes.has_changed().unwrap());
    let made = handle.hold_instance();
    break_one(&version, &handle);
    until(|| changes.has_changed().unwrap());
    assert!(version.is_outage() && !version.is_sound());
    changes.mark_unchanged();
    handle.mend_instances();
    drop(made);
    until(|| changes.has_changed().unwrap());
    assert!(version.is_sound() && !version.is_outage());
    assert_eq!(version.mendings().len(), 1);
}

#[test]
fn attempts_back_off_and_a_success_resets_that() {
    let (clock, version, handle) = serve(1);
    handle.fail_instances(cannot_be_made());
    break_one(&version, &handle);
    for (failures, pause) in (1..).zip([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]) {
        let pause = Duration::from_millis(pause);
        let next = Some(clock.now() + pause);
        until(|| version.mendings().first().is_some_and(|mending| mending.next == next));
        let [mending] = version.mendings().try_into().unwrap();
        assert_eq!((mending.failures, mending.reason.as_str()), (failures, "the device is gone"));
        clock.advance(pause - Duration::from_millis(1));
        assert_eq!(handle.failed_instances(), failures as usize);
        clock.advance(Duration::from_millis(1));
        until(|| handle.failed_instances() == failures as usize + 1);
    }
    until(|| version.mendings()[0].next.is_some());
    handle.mend_instances();
    clock.advance(Duration::from_secs(10));
    until(|| version.free_instances() == 1);
    // Before it has executed anything well, it is not made anew at once.
    break_one(&version, &handle);
    until(|| version.mendings().len() == 1);
    assert_eq!(version.mendings()[0].next, Some(clock.now() + Duration::from_secs(10)));
    clock.advance(Duration::from_secs(10));
    until(|| version.free_instances() == 1);
    succeed_one(&version, &handle);
    break_one(&version, &handle);
    until(|| version.free_instances() == 1);
    assert_eq!((version.statistics().restarts(), version.mendings()), (3, vec![]));
}

#[test]
fn without_an_instance_requests_wait_for_so_long_and_are_then_told_that_there_is_none() {
    let loss = Fault::Loss(BackendError::internal("its thread is lost"));
    for fault in [cannot_be_made(), Fault::Panic("again"), loss] {
        let reason = match &fault {
            Fault::Error(error) | Fault::Loss(error) => error.message.clone(),
            Fault::Panic(_) => "the model's engine panicked when it was to make another instance".to_owned(),
        };
        let (clock, version, handle) = serve(1);
        handle.fail_instances(fault);
        break_one(&version, &handle);
        let attempts = |number| until(|| version.mendings().first().is_some_and(|m| m.failures == number));
        attempts(1);
        let mut waiting = send(&version, "waiting", 1);
        clock.advance(GRACE - Duration::from_millis(1));
        attempts(2);
        assert!(poll(&mut waiting).is_none());
        clock.advance(Duration::from_millis(1));
        let expected = BackendError::new(
            Code::Unavailable,
            format!(
                "no instance of model 'M' version 1 can execute until one has been made anew; try again later. The last one \
                 failed: {reason}"
            ),
        );
        assert_eq!(wait(waiting).error.as_ref(), Some(&expected));
        let late = poll(&mut send(&version, "late", 1)).expect("answered at once");
        assert_eq!(late.error, Some(expected));
        assert_eq!((version.pending(), version.statistics().failures(FailureReason::Rejected)), (0, 2));
        handle.mend_instances();
        clock.advance(Duration::from_secs(10));
        until(|| version.is_sound());
        succeed_one(&version, &handle);
    }
}

#[test]
fn where_the_engine_says_whether_an_instance_can_execute_its_answer_decides() {
    let (_, version, handle) = serve(1);
    let doubtful = |instances| {
        let answer = send(&version, "doubtful", 1);
        handle.next().fail_doubtfully(&died());
        assert_eq!(wait(answer).error, Some(died()));
        until(|| version.free_instances() == 1);
        assert_eq!(handle.instances(), instances);
    };
    handle.say_ready(Ok(()));
    (0..20).for_each(|_| doubtful(1));
    handle.say_ready(Err(Fault::Error(BackendError::internal("it does not answer"))));
    doubtful(2);
    succeed_one(&version, &handle);
    handle.say_ready(Err(Fault::Panic("asked")));
    until(|| version.free_instances() == 1);
    doubtful(3);
}

#[test]
fn where_it_cannot_two_batches_in_a_row_that_failed_wholly_do_and_one_does_not() {
    let (clock, version, handle) = serve(1);
    let doubtful = || {
        let answer = send(&version, "doubtful", 1);
        handle.next().fail_doubtfully(&died());
        assert_eq!(wait(answer).error, Some(died()));
        until(|| version.free_instances() == 1);
        handle.instances()
    };
    assert_eq!((doubtful(), doubtful()), (1, 2));
    assert_eq!((0..10).map(|_| doubtful()).max(), Some(2), "that did not help, so it serves on for a while");
    clock.advance(Duration::from_millis(100));
    assert_eq!(doubtful(), 3);
    for _ in 0..10 {
        succeed_one(&version, &handle);
        until(|| version.free_instances() == 1);
        assert_eq!(doubtful(), 3, "a request that makes it fail now and then is no reason to make it anew");
    }
    assert!(version.is_sound());
}

#[test]
fn a_version_that_is_unloaded_while_it_mends_is_let_go() {
    let weak = |version: Arc<ModelVersion>| Arc::downgrade(&version);
    // Between attempts, with an instance that serves and one that is to be let go of.
    let (clock, version, handle) = serve(2);
    handle.fail_instances(cannot_be_made());
    break_one(&version, &handle);
    until(|| version.mendings().first().is_some_and(|mending| mending.next.is_some()));
    assert_eq!(weak(version).strong_count(), 0);
    until(|| handle.instances_alive() == 0);
    clock.advance(Duration::from_secs(60));
    assert_eq!(handle.failed_instances(), 1, "nobody tries again");
    // During one.
    let (_, version, handle) = serve(1);
    let made = handle.hold_instance();
    break_one(&version, &handle);
    until(|| version.mendings().first().is_some_and(|mending| mending.next.is_none()));
    assert_eq!(weak(version).strong_count(), 0);
    drop(made);
    until(|| handle.instances() == 2 && handle.instances_alive() == 0);
    // While requests wait, which are answered first.
    let (clock, version, handle) = serve(1);
    handle.fail_instances(cannot_be_made());
    break_one(&version, &handle);
    until(|| version.mendings().first().is_some_and(|mending| mending.failures == 1));
    let waiting = send(&version, "waiting", 1);
    let version = weak(version);
    clock.advance(GRACE);
    assert!(wait(waiting).error.is_some());
    until(|| version.strong_count() == 0);
}

#[test]
fn of_a_version_that_takes_no_more_requests_no_instance_is_made_anew_and_broken_ones_are_let_go_of() {
    let (clock, version, handle) = serve(1);
    let answer = send(&version, "last", 1);
    let execution = handle.next();
    version.close();
    execution.break_down(&died());
    assert_eq!(wait(answer).error, Some(died()));
    // Its engine may answer what it has kept of its requests only then, and they keep the version.
    until(|| handle.instances_alive() == 0);
    clock.advance(Duration::from_secs(60));
    assert_eq!((handle.instances(), version.mendings().len(), clock.alarms()), (1, 1, 0));
    // One that waited for its next attempt as well.
    let (clock, version, handle) = serve(1);
    handle.fail_instances(cannot_be_made());
    break_one(&version, &handle);
    until(|| version.mendings().first().is_some_and(|mending| mending.failures == 1));
    version.close();
    clock.advance(Duration::from_secs(60));
    assert_eq!((handle.failed_instances(), handle.instances_alive()), (1, 0));
}

#[test]
fn an_engine_that_panics_when_it_is_to_let_go_of_an_instance_is_asked_for_another_all_the_same() {
    let (_, version, handle) = serve(1);
    handle.fail_drop(Fault::Panic("let go of"));
    break_one(&version, &handle);
    succeed_one(&version, &handle);
    assert_eq!(handle.instances(), 2);
}
