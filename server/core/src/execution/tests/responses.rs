//! Many responses to one request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nerite_backend::{
    BackendError, Code, DType, Exchange, Request, Responder, Response, Sent, Shape, Tensor,
};
use proptest::prelude::*;

use super::batches_of_8;
use crate::execution::{Call, Ledger, Open, Responses, Room, Ticket, open_for_many};
use crate::mock::{Handle, phases, request, serve, until, wait};
use crate::model::{ModelSpec, QueuePolicy};
use crate::statistics::{FailureReason, Statistics};
use crate::version::ModelVersion;

const LONG: Duration = Duration::from_secs(600);

/// A response that holds so many bytes, and is the next of several.
fn part(bytes: usize) -> Response {
    let shape = Shape::new(&[bytes as i64]);
    let tensor = Tensor::new(DType::U8, shape, Bytes::from(vec![7; bytes]));
    Response::part([(0, tensor)].into_iter().collect())
}

/// The first byte count of a response's outputs, which says which one it is.
fn size(response: &Response) -> usize {
    response.outputs.iter().map(|(_, tensor)| tensor.data.len()).sum()
}

fn failed(text: &str) -> Response {
    Response { last: false, ..Response::error(BackendError::invalid(text)) }
}

fn decoupled() -> (Arc<ModelVersion>, Handle) {
    serve(ModelSpec { decoupled: true, ..batches_of_8() }, 1)
}

fn send(version: &Arc<ModelVersion>, room: &Arc<Room>) -> Responses {
    version.infer_many(request("a", 1), Instant::now(), room)
}

fn poll(responses: &mut Responses) -> Poll<Option<Response>> {
    responses.poll_next(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_decoupled_model_answers_as_often_as_it_likes_and_counts_once() {
    let (version, handle) = decoupled();
    let room = Arc::new(Room::new(8, 1 << 20));
    let mut responses = send(&version, &room);
    let requests = handle.next().leave();
    let responder = requests[0].responder();
    drop(requests);
    let sending = thread::spawn(move || {
        for bytes in 1..=100 {
            assert!(responder.send_within(part(bytes), LONG).is_taken());
        }
        assert!(responder.send_within(failed("a hitch"), LONG).is_taken());
        assert!(responder.send_within(part(101), LONG).is_taken());
        assert!(responder.send(Response::end()).is_taken());
        assert!(responder.send(Response::end()).is_gone());
    });
    let (mut sizes, mut errors) = (Vec::new(), Vec::new());
    while let Some(response) = wait(responses.next()) {
        match &response.error {
            Some(error) => errors.push(error.message.clone()),
            None => sizes.push(size(&response)),
        }
        assert_eq!(response.last, sizes.len() == 102);
    }
    sending.join().unwrap();
    assert_eq!(version.statistics().failure.count(), 1);
    assert_eq!(sizes, (1..=101).chain([0]).collect::<Vec<_>>());
    assert_eq!(errors, ["a hitch"]);
    assert_eq!(version.statistics().success.count(), 0, "a request that got an error has failed");
    assert_eq!(room.load(), (0, 0));
}

#[test]
fn what_the_caller_has_not_read_is_bounded_and_the_sender_waits() {
    let (version, handle) = decoupled();
    let room = Arc::new(Room::new(100, 10_000));
    let mut responses = send(&version, &room);
    let requests = handle.next().leave();
    let responder = requests[0].responder();
    for _ in 0..2 {
        assert!(responder.send(part(6_000)).is_taken(), "what there is any room for is taken whole");
    }
    let Sent::Full(returned) = responder.send(part(1)) else { panic!("there is room") };
    assert_eq!(size(&returned), 1, "it is not lost");
    let waiting = responder.clone();
    let sending = thread::spawn(move || waiting.send_within(*returned, LONG));
    assert_eq!(size(&wait(responses.next()).unwrap()), 6_000);
    assert!(sending.join().unwrap().is_taken());
    assert!(responder.send(Response::end()).is_taken());
    let rest = [wait(responses.next()), wait(responses.next()), wait(responses.next())];
    assert_eq!(
        rest.map(|response| response.map(|response| size(&response))),
        [Some(6_000), Some(1), Some(0)]
    );
    assert!(wait(responses.next()).is_none());
    assert_eq!(room.load(), (0, 0));
}

#[test]
fn the_last_response_is_taken_whether_there_is_room_or_not() {
    let (version, handle) = decoupled();
    let room = Arc::new(Room::new(1, 10_000));
    let mut responses = send(&version, &room);
    let responder = handle.next().requests()[0].responder();
    assert!(responder.send(part(1)).is_taken());
    assert!(matches!(responder.send(part(2)), Sent::Full(_)));
    assert!(responder.send(Response { last: true, ..part(3) }).is_taken());
    assert_eq!(size(&wait(responses.next()).unwrap()), 1);
    assert_eq!(size(&wait(responses.next()).unwrap()), 3);
    assert!(wait(responses.next()).is_none());
}

#[test]
fn a_request_whose_client_takes_its_responses_too_slowly_fails_and_is_cancelled() {
    let (version, handle) = decoupled();
    let room = Arc::new(Room::new(1, 10_000));
    let mut responses = send(&version, &room);
    let requests = handle.next().leave();
    let responder = requests[0].responder();
    assert!(responder.send_within(part(1), Duration::ZERO).is_taken());
    assert!(!requests[0].cancel().is_cancelled());
    assert!(responder.send_within(part(2), Duration::ZERO).is_gone());
    assert!(requests[0].cancel().is_cancelled());
    assert_eq!(size(&wait(responses.next()).unwrap()), 1, "what was sent is delivered");
    let error = wait(responses.next()).unwrap().error.unwrap();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.starts_with("the client takes its responses too slowly"), "{error}");
    assert!(wait(responses.next()).is_none());
    assert_eq!(version.statistics().failure.count(), 1);
}

#[test]
fn where_somebody_has_waited_in_vain_nobody_else_does_until_the_caller_reads() {
    let room = Room::new(1, 1 << 20);
    room.take_anyway(1);
    let in_an_hour = || Instant::now() + Duration::from_secs(3_600);
    assert!(!room.wait(Instant::now(), || false));
    assert!(!room.wait(in_an_hour(), || false), "at once");
    room.give_back(1, 1);
    assert!(room.wait(in_an_hour(), || false));
}

#[test]
fn who_waits_for_room_hears_that_the_caller_has_gone() {
    let (version, handle) = decoupled();
    let room = Arc::new(Room::new(1, 10_000));
    let responses = send(&version, &room);
    let requests = handle.next().leave();
    let responder = requests[0].responder();
    assert!(responder.send(part(1)).is_taken());
    let sending = thread::spawn(move || responder.send_within(part(2), LONG));
    drop(responses);
    assert!(sending.join().unwrap().is_gone());
    assert!(requests[0].cancel().is_cancelled());
    assert_eq!(version.statistics().failures(FailureReason::Canceled), 1);
    assert_eq!(room.load(), (0, 0), "what was unread is gone");
}

#[test]
fn requests_that_share_a_room_wait_for_each_other() {
    let (version, handle) = decoupled();
    let room = Arc::new(Room::new(2, 10_000));
    let (mut first, second) = (send(&version, &room), send(&version, &room));
    let mut requests = handle.next().leave();
    while requests.len() < 2 {
        requests.extend(handle.next().leave());
    }
    let [one, two] = [requests[0].responder(), requests[1].responder()];
    assert!(one.send(part(1)).is_taken() && two.send(part(1)).is_taken());
    assert!(matches!(one.send(part(1)), Sent::Full(_)) && matches!(two.send(part(1)), Sent::Full(_)));
    assert!(wait(first.next()).is_some());
    assert!(two.send(part(1)).is_taken());
    assert!(matches!(one.send(part(1)), Sent::Full(_)));
    drop(second);
    assert!(one.send(part(1)).is_taken());
}

#[test]
fn a_decoupled_request_given_up_by_its_engine_ends_with_an_error_behind_what_was_sent() {
    let (version, handle) = decoupled();
    let mut responses = send(&version, &Arc::new(Room::new(1, 1)));
    let execution = handle.next();
    assert!(execution.requests()[0].responder().send(part(1)).is_taken());
    drop(execution);
    assert_eq!(size(&wait(responses.next()).unwrap()), 1);
    let error = wait(responses.next()).unwrap().error.unwrap();
    assert_eq!(error.message, "the model's engine gave up the request unanswered");
    assert!(wait(responses.next()).is_none());
    assert_eq!(version.statistics().failures(FailureReason::Backend), 1);
}

#[test]
fn a_decoupled_request_that_ends_well_is_one_success_with_the_phases_that_were_reported() {
    let (version, handle) = decoupled();
    let mut responses = send(&version, &Arc::new(Room::new(8, 1000)));
    let requests = handle.next().leave();
    requests[0].report(&phases(), Ok(()));
    assert!(requests[0].responder().send(part(1)).is_taken());
    assert_eq!(version.statistics().success.count(), 0, "not before the last response");
    assert_eq!(version.statistics().first_response().count(), 1);
    assert!(requests[0].responder().send(Response::end()).is_taken());
    assert_eq!(version.statistics().success.count(), 1);
    drop(requests);
    assert_eq!(version.statistics().success.count(), 1);
    assert_eq!(version.statistics().first_response().count(), 1);
    assert!(responses.phases().is_some());
    assert!(wait(responses.next()).is_some_and(|response| !response.last));
    assert!(wait(responses.next()).is_some_and(|response| response.last));
}

/// The account of requests that are in no queue.
#[derive(Default)]
struct Books {
    statistics: Statistics,
    released: AtomicUsize,
}

impl Ledger for Books {
    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn released(&self) {
        self.released.fetch_add(1, SeqCst);
    }

    fn withdraw(&self, _: Ticket) -> Option<Request> {
        None
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Send { bytes: usize },
    Fail,
    End,
    Read,
    GoAway,
    Report,
    Release,
    LetGo,
}

fn operations() -> impl Strategy<Value = Vec<(usize, Operation)>> {
    let operation = prop_oneof![
        8 => (1..2000usize).prop_map(|bytes| Operation::Send { bytes }),
        1 => Just(Operation::Fail),
        1 => Just(Operation::End),
        8 => Just(Operation::Read),
        1 => Just(Operation::GoAway),
        1 => Just(Operation::Report),
        1 => Just(Operation::Release),
        1 => Just(Operation::LetGo),
    ];
    prop::collection::vec((0..2usize, operation), 0..80)
}

/// A request beside what it is expected to be.
struct Side {
    responder: Option<Responder>,
    responses: Option<Responses>,
    unread: VecDeque<usize>,
    ended: bool,
    released: bool,
    reported: bool,
}

/// What [`size`] is of a response without outputs.
const NOTHING: usize = 0;
const RESPONSES: usize = 4;
const BYTES: usize = 6_000;

impl Side {
    fn new(books: &Arc<Books>, room: &Arc<Room>) -> Side {
        let ledger = Arc::clone(books) as Arc<dyn Ledger>;
        let call = Call { ledger, rows: 1, received: Instant::now(), trace_id: None, lookup: None };
        let Open { responder, answer } = open_for_many(call, Arc::clone(room));
        let (responder, responses) = (Some(responder), Some(answer));
        Side { responder, responses, unread: VecDeque::new(), ended: false, released: false, reported: false }
    }

    fn is_open(&self) -> bool {
        self.responses.is_some() && !self.ended
    }

    fn exchange(&self) -> Option<&dyn Exchange> {
        self.responder.as_ref().map(Responder::exchange)
    }

    fn send(&mut self, response: Response, has_room: bool) {
        let Some(responder) = &self.responder else { return };
        let (size, last) = (size(&response), response.last);
        let sent = responder.send(response);
        match self.is_open() {
            false => assert!(sent.is_gone()),
            true if !has_room && !last => assert!(matches!(sent, Sent::Full(_))),
            true => {
                assert!(sent.is_taken());
                self.unread.push_back(size);
                self.ended = last;
            }
        }
    }

    fn read(&mut self) {
        let Some(responses) = &mut self.responses else { return };
        match (poll(responses), self.unread.pop_front()) {
            (Poll::Ready(Some(response)), Some(expected)) => assert_eq!(size(&response), expected),
            (Poll::Ready(None), None) => assert!(self.ended),
            (Poll::Pending, None) => assert!(!self.ended),
            (polled, expected) => panic!("{polled:?} instead of {expected:?}"),
        }
    }

    fn apply(&mut self, operation: &Operation, has_room: bool) {
        match operation {
            Operation::Send { bytes } => self.send(part(*bytes), has_room),
            Operation::Fail => self.send(failed("no"), has_room),
            Operation::End => self.send(Response::end(), has_room),
            Operation::Read => self.read(),
            Operation::GoAway => {
                self.responses = None;
                self.unread.clear();
            }
            Operation::Report if !self.reported && !self.released => {
                self.exchange().into_iter().for_each(|exchange| exchange.report(&phases(), Ok(())));
                self.reported = true;
            }
            Operation::Release if !self.released => {
                self.exchange().into_iter().for_each(Exchange::release);
                self.released = true;
            }
            Operation::Report | Operation::Release => {}
            Operation::LetGo => {
                // A request holds a responder.
                self.apply(&Operation::Release, has_room);
                if self.responder.take().is_some() && self.is_open() {
                    self.unread.push_back(NOTHING);
                    self.ended = true;
                }
            }
        }
    }

    /// How much of the room it takes.
    fn load(&self) -> (usize, usize) {
        (self.unread.len(), self.unread.iter().sum())
    }
}

proptest! {
    #[test]
    fn whatever_is_done_the_caller_reads_what_was_taken_and_no_more_is_held_than_there_is_room_for(
        operations in operations()
    ) {
        let (books, room) = (Arc::new(Books::default()), Arc::new(Room::new(RESPONSES, BYTES)));
        let mut sides = [Side::new(&books, &room), Side::new(&books, &room)];
        for (which, operation) in &operations {
            let (responses, bytes) = room.load();
            sides[*which].apply(operation, responses < RESPONSES && bytes < BYTES);
            let loads = sides.each_ref().map(Side::load);
            let (responses, bytes) = room.load();
            prop_assert_eq!(responses, loads.iter().map(|load| load.0).sum::<usize>());
            // Besides its outputs, each response takes some room for itself.
            prop_assert!(bytes >= loads.iter().map(|load| load.1).sum::<usize>());
            prop_assert!(responses <= RESPONSES + 2, "both may have their last beyond the limit");
        }
        for side in &mut sides {
            side.apply(&Operation::LetGo, true);
            side.apply(&Operation::GoAway, true);
        }
        prop_assert_eq!(room.load(), (0, 0));
        prop_assert_eq!(books.released.load(SeqCst), 2);
        let Statistics { success, failure, .. } = &books.statistics;
        prop_assert_eq!(success.count() + failure.count(), 2, "each counted once");
    }
}

#[test]
fn a_decoupled_request_that_waits_too_long_or_is_given_up_while_it_waits_is_never_executed() {
    let mut spec = ModelSpec { decoupled: true, ..batches_of_8() };
    let timeout = Some(Duration::from_millis(20));
    spec.scheduling.levels = vec![QueuePolicy { default_timeout: timeout, ..QueuePolicy::default() }];
    let (version, handle) = serve(spec, 1);
    let room = Arc::new(Room::new(1, 1));
    let _first = send(&version, &room);
    let execution = handle.next();
    drop(send(&version, &room));
    let mut late = send(&version, &room);
    let error = wait(late.next()).unwrap().error;
    assert_eq!(error, Some(BackendError::new(Code::Unavailable, "Request timeout expired")));
    assert!(wait(late.next()).is_none());
    execution.succeed();
    until(|| version.free_instances() == 1);
    assert_eq!((handle.executions(), version.pending()), (1, 0));
}
