//! How requests wait: for company, for their turn, and for how long.

use std::sync::Arc;
use std::time::Duration;

use nerite_backend::{BackendError, Code, DType};

use super::{batches_of_8, one_by_one, send, send_on};
use crate::admission::QueueTerms;
use crate::execution::{Answer, Machinery, MachineryOptions, Pool};
use crate::mock::{Handle, ManualClock, input, model, of_shapes, plan, poll, serve, serve_with, until, wait};
use crate::model::{ModelSpec, QueuePolicy, Scheduling, TimeoutAction};
use crate::statistics::FailureReason;
use crate::version::ModelVersion;

const DELAY: Duration = Duration::from_millis(10);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn scheduled(change: impl FnOnce(&mut Scheduling)) -> ModelSpec {
    let mut spec = batches_of_8();
    change(&mut spec.scheduling);
    spec
}

/// A model on a clock that the test sets.
fn serve_at(spec: ModelSpec, hold: usize) -> (Arc<ManualClock>, Arc<ModelVersion>, Handle) {
    let clock = ManualClock::new();
    let options = MachineryOptions { hold, ..MachineryOptions::default() };
    let machinery = Machinery::with(Arc::new(Pool::new()), Arc::clone(&clock) as _, options);
    let (version, handle) = serve_with(spec, plan(1), Arc::new(machinery));
    (clock, version, handle)
}

/// Keeps the only instance busy.
fn occupy(version: &Arc<ModelVersion>, handle: &Handle) -> (Answer, crate::mock::Execution) {
    let answer = send(version, "busy", 8);
    (answer, handle.next())
}

#[test]
fn a_batch_waits_for_the_delay_and_takes_all_that_has_come_by_then() {
    let (clock, version, handle) = serve_at(scheduled(|s| s.max_queue_delay = DELAY), 0);
    let _a = send(&version, "a", 1);
    clock.advance(ms(6));
    let _b = send(&version, "b", 1);
    clock.advance(ms(3));
    assert!(!handle.has_next(), "one millisecond is left");
    assert_eq!(version.pending(), 2);
    clock.advance(ms(1));
    assert_eq!(handle.next().ids(), ["a", "b"]);
    assert_eq!(clock.alarms(), 0);
}

#[test]
fn a_batch_that_is_full_before_the_delay_is_over_does_not_wait() {
    let (_clock, version, handle) = serve_at(scheduled(|s| s.max_queue_delay = DELAY), 0);
    let _answers: Vec<Answer> = (0..8).map(|i| send(&version, &i.to_string(), 1)).collect();
    assert_eq!(handle.next().ids().len(), 8);
}

#[test]
fn a_preferred_size_is_executed_at_once() {
    let spec = scheduled(|s| {
        s.max_queue_delay = DELAY;
        s.preferred_batch_sizes = vec![2, 4];
    });
    let (clock, version, handle) = serve_at(spec, 0);
    let _a = send(&version, "a", 1);
    let _b = send(&version, "b", 1);
    handle.next().succeed();
    // What was waited for before must not delay what can go now: three wait for a fourth, two of them go away.
    until(|| version.free_instances() == 1);
    let c = send(&version, "c", 3);
    drop(c);
    let _d = send(&version, "d", 1);
    let _e = send(&version, "e", 1);
    assert_eq!(handle.next().ids(), ["d", "e"]);
    clock.advance(DELAY);
}

#[test]
fn one_that_is_unlike_ends_the_waiting_of_those_before_it() {
    let spec = model("M", 8, vec![input("X", DType::U8, &[-1], 0)]);
    let scheduling = Scheduling { max_queue_delay: DELAY, ..spec.scheduling.clone() };
    let (_clock, version, handle) = serve_at(ModelSpec { scheduling, ..spec }, 0);
    let now = std::time::Instant::now();
    let _short = version.infer(of_shapes("short", 1, &[Some(&[1, 2])]), now);
    let _long = version.infer(of_shapes("long", 1, &[Some(&[1, 3])]), now);
    assert_eq!(handle.next().ids(), ["short"]);
}

#[test]
fn a_higher_priority_goes_first_and_none_is_the_default() {
    let spec = ModelSpec {
        scheduling: Scheduling {
            default_priority: 2,
            levels: vec![QueuePolicy::default(); 3],
            ..one_by_one().scheduling
        },
        ..one_by_one()
    };
    let (version, handle) = serve(spec, 1);
    let (_answer, busy) = occupy(&version, &handle);
    let with = |id: &str, priority| send_on(&version, id, QueueTerms { priority, ..QueueTerms::default() });
    let _answers = [with("low", 3), with("none", 0), with("default", 2), with("beyond", 9), with("high", 1)];
    busy.succeed();
    for id in ["high", "none", "default", "beyond", "low"] {
        let execution = handle.next();
        assert_eq!(execution.ids(), [id]);
        execution.succeed();
    }
}

fn policy(policy: QueuePolicy) -> ModelSpec {
    let levels = vec![policy];
    ModelSpec { scheduling: Scheduling { levels, ..one_by_one().scheduling }, ..one_by_one() }
}

#[test]
fn a_request_that_finds_the_queue_full_is_refused_at_once_and_one_that_gave_up_makes_room() {
    let full = QueuePolicy { max_queue_size: Some(2), ..QueuePolicy::default() };
    let (version, handle) = serve(policy(full), 1);
    let (_answer, busy) = occupy(&version, &handle);
    let (first, _second) = (send(&version, "first", 1), send(&version, "second", 1));
    let refused = poll(&mut send(&version, "third", 1)).expect("answered at once").error;
    let text = "[request id: third] Exceeds maximum queue size";
    assert_eq!(refused, Some(BackendError::new(Code::Unavailable, text)));
    assert_eq!(version.statistics().failures(FailureReason::Rejected), 1);
    drop(first);
    let _fourth = send(&version, "fourth", 1);
    busy.succeed();
    for id in ["second", "fourth"] {
        let execution = handle.next();
        assert_eq!(execution.ids(), [id]);
        execution.succeed();
    }
    assert_eq!(version.pending(), 0);
}

fn timeout(after: Duration, timeout_action: TimeoutAction) -> QueuePolicy {
    QueuePolicy {
        default_timeout: Some(after),
        timeout_action,
        allow_timeout_override: true,
        ..QueuePolicy::default()
    }
}

#[test]
fn a_request_that_waits_too_long_is_answered_while_the_instance_is_still_busy() {
    let (version, handle) = serve(policy(timeout(ms(20), TimeoutAction::Reject)), 1);
    let (_answer, busy) = occupy(&version, &handle);
    let late = send(&version, "late", 1);
    let error = wait(late).error;
    assert_eq!(error, Some(BackendError::new(Code::Unavailable, "Request timeout expired")));
    let statistics = version.statistics();
    assert_eq!((statistics.failures(FailureReason::Rejected), version.pending()), (1, 0));
    busy.succeed();
    until(|| version.free_instances() == 1);
    assert_eq!(handle.executions(), 1);
}

#[test]
fn a_request_whose_time_is_over_is_not_executed_even_if_its_caller_has_not_noticed() {
    for terms in [QueueTerms::default(), QueueTerms { timeout: Some(ms(5)), ..QueueTerms::default() }] {
        let (clock, version, handle) = serve_at(policy(timeout(ms(20), TimeoutAction::Reject)), 0);
        let (_answer, busy) = occupy(&version, &handle);
        let mut late = send_on(&version, "late", terms);
        clock.advance(terms.timeout.unwrap_or(ms(20)));
        busy.succeed();
        until(|| version.statistics().failures(FailureReason::Rejected) == 1);
        let error = poll(&mut late).and_then(|response| response.error);
        assert_eq!(error.map(|error| error.code), Some(Code::Unavailable));
        until(|| version.free_instances() == 1);
        assert_eq!((handle.executions(), version.pending()), (1, 0));
    }
}

#[test]
fn a_request_whose_caller_has_a_deadline_is_not_executed_after_it() {
    let (clock, version, handle) = serve_at(one_by_one(), 0);
    let (_answer, busy) = occupy(&version, &handle);
    let deadline = Some(crate::execution::Clock::now(&*clock) + ms(5));
    let _late = send_on(&version, "late", QueueTerms { deadline, ..QueueTerms::default() });
    clock.advance(ms(5));
    busy.succeed();
    until(|| version.statistics().failures(FailureReason::Canceled) == 1);
    until(|| version.free_instances() == 1);
    assert_eq!((handle.executions(), version.pending()), (1, 0));
}

#[test]
fn a_request_that_is_to_be_delayed_lets_those_in_time_go_first() {
    let (clock, version, handle) = serve_at(policy(timeout(ms(20), TimeoutAction::Delay)), 0);
    let (_answer, busy) = occupy(&version, &handle);
    let _late = send(&version, "late", 1);
    clock.advance(ms(20));
    let _timely = send(&version, "timely", 1);
    busy.succeed();
    for id in ["timely", "late"] {
        let execution = handle.next();
        assert_eq!(execution.ids(), [id]);
        execution.succeed();
    }
}

#[test]
fn responses_come_in_the_order_of_their_requests_where_that_is_asked_for() {
    let spec = ModelSpec {
        scheduling: Scheduling { preserve_ordering: true, ..one_by_one().scheduling },
        ..one_by_one()
    };
    let (version, handle) = serve(spec, 2);
    let (mut first, mut second) = (send(&version, "first", 1), send(&version, "second", 1));
    let mut executions = [handle.next(), handle.next()];
    executions.sort_by_key(|execution| execution.ids());
    let [one, two] = executions;
    two.succeed();
    assert!(poll(&mut second).is_none(), "the first has not been answered");
    assert_eq!(version.statistics().success.count(), 0);
    one.succeed();
    assert!(poll(&mut first).is_some() && poll(&mut second).is_some());
    assert_eq!(version.statistics().success.count(), 2);
}

#[test]
fn a_held_model_executes_nothing_before_so_many_requests_wait_and_is_then_as_any_other() {
    let (_clock, version, handle) = serve_at(batches_of_8(), 3);
    let mut answers = vec![send(&version, "a", 1), send(&version, "b", 1)];
    assert_eq!((version.pending(), handle.executions()), (2, 0));
    answers.push(send(&version, "c", 1));
    let execution = handle.next();
    assert_eq!(execution.ids(), ["a", "b", "c"]);
    execution.succeed();
    answers.push(send(&version, "d", 1));
    handle.next().succeed();
    assert!(answers.into_iter().all(|answer| wait(answer).error.is_none()));
    let (_clock, version, handle) = serve_at(one_by_one(), 3);
    let _answer = send(&version, "a", 1);
    assert_eq!(handle.next().ids(), ["a"], "a model without dynamic batching is not held");
}

#[test]
fn an_ordered_response_does_not_wait_for_one_that_was_given_up() {
    let spec = ModelSpec {
        scheduling: Scheduling { preserve_ordering: true, ..one_by_one().scheduling },
        ..one_by_one()
    };
    let (version, handle) = serve(spec, 2);
    let hanging = send(&version, "hanging", 1);
    let stuck = handle.next();
    let mut second = send(&version, "second", 1);
    handle.next().succeed();
    assert!(poll(&mut second).is_none(), "the first may still be answered");
    drop(hanging);
    assert_eq!(poll(&mut second).expect("nobody waits for the first any more").error, None);
    let third = send(&version, "third", 1);
    handle.next().succeed();
    assert_eq!(wait(third).error, None);
    stuck.succeed();
    assert_eq!(version.statistics().success.count(), 2);
}

#[test]
fn requests_that_free_instances_are_about_to_take_do_not_fill_the_queue() {
    let small = QueuePolicy { max_queue_size: Some(1), ..QueuePolicy::default() };
    for _ in 0..50 {
        let (version, handle) = serve(policy(small.clone()), 4);
        let answers: Vec<Answer> = (0..5).map(|i| send(&version, &i.to_string(), 1)).collect();
        let executing: Vec<_> = (0..4).map(|_| handle.next()).collect();
        executing.into_iter().for_each(|execution| execution.succeed());
        handle.next().succeed();
        assert!(answers.into_iter().all(|answer| wait(answer).error.is_none()));
    }
}
