use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use nerite_backend::{BackendError, Code, Request};
use tokio::time::{Sleep, sleep_until};

use super::call::{Ledger, TIMEOUT_EXPIRED};
use super::{Expiries, Placed, Relay};
use crate::sync::Mutex;

/// The time that a request may wait in the queue. Its caller keeps it, so that the caller is answered when it is over,
/// whatever the instances do.
#[derive(Default)]
pub(super) struct Wait {
    /// The request's place in the queue.
    placed: Option<Placed>,
    /// Where that is told, if it is told later.
    late: Option<Arc<LatePlace>>,
    /// Set once the answer is waited for, if the request may not wait for ever.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    /// Of a request that has that place in the queue, if it waits.
    pub(super) fn at(placed: Option<Placed>) -> Wait {
        Wait { placed, ..Wait::default() }
    }

    /// Of a request whose place, if it is to wait, is told there.
    pub(super) fn late(place: Arc<LatePlace>) -> Wait {
        Wait { late: Some(place), ..Wait::default() }
    }

    /// Answers the request with an error if its time is over and it still waits; the waker is called when it is. Whether
    /// the time is over.
    pub(super) fn expires(&mut self, context: &mut Context<'_>, ledger: &dyn Ledger) -> bool {
        if let Some(late) = &self.late {
            self.placed = late.look(context);
        }
        let Some(at) = self.placed.and_then(|placed| placed.times_out) else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at.into())));
        let is_over = timer.as_mut().poll(context) == Poll::Ready(());
        if is_over {
            self.expire(ledger);
        }
        is_over
    }

    /// Answers the request with an error if it still waits in the queue.
    pub(super) fn expire(&mut self, ledger: &dyn Ledger) {
        if let Some(request) = self.withdraw(ledger) {
            request.fail(BackendError::new(Code::Unavailable, TIMEOUT_EXPIRED));
        }
    }

    /// Takes the request out of the queue, which will then never be executed; `None` if it does not wait any more.
    pub(super) fn withdraw(&mut self, ledger: &dyn Ledger) -> Option<Request> {
        let placed = match self.late.take() {
            Some(late) => late.give_up(),
            None => self.placed.take(),
        };
        ledger.withdraw(placed?.ticket)
    }
}

/// Who learns of a request's place in the queue, if it waits there: who keeps the time that it may.
pub(crate) enum Asker {
    /// Its caller.
    Caller(Arc<LatePlace>),
    /// The ensemble that it is a step of, and what keeps the time for that.
    Step(Arc<Relay>, Arc<Expiries>),
}

impl Asker {
    /// The request has that place, if it waits.
    pub(crate) fn tell(&self, placed: Option<Placed>, ledger: &dyn Ledger) {
        match self {
            Asker::Caller(late) => late.tell(placed, ledger),
            Asker::Step(relay, expiries) => relay.queued_at(placed, expiries),
        }
    }
}

/// The place in the queue of a request that waits for something else first, between who puts it there and its caller.
#[derive(Default)]
pub(crate) struct LatePlace(Mutex<Late>);

/// ```text
/// Unknown ──► Known
///    └──────────┴──► GivenUp
/// ```
enum Late {
    Unknown(Option<Waker>),
    Known(Placed),
    GivenUp,
}

impl Default for Late {
    fn default() -> Late {
        Late::Unknown(None)
    }
}

impl LatePlace {
    /// The request has that place in the queue, if it waits there. A caller that has gone away by then could not take it
    /// out, so that this does.
    fn tell(&self, placed: Option<Placed>, ledger: &dyn Ledger) {
        let Some(placed) = placed else { return };
        let mut late = self.0.lock();
        match &mut *late {
            Late::Unknown(waker) => {
                let waker = waker.take();
                *late = Late::Known(placed);
                drop(late);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Late::Known(_) => {}
            Late::GivenUp => {
                drop(late);
                drop(ledger.withdraw(placed.ticket));
            }
        }
    }

    fn look(&self, context: &Context<'_>) -> Option<Placed> {
        match &mut *self.0.lock() {
            Late::Unknown(waker) => {
                *waker = Some(context.waker().clone());
                None
            }
            Late::Known(placed) => Some(*placed),
            Late::GivenUp => None,
        }
    }

    fn give_up(&self) -> Option<Placed> {
        match mem::replace(&mut *self.0.lock(), Late::GivenUp) {
            Late::Known(placed) => Some(placed),
            Late::Unknown(_) | Late::GivenUp => None,
        }
    }
}
