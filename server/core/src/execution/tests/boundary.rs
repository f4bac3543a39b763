//! What an engine may do with a batch: answer when, from where and in whatever order it likes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use nerite_backend::{BackendError, Code, Phases, Response};

use super::{batches_of_8, send};
use crate::mock::{answer, phases, poll, serve, until, wait};
use crate::statistics::FailureReason;
use crate::version::ModelVersion;

#[test]
fn an_engine_may_answer_from_another_thread_after_execute_returned_and_release_last() {
    let (version, handle) = serve(batches_of_8(), 1);
    let caller = send(&version, "a", 2);
    let requests = handle.next().leave();
    until(|| version.free_instances() == 1);
    let mut next = send(&version, "b", 1);
    let second = handle.next();

    let answering = thread::spawn(move || {
        requests.iter().for_each(answer);
        requests
    });
    let requests = answering.join().unwrap();
    let response = wait(caller);
    assert_eq!(response.error, None);
    assert_eq!(response.outputs[0].1.shape[..], [2, 1]);
    assert!(poll(&mut next).is_none(), "the other request is still being executed");
    second.succeed();

    version.close();
    let mut drain = pin!(version.settled());
    let mut context = Context::from_waker(Waker::noop());
    assert!(drain.as_mut().poll(&mut context).is_pending(), "an answered request was not released yet");
    let releasing = thread::spawn(move || drop(requests));
    releasing.join().unwrap();
    assert!(drain.as_mut().poll(&mut context).is_ready());
}

#[test]
fn an_engine_may_answer_after_it_released_the_request() {
    let (version, handle) = serve(batches_of_8(), 1);
    let mut caller = send(&version, "a", 1);
    let execution = handle.next();
    let responder = execution.requests()[0].responder();
    drop(execution);
    assert!(poll(&mut caller).is_none());
    let second = responder.clone();
    assert!(responder.send(Response::complete(Default::default())).is_taken());
    assert_eq!(wait(caller).error, None);
    assert!(second.send(Response::complete(Default::default())).is_gone(), "it was answered already");
    assert_eq!(version.statistics().success.count(), 1);
}

#[test]
fn a_request_given_up_unanswered_gets_an_error() {
    let (version, handle) = serve(batches_of_8(), 1);
    let caller = send(&version, "a", 1);
    drop(handle.next());
    let error = wait(caller).error.unwrap();
    assert_eq!(error.code, Code::Internal);
    assert_eq!(error.message, "the model's engine gave up the request unanswered");
    assert_eq!(version.statistics().failures(FailureReason::Backend), 1);
}

#[test]
fn a_request_is_not_given_up_while_a_responder_is_left() {
    let (version, handle) = serve(batches_of_8(), 1);
    let mut caller = send(&version, "a", 1);
    let execution = handle.next();
    let (first, second) = (execution.requests()[0].responder(), execution.requests()[0].responder());
    drop(execution);
    drop(first);
    assert!(poll(&mut caller).is_none());
    drop(second);
    assert_eq!(wait(caller).error.map(|error| error.code), Some(Code::Internal));
}

/// Notes how many successes and failures were counted when the caller was woken.
struct Witness {
    version: Arc<ModelVersion>,
    counted: AtomicU64,
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        let statistics = self.version.statistics();
        self.counted.store(statistics.success.count() + statistics.failure.count(), SeqCst);
    }
}

#[test]
fn a_request_is_counted_before_its_answer_can_be_seen() {
    let (version, handle) = serve(batches_of_8(), 1);
    for (number, error) in (1..).zip([None, Some(BackendError::invalid("index out of range"))]) {
        let witness = Arc::new(Witness { version: Arc::clone(&version), counted: AtomicU64::new(0) });
        let waker = Waker::from(Arc::clone(&witness));
        let mut caller = pin!(send(&version, "a", 1));
        assert!(caller.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        match &error {
            None => handle.next().succeed(),
            Some(error) => handle.next().fail(error),
        }
        assert_eq!(witness.counted.load(SeqCst), number);
        let Poll::Ready(response) = caller.as_mut().poll(&mut Context::from_waker(&waker)) else {
            panic!("the answer is there when the caller is woken");
        };
        assert_eq!(response.error, error);
    }
    let statistics = version.statistics();
    assert_eq!((statistics.success.count(), statistics.failures(FailureReason::Backend)), (1, 1));
    assert_eq!((statistics.inferences(), statistics.executions()), (1, 1));
}

#[test]
fn an_error_of_the_engine_reaches_the_caller_as_it_is() {
    let (version, handle) = serve(batches_of_8(), 1);
    let caller = send(&version, "a", 1);
    let error = BackendError::new(Code::Unavailable, "the device is gone");
    handle.next().fail(&error);
    assert_eq!(wait(caller).error, Some(error));
    let statistics = version.statistics();
    // It was executed, so this is the engine's failure and no rejection.
    assert_eq!(statistics.failures(FailureReason::Backend), 1);
    assert_eq!(statistics.failures(FailureReason::Rejected), 0);
}

#[test]
fn an_engine_that_reports_after_its_answer_is_accounted_for_when_it_does() {
    let (version, handle) = serve(batches_of_8(), 1);
    let statistics = version.statistics();
    let caller = send(&version, "a", 1);
    let requests = handle.next().leave();
    assert!(requests[0].responder().send(Response::complete(Default::default())).is_taken());
    assert_eq!(wait(caller).error, None, "the answer is not held back");
    assert_eq!(statistics.success.count(), 0);
    let now = Instant::now();
    let infer_end = now + Duration::from_secs(5);
    requests[0].report(&Phases { start: now, input_end: now, infer_end, end: infer_end }, Ok(()));
    assert_eq!((statistics.success.count(), statistics.compute_infer.nanos()), (1, 5_000_000_000));
    drop(requests);
    assert_eq!(statistics.success.count(), 1);
}

#[test]
fn an_engine_that_never_reports_is_accounted_for_at_the_latest_when_it_lets_go() {
    let (version, handle) = serve(batches_of_8(), 1);
    let statistics = version.statistics();
    let caller = send(&version, "a", 1);
    let requests = handle.next().leave();
    assert!(requests[0].responder().send(Response::complete(Default::default())).is_taken());
    drop(caller);
    assert_eq!(statistics.success.count(), 0);
    drop(requests);
    assert_eq!((statistics.success.count(), statistics.failure.count()), (1, 0));
    assert_eq!(statistics.compute_infer.nanos(), 0, "all its time was waiting");
}

#[test]
fn what_an_engine_reports_as_failed_has_failed_whether_it_reports_before_its_answer_or_after_it() {
    let (version, handle) = serve(batches_of_8(), 1);
    let error = BackendError::internal("half of it");
    for (number, reports_first) in (1..).zip([true, false]) {
        let caller = send(&version, "a", 1);
        let requests = handle.next().leave();
        let report = || requests[0].report(&phases(), Err(&error));
        if reports_first {
            report();
        }
        assert!(requests[0].responder().send(Response::complete(Default::default())).is_taken());
        if !reports_first {
            report();
        }
        assert_eq!(wait(caller).error, None);
        assert_eq!(version.statistics().failures(FailureReason::Backend), number);
    }
    assert_eq!(version.statistics().success.count(), 0);
}
