//! Requests that are parts of sequences, on instances whose executions the test ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nerite_backend::{
    BackendError, Code, CorrelationId, DType, Request, Response, Sequence, Shape, Slots, Tensor,
};

use crate::admission::{Admitted, QueueTerms};
use crate::execution::{Answer, Machinery, MachineryOptions, Pool};
use crate::mock::{
    Execution, Handle, ManualClock, input, model, of_shapes, plan, request, serve_with, until, wait,
};
use crate::model::{
    Control, LoadPlan, ModelSpec, RateLimit, ResourceDemand, Scheduling, SequenceBatching, SequenceStrategy,
    Signal, StateSpec, Values,
};
use crate::rate_limiter::RateLimiter;
use crate::version::ModelVersion;

const MAX_IDLE: Duration = Duration::from_secs(1);
const STATE: usize = 1;
const READY: usize = 2;

fn byte(value: u8) -> Tensor {
    Tensor::new(DType::U8, Shape::new(&[1, 1]), Bytes::from(vec![value]))
}

/// A model of batches of up to `rows` rows, whose sequences have a state of one byte.
fn spec(rows: u32, strategy: SequenceStrategy) -> ModelSpec {
    let values = Values { no: Bytes::from_static(&[0]), yes: Bytes::from_static(&[1]) };
    let batching = SequenceBatching {
        strategy,
        max_idle: MAX_IDLE,
        iterative: false,
        controls: vec![Control {
            slot: READY,
            dtype: DType::U8,
            shape: Shape::new(&[1, 1]),
            signal: Signal::Ready(values),
        }],
        states: vec![StateSpec { input: STATE, output: STATE, initial: byte(0), shape: Shape::new(&[1, 1]) }],
    };
    let mut spec = model("M", rows, vec![input("X", DType::U8, &[1], 0)]);
    spec.sequences = Some(Arc::new(batching));
    spec.slots.inputs = 3;
    spec
}

fn direct(rows: u32) -> ModelSpec {
    spec(rows, SequenceStrategy::Direct { fewest: 0 })
}

fn oldest(rows: u32, candidates: u32) -> ModelSpec {
    spec(rows, SequenceStrategy::Oldest { candidates })
}

fn iterative(spec: ModelSpec) -> ModelSpec {
    let batching = spec.sequences.as_deref().expect("it has sequences").clone();
    ModelSpec { sequences: Some(Arc::new(SequenceBatching { iterative: true, ..batching })), ..spec }
}

fn serve(spec: ModelSpec, instances: u32) -> (Arc<ManualClock>, Arc<ModelVersion>, Handle) {
    let clock = ManualClock::new();
    let machinery =
        Machinery::with(Arc::new(Pool::new()), Arc::clone(&clock) as _, MachineryOptions::default());
    let (version, handle) = serve_with(spec, plan(instances), Arc::new(machinery));
    (clock, version, handle)
}

/// So many instances, of which one at a time may execute, and others that need not wait for it.
fn serve_limited(
    spec: ModelSpec,
    limited: u32,
    others: u32,
) -> (Arc<ManualClock>, Arc<ModelVersion>, Handle) {
    let demand = ResourceDemand { name: "r".to_owned(), count: 1, global: true };
    let mut plan: LoadPlan = crate::mock::plan(limited);
    plan.instances[0].rate_limit = Some(RateLimit { resources: vec![demand], priority: 1 });
    plan.instances.extend(crate::mock::plan(others).instances);
    let options =
        MachineryOptions { rate_limiter: Some(Arc::new(RateLimiter::new(Vec::new()))), ..Default::default() };
    let clock = ManualClock::new();
    let machinery = Machinery::with(Arc::new(Pool::new()), Arc::clone(&clock) as _, options);
    let (version, handle) = serve_with(spec, plan, Arc::new(machinery));
    (clock, version, handle)
}

/// Sends a request of a sequence, with `^` before its name if it begins it and `$` behind if it ends it.
fn send(version: &Arc<ModelVersion>, sequence: u64, text: &str) -> Answer {
    send_on(version, sequence, text, QueueTerms::default())
}

fn send_on(version: &Arc<ModelVersion>, sequence: u64, text: &str, terms: QueueTerms) -> Answer {
    let (start, end) = (text.starts_with('^'), text.ends_with('$'));
    let mut admitted = request(text.trim_matches(['^', '$']), 1);
    admitted.inputs.resize(3, None);
    admitted.wanted = Slots::all(1);
    admitted.meta.sequence = Sequence { id: CorrelationId::Number(sequence), start, end };
    version.infer(Admitted { terms, ..admitted }, Instant::now())
}

fn state(request: &Request) -> u8 {
    request.inputs()[STATE].as_ref().expect("it has a state").data.contiguous().expect("in one piece")[0]
}

/// Answers a request with the next state of its sequence, and does not release it.
fn advance(request: &Request) {
    let next = byte(state(request) + 1);
    request.responder().send(Response::complete([(STATE, next)].into_iter().collect()));
}

/// Answers the whole batch so, and lets go of it. The rows with a request and what the state of each was.
fn advance_all(execution: Execution) -> Vec<(String, u8)> {
    let requests = execution.leave();
    let seen = requests.iter().filter(|request| !request.meta().id.is_empty());
    let seen = seen.map(|request| (request.meta().id.clone(), state(request))).collect();
    requests.iter().for_each(advance);
    seen
}

fn rows(execution: &Execution) -> Vec<(String, u8)> {
    let ready = |request: &Request| {
        request.inputs()[READY].as_ref().expect("it has a control").data.contiguous().expect("in one piece")
            [0]
    };
    execution.requests().iter().map(|request| (request.meta().id.clone(), ready(request))).collect()
}

#[track_caller]
fn error(answer: Answer) -> (Code, String) {
    let error = wait(answer).error.expect("it fails");
    (error.code, error.message)
}

const NOT_BEGUN: &str = "inference request for sequence 5 to model 'M' must specify the START flag on the first \
                         request of the sequence";

#[test]
fn the_next_request_of_a_sequence_goes_when_the_one_before_is_released_and_not_when_it_is_answered() {
    for spec in [direct(1), oldest(1, 4)] {
        let (_, version, handle) = serve(spec, 1);
        let first = send(&version, 5, "^a");
        let second = send(&version, 5, "b$");
        let held = handle.next().leave();
        held.iter().for_each(advance);
        assert_eq!(wait(first).error, None);
        until(|| version.free_instances() == 1);
        assert_eq!(version.pending(), 1);
        assert!(!handle.has_next(), "the engine has the first still");
        drop(held);
        assert_eq!(advance_all(handle.next()), [("b".to_owned(), 1)]);
        assert_eq!(wait(second).error, None);
    }
}

#[test]
fn each_sequence_has_its_own_state_and_begins_with_the_initial_one() {
    let (_, version, handle) = serve(oldest(4, 4), 1);
    let mut seen = Vec::new();
    for text in ["^a", "b", "c", "^d", "e"] {
        let answers = [5, 6].map(|sequence| send(&version, sequence, &format!("{text}{sequence}")));
        let executed = seen.len() + answers.len();
        while seen.len() < executed {
            seen.extend(advance_all(handle.next()));
        }
        answers.into_iter().for_each(|answer| assert_eq!(wait(answer).error, None));
    }
    seen.sort();
    let expected = ["a5", "a6", "b5", "b6", "c5", "c6", "d5", "d6", "e5", "e6"].map(str::to_owned);
    assert_eq!(seen, expected.into_iter().zip([0, 0, 1, 1, 2, 2, 0, 0, 1, 1]).collect::<Vec<_>>());
}

#[test]
fn a_request_that_fails_leaves_its_sequence_the_state_that_it_had() {
    let (_, version, handle) = serve(direct(1), 1);
    let first = send(&version, 5, "^a");
    advance_all(handle.next());
    assert_eq!(wait(first).error, None);
    let failing = send(&version, 5, "b");
    handle.next().fail(&BackendError::invalid("the test says so"));
    assert_eq!(error(failing).0, Code::InvalidArgument);
    let third = send(&version, 5, "c");
    assert_eq!(advance_all(handle.next()), [("c".to_owned(), 1)]);
    assert_eq!(wait(third).error, None);
}

#[test]
fn a_state_that_does_not_fit_is_an_error_and_leaves_the_one_before() {
    let (_, version, handle) = serve(direct(1), 1);
    let first = send(&version, 5, "^a");
    advance_all(handle.next());
    assert_eq!(wait(first).error, None);
    let second = send(&version, 5, "b");
    let [request] = handle.next().leave().try_into().unwrap();
    let wide = Tensor::new(DType::U8, Shape::new(&[1, 2]), Bytes::from(vec![8, 9]));
    assert!(!request.update_state(STATE, wide.clone()) && !request.update_state(0, byte(9)));
    request.responder().send(Response::complete([(STATE, wide)].into_iter().collect()));
    drop(request);
    let expected = "model 'M' gave a state of type UINT8 and shape [1,2], which the configuration says has type UINT8 \
                    and shape [1,1]; correct the state's dims, or the model";
    assert_eq!(error(second), (Code::Internal, expected.to_owned()));
    let third = send(&version, 5, "c");
    assert_eq!(advance_all(handle.next()), [("c".to_owned(), 1)]);
    assert_eq!(wait(third).error, None);
}

#[test]
fn a_sequence_keeps_its_row_and_a_row_without_a_request_is_told_so() {
    let (_, version, handle) = serve(direct(4), 1);
    let mut answers = vec![send(&version, 1, "^first")];
    let busy = handle.next();
    answers.extend([2, 3].map(|sequence| send(&version, sequence, "^other")));
    advance_all(busy);
    let execution = handle.next();
    let other = ("other".to_owned(), 1);
    assert_eq!(rows(&execution), [(String::new(), 0), other.clone(), other]);
    assert_eq!(state(&execution.requests()[0]), 0);
    assert!(execution.requests()[0].update_state(STATE, byte(9)), "an engine may treat all rows alike");
    advance_all(execution);
    answers.into_iter().for_each(|answer| assert_eq!(wait(answer).error, None));
    assert_eq!(version.statistics().success.count(), 3, "a row without a request is none in the account");
}

#[test]
fn a_request_without_a_beginning_is_refused_and_so_is_one_after_the_end() {
    let (_, version, handle) = serve(direct(1), 1);
    let refused = (Code::InvalidArgument, NOT_BEGUN.to_owned());
    assert_eq!(error(send(&version, 5, "a")), refused);
    let whole = send(&version, 5, "^a$");
    advance_all(handle.next());
    assert_eq!(wait(whole).error, None);
    assert_eq!(error(send(&version, 5, "b")), refused);
}

#[test]
fn a_request_that_is_given_up_before_its_turn_ends_its_sequence_there() {
    let (_, version, handle) = serve(direct(1), 1);
    let first = send(&version, 5, "^a");
    let busy = handle.next();
    let given_up = send(&version, 5, "b");
    let follower = send(&version, 5, "c");
    let anew = send(&version, 5, "^d$");
    drop(given_up);
    assert_eq!(error(follower).0, Code::Cancelled);
    advance_all(busy);
    assert_eq!(wait(first).error, None);
    assert_eq!(advance_all(handle.next()), [("d".to_owned(), 0)], "what begins anew is executed");
    assert_eq!(wait(anew).error, None);
    assert_eq!(error(send(&version, 5, "e")).1, NOT_BEGUN);
}

#[test]
fn giving_up_a_sequence_that_has_a_row_lets_the_next_one_in() {
    let (clock, version, handle) = serve(direct(1), 1);
    let blocking = send(&version, 1, "^a$");
    let busy = handle.next();
    let [second, third] = [2, 3].map(|sequence| send(&version, sequence, "^b$"));
    drop(second);
    assert_eq!(version.pending(), 1);
    advance_all(busy);
    advance_all(handle.next());
    assert_eq!((wait(blocking).error, wait(third).error), (None, None));
    assert_eq!(clock.alarms(), 0, "nothing is left that an alarm would end");
}

#[test]
fn an_idle_sequence_ends_and_its_row_is_anothers() {
    let (clock, version, handle) = serve(direct(1), 1);
    let first = send(&version, 5, "^a");
    let waiting = send(&version, 6, "^b");
    advance_all(handle.next());
    assert_eq!(wait(first).error, None);
    until(|| version.free_instances() == 1);
    assert_eq!(version.pending(), 1);
    clock.advance(MAX_IDLE);
    advance_all(handle.next());
    assert_eq!(wait(waiting).error, None);
    assert_eq!(error(send(&version, 5, "c")).1, NOT_BEGUN);
}

#[test]
fn a_sequence_that_waits_too_long_for_a_row_is_told_so() {
    let (clock, version, handle) = serve(direct(1), 1);
    let first = send(&version, 5, "^a");
    let busy = handle.next();
    let timeout = Some(Duration::from_millis(10));
    let impatient = send_on(&version, 6, "^b", QueueTerms { timeout, ..QueueTerms::default() });
    let follower = send(&version, 6, "c");
    clock.advance(Duration::from_millis(10));
    for answer in [impatient, follower] {
        let expected = "timeout of the corresponding sequence has been expired";
        assert_eq!(error(answer), (Code::Unavailable, expected.to_owned()));
    }
    advance_all(busy);
    assert_eq!(wait(first).error, None);
}

#[test]
fn how_long_a_sequence_waits_for_a_row_is_for_the_requests_that_are_left_to_say() {
    let (clock, version, handle) = serve(direct(1), 1);
    let first = send(&version, 5, "^a");
    let busy = handle.next();
    let timeout = Some(Duration::from_millis(10));
    let impatient = send_on(&version, 6, "^b", QueueTerms { timeout, ..QueueTerms::default() });
    let patient = send(&version, 6, "^c$");
    drop(impatient);
    clock.advance(Duration::from_millis(10));
    // One that has a row and begins anew behind others waits for one as they do.
    let anew = send_on(&version, 5, "^d$", QueueTerms { timeout, ..QueueTerms::default() });
    advance_all(busy);
    let busy = handle.next();
    assert_eq!(busy.ids(), ["c"]);
    clock.advance(Duration::from_millis(10));
    assert_eq!(error(anew).1, "timeout of the corresponding sequence has been expired");
    advance_all(busy);
    assert_eq!((wait(first).error, wait(patient).error), (None, None));
}

#[test]
fn of_sequences_whose_requests_differ_in_shape_each_has_its_turn() {
    let mut spec = direct(2);
    spec.inputs = vec![input("X", DType::U8, &[-1], 0)];
    let (_, version, handle) = serve(spec, 1);
    let send_wide = |sequence, width: i64| {
        let mut admitted = of_shapes("a", 1, &[Some(&[1, width])]);
        admitted.inputs.resize(3, None);
        admitted.wanted = Slots::all(1);
        admitted.meta.sequence = Sequence { id: CorrelationId::Number(sequence), start: true, end: false };
        version.infer(admitted, Instant::now())
    };
    let mut answers = vec![send_wide(1, 1)];
    let execution = handle.next();
    answers.extend([send_wide(2, 2), send_wide(1, 1)]);
    execution.succeed();
    let execution = handle.next();
    assert_eq!(execution.ids(), ["", "a"], "the second row has waited for longer");
    execution.succeed();
    let execution = handle.next();
    assert_eq!(execution.ids(), ["a"]);
    execution.succeed();
    answers.into_iter().for_each(|answer| assert_eq!(wait(answer).error, None));
}

#[test]
fn an_instance_that_breaks_ends_its_sequences_and_those_of_its_sibling_go_on() {
    let (_, version, handle) = serve(direct(1), 2);
    let firsts = [5, 6].map(|sequence| send(&version, sequence, "^a"));
    let [broken, sound] = [handle.next(), handle.next()];
    let (lost_id, kept_id) = match broken.requests()[0].meta().sequence.id {
        CorrelationId::Number(5) => (5, 6),
        _ => (6, 5),
    };
    let lost = send(&version, lost_id, "b");
    let kept = send(&version, kept_id, "b");
    let waiting = send(&version, 7, "^a$");
    broken.break_down(&BackendError::internal("it broke"));
    let (code, message) = error(lost);
    assert_eq!(code, Code::Unavailable);
    assert!(message.contains("begin the sequence again"), "{message}");
    advance_all(handle.next());
    assert_eq!(wait(waiting).error, None, "the instance that was made in its place has the row");
    advance_all(sound);
    assert_eq!(advance_all(handle.next()), [("b".to_owned(), 1)]);
    assert_eq!(wait(kept).error, None);
    assert!(error(send(&version, lost_id, "c")).1.contains("must specify the START flag"));
    firsts.into_iter().for_each(drop);
}

#[test]
fn a_version_that_closes_answers_what_waits_of_its_sequences() {
    let (_, version, handle) = serve(direct(1), 1);
    let first = send(&version, 5, "^a");
    let busy = handle.next();
    let waiting = [send(&version, 5, "b"), send(&version, 6, "^b")];
    version.close();
    for answer in waiting {
        assert_eq!(error(answer).0, Code::Unavailable);
    }
    assert_eq!(version.pending(), 0);
    advance_all(busy);
    assert_eq!(wait(first).error, None);
    wait(version.settled());
}

#[test]
fn an_iterative_request_is_executed_until_the_engine_lets_it_go() {
    let (_, version, handle) = serve(iterative(oldest(2, 2)), 1);
    let answer = send(&version, 0, "a");
    for iteration in 0..3 {
        let [request] = handle.next().leave().try_into().unwrap();
        assert_eq!((request.meta().sequence.start, state(&request)), (iteration == 0, iteration));
        request.update_state(STATE, byte(iteration + 1));
        assert!(request.execute_again().is_none());
    }
    advance_all(handle.next());
    assert_eq!(wait(answer).error, None);
    until(|| version.free_instances() == 1);
    assert_eq!(version.statistics().success.count(), 1);
    wait(version.settled());
}

/// Has the only request of a batch executed again.
fn repeat(execution: Execution) {
    let [request] = execution.leave().try_into().unwrap();
    assert!(request.execute_again().is_none());
}

#[test]
fn an_iterative_request_has_one_place_in_the_order_of_answers() {
    let spec = iterative(oldest(1, 2));
    let scheduling = Scheduling { preserve_ordering: true, ..spec.scheduling.clone() };
    let (_, version, handle) = serve(ModelSpec { scheduling, ..spec }, 1);
    let first = send(&version, 0, "a");
    repeat(handle.next());
    let second = send(&version, 0, "b");
    repeat(handle.next());
    (0..2).for_each(|_| drop(advance_all(handle.next())));
    assert_eq!((wait(first).error, wait(second).error), (None, None));
}

#[test]
fn an_iterative_request_whose_caller_is_gone_is_not_executed_again() {
    let (_, version, handle) = serve(iterative(oldest(1, 1)), 1);
    let given_up = send(&version, 0, "a");
    let execution = handle.next();
    drop(given_up);
    repeat(execution);
    let next = send(&version, 0, "b");
    assert_eq!(advance_all(handle.next()), [("b".to_owned(), 0)], "it has left its row");
    assert_eq!(wait(next).error, None);
    wait(version.settled());
}

#[test]
fn a_request_that_is_executed_again_shares_a_batch_with_one_that_is_not() {
    let mut spec = iterative(oldest(2, 3));
    spec.inputs = vec![input("X", DType::U8, &[-1], 0)];
    let (_, version, handle) = serve(spec, 1);
    let mut answers = vec![send(&version, 0, "a")];
    let [again] = handle.next().leave().try_into().unwrap();
    answers.push(send(&version, 0, "busy"));
    let busy = handle.next();
    answers.push(send(&version, 0, "b"));
    assert!(again.execute_again().is_none());
    advance_all(busy);
    assert_eq!(advance_all(handle.next()).len(), 2);
    answers.into_iter().for_each(|answer| assert_eq!(wait(answer).error, None));
}

#[test]
fn requests_of_other_models_are_executed_once() {
    let (_, version, handle) = serve(direct(1), 1);
    let answer = send(&version, 5, "^a$");
    let [request] = handle.next().leave().try_into().unwrap();
    let request = request.execute_again().expect("it is given back");
    advance(&request);
    drop(request);
    assert_eq!(wait(answer).error, None);
}

#[test]
fn instances_that_have_to_be_granted_resources_execute_sequences_too() {
    let (_, version, handle) = serve_limited(direct(1), 2, 0);
    for text in ["^a", "b", "c$"] {
        let answers = [5, 6].map(|sequence| send(&version, sequence, text));
        for _ in 0..2 {
            advance_all(handle.next());
        }
        answers.into_iter().for_each(|answer| assert_eq!(wait(answer).error, None));
    }
    assert_eq!(handle.most_at_once(), 1);
}

#[test]
fn a_grant_is_kept_for_an_instance_whose_sequence_others_cannot_go_on_with() {
    let (_, version, handle) = serve_limited(direct(1), 1, 1);
    for text in ["^a", "b", "c$"] {
        let answer = send(&version, 5, text);
        advance_all(handle.next());
        assert_eq!(wait(answer).error, None);
    }
}

#[test]
fn who_waits_for_a_row_too_long_is_told_so_while_an_instance_waits_for_its_grant() {
    let (clock, version, handle) = serve_limited(direct(1), 2, 0);
    let idle = send(&version, 6, "^a");
    advance_all(handle.next());
    assert_eq!(wait(idle).error, None);
    until(|| version.free_instances() == 2);
    let busy = send(&version, 5, "^a");
    let execution = handle.next();
    let next = send(&version, 7, "^a");
    let timeout = Some(MAX_IDLE * 3 / 2);
    let impatient = send_on(&version, 8, "^a", QueueTerms { timeout, ..QueueTerms::default() });
    // Another has the idle one's row, and waits for the resource.
    clock.advance(MAX_IDLE);
    clock.advance(MAX_IDLE / 2);
    assert_eq!(error(impatient).1, "timeout of the corresponding sequence has been expired");
    advance_all(execution);
    advance_all(handle.next());
    assert_eq!((wait(busy).error, wait(next).error), (None, None));
}

#[test]
fn nothing_is_executed_before_so_many_wait_as_the_hold_says() {
    let options = MachineryOptions { hold: 2, backlog_hold: 1, ..MachineryOptions::default() };
    let (version, handle) = serve_with(direct(1), plan(2), Arc::new(Machinery::new(options)));
    let mut answers = vec![send(&version, 1, "^a$"), send(&version, 2, "^a$")];
    assert_eq!((version.pending(), version.called()), (2, 0));
    answers.push(send(&version, 3, "^a$"));
    (0..3).for_each(|_| drop(advance_all(handle.next())));
    answers.into_iter().for_each(|answer| assert_eq!(wait(answer).error, None));
}
