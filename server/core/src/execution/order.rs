//! Responses in the order of their requests, where a model asks for that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, CancelGuard, Exchange, Phases, Responder, Response, Sent};

use crate::sync::Mutex;

/// Lets no final response pass before those of all requests that entered earlier.
#[derive(Default)]
pub(crate) struct ResponseOrder {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// The place of the first in the line.
    first: u64,
    /// Those that entered and were not yet let pass, in order.
    places: VecDeque<Place>,
    /// What was let pass and is to be sent, and whether a thread is at that.
    passed: VecDeque<Held>,
    is_sending: bool,
}

enum Place {
    /// There is no final response yet. Nobody waits for one once the request is cancelled.
    Open(Cancel),
    /// Held until its turn comes.
    Ready(Held),
    /// There will be none.
    Gone,
}

/// A box, since most places have none.
type Held = Box<(Responder, Response)>;

impl ResponseOrder {
    /// A responder in place of `responder`, behind all those made earlier. Nothing is sent: it may be called with a lock
    /// held.
    pub(crate) fn enter(self: &Arc<Self>, responder: Responder) -> Responder {
        let cancel = responder.exchange().cancel().clone();
        let mut line = self.line.lock();
        let place = line.first + line.places.len() as u64;
        line.places.push_back(Place::Open(cancel.clone()));
        drop(line);
        let order = Arc::downgrade(self);
        // One that is given up already keeps nobody: those behind it come later, and look when they are answered.
        let given_up = cancel.on_later_cancel(move || {
            if let Some(order) = order.upgrade() {
                order.line.lock().advance();
                order.send();
            }
        });
        Responder::new(Arc::new(Ordered { order: Arc::clone(self), place, responder, _given_up: given_up }))
    }

    /// Fills a place and lets those pass whose turn has come.
    fn fill(&self, place: u64, with: Place) -> Sent {
        let sent = self.put(place, with);
        self.send();
        sent
    }

    fn put(&self, place: u64, with: Place) -> Sent {
        let mut line = self.line.lock();
        let index = place.checked_sub(line.first).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| line.places.get_mut(index)) {
            // What nobody waits for is not held.
            Some(Place::Open(cancel)) if cancel.is_cancelled() => {
                line.advance();
                return Sent::Gone;
            }
            Some(open @ Place::Open(_)) => *open = with,
            _ => return Sent::Gone,
        }
        line.advance();
        Sent::Taken
    }

    /// Sends what was let pass. One thread does, so that none overtakes another, and without the lock: what is answered
    /// may be a step of an ensemble, and the next be pushed from within.
    fn send(&self) {
        let mut line = self.line.lock();
        if line.is_sending {
            return;
        }
        line.is_sending = true;
        while let Some(held) = line.passed.pop_front() {
            drop(line);
            let (responder, response) = *held;
            responder.send(response);
            drop(responder);
            line = self.line.lock();
        }
        line.is_sending = false;
    }
}

impl Line {
    /// Lets those pass whose turn has come, and leaves out those that nobody waits for.
    fn advance(&mut self) {
        while let Some(place) = self.places.pop_front_if(|place| place.may_pass()) {
            self.first += 1;
            if let Place::Ready(held) = place {
                self.passed.push_back(held);
            }
        }
    }
}

impl Place {
    fn may_pass(&self) -> bool {
        match self {
            Place::Open(cancel) => cancel.is_cancelled(),
            Place::Ready(_) | Place::Gone => true,
        }
    }
}

/// A request's exchange whose final response waits for its turn.
struct Ordered {
    order: Arc<ResponseOrder>,
    place: u64,
    responder: Responder,
    /// Lets the others pass when this one is given up.
    _given_up: Option<CancelGuard>,
}

impl Exchange for Ordered {
    fn respond(&self, response: Response) -> Sent {
        if !response.last {
            return self.responder.send(response);
        }
        self.order.fill(self.place, Place::Ready(Box::new((self.responder.clone(), response))))
    }

    fn respond_anyway(&self, response: Response) -> Sent {
        match response.last {
            true => self.respond(response),
            false => self.responder.exchange().respond_anyway(response),
        }
    }

    fn has_room(&self) -> bool {
        self.responder.exchange().has_room()
    }

    fn wait_for_room(&self, until: Instant) -> bool {
        self.responder.exchange().wait_for_room(until)
    }

    fn cancel(&self) -> &Cancel {
        self.responder.exchange().cancel()
    }

    fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        self.responder.exchange().report(phases, result);
    }

    fn release(&self) {
        self.responder.exchange().release();
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        self.order.fill(self.place, Place::Gone);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Notes its name when it is answered.
    struct Caller {
        name: usize,
        answered: Arc<Mutex<Vec<usize>>>,
        cancel: Cancel,
    }

    impl Exchange for Caller {
        fn respond(&self, _: Response) -> Sent {
            self.answered.lock().push(self.name);
            Sent::Taken
        }

        fn cancel(&self) -> &Cancel {
            &self.cancel
        }

        fn report(&self, _: &Phases, _: Result<(), &BackendError>) {}

        fn release(&self) {}
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_answers_callers_have_them_in_the_order_of_their_requests(
            order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(),
            given_up in prop::collection::btree_set(0usize..12, 0..4),
        ) {
            let (line, answered) = (Arc::new(ResponseOrder::default()), Arc::new(Mutex::new(Vec::new())));
            let mut responders: Vec<Option<Responder>> = (0..12).map(|name| {
                let caller = Caller { name, answered: Arc::clone(&answered), cancel: Cancel::default() };
                Some(line.enter(Responder::new(Arc::new(caller))))
            }).collect();
            for (done, &name) in (1..).zip(&order) {
                let responder = responders[name].take().expect("each is taken once");
                if !given_up.contains(&name) {
                    prop_assert!(responder.send(Response::complete(Default::default())).is_taken());
                    prop_assert!(responder.send(Response::complete(Default::default())).is_gone());
                }
                drop(responder);
                let finished = &order[..done];
                let expected: Vec<usize> = (0..12).take_while(|name| finished.contains(name))
                    .filter(|name| !given_up.contains(name)).collect();
                prop_assert_eq!(&*answered.lock(), &expected);
            }
        }
    }
}
