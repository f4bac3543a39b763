//! Callers that go away, engines that panic, and models that stop.

use std::pin::pin;
use std::task::{Context, Waker};

use nerite_backend::{BackendError, Code};

use super::{batches_of_8, send};
use crate::execution::Answer;
use crate::mock::{poll, serve, until, wait};
use crate::statistics::FailureReason;

const STOPPING: &str = "Server is stopping, scheduler for model has stopped accepting new inference requests";

#[test]
fn a_request_whose_caller_went_away_is_never_executed_and_is_counted_once() {
    let (version, handle) = serve(batches_of_8(), 1);
    let first = send(&version, "first", 1);
    let busy = handle.next();
    let gone = [send(&version, "gone", 1), send(&version, "gone too", 1)];
    let last = send(&version, "last", 1);
    gone.into_iter().for_each(drop);
    assert_eq!(version.statistics().failures(FailureReason::Canceled), 2, "counted at once");
    busy.succeed();
    let execution = handle.next();
    assert_eq!(execution.ids(), ["last"]);
    execution.succeed();
    assert!([first, last].into_iter().all(|answer| wait(answer).error.is_none()));
    let statistics = version.statistics();
    assert_eq!(statistics.failures(FailureReason::Canceled), 2);
    assert_eq!((statistics.failure.count(), statistics.success.count(), version.pending()), (2, 2, 0));
}

#[test]
fn a_request_whose_caller_went_away_takes_no_room_in_a_batch() {
    let (version, handle) = serve(batches_of_8(), 1);
    let _first = send(&version, "first", 1);
    let busy = handle.next();
    let (_a, gone, _b) = (send(&version, "a", 4), send(&version, "gone", 3), send(&version, "b", 4));
    drop(gone);
    busy.succeed();
    assert_eq!(handle.next().ids(), ["a", "b"]);
}

#[test]
fn of_a_hundred_thousand_requests_of_which_most_gave_up_just_the_others_are_executed() {
    let (version, handle) = serve(batches_of_8(), 1);
    let busy_answer = send(&version, "busy", 1);
    let busy = handle.next();
    let (mut kept, mut given_up) = (Vec::new(), Vec::new());
    for i in 0..100_000 {
        let answer = send(&version, &i.to_string(), 1 + i % 3);
        if i % 10 == 0 { kept.push((i.to_string(), answer)) } else { given_up.push(answer) }
    }
    // They go away on several threads at once, in another order than they came.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let some = given_up.split_off(given_up.len() - 22_500);
            scope.spawn(move || some.into_iter().rev().for_each(drop));
        }
    });
    assert_eq!((given_up.len(), version.pending()), (0, kept.len()));
    busy.succeed();
    let mut executed = Vec::new();
    while executed.len() < kept.len() {
        let execution = handle.next();
        executed.extend(execution.ids());
        execution.succeed();
    }
    assert_eq!(wait(busy_answer).error, None);
    for ((id, answer), executed) in kept.into_iter().zip(executed) {
        assert_eq!((id, wait(answer).error), (executed, None));
    }
    let statistics = version.statistics();
    assert_eq!((statistics.failures(FailureReason::Canceled), statistics.success.count()), (90_000, 10_001));
    assert_eq!(version.pending(), 0);
}

#[test]
fn a_caller_that_goes_away_during_the_execution_is_seen_by_the_engine() {
    let (version, handle) = serve(batches_of_8(), 1);
    let caller = send(&version, "a", 1);
    let execution = handle.next();
    assert!(!execution.requests()[0].cancel().is_cancelled());
    drop(caller);
    assert!(execution.requests()[0].cancel().is_cancelled());
    execution.succeed();
    let statistics = version.statistics();
    assert_eq!((statistics.failures(FailureReason::Canceled), statistics.success.count()), (1, 0));
}

#[test]
fn an_answer_that_was_taken_is_not_counted_as_cancelled_when_it_is_dropped() {
    let (version, handle) = serve(batches_of_8(), 1);
    let mut taken = send(&version, "taken", 1);
    handle.next().succeed();
    let unclaimed = send(&version, "unclaimed", 1);
    handle.next().succeed();
    assert!(poll(&mut taken).is_some());
    drop((taken, unclaimed));
    assert_eq!((version.statistics().success.count(), version.statistics().failure.count()), (2, 0));
}

#[test]
fn a_panic_of_the_engine_fails_its_batch_and_the_instance_is_replaced() {
    let (version, handle) = serve(batches_of_8(), 1);
    let first = send(&version, "first", 1);
    let busy = handle.next();
    let batch = [send(&version, "a", 1), send(&version, "b", 1)];
    busy.succeed();
    let execution = handle.next();
    assert_eq!(execution.ids(), ["a", "b"]);
    let next = send(&version, "next", 1);
    execution.panic();
    for answer in batch {
        assert_eq!(wait(answer).error.map(|error| error.code), Some(Code::Internal));
    }
    handle.next().succeed();
    assert!([first, next].into_iter().all(|answer| wait(answer).error.is_none()));
    assert_eq!(handle.instances(), 2);
    assert_eq!(version.statistics().failures(FailureReason::Backend), 2);
    until(|| version.free_instances() == 1);
}

#[test]
fn closing_answers_what_waits_and_lets_what_is_executed_complete() {
    let (version, handle) = serve(batches_of_8(), 1);
    let mut executing = send(&version, "executing", 1);
    let execution = handle.next();
    let waiting: Vec<Answer> = ["a", "b", "c"].map(|id| send(&version, id, 1)).into();
    assert_eq!(version.pending(), 3);

    version.close();
    let mut drain = pin!(version.settled());
    let mut context = Context::from_waker(Waker::noop());
    assert!(drain.as_mut().poll(&mut context).is_pending());
    let stopping = BackendError::new(Code::Unavailable, STOPPING);
    for mut answer in waiting {
        assert_eq!(poll(&mut answer).expect("answered at once").error.as_ref(), Some(&stopping));
    }
    assert_eq!(poll(&mut send(&version, "late", 1)).expect("answered at once").error, Some(stopping));
    assert!(poll(&mut executing).is_none());
    assert_eq!(version.pending(), 0);
    execution.succeed();
    assert_eq!(wait(executing).error, None);
    assert!(drain.as_mut().poll(&mut context).is_ready());
    let statistics = version.statistics();
    assert_eq!((statistics.success.count(), statistics.failures(FailureReason::Rejected)), (1, 4));
}

#[test]
fn a_drain_that_waits_is_woken_by_the_last_release() {
    let (version, handle) = serve(batches_of_8(), 1);
    let _caller = send(&version, "a", 1);
    let execution = handle.next();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    version.close();
    let mut drain = pin!(version.settled());
    assert!(drain.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let releasing = std::thread::spawn(move || execution.succeed());
    runtime.block_on(drain);
    releasing.join().unwrap();
}
