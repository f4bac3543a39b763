//! Threads that an engine does not give back.

use std::sync::Arc;

use nerite_backend::BackendError;

use super::{one_by_one, send, succeed_one};
use crate::mock::{Fault, Handle, plan, serve, serve_with, until, wait};
use crate::version::ModelVersion;

fn lost() -> BackendError {
    BackendError::internal("it ended its thread")
}

/// Has an instance keep the thread that it executes a request on.
fn lose_one(version: &Arc<ModelVersion>, handle: &Handle) {
    let answer = send(version, "unlucky", 1);
    handle.next().lose_thread(&lost());
    assert_eq!(wait(answer).error, Some(lost()));
}

#[test]
fn an_instance_that_is_lost_with_its_thread_is_made_anew_and_what_waits_goes_on() {
    let (version, handle) = serve(one_by_one(), 1);
    for losses in 1..=5 {
        let answer = send(&version, "unlucky", 1);
        let execution = handle.next();
        let waiting = send(&version, "waiting", 1);
        execution.lose_thread(&lost());
        assert_eq!(wait(answer).error, Some(lost()));
        handle.next().succeed();
        assert_eq!(wait(waiting).error, None);
        until(|| version.free_instances() == 1);
        assert_eq!((version.statistics().restarts(), handle.instances()), (losses, losses as usize + 1));
    }
    assert_eq!(version.mendings(), []);
}

#[test]
fn the_siblings_of_an_instance_that_is_lost_take_what_waits_at_once() {
    let (version, handle) = serve(one_by_one(), 2);
    let made = handle.hold_instance();
    lose_one(&version, &handle);
    until(|| version.mendings().len() == 1);
    (0..10).for_each(|_| succeed_one(&version, &handle));
    let [mending] = version.mendings().try_into().unwrap();
    assert_eq!(mending.reason, lost().message);
    drop(made);
    until(|| version.free_instances() == 2);
}

#[test]
fn an_instance_that_is_lost_as_it_is_asked_whether_it_is_ready_is_made_anew() {
    let (version, handle) = serve(one_by_one(), 1);
    handle.say_ready(Err(Fault::Loss(lost())));
    let answer = send(&version, "doubtful", 1);
    handle.next().fail_doubtfully(&BackendError::internal("it may be broken"));
    assert!(wait(answer).error.is_some());
    until(|| version.statistics().restarts() == 1 && version.free_instances() == 1);
    succeed_one(&version, &handle);
}

#[test]
fn where_the_thread_that_makes_an_instance_anew_is_lost_another_tries_again() {
    let (version, handle) = serve(one_by_one(), 1);
    handle.fail_instances(Fault::Loss(lost()));
    lose_one(&version, &handle);
    until(|| version.mendings().first().is_some_and(|mending| mending.failures == 2));
    handle.mend_instances();
    succeed_one(&version, &handle);
    // And where it is lost as it lets go of the one before.
    handle.fail_drop(Fault::Loss(lost()));
    let answer = send(&version, "broken", 1);
    handle.next().break_down(&BackendError::internal("its process died"));
    assert!(wait(answer).error.is_some());
    succeed_one(&version, &handle);
}

#[test]
fn a_version_whose_engine_keeps_the_thread_that_lets_go_of_a_broken_instance_is_let_go_of_all_the_same() {
    let (version, handle) = serve(one_by_one(), 1);
    handle.fail_drop(Fault::Loss(lost()));
    let answer = send(&version, "last", 1);
    let execution = handle.next();
    version.close();
    execution.break_down(&BackendError::internal("its process died"));
    assert!(wait(answer).error.is_some());
    let model = version.engine_model().map(|model| Arc::downgrade(&model)).unwrap();
    drop(version);
    until(|| handle.instances_alive() == 0 && model.strong_count() == 0);
}

#[test]
fn a_version_that_has_lost_threads_is_let_go_like_any_other() {
    let (version, handle) = serve_with(one_by_one(), plan(2), Arc::default());
    lose_one(&version, &handle);
    until(|| version.free_instances() == 2);
    let version = {
        let weak = Arc::downgrade(&version);
        drop(version);
        weak
    };
    until(|| version.strong_count() == 0);
    until(|| handle.instances_alive() == 1);
    assert_eq!(handle.instances(), 3, "all but the one that is lost are let go of");
}
