//! Requests that are the same while one of them is under way.

use std::sync::Arc;
use std::time::Duration;

use nerite_backend::{BackendError, Code};

use super::*;
use crate::admission::QueueTerms;
use crate::execution::{Machinery, MachineryOptions, Pool};
use crate::mock::{ManualClock, answer, poll, wait};
use crate::model::{QueuePolicy, Scheduling};
use crate::statistics::FailureReason;

/// The same model, one request at a time, so that a test sees which is executed.
fn one_by_one() -> ModelSpec {
    ModelSpec { scheduling: Scheduling::default(), ..spec() }
}

#[test]
fn requests_that_are_the_same_are_executed_once_and_each_is_answered_and_counted() {
    let (cache, version, handle) = serve(one_by_one());
    let answers: Vec<Answer> = (0..5).map(|id| send(&version, named(&id.to_string(), of(b"abc")))).collect();
    let execution = handle.next();
    assert_eq!(execution.ids(), ["0"]);
    assert_eq!(cache.flights(), 1);
    assert_eq!(version.pending(), 0, "the others wait for the answer, and not to be executed");
    execution.succeed();
    for answer in answers {
        assert_eq!(content(&wait(answer)), b"abc");
    }
    let statistics = version.statistics();
    assert_eq!((statistics.success.count(), statistics.inferences(), handle.executions()), (5, 1, 1));
    assert_eq!((statistics.cache_hit.count(), statistics.cache_miss.count()), (4, 1));
    assert_eq!(cache.flights(), 0);
    wait(version.settled());
}

#[test]
fn an_answer_too_large_to_be_kept_is_still_given_to_all_who_wait_for_it() {
    let (cache, version, handle) = serve_from(ResponseCache::new(100), one_by_one());
    let answers: Vec<Answer> = (0..3).map(|_| send(&version, of(b"abc"))).collect();
    handle.next().succeed();
    for answer in answers {
        assert_eq!(content(&wait(answer)), b"abc");
    }
    assert_eq!((cache.usage().bytes, cache.usage().entries, handle.executions()), (0, 0, 1));
}

#[test]
fn when_the_one_that_is_executed_is_given_up_one_of_the_others_takes_its_place() {
    let (cache, version, handle) = serve(one_by_one());
    let send = |id| send(&version, named(id, of(b"abc")));
    // First while it is executed, then while it waits.
    let (leader, second, third) = (send("1"), send("2"), send("3"));
    let execution = handle.next();
    drop(leader);
    assert!(execution.requests()[0].cancel().is_cancelled());
    execution.fail(&BackendError::internal("stopped in the middle"));
    let execution = handle.next();
    assert_eq!(execution.ids(), ["2"]);
    assert!(!execution.requests()[0].cancel().is_cancelled(), "it is wanted");
    execution.succeed();
    assert_eq!(content(&wait(second)), b"abc");
    assert_eq!(content(&wait(third)), b"abc");
    let statistics = version.statistics();
    assert_eq!((statistics.success.count(), statistics.failures(FailureReason::Canceled)), (2, 1));
    assert_eq!((statistics.cache_hit.count(), statistics.cache_miss.count()), (1, 1));
    assert_eq!(cache.flights(), 0);
}

#[test]
fn when_the_one_that_waits_for_its_turn_is_given_up_another_waits_in_its_place() {
    let (_cache, version, handle) = serve(one_by_one());
    let busy = send(&version, of(b"busy"));
    let running = handle.next();
    let (leader, mut second) =
        (send(&version, named("1", of(b"abc"))), send(&version, named("2", of(b"abc"))));
    assert_eq!(version.pending(), 1);
    drop(leader);
    assert_eq!(version.pending(), 1);
    assert!(poll(&mut second).is_none());
    running.succeed();
    let execution = handle.next();
    assert_eq!(execution.ids(), ["2"]);
    execution.succeed();
    wait(busy);
    assert_eq!(content(&wait(second)), b"abc");
    // It can be given up there as if it had always been there.
    let busy = send(&version, of(b"busy again"));
    let running = handle.next();
    let (leader, second) = (send(&version, of(b"x")), send(&version, of(b"x")));
    drop(leader);
    drop(second);
    assert_eq!(version.pending(), 0);
    running.succeed();
    wait(busy);
}

#[test]
fn one_that_is_answered_although_it_was_given_up_answers_the_others_all_the_same() {
    let (_cache, version, handle) = serve(one_by_one());
    let (leader, second) = (send(&version, of(b"abc")), send(&version, of(b"abc")));
    let execution = handle.next();
    drop(leader);
    execution.succeed();
    assert_eq!(content(&wait(second)), b"abc");
    assert_eq!(handle.executions(), 1);
}

#[test]
fn when_the_one_that_is_executed_fails_each_of_the_others_is_executed_by_itself() {
    let (cache, version, handle) = serve(one_by_one());
    let answers: Vec<Answer> = (0..3).map(|id| send(&version, named(&id.to_string(), of(b"abc")))).collect();
    handle.next().fail(&BackendError::internal("not this one"));
    for id in ["1", "2"] {
        let execution = handle.next();
        assert_eq!(execution.ids(), [id]);
        execution.succeed();
    }
    let outcomes: Vec<bool> = answers.into_iter().map(|answer| wait(answer).error.is_none()).collect();
    assert_eq!(outcomes, [false, true, true]);
    assert_eq!((cache.flights(), cache.usage().entries), (0, 0), "nobody led a flight any more");
}

#[test]
fn an_engine_that_forgets_the_request_makes_the_others_no_answer_either() {
    let (cache, version, handle) = serve(one_by_one());
    let (leader, second) = (send(&version, of(b"abc")), send(&version, of(b"abc")));
    drop(handle.next());
    handle.next().succeed();
    assert!(wait(leader).error.is_some());
    assert_eq!(content(&wait(second)), b"abc");
    assert_eq!(cache.flights(), 0);
}

#[test]
fn one_that_gives_up_waiting_leaves_nothing_behind_and_the_rest_undisturbed() {
    let (_cache, version, handle) = serve(one_by_one());
    let (leader, third) = (send(&version, of(b"abc")), of(b"abc"));
    let input = third.inputs[0].clone().expect("it has one").data.into_bytes();
    let second = send(&version, third);
    assert!(!input.is_unique());
    drop(second);
    assert!(input.is_unique(), "its input is let go");
    let execution = handle.next();
    assert!(!execution.requests()[0].cancel().is_cancelled());
    execution.succeed();
    assert_eq!(content(&wait(leader)), b"abc");
    assert_eq!(version.statistics().failures(FailureReason::Canceled), 1);
    wait(version.settled());
}

#[test]
fn a_request_does_not_wait_for_one_of_another_level_or_that_may_wait_for_longer() {
    let mut spec = one_by_one();
    let limited = QueuePolicy {
        default_timeout: Some(Duration::from_secs(60)),
        allow_timeout_override: true,
        ..QueuePolicy::default()
    };
    spec.scheduling.levels = vec![limited.clone(), limited];
    spec.scheduling.default_priority = 2;
    let (_cache, version, handle) = serve(spec);
    let busy = send(&version, of(b"busy"));
    let running = handle.next();
    let on = |terms: QueueTerms| send(&version, Admitted { terms, ..of(b"abc") });
    let leader = on(QueueTerms::default());
    let like_it = on(QueueTerms::default());
    assert_eq!(version.pending(), 1);
    let urgent = on(QueueTerms { priority: 1, ..QueueTerms::default() });
    assert_eq!(version.pending(), 2);
    let short = on(QueueTerms { timeout: Some(Duration::from_secs(30)), ..QueueTerms::default() });
    assert_eq!(version.pending(), 3);
    running.succeed();
    for _ in 0..3 {
        handle.next().succeed();
    }
    for answer in [busy, leader, like_it, urgent, short] {
        content(&wait(answer));
    }
    assert_eq!(handle.executions(), 4);
}

#[test]
fn when_one_is_given_up_its_place_goes_to_the_one_whose_time_is_over_first() {
    let mut spec = one_by_one();
    let (default_timeout, allow_timeout_override) = (Some(Duration::from_secs(600)), true);
    spec.scheduling.levels =
        vec![QueuePolicy { default_timeout, allow_timeout_override, ..QueuePolicy::default() }];
    let (_cache, version, handle) = serve(spec);
    let busy = send(&version, of(b"busy"));
    let running = handle.next();
    let within =
        |millis| QueueTerms { timeout: Some(Duration::from_millis(millis)), ..QueueTerms::default() };
    let on = |terms: QueueTerms| send(&version, Admitted { terms, ..of(b"abc") });
    let (leader, patient, impatient) = (on(within(20)), on(QueueTerms::default()), on(within(20)));
    assert_eq!(version.pending(), 1);
    drop(leader);
    let error = wait(impatient).error.expect("its time is over, though the model is busy");
    assert_eq!(error.message, "Request timeout expired");
    assert_eq!(version.pending(), 1, "the patient one has its place");
    running.succeed();
    handle.next().succeed();
    wait(busy);
    assert_eq!(content(&wait(patient)), b"abc");
}

#[test]
fn one_whose_time_in_the_queue_is_over_is_refused_and_the_next_waits_for_what_is_left_of_its_own() {
    let mut spec = one_by_one();
    spec.scheduling.levels =
        vec![QueuePolicy { default_timeout: Some(Duration::from_millis(30)), ..QueuePolicy::default() }];
    let clock = ManualClock::new();
    let machinery =
        Machinery::with(Arc::new(Pool::new()), Arc::clone(&clock) as _, MachineryOptions::default());
    let cache = Some(Arc::new(ResponseCache::new(SIZE)));
    let (stage, handle) = Stage::with_cache(spec, plan(1), Arc::new(machinery), cache);
    let version = stage.load();
    let busy = send(&version, of(b"busy"));
    let running = handle.next();
    let (leader, second) = (send(&version, of(b"abc")), send(&version, of(b"abc")));
    for answer in [leader, second] {
        let error = wait(answer).error.expect("its time is over");
        assert_eq!((error.code, error.message.as_str()), (Code::Unavailable, "Request timeout expired"));
    }
    assert_eq!(version.statistics().failures(FailureReason::Rejected), 2);
    assert_eq!(version.pending(), 0);
    running.succeed();
    wait(busy);
}

#[test]
fn a_long_row_of_refusals_needs_no_more_stack_than_a_short_one() {
    let (cache, version, handle) = serve(one_by_one());
    let busy = send(&version, of(b"busy"));
    let running = handle.next();
    let answers: Vec<Answer> = (0..20_000).map(|_| send(&version, of(b"abc"))).collect();
    assert_eq!(version.pending(), 1);
    version.close();
    for answer in answers {
        assert_eq!(wait(answer).error.expect("the model stops").code, Code::Unavailable);
    }
    running.requests().iter().for_each(answer);
    drop(running);
    wait(busy);
    assert_eq!(cache.flights(), 0);
}
