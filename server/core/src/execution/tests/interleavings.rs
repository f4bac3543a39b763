//! Pushes, dispatches, cancellations, timeouts, ends of executions, broken instances and a stop, in many thousands of interleavings of their
//! threads, which shuttle chooses at random at every lock. Run with the feature `shuttle`.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use nerite_backend::{
    BackendError, Batch, Code, Condition, CorrelationId, DType, Declaration, Instance, InstanceSpec, Model,
    Phases, Request, Response, Sequence, Shape, Tensor,
};
use parking_lot::Mutex;
use shuttle::thread;

use crate::execution::{
    Answer, Call, Ledger, Machinery, MachineryOptions, Open, Responses, Room, Scheduler, open, open_for_many,
};
use crate::mock::{ManualClock, Spawning, executor, input, model, poll, request};
use crate::model::{
    ModelSpec, QueuePolicy, RateLimit, ResourceDemand, Scheduling, SequenceBatching, SequenceStrategy,
    StateSpec,
};
use crate::rate_limiter::RateLimiter;
use crate::statistics::{FailureReason, Statistics};
use crate::version::ModelVersion;

const ITERATIONS: usize = 10_000;
const INSTANCES: usize = 2;
/// The slot of the state that sequences have.
const STATE: usize = 1;
/// After that long an instance is stalled.
const STALL: Duration = Duration::from_secs(1);

/// What the engine has seen.
#[derive(Default)]
struct Seen {
    /// The lock is not one of shuttle's: a look at it is no point where threads take turns.
    executed: Mutex<BTreeSet<String>>,
    /// Requests that were given up before they were executed, and executed all the same.
    unwanted: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// How many instances there are.
    alive: AtomicUsize,
    /// After how many more executions the instance is broken.
    to_break: AtomicUsize,
    /// How many more instances cannot be made.
    to_fail: AtomicUsize,
}

impl Seen {
    fn take_one(left: &AtomicUsize) -> bool {
        left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

struct Engine {
    declaration: Declaration,
    seen: Arc<Seen>,
}

struct Executing(Arc<Seen>);

impl Drop for Executing {
    fn drop(&mut self) {
        thread::yield_now();
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

impl Model for Engine {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        thread::yield_now();
        if Seen::take_one(&self.seen.to_fail) {
            return Err(BackendError::internal("it cannot be made"));
        }
        self.seen.alive.fetch_add(1, SeqCst);
        Ok(Box::new(Executing(Arc::clone(&self.seen))))
    }
}

impl Instance for Executing {
    fn execute(&mut self, batch: Batch) -> Condition {
        let running = self.0.running.fetch_add(1, SeqCst) + 1;
        self.0.most_running.fetch_max(running, SeqCst);
        let requests = batch.into_requests();
        assert!(requests.iter().map(Request::rows).sum::<u32>() <= 4);
        for request in requests.iter().filter(|request| !request.meta().id.is_empty()) {
            assert!(self.0.executed.lock().insert(request.meta().id.clone()), "nothing is executed twice");
        }
        thread::yield_now();
        for request in requests {
            let now = std::time::Instant::now();
            request.report(&Phases { start: now, input_end: now, infer_end: now, end: now }, Ok(()));
            let outputs = next_state(&request).map(|state| (STATE, state)).into_iter().collect();
            request.responder().send(Response::complete(outputs));
        }
        self.0.running.fetch_sub(1, SeqCst);
        match Seen::take_one(&self.0.to_break) {
            true => Condition::Broken(BackendError::internal("it broke")),
            false => Condition::Sound,
        }
    }
}

/// What a request leaves to the next of its sequence, if it is part of one: how many there were. It finds as many as its
/// number says.
fn next_state(request: &Request) -> Option<Tensor> {
    let state = request.inputs().get(STATE)?.as_ref()?.data.contiguous()?.first().copied()?;
    if let Some((_, number)) = request.meta().id.split_once(':') {
        assert_eq!(number.parse(), Ok(state), "the state is that of its own sequence");
    }
    Some(Tensor::new(DType::U8, Shape::new(&[1, 1]), Bytes::from(vec![state + 1])))
}

/// A model of one row, whose sequences have a state of one byte.
fn spec_of_sequences() -> ModelSpec {
    let initial = Tensor::new(DType::U8, Shape::new(&[1, 1]), Bytes::from(vec![0]));
    let batching = SequenceBatching {
        strategy: SequenceStrategy::Oldest { candidates: 1 },
        max_idle: STALL,
        iterative: false,
        controls: Vec::new(),
        states: vec![StateSpec { input: STATE, output: STATE, shape: initial.shape.clone(), initial }],
    };
    ModelSpec { sequences: Some(Arc::new(batching)), ..spec() }
}

/// A model of batches of up to 4 rows, with a queue for 5 requests.
fn spec() -> ModelSpec {
    let spec = model("M", 4, vec![input("X", DType::U8, &[1], 0)]);
    let levels = vec![QueuePolicy { max_queue_size: Some(5), ..QueuePolicy::default() }];
    ModelSpec {
        scheduling: Scheduling { levels, preserve_ordering: true, ..spec.scheduling.clone() },
        ..spec
    }
}

struct World {
    version: Arc<ModelVersion>,
    seen: Arc<Seen>,
    clock: Arc<ManualClock>,
}

impl World {
    /// A version whose instances need a resource that only so many of them can have at a time, if any.
    fn new(at_once: Option<u32>) -> World {
        World::of(spec(), at_once)
    }

    fn of(spec: ModelSpec, at_once: Option<u32>) -> World {
        let seen = Arc::new(Seen::default());
        let engine: Arc<dyn Model> =
            Arc::new(Engine { declaration: Declaration::default(), seen: Arc::clone(&seen) });
        let limits = at_once.map(|count| crate::rate_limiter::ResourceLimit {
            name: "r".to_owned(),
            count,
            device: None,
        });
        let limiter = Arc::new(RateLimiter::new(limits.into_iter().collect()));
        let clock = ManualClock::new();
        let options = MachineryOptions { stall: Some(STALL), ..MachineryOptions::default() };
        let machinery = Machinery::with(Arc::new(Spawning), Arc::clone(&clock) as _, options);
        let statistics = Arc::new(Statistics::default());
        let executors = (0..INSTANCES).map(|_| {
            let resources = vec![ResourceDemand { name: "r".to_owned(), count: 1, global: true }];
            let wanted = RateLimit { resources, priority: 1 };
            let claim = at_once.map(|_| limiter.claim(&wanted, 0).expect("within the limit"));
            executor(&*engine, &statistics).limited_by(claim)
        });
        let executors = executors.collect();
        let scheduler = Scheduler::new(&spec, engine, executors, Arc::new(machinery));
        let version = ModelVersion::new(1, spec, scheduler, statistics, Duration::ZERO);
        World { version: Arc::new(version), seen, clock }
    }

    fn send(&self, id: usize) -> Answer {
        self.version.infer(request(&id.to_string(), 1 + id as u32 % 2), std::time::Instant::now())
    }

    /// Sends one of two requests of a sequence.
    fn send_of(&self, sequence: u64, number: u8) -> Answer {
        let mut admitted = request(&format!("{sequence}:{number}"), 1);
        let (start, end) = (number == 0, number == 1);
        admitted.meta.sequence = Sequence { id: CorrelationId::Number(sequence), start, end };
        self.version.infer(admitted, std::time::Instant::now())
    }

    /// Lets the time pass in which nobody tries to make an instance anew, until `is_over`.
    fn mend(&self, is_over: impl Fn() -> bool) {
        while !is_over() {
            if self.version.mendings().iter().any(|mending| mending.next.is_some()) {
                self.clock.advance(Duration::from_millis(100));
            }
            thread::yield_now();
        }
    }

    /// What must hold when all threads have ended and the model was stopped.
    fn check(&self, sent: usize) {
        let statistics = self.version.statistics();
        assert_eq!(self.seen.unwanted.load(SeqCst), 0);
        assert_eq!(self.version.pending(), 0, "nothing waits");
        assert_eq!(statistics.success.count() + statistics.failure.count(), sent as u64, "each counted once");
        assert_eq!(statistics.failures(FailureReason::Backend), 0, "none was lost on the way");
        assert_eq!(self.version.free_instances(), INSTANCES);
        let mut settled = pin!(self.version.settled());
        let ready = settled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(ready, "everything was released");
        self.clock.advance(STALL * 10);
        assert_eq!(self.clock.alarms(), 0, "nobody looks after what does not execute");
        assert!(!self.version.is_stalled());
        assert_eq!(self.version.stalls(), []);
    }
}

/// Waits for an answer, however long the other threads take.
fn wait(answer: &mut Answer) -> Response {
    loop {
        match poll(answer) {
            Some(response) => return response,
            None => thread::yield_now(),
        }
    }
}

/// Runs in many interleavings; each ends when all its threads have.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(scenario, ITERATIONS);
}

#[test]
fn every_request_is_answered_whatever_the_order_of_push_dispatch_and_finish() {
    for at_once in [None, Some(1)] {
        explore(move || {
            let world = Arc::new(World::new(at_once));
            let callers: Vec<_> = (0..3)
                .map(|caller| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || {
                        for i in 0..2 {
                            let response = wait(&mut world.send(caller * 2 + i));
                            assert_eq!(response.error, None);
                        }
                    })
                })
                .collect();
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            while world.version.free_instances() < INSTANCES {
                thread::yield_now();
            }
            assert_eq!(world.seen.executed.lock().len(), 6);
            if at_once.is_some() {
                assert_eq!(world.seen.most_running.load(SeqCst), 1);
            }
            world.check(6);
        });
    }
}

#[test]
fn a_request_that_was_given_up_while_it_waited_is_never_executed_whatever_the_order() {
    explore(|| {
        let world = Arc::new(World::new(None));
        let callers: Vec<_> = (0..4)
            .map(|id| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let mut answer = world.send(id);
                    match id {
                        // Given up.
                        0 => {
                            let executed = || world.seen.executed.lock().contains("0");
                            drop(answer);
                            let then = executed();
                            thread::yield_now();
                            if !then && executed() {
                                world.seen.unwanted.fetch_add(1, SeqCst);
                            }
                        }
                        // Timed out.
                        1 => {
                            answer.expire();
                            let error = wait(&mut answer).error;
                            let executed = world.seen.executed.lock().contains("1");
                            assert_eq!(error.is_none(), executed, "{error:?}");
                        }
                        _ => assert_eq!(wait(&mut answer).error, None),
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        while world.version.free_instances() < INSTANCES {
            thread::yield_now();
        }
        world.check(4);
    });
}

#[test]
fn a_stop_answers_what_waits_and_lets_what_is_executed_complete_whatever_the_order() {
    explore(|| {
        let world = Arc::new(World::new(Some(1)));
        let callers: Vec<_> = (0..4)
            .map(|id| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let error = wait(&mut world.send(id)).error;
                    let executed = world.seen.executed.lock().contains(&id.to_string());
                    assert_eq!(
                        error.as_ref().map(|error| error.code),
                        (!executed).then_some(Code::Unavailable)
                    );
                })
            })
            .collect();
        let stopping = Arc::clone(&world);
        let stop = thread::spawn(move || stopping.version.close());
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        stop.join().unwrap();
        while world.version.free_instances() < INSTANCES {
            thread::yield_now();
        }
        world.check(4);
    });
}

#[test]
fn the_mark_of_a_stall_goes_with_its_execution_whatever_the_order_in_which_it_is_looked_for() {
    let found = Arc::new(AtomicUsize::new(0));
    let marks = Arc::clone(&found);
    explore(move || {
        let world = Arc::new(World::new(None));
        let callers: Vec<_> = (0..4)
            .map(|id| {
                let world = Arc::clone(&world);
                thread::spawn(move || assert_eq!(wait(&mut world.send(id)).error, None))
            })
            .collect();
        for _ in 0..3 {
            world.clock.advance(STALL);
            marks.fetch_add(world.version.stalls().len(), SeqCst);
            thread::yield_now();
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        while world.version.free_instances() < INSTANCES {
            thread::yield_now();
        }
        world.check(4);
    });
    assert!(found.load(SeqCst) > 0, "there were stalls");
}

#[test]
fn every_request_is_answered_however_often_instances_break_and_cannot_be_made_anew_at_once() {
    for at_once in [None, Some(1)] {
        explore(move || {
            let world = Arc::new(World::new(at_once));
            world.seen.to_break.store(3, SeqCst);
            world.seen.to_fail.store(2, SeqCst);
            let callers: Vec<_> = (0..4)
                .map(|id| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || assert_eq!(wait(&mut world.send(id)).error, None))
                })
                .collect();
            world.mend(|| world.version.statistics().success.count() == 4);
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            world.mend(|| world.version.free_instances() == INSTANCES);
            assert!(world.version.is_sound() && world.version.mendings().is_empty());
            assert_eq!(world.seen.alive.load(SeqCst), INSTANCES);
            world.check(4);
        });
    }
}

#[test]
fn of_a_version_that_is_let_go_while_it_mends_nothing_is_left_whatever_the_order() {
    explore(|| {
        let World { version, seen, clock } = World::new(None);
        seen.to_break.store(2, SeqCst);
        seen.to_fail.store(1, SeqCst);
        let callers: Vec<_> = (0..3)
            .map(|id: usize| {
                let version = Arc::clone(&version);
                thread::spawn(move || {
                    let mut answer = version.infer(request(&id.to_string(), 1), std::time::Instant::now());
                    drop(version);
                    assert_eq!(wait(&mut answer).error, None);
                })
            })
            .collect();
        let weak = Arc::downgrade(&version);
        drop(version);
        while seen.alive.load(SeqCst) > 0 || weak.strong_count() > 0 {
            clock.advance(Duration::from_millis(1));
            thread::yield_now();
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}

/// A decoupled request's exchange, in an account of its own.
fn open_exchange(world: &World, room: &Arc<Room>) -> Open<Responses> {
    let ledger = Arc::clone(&world.version) as Arc<dyn Ledger>;
    let call = Call { ledger, rows: 1, received: std::time::Instant::now(), trace_id: None, lookup: None };
    open_for_many(call, Arc::clone(room))
}

fn poll_next(responses: &mut Responses) -> Poll<Option<Response>> {
    responses.poll_next(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_caller_reads_all_that_its_engine_sends_from_several_threads_whatever_the_order() {
    explore(|| {
        let (world, room) = (World::new(None), Arc::new(Room::new(1, 1 << 20)));
        let Open { responder, answer: mut responses } = open_exchange(&world, &room);
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let responder = responder.clone();
                thread::spawn(move || {
                    for _ in 0..2 {
                        let part = Response::part(Default::default());
                        assert!(responder.send_within(part, STALL).is_taken());
                    }
                })
            })
            .collect();
        let ending = thread::spawn(move || {
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            responder.send(Response::end());
        });
        let mut read = 0;
        loop {
            match poll_next(&mut responses) {
                Poll::Ready(Some(response)) => {
                    assert_eq!(response.last, read == 4);
                    read += 1;
                }
                Poll::Ready(None) => break,
                Poll::Pending => thread::yield_now(),
            }
        }
        ending.join().unwrap();
        assert_eq!((read, room.load()), (5, (0, 0)));
    });
}

#[test]
fn a_caller_that_goes_away_frees_who_waits_for_it_and_is_counted_once_whatever_the_order() {
    explore(|| {
        let (world, room) = (World::new(None), Arc::new(Room::new(1, 1 << 20)));
        let Open { responder, answer: mut responses } = open_exchange(&world, &room);
        let (sender, cancel) = (responder.clone(), responder.exchange().cancel().clone());
        let sending = thread::spawn(move || {
            (0..3).for_each(|_| drop(sender.send_within(Response::part(Default::default()), STALL)));
        });
        let reporting = thread::spawn(move || {
            let exchange = responder.exchange();
            let now = std::time::Instant::now();
            exchange.report(&Phases { start: now, input_end: now, infer_end: now, end: now }, Ok(()));
            exchange.release();
        });
        let leaving = thread::spawn(move || {
            let _ = poll_next(&mut responses);
            drop(responses);
        });
        [sending, reporting, leaving].into_iter().for_each(|thread| thread.join().unwrap());
        assert!(cancel.is_cancelled());
        assert_eq!(room.load(), (0, 0));
        let statistics = world.version.statistics();
        assert_eq!((statistics.success.count(), statistics.failures(FailureReason::Canceled)), (0, 1));
    });
}

#[test]
fn an_answer_is_counted_once_whatever_the_order_of_answer_report_release_and_giving_up() {
    explore(|| {
        let world = World::new(None);
        let ledger = Arc::clone(&world.version) as Arc<dyn Ledger>;
        let call =
            Call { ledger, rows: 1, received: std::time::Instant::now(), trace_id: None, lookup: None };
        let Open { responder, answer } = open(call);
        let answering = responder.clone();
        let threads = [
            thread::spawn(move || drop(answering.send(Response::complete(Default::default())))),
            thread::spawn(move || {
                let exchange = responder.exchange();
                let now = std::time::Instant::now();
                exchange.report(&Phases { start: now, input_end: now, infer_end: now, end: now }, Ok(()));
                exchange.release();
            }),
            thread::spawn(move || drop(answer)),
        ];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let statistics = world.version.statistics();
        assert_eq!(statistics.success.count() + statistics.failure.count(), 1);
    });
}

#[test]
fn a_sequence_has_its_own_state_and_comes_to_its_end_whatever_the_order() {
    for at_once in [None, Some(1)] {
        explore(move || {
            let world = Arc::new(World::of(spec_of_sequences(), at_once));
            let callers: Vec<_> = (1..=3)
                .map(|sequence| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || {
                        let mut answers = [0, 1].map(|number| world.send_of(sequence, number));
                        if sequence == 3 {
                            // The first is given up, maybe before its turn.
                            let [first, mut second] = answers;
                            drop(first);
                            let error = wait(&mut second).error.map(|error| error.code);
                            return assert!(error.is_none_or(|code| code == Code::Cancelled), "{error:?}");
                        }
                        answers.iter_mut().for_each(|answer| assert_eq!(wait(answer).error, None));
                    })
                })
                .collect();
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            while world.version.free_instances() < INSTANCES {
                thread::yield_now();
            }
            world.check(6);
        });
    }
}
