use std::pin::Pin;
use std::task::{Context, Poll};

use nerite_backend::{BackendError, Code, Request};
use tokio::time::{Sleep, sleep_until};

use super::Placed;
use super::call::{Ledger, TIMEOUT_EXPIRED};

/// The time that a request may wait in the queue. Its caller keeps it, so that the caller is answered when it is over,
/// whatever the instances do.
#[derive(Default)]
pub(super) struct Wait {
    /// The request's place in the queue.
    placed: Option<Placed>,
    /// Set once the answer is waited for, if the request may not wait for ever.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    /// Of a request that has that place in the queue, if it waits.
    pub(super) fn at(placed: Option<Placed>) -> Wait {
        Wait { placed, timer: None }
    }

    /// Answers the request with an error if its time is over and it still waits; the waker is called when it is. Whether
    /// the time is over.
    pub(super) fn expires(&mut self, context: &mut Context<'_>, ledger: &dyn Ledger) -> bool {
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
        ledger.withdraw(self.placed.take()?.ticket)
    }
}
