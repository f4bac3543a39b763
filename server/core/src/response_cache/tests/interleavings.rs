//! Requests that are the same, given up and refused in many thousands of interleavings of their threads, which shuttle
//! chooses at random at every lock. Run with the feature `shuttle`.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};
use std::time::Duration;

use nerite_backend::{
    BackendError, Batch, Code, Condition, Declaration, Instance, InstanceSpec, Model, Phases, Response,
};
use shuttle::thread;

use super::super::VersionCache;
use super::*;
use crate::execution::{Machinery, MachineryOptions, Scheduler};
use crate::mock::{ManualClock, Spawning, executor, poll};
use crate::statistics::Statistics;

const ITERATIONS: usize = 5_000;

/// Answers with what it is given, and fails so many requests before.
struct Engine {
    declaration: Declaration,
    to_fail: Arc<AtomicUsize>,
}

struct Executing(Arc<AtomicUsize>);

impl Model for Engine {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        Ok(Box::new(Executing(Arc::clone(&self.to_fail))))
    }
}

impl Instance for Executing {
    fn execute(&mut self, batch: Batch) -> Condition {
        for request in batch.into_requests() {
            thread::yield_now();
            let now = Instant::now();
            let phases = Phases { start: now, input_end: now, infer_end: now, end: now };
            if request.cancel().is_cancelled() {
                request.fail(BackendError::new(Code::Cancelled, "nobody wants it"));
            } else if self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                let error = BackendError::internal("it failed");
                request.report(&phases, Err(&error));
                request.fail(error);
            } else {
                request.report(&phases, Ok(()));
                let given = request.inputs().iter().enumerate();
                let outputs = given.filter_map(|(slot, tensor)| Some((slot, tensor.clone()?))).collect();
                request.responder().send(Response::complete(outputs));
            }
        }
        Condition::Sound
    }
}

struct World {
    cache: Arc<ResponseCache>,
    version: Arc<ModelVersion>,
}

impl World {
    fn new(size: usize, to_fail: usize, spec: ModelSpec) -> World {
        let cache = Arc::new(ResponseCache::new(size));
        let to_fail = Arc::new(AtomicUsize::new(to_fail));
        let engine: Arc<dyn Model> = Arc::new(Engine { declaration: Declaration::default(), to_fail });
        let machinery =
            Machinery::with(Arc::new(Spawning), ManualClock::new() as _, MachineryOptions::default());
        let statistics = Arc::new(Statistics::default());
        let executors = vec![executor(&*engine, &statistics)];
        let lease = cache.lease();
        let in_cache = VersionCache::new(&lease, &spec);
        let mut scheduled = spec.clone();
        scheduled.scheduling.preserve_ordering = false;
        let scheduler = Scheduler::new(&scheduled, engine, executors, Arc::new(machinery));
        let version = ModelVersion::new(1, spec, scheduler, statistics, Duration::ZERO);
        World { cache, version: Arc::new(version.with_cache(Some(in_cache))) }
    }

    /// What must hold when all threads have ended.
    fn check(&self, sent: usize) {
        self.settle();
        let statistics = self.version.statistics();
        assert_eq!(statistics.success.count() + statistics.failure.count(), sent as u64, "each counted once");
        assert_eq!(self.version.pending(), 0);
    }

    /// Lets the threads of the engine go on until everything is released; a test that this never happens in has failed.
    fn settle(&self) {
        let mut settled = pin!(self.version.settled());
        while settled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
            || self.cache.flights() > 0
        {
            thread::yield_now();
        }
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

/// Callers of the same, of whom some go away.
fn run(world: &Arc<World>, callers: usize, givers_up: usize, check: fn(Response)) {
    let threads: Vec<_> = (0..callers)
        .map(|caller| {
            let world = Arc::clone(world);
            thread::spawn(move || {
                let mut answer = send(&world.version, of(b"abc"));
                thread::yield_now();
                if caller >= givers_up {
                    check(wait(&mut answer));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
}

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(scenario, ITERATIONS);
}

fn is_answered(response: Response) {
    assert_eq!(content(&response), b"abc");
}

#[test]
fn callers_who_stay_are_answered_whoever_of_the_others_goes_away_and_when() {
    for (size, preserve_ordering) in [(SIZE, false), (0, false), (SIZE, true)] {
        explore(move || {
            let mut spec = spec();
            spec.scheduling.preserve_ordering = preserve_ordering;
            let world = Arc::new(World::new(size, 0, spec));
            run(&world, 4, 2, is_answered);
            let mut last = send(&world.version, of(b"abc"));
            is_answered(wait(&mut last));
            drop(last);
            world.check(5);
        });
    }
}

#[test]
fn a_failure_is_told_to_its_caller_alone_and_the_others_go_on() {
    explore(|| {
        let world = Arc::new(World::new(SIZE, 1, spec()));
        let failures = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (world, failures) = (Arc::clone(&world), Arc::clone(&failures));
                thread::spawn(move || match wait(&mut send(&world.version, of(b"abc"))) {
                    Response { error: Some(_), .. } => drop(failures.fetch_add(1, SeqCst)),
                    response => is_answered(response),
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        assert_eq!(failures.load(SeqCst), 1);
        world.check(3);
    });
}

#[test]
fn when_the_model_stops_everybody_is_answered() {
    explore(|| {
        let world = Arc::new(World::new(SIZE, 0, spec()));
        let stopped = Arc::clone(&world);
        let stop = thread::spawn(move || stopped.version.close());
        run(&world, 3, 1, |response| match &response.error {
            Some(error) => assert_eq!(error.code, Code::Unavailable),
            None => is_answered(response),
        });
        stop.join().expect("it ends");
        world.check(3);
    });
}
