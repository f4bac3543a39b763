//! Callers and steps that do something from within another request's answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use nerite_backend::{BackendError, Response};

use super::runs::{World, gives_back, one_by_one};
use super::{chain, named, plan, step};
use crate::execution::{Answer, Machinery};
use crate::mock::{Execution, Stage, request, until, wait};
use crate::model::{ModelSpec, Scheduling};
use crate::response_cache::ResponseCache;
use crate::sync::Mutex;

/// Does something when it is woken, once.
struct Doing(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Doing {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().take();
        act.into_iter().for_each(|act| act());
    }
}

/// Has that done when the answer is there.
fn when_answered(answer: &mut Answer, act: impl FnOnce() + Send + 'static) {
    let waker = Waker::from(Arc::new(Doing(Mutex::new(Some(Box::new(act))))));
    assert!(matches!(Pin::new(answer).poll(&mut Context::from_waker(&waker)), Poll::Pending));
}

#[test]
fn a_place_in_line_is_passed_on_by_one_whose_caller_goes_away_when_it_has_just_been_given_it() {
    let mut limited = chain(&["A"]);
    limited.max_inflight_requests = 1;
    let world = World::new(&[("A", one_by_one("A", 1)), ("B", one_by_one("B", 1))], &limited);
    let first = world.send(request("first", 1));
    let executing = world.next("A").leave();
    let (second, third) = (world.send(request("second", 1)), world.send(request("third", 1)));
    // Within the loop of this thread, which comes to the second request only after its caller has gone.
    let other = named("P", &world.registry, &chain(&["B"]), &Machinery::default());
    let mut outer = other.infer(request("", 1), std::time::Instant::now());
    when_answered(&mut outer, move || {
        executing[0].responder().send(gives_back(&executing[0]));
        drop(second);
    });
    let requests = world.next("B").leave();
    requests[0].responder().send(gives_back(&requests[0]));
    drop(requests);
    assert!(wait(first).error.is_none());
    let execution = world.next("A");
    assert_eq!(execution.ids(), ["third"]);
    execution.succeed();
    assert!(wait(third).error.is_none());
    world.check();
}

fn in_order(name: &str) -> ModelSpec {
    let scheduling = Scheduling { preserve_ordering: true, ..Scheduling::default() };
    ModelSpec { scheduling, ..one_by_one(name, 1) }
}

#[test]
fn steps_of_one_model_that_answers_in_order_end_each_other_and_bring_each_other() {
    let steps = vec![
        step("M", &[("X", "X")], &[("X_OUT", "a")]),
        step("M", &[("X", "X")], &[("X_OUT", "b")]),
        step("M", &[("X", "a")], &[("X_OUT", "c")]),
        step("C", &[("X", "b"), ("Z", "c")], &[("X_OUT", "Y")]),
    ];
    let specs = [("M", in_order("M")), ("C", one_by_one("C", 2))];
    let world = World::new(&specs, &plan(&["X"], &["Y"], steps));
    let answer = world.send(request("a", 1));
    let (first, second) = (world.next("M"), world.next("M"));
    // On a thread of its own, so that a lock that it would wait for makes the test fail and not hang.
    let failing = thread::spawn(move || {
        let error = BackendError::internal("no");
        [first, second].into_iter().for_each(|execution| execution.fail(&error));
    });
    assert!(wait(answer).error.is_some());
    until(|| failing.is_finished());
    let answer = world.send(request("b", 1));
    let both = [world.next("M"), world.next("M")];
    both.into_iter().for_each(Execution::succeed);
    world.next("M").succeed();
    world.next("C").succeed();
    assert!(wait(answer).error.is_none());
    world.check();
}

#[test]
fn a_step_finds_what_its_model_was_asked_before_whoever_asked() {
    let world = World::chain(&["B"]);
    let cache = Arc::new(ResponseCache::new(1 << 20));
    let spec = ModelSpec { response_cache: true, ..one_by_one("A", 1) };
    let (stage, handle) = Stage::with_cache(spec, crate::mock::plan(1), Arc::default(), Some(cache));
    let cached = stage.load();
    super::serve_all(&world.registry, &[Arc::clone(&cached), world.version("B")]);
    let ensemble = named("P", &world.registry, &chain(&["A", "B", "A"]), &Machinery::default());
    let send = |id: &str| {
        ensemble.statistics().received();
        ensemble.infer(request(id, 1), std::time::Instant::now())
    };
    // The second waits for what the first has computed; its caller goes away, and that disturbs nobody.
    let (one, two, gone) = (send("1"), send("2"), send("3"));
    let execution = handle.next();
    drop(gone);
    execution.succeed();
    for _ in 0..2 {
        world.next("B").succeed();
    }
    for answer in [one, two] {
        let response: Response = wait(answer);
        assert_eq!(response.outputs[0].1.data.contiguous(), Some(&[7][..]));
    }
    let direct = wait(cached.infer(request("direct", 1), std::time::Instant::now()));
    assert!(direct.error.is_none());
    let statistics = cached.statistics();
    until(|| statistics.success.count() == 5);
    assert_eq!((handle.executions(), statistics.cache_hit.count(), statistics.cache_miss.count()), (1, 4, 1));
    assert_eq!(ensemble.statistics().success.count(), 2);
    wait(cached.settled());
    wait(ensemble.settled());
}
