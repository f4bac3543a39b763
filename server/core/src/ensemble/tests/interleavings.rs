//! Requests to an ensemble, their steps, failures, and callers who go away, in many thousands of interleavings of their
//! threads, which shuttle chooses at random at every lock. Run with the feature `shuttle`.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use nerite_backend::{BackendError, Batch, Condition, Declaration, Instance, InstanceSpec, Model, Response};
use shuttle::thread;

use super::*;
use crate::execution::{MachineryOptions, Room, Scheduler};
use crate::mock::{ManualClock, Spawning, executor, input, phases, poll, request};
use crate::model::Scheduling;
use crate::statistics::Statistics;

const ITERATIONS: usize = 3_000;

/// Gives inputs back, once for a model that answers once, and fails so many times before.
#[derive(Clone)]
struct Engine {
    responses: usize,
    to_fail: Arc<AtomicUsize>,
    declaration: Declaration,
}

impl Model for Engine {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, BackendError> {
        Ok(Box::new(self.clone()))
    }
}

impl Instance for Engine {
    fn execute(&mut self, batch: Batch) -> Condition {
        thread::yield_now();
        for request in batch.into_requests() {
            request.report(&phases(), Ok(()));
            if self.to_fail.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                request.fail(BackendError::internal("it fails"));
                continue;
            }
            let outputs = || [(0, request.inputs()[0].clone().expect("it is given"))].into_iter().collect();
            for _ in 1..self.responses {
                // Whether there is room is not waited for: what is lost is not counted.
                request.responder().send(Response::part(outputs()));
                thread::yield_now();
            }
            request.responder().send(Response::complete(outputs()));
        }
        Condition::Sound
    }
}

struct World {
    registry: Arc<Registry>,
    ensemble: Arc<ModelVersion>,
    to_fail: Arc<AtomicUsize>,
}

impl World {
    /// X goes through A, then through B and C at once, and what these give through D; A answers so many times. Where there
    /// is a limit, models answer in order.
    fn new(responses: usize, limit: usize) -> World {
        let (registry, to_fail) = (Arc::new(Registry::default()), Arc::default());
        let machinery = || {
            let clock = ManualClock::new();
            Machinery::with(Arc::new(Spawning), clock as _, MachineryOptions::default())
        };
        let inputs = |count: usize| ["X", "Z"].into_iter().take(count).enumerate();
        let versions =
            [("A", 1, responses), ("B", 1, 1), ("C", 1, 1), ("D", 2, 1)].map(|(name, count, responses)| {
                let inputs = inputs(count).map(|(slot, name)| input(name, DType::U8, &[1], slot));
                let spec = ModelSpec {
                    scheduling: Scheduling { preserve_ordering: limit > 0, ..Scheduling::default() },
                    decoupled: responses > 1,
                    ..model(name, 8, inputs.collect())
                };
                let engine =
                    Engine { responses, to_fail: Arc::clone(&to_fail), declaration: Declaration::default() };
                let statistics = Arc::new(Statistics::default());
                let executors = vec![executor(&engine, &statistics)];
                let scheduler = Scheduler::new(&spec, Arc::new(engine), executors, Arc::new(machinery()));
                Arc::new(ModelVersion::new(1, spec, scheduler, statistics, Duration::ZERO))
            });
        serve_all(&registry, &versions);
        let steps = vec![
            step("A", &[("X", "X")], &[("X_OUT", "a")]),
            step("B", &[("X", "a")], &[("X_OUT", "b")]),
            step("C", &[("X", "a")], &[("X_OUT", "c")]),
            step("D", &[("X", "b"), ("Z", "c")], &[("X_OUT", "Y")]),
        ];
        let plan = EnsemblePlan { max_inflight_requests: limit, ..plan(&["X"], &["Y"], steps) };
        let ensemble = named("E", &registry, &plan, &machinery());
        World { registry, ensemble, to_fail }
    }

    /// What must hold when all threads have ended.
    fn check(&self) {
        for version in self.registry.ready().into_iter().chain([Arc::clone(&self.ensemble)]) {
            let statistics = version.statistics();
            let counted = statistics.success.count() + statistics.failure.count();
            assert_eq!(
                counted,
                statistics.requests(),
                "each request of {} is counted once",
                version.spec.name
            );
            assert!(is_settled(&version), "everything of {} was released", version.spec.name);
            assert_eq!(version.pending(), 0);
        }
    }
}

/// Whether everything that it has taken was released.
fn is_settled(version: &Arc<ModelVersion>) -> bool {
    let mut settled = pin!(version.settled());
    settled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Runs in many interleavings; each ends when all its threads have, and then everything is counted.
fn explore(responses: usize, limit: usize, scenario: impl Fn(&Arc<World>) + Send + Sync + 'static) {
    shuttle::check_random(
        move || {
            let world = Arc::new(World::new(responses, limit));
            scenario(&world);
            // The engines let go of what they were given in their own time.
            while !is_settled(&world.ensemble)
                || world.registry.ready().iter().any(|one| one.free_instances() == 0)
            {
                thread::yield_now();
            }
            world.check();
        },
        ITERATIONS,
    );
}

#[test]
fn every_request_is_answered_and_counted_once_whoever_fails_and_whoever_goes_away() {
    for limit in [0, 1] {
        explore(1, limit, |world| {
            world.to_fail.store(1, SeqCst);
            let callers: Vec<_> = (0..3)
                .map(|number| {
                    let world = Arc::clone(world);
                    thread::spawn(move || {
                        world.ensemble.statistics().received();
                        let mut answer = world.ensemble.infer(request("", 1), Instant::now());
                        let response = loop {
                            match poll(&mut answer) {
                                Some(response) => break Some(response),
                                // This one goes away when it has waited for a while.
                                None if number == 0 => break None,
                                None => thread::yield_now(),
                            }
                        };
                        let error = response.and_then(|response| response.error);
                        assert!(error.is_none_or(|error| error.message == "in ensemble 'E', it fails"));
                    })
                })
                .collect();
            callers.into_iter().for_each(|caller| caller.join().expect("the caller does not panic"));
        });
    }
}

#[test]
fn the_responses_of_a_decoupled_step_all_come_and_the_last_says_so_or_the_caller_goes_away() {
    for limit in [0, 1] {
        explore(3, limit, |world| {
            let callers: Vec<_> = (0..2)
                .map(|number| {
                    let world = Arc::clone(world);
                    thread::spawn(move || {
                        world.ensemble.statistics().received();
                        let room = Arc::new(Room::new(100, 1 << 20));
                        let mut responses = world.ensemble.infer_many(request("", 1), Instant::now(), &room);
                        let mut last = false;
                        while !last {
                            match responses.poll_next(&mut Context::from_waker(Waker::noop())) {
                                Poll::Ready(response) => {
                                    last = response.expect("the last one says that it is").last;
                                }
                                Poll::Pending if number == 0 => return,
                                Poll::Pending => thread::yield_now(),
                            }
                        }
                    })
                })
                .collect();
            callers.into_iter().for_each(|caller| caller.join().expect("the caller does not panic"));
        });
    }
}
