//! Requests on their way through models of the mock engine, whose handles decide when a step is answered.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use nerite_backend::{
    BackendError, Code, CorrelationId, Parameter, Request, Response, Sent, Sequence, Slots, Tensor,
};

use super::*;
use crate::admission::{Admitted, QueueTerms};
use crate::execution::{Answer, Room};
use crate::mock::{Execution, Handle, input, phases, poll, request, serve, until, wait};
use crate::model::Scheduling;
use crate::statistics::FailureReason;

/// Models of the mock engine, with what decides over each, and an ensemble of them.
pub(super) struct World {
    pub(super) registry: Arc<Registry>,
    handles: BTreeMap<&'static str, Handle>,
    ensemble: Arc<ModelVersion>,
}

/// A model that executes each request by itself and gives its inputs back.
pub(super) fn one_by_one(name: &str, inputs: usize) -> ModelSpec {
    let inputs = ["X", "Z"].into_iter().take(inputs).enumerate();
    let inputs = inputs.map(|(slot, name)| input(name, DType::U8, &[1], slot));
    ModelSpec { scheduling: Scheduling::default(), ..model(name, 8, inputs.collect()) }
}

impl World {
    pub(super) fn new(models: &[(&'static str, ModelSpec)], plan: &EnsemblePlan) -> World {
        let registry = Arc::new(Registry::default());
        let served = models.iter().map(|(name, spec)| (*name, serve(spec.clone(), 2)));
        let (mut versions, mut handles) = (Vec::new(), BTreeMap::new());
        for (name, (version, handle)) in served {
            versions.push(version);
            handles.insert(name, handle);
        }
        serve_all(&registry, &versions);
        let ensemble = ensemble(&registry, plan);
        World { registry, handles, ensemble }
    }

    /// Models of one input and an output, one after the other.
    pub(super) fn chain(models: &[&'static str]) -> World {
        let specs: Vec<_> = models.iter().map(|&name| (name, one_by_one(name, 1))).collect();
        World::new(&specs, &chain(models))
    }

    /// X goes through A and B at once, and both of what they give through C.
    fn diamond() -> World {
        let specs = [("A", one_by_one("A", 1)), ("B", one_by_one("B", 1)), ("C", one_by_one("C", 2))];
        let steps = vec![
            step("C", &[("X", "a"), ("Z", "b")], &[("X_OUT", "Y")]),
            step("A", &[("X", "X")], &[("X_OUT", "a")]),
            step("B", &[("X", "X")], &[("X_OUT", "b")]),
        ];
        World::new(&specs, &plan(&["X"], &["Y"], steps))
    }

    pub(super) fn send(&self, request: Admitted) -> Answer {
        self.ensemble.statistics().received();
        self.ensemble.infer(request, Instant::now())
    }

    #[track_caller]
    pub(super) fn next(&self, model: &str) -> Execution {
        self.handles[model].next()
    }

    pub(super) fn version(&self, model: &str) -> Arc<ModelVersion> {
        self.registry.lookup(model, None).expect("it is served")
    }

    /// Every request that was received was counted once, of the ensemble and of each step.
    #[track_caller]
    pub(super) fn check(&self) {
        let versions = self.registry.ready().into_iter().chain([Arc::clone(&self.ensemble)]);
        for version in versions {
            let statistics = version.statistics();
            until(|| statistics.success.count() + statistics.failure.count() == statistics.requests());
            wait(version.settled());
        }
    }
}

fn where_it_lies(tensor: &Tensor) -> *const u8 {
    tensor.data.contiguous().expect("it is in one piece").as_ptr()
}

/// The answer of a model that gives its first input back.
pub(super) fn gives_back(request: &Request) -> Response {
    Response::complete([(0, request.inputs()[0].clone().expect("it is given"))].into_iter().collect())
}

fn first_input(execution: &Execution) -> &Tensor {
    execution.requests()[0].inputs()[0].as_ref().expect("it is given")
}

#[test]
fn a_steps_output_is_the_next_ones_input_and_the_ensembles_output_in_the_same_memory() {
    let world = World::chain(&["A", "B", "C"]);
    let admitted = request("a", 2);
    let given = where_it_lies(admitted.inputs[0].as_ref().unwrap());
    let answer = world.send(admitted);
    let execution = world.next("A");
    assert_eq!(where_it_lies(first_input(&execution)), given);
    let made = Tensor::new(DType::U8, Shape::new(&[2, 1]), Bytes::from(vec![1, 2]));
    let memory = where_it_lies(&made);
    let requests = execution.leave();
    requests[0].responder().send(Response::complete([(0, made)].into_iter().collect()));
    drop(requests);
    for model in ["B", "C"] {
        let execution = world.next(model);
        assert_eq!(where_it_lies(first_input(&execution)), memory, "{model}");
        execution.succeed();
    }
    let response = wait(answer);
    let (slot, output) = &response.outputs[0];
    assert_eq!((*slot, where_it_lies(output), &output.shape[..]), (0, memory, &[2, 1][..]));
    world.check();
}

#[test]
fn steps_that_do_not_wait_for_each_other_are_executed_at_once_and_the_last_to_end_brings_the_next() {
    for first in ["A", "B"] {
        let world = World::diamond();
        let mut answer = world.send(request("a", 1));
        let (a, b) = (world.next("A"), world.next("B"));
        let (one, other) = if first == "A" { (a, b) } else { (b, a) };
        one.succeed();
        assert!(poll(&mut answer).is_none() && !world.handles["C"].has_next());
        other.succeed();
        world.next("C").succeed();
        assert!(wait(answer).error.is_none());
        world.check();
    }
}

#[test]
fn what_a_request_carries_goes_with_every_step() {
    let world = World::chain(&["A", "B"]);
    let mut admitted = request("name", 1);
    let (timeout, deadline) = (Duration::from_secs(7), Instant::now() + Duration::from_secs(60));
    admitted.meta.sequence = Sequence { id: CorrelationId::Number(7), start: true, end: false };
    (admitted.meta.priority, admitted.meta.timeout) = (2, Some(timeout));
    admitted.meta.parameters = vec![("p".to_owned(), Parameter::Int(1))];
    admitted.terms =
        QueueTerms { priority: 2, timeout: Some(timeout), deadline: Some(deadline), since: None };
    let expected = admitted.meta.clone();
    let answer = world.send(admitted);
    for model in ["A", "B"] {
        let execution = world.next(model);
        let meta = execution.requests()[0].meta();
        assert_eq!((&meta.id, &meta.sequence), (&expected.id, &expected.sequence), "{model}");
        assert_eq!((meta.priority, meta.timeout), (expected.priority, expected.timeout));
        assert_eq!(meta.parameters, expected.parameters);
        execution.succeed();
    }
    let given = wait(answer).parameters;
    let named = |name: &str| given.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    assert_eq!(named("sequence_id"), Some(Parameter::Int(7)));
    assert_eq!(named("sequence_start"), Some(Parameter::Bool(true)));
}

#[test]
fn a_response_that_names_another_sequence_changes_that_of_the_steps_behind_it() {
    let world = World::chain(&["A", "B"]);
    let answer = world.send(request("a", 1));
    let requests = world.next("A").leave();
    let outputs = [(0, requests[0].inputs()[0].clone().unwrap())].into_iter().collect();
    let parameters = vec![
        ("sequence_id".to_owned(), Parameter::String("other".to_owned())),
        ("sequence_end".to_owned(), Parameter::Bool(true)),
    ];
    requests[0].responder().send(Response { parameters, ..Response::complete(outputs) });
    drop(requests);
    let execution = world.next("B");
    let other = CorrelationId::Text("other".to_owned());
    assert_eq!(execution.requests()[0].meta().sequence, Sequence { id: other, start: false, end: true });
    execution.succeed();
    let parameters = wait(answer).parameters;
    assert!(parameters.contains(&("sequence_id".to_owned(), Parameter::String("other".to_owned()))));
}

#[test]
fn a_step_that_fails_ends_the_request_at_once_and_the_others_with_it() {
    let world = World::diamond();
    let answer = world.send(request("a", 1));
    let (a, b) = (world.next("A"), world.next("B"));
    a.fail(&BackendError::new(Code::NotFound, "no such thing"));
    let error = wait(answer).error.expect("it failed");
    assert_eq!((error.code, error.message.as_str()), (Code::NotFound, "in ensemble 'E', no such thing"));
    let requests = b.leave();
    assert!(requests[0].cancel().is_cancelled());
    answer_late(&requests[0]);
    drop(requests);
    world.check();
    assert_eq!(world.version("B").statistics().failures(FailureReason::Canceled), 1);
    assert!(!world.handles["C"].has_next());
}

/// What is sent to somebody who has gone is lost, and does no harm.
fn answer_late(request: &Request) {
    assert!(matches!(request.responder().send(Response::complete(Default::default())), Sent::Gone));
}

#[test]
fn a_step_whose_request_is_refused_fails_the_ensemble_in_the_words_of_its_model() {
    let narrow = ModelSpec { max_batch_size: 1, ..one_by_one("B", 1) };
    let specs = [("A", one_by_one("A", 1)), ("B", narrow)];
    let mut chained = chain(&["A", "B"]);
    chained.max_batch_size = 1;
    let world = World::new(&specs, &chained);
    let answer = world.send(request("a", 1));
    let requests = world.next("A").leave();
    let wide = Tensor::new(DType::U8, Shape::new(&[2, 1]), Bytes::from(vec![1, 2]));
    requests[0].responder().send(Response::complete([(0, wide)].into_iter().collect()));
    drop(requests);
    let error = wait(answer).error.expect("it is refused");
    let what = "[request id: a] inference request batch-size must be <= 1 for 'B'";
    assert_eq!((error.code, error.message), (Code::InvalidArgument, format!("in ensemble 'E', {what}")));
    world.check();
}

#[test]
fn an_engine_that_gives_a_step_up_unanswered_fails_it() {
    let world = World::chain(&["A", "B"]);
    let answer = world.send(request("a", 1));
    drop(world.next("A"));
    let error = wait(answer).error.expect("it failed");
    assert_eq!(error.message, "in ensemble 'E', the model's engine gave up the request unanswered");
    world.check();
}

#[test]
fn a_caller_that_goes_away_takes_its_steps_out_of_the_queue_and_cancels_those_that_run() {
    let world = World::diamond();
    let busy: Vec<_> = (0..2).map(|_| world.version("B").infer(request("busy", 1), Instant::now())).collect();
    let held: Vec<_> = (0..2).map(|_| world.next("B")).collect();
    let answer = world.send(request("a", 1));
    let requests = world.next("A").leave();
    until(|| world.version("B").pending() == 1);
    drop(answer);
    assert!(requests[0].cancel().is_cancelled());
    assert_eq!(world.version("B").pending(), 0);
    answer_late(&requests[0]);
    drop(requests);
    held.into_iter().for_each(Execution::succeed);
    busy.into_iter().for_each(|answer| assert!(wait(answer).error.is_none()));
    let statistics = world.ensemble.statistics();
    assert_eq!(statistics.failures(FailureReason::Canceled), 1);
    wait(world.ensemble.settled());
    assert_eq!(Arc::strong_count(&world.version("A")), 2, "the request holds no version any more");
}

#[test]
fn a_tensor_is_dropped_as_soon_as_no_later_step_needs_it() {
    struct Counted(Vec<u8>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(1, SeqCst);
        }
    }
    let world = World::chain(&["A", "B", "C"]);
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = |dropped: &Arc<AtomicUsize>| {
        let bytes = Bytes::from_owner(Counted(vec![1], Arc::clone(dropped)));
        Tensor::new(DType::U8, Shape::new(&[1, 1]), bytes)
    };
    let mut admitted = request("a", 1);
    admitted.inputs[0] = Some(counted(&dropped));
    let answer = world.send(admitted);
    for (place, model) in ["A", "B"].into_iter().enumerate() {
        let requests = world.next(model).leave();
        assert_eq!(dropped.load(SeqCst), place);
        requests[0].responder().send(Response::complete([(0, counted(&dropped))].into_iter().collect()));
        drop(requests);
        until(|| dropped.load(SeqCst) == place + 1);
    }
    world.next("C").succeed();
    drop(wait(answer));
    until(|| dropped.load(SeqCst) == 3);
}

#[test]
fn an_ensembles_phases_took_what_those_of_its_steps_took_also_if_an_engine_tells_late() {
    let world = World::diamond();
    let answer = world.send(request("a", 3));
    let took = Duration::from_millis(5);
    let report = |request: &Request| {
        let start = Instant::now();
        let (input_end, infer_end) = (start + took, start + 2 * took);
        let end = start + 3 * took;
        request.report(&nerite_backend::Phases { start, input_end, infer_end, end }, Ok(()));
    };
    for model in ["A", "B"] {
        let requests = world.next(model).leave();
        report(&requests[0]);
        requests[0].responder().send(gives_back(&requests[0]));
    }
    let requests = world.next("C").leave();
    requests[0].responder().send(gives_back(&requests[0]));
    assert!(wait(answer).error.is_none());
    let statistics = world.ensemble.statistics();
    assert_eq!(statistics.success.count(), 0, "the engine may still tell");
    report(&requests[0]);
    drop(requests);
    world.check();
    let three = u64::try_from(3 * took.as_nanos()).unwrap();
    assert_eq!((statistics.success.count(), statistics.compute_infer.nanos()), (1, three));
    assert_eq!((statistics.inferences(), statistics.executions()), (3, 1));
}

#[test]
fn at_most_so_many_requests_of_a_step_are_in_flight_and_those_in_line_follow() {
    let mut limited = chain(&["A", "B"]);
    limited.max_inflight_requests = 1;
    let specs = [("A", one_by_one("A", 1)), ("B", one_by_one("B", 1))];
    let world = World::new(&specs, &limited);
    let mut answers: Vec<_> = (0..4).map(|number| world.send(request(&number.to_string(), 1))).collect();
    let first = world.next("A");
    assert_eq!((first.ids(), world.handles["A"].has_next()), (vec!["0".to_owned()], false));
    // One in line whose caller goes away holds up nobody.
    drop(answers.remove(1));
    first.succeed();
    let second = world.next("A");
    assert_eq!(second.ids(), ["2"]);
    world.next("B").succeed();
    second.succeed();
    world.next("A").succeed();
    for _ in 0..2 {
        world.next("B").succeed();
    }
    answers.into_iter().for_each(|answer| assert!(wait(answer).error.is_none()));
    world.check();
}

#[test]
fn ten_thousand_requests_in_line_that_fail_one_after_the_other_do_not_nest() {
    let mut limited = chain(&["A"]);
    limited.max_inflight_requests = 1;
    let world = World::new(&[("A", one_by_one("A", 1))], &limited);
    let first = world.send(request("first", 1));
    let execution = world.next("A");
    let answers: Vec<_> = (0..10_000).map(|_| world.send(request("", 1))).collect();
    world.version("A").close();
    execution.succeed();
    assert!(wait(first).error.is_none());
    for answer in answers {
        assert_eq!(wait(answer).error.map(|error| error.code), Some(Code::Unavailable));
    }
    world.check();
}

#[test]
fn an_ensemble_that_stops_takes_no_more_and_ends_what_it_has() {
    let world = World::chain(&["A", "B"]);
    let answer = world.send(request("a", 1));
    let execution = world.next("A");
    world.ensemble.close();
    let refused = wait(world.send(request("b", 1))).error.expect("it stops");
    assert_eq!(refused.code, Code::Unavailable);
    execution.succeed();
    world.next("B").succeed();
    assert!(wait(answer).error.is_none());
    world.check();
}

#[test]
fn a_model_that_is_gone_is_named() {
    let world = World::chain(&["A", "B"]);
    world.registry.publish("B", ModelEntry::default());
    let error = wait(world.send(request("a", 1))).error.expect("a model is gone");
    let what = "in ensemble 'E', Request for unknown model: 'B' has no available versions";
    assert_eq!((error.code, error.message.as_str()), (Code::NotFound, what));
    assert!(!world.ensemble.is_sound());
}

#[test]
fn a_request_goes_on_with_the_versions_that_it_began_with() {
    let world = World::chain(&["A", "B"]);
    let answer = world.send(request("a", 1));
    let execution = world.next("A");
    let (newer, handle) = serve(one_by_one("B", 1), 1);
    serve_all(&world.registry, &[newer]);
    execution.succeed();
    world.next("B").succeed();
    assert!(wait(answer).error.is_none());
    let answer = world.send(request("b", 1));
    world.next("A").succeed();
    handle.next().succeed();
    assert!(wait(answer).error.is_none());
}

#[test]
fn steps_that_are_not_needed_for_what_is_asked_for_do_not_run() {
    let specs = [("A", one_by_one("A", 1)), ("B", one_by_one("B", 1))];
    let steps =
        vec![step("A", &[("X", "X")], &[("X_OUT", "Y")]), step("B", &[("X", "Y")], &[("X_OUT", "W")])];
    let world = World::new(&specs, &plan(&["X"], &["Y", "W"], steps));
    let answer = world.send(Admitted { wanted: Slots::all(1), ..request("a", 1) });
    world.next("A").succeed();
    assert_eq!(wait(answer).outputs.len(), 1);
    assert!(!world.handles["B"].has_next());
    let both = world.send(Admitted { wanted: Slots::all(2), ..request("b", 1) });
    world.next("A").succeed();
    world.next("B").succeed();
    assert_eq!(wait(both).outputs.len(), 2);
    world.check();
}

/// An ensemble of a decoupled model and another.
fn decoupled(limit: usize) -> World {
    let mut plan = chain(&["D", "B"]);
    plan.max_inflight_requests = limit;
    let decoupled = ModelSpec { decoupled: true, ..one_by_one("D", 1) };
    World::new(&[("D", decoupled), ("B", one_by_one("B", 1))], &plan)
}

fn part(value: u8) -> Response {
    let tensor = Tensor::new(DType::U8, Shape::new(&[1, 1]), Bytes::from(vec![value]));
    Response::part([(0, tensor)].into_iter().collect())
}

#[test]
fn each_response_of_a_decoupled_step_goes_on_by_itself_and_the_last_ends_the_request() {
    let world = decoupled(0);
    assert!(world.ensemble.spec.decoupled);
    world.ensemble.statistics().received();
    let room = Arc::new(Room::new(100, 1 << 20));
    let mut responses = world.ensemble.infer_many(request("a", 1), Instant::now(), &room);
    let requests = world.next("D").leave();
    for value in 0..3 {
        assert!(requests[0].responder().send(part(value)).is_taken());
    }
    for expected in 0..3 {
        let execution = world.next("B");
        assert_eq!(first_input(&execution).data.contiguous(), Some(&[expected][..]));
        execution.succeed();
        let response = wait(responses.next()).expect("it goes on");
        assert_eq!(response.outputs[0].1.data.contiguous(), Some(&[expected][..]));
        assert!(!response.last);
    }
    assert_eq!(world.version("D").statistics().first_response().count(), 1);
    requests[0].report(&phases(), Ok(()));
    requests[0].responder().send(Response::end());
    let last = wait(responses.next()).expect("it ends");
    assert!(last.last && last.outputs.is_empty());
    drop(requests);
    world.check();
}

#[test]
fn a_decoupled_step_waits_with_its_next_response_while_one_stands_in_line() {
    let world = decoupled(1);
    let room = Arc::new(Room::new(100, 1 << 20));
    let mut responses = world.ensemble.infer_many(request("a", 1), Instant::now(), &room);
    let requests = world.next("D").leave();
    let send = |value| requests[0].responder().send(part(value));
    assert!(send(0).is_taken(), "it is executed");
    assert!(send(1).is_taken(), "it stands in line");
    assert!(matches!(send(2), Sent::Full(_)));
    let execution = world.next("B");
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let until = Instant::now() + Duration::from_secs(20);
            requests[0].responder().exchange().wait_for_room(until)
        });
        execution.succeed();
        assert!(waits.join().unwrap());
    });
    assert!(send(2).is_taken());
    requests[0].responder().send(Response::end());
    drop(requests);
    world.next("B").succeed();
    world.next("B").succeed();
    let mut count = 0;
    while wait(responses.next()).is_some() {
        count += 1;
    }
    assert_eq!(count, 3, "the last one has the end in it");
}

#[test]
fn a_decoupled_step_waits_for_a_caller_who_does_not_read() {
    let world = decoupled(0);
    let room = Arc::new(Room::new(1, 1 << 20));
    let mut responses = world.ensemble.infer_many(request("a", 1), Instant::now(), &room);
    let requests = world.next("D").leave();
    let send = |value| requests[0].responder().send(part(value));
    assert!(send(0).is_taken());
    world.next("B").succeed();
    until(|| room.load().0 == 1);
    assert!(matches!(send(1), Sent::Full(_)));
    assert!(wait(responses.next()).is_some());
    assert!(send(1).is_taken());
    let left = world.next("B").leave();
    drop(responses);
    assert!(requests[0].cancel().is_cancelled() && left[0].cancel().is_cancelled());
    assert!(send(2).is_gone());
    drop(requests);
    answer_late(&left[0]);
}

#[test]
fn an_ensemble_in_another_is_a_step_like_others() {
    let world = World::chain(&["A", "B"]);
    serve_all(&world.registry, &[Arc::clone(&world.ensemble)]);
    let steps = vec![step("E", &[("X", "X")], &[("Y", "a")]), step("A", &[("X", "a")], &[("X_OUT", "Y")])];
    let outer = named("O", &world.registry, &plan(&["X"], &["Y"], steps), &Machinery::default());
    let answer = outer.infer(request("a", 1), Instant::now());
    for model in ["A", "B", "A"] {
        world.next(model).succeed();
    }
    assert!(wait(answer).error.is_none());
    let failing = outer.infer(request("b", 1), Instant::now());
    world.next("A").fail(&BackendError::internal("no"));
    let message = wait(failing).error.expect("it failed").message;
    assert_eq!(message, "in ensemble 'O', in ensemble 'E', no");
    let gone = outer.infer(request("c", 1), Instant::now());
    let requests = world.next("A").leave();
    drop(gone);
    assert!(requests[0].cancel().is_cancelled());
    answer_late(&requests[0]);
    drop(requests);
    wait(outer.settled());
    let statistics = outer.statistics();
    assert_eq!((statistics.success.count(), statistics.failure.count()), (1, 2));
}
