//! Instances that cannot execute any more, and those that are made in their place.

use std::time::Instant;

use nerite_backend::{BackendError, Request};

use super::State;
use crate::execution::Executor;
use crate::execution::executor::Vacancy;
use crate::execution::ward::Mending;

/// What follows from a look after the instances that cannot execute.
#[derive(Default)]
pub(in crate::execution) struct Rounds {
    /// To be made anew now.
    pub(in crate::execution) due: Vec<Vacancy>,
    /// When to look again, if nobody looks before.
    pub(in crate::execution) alarm: Option<Instant>,
    /// Requests that have waited for an instance for long enough.
    pub(in crate::execution) refused: Vec<Request>,
    /// Why there is none.
    pub(in crate::execution) reason: String,
    /// Whether others are to hear of it.
    pub(in crate::execution) has_changed: bool,
}

impl State {
    /// What was to be made anew, and will not be.
    pub(in crate::execution) fn take_vacancies(&mut self) -> Vec<Vacancy> {
        self.ward.drain().collect()
    }

    /// An instance cannot execute any more, for that reason. The requests that only it could have executed.
    pub(in crate::execution) fn vacated(
        &mut self,
        vacancy: Vacancy,
        reason: &BackendError,
        now: Instant,
    ) -> Vec<Request> {
        let seat = vacancy.seat();
        let mending = Mending {
            instance: vacancy.name().to_owned(),
            reason: reason.message.clone(),
            since: now,
            failures: 0,
            next: Some(vacancy.next_attempt(now)),
        };
        self.ward.admit(seat, vacancy, mending);
        self.sequencer.as_mut().map(|sequencer| sequencer.lose(seat)).unwrap_or_default()
    }

    /// An instance was made in the place of one that could not execute any more.
    pub(in crate::execution) fn mended(&mut self, executor: Executor, now: Instant) {
        if let Some(sequencer) = &mut self.sequencer {
            sequencer.restore(executor.seat(), now);
        }
        self.rejoin(executor);
    }

    /// Looks after the instances that cannot execute. Once no more requests are taken, none is made anew, and those that are
    /// left are let go of: an engine may answer what it has kept of their requests only then.
    pub(in crate::execution) fn rounds(&mut self, now: Instant) -> Rounds {
        if self.closed.is_some() {
            return Rounds { due: self.ward.give_up(), ..Rounds::default() };
        }
        let due = self.ward.due(now);
        let alarm = self.ward.alarm(now);
        let Some(reason) = self.ward.refusal(now) else { return Rounds { due, alarm, ..Rounds::default() } };
        let (reason, refused) = (reason.to_owned(), self.take_all());
        Rounds { due, alarm, refused, reason, has_changed: false }
    }
}
