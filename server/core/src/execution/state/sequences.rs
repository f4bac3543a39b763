//! What to do next where requests are parts of sequences.

use std::time::Instant;

use super::{Assignment, Expired, State, Step, Work, in_order};
use crate::execution::Executor;
use crate::execution::decide::Decision;
use crate::execution::pace::Place;
use crate::execution::queue::Expiry;
use crate::execution::sequence::SequenceStep;

impl State {
    /// The rows to be executed now, if any, and their instance: a sequence's requests are executed by one and the same.
    pub(super) fn assign_steps(&mut self, place: Place, now: Instant) -> Option<Assignment> {
        let sequencer = self.sequencer.as_mut()?;
        if sequencer.is_held() {
            return None;
        }
        let due = self.free.iter().enumerate().find_map(|(index, executor)| {
            match sequencer.decide(executor.seat(), now) {
                Decision::Dispatch { requests, reason } => Some((index, requests, reason)),
                Decision::Wait { .. } | Decision::Idle => None,
            }
        });
        let (index, requests, reason) = due?;
        let executor = self.free.remove(index);
        let mut steps = sequencer.take(executor.seat(), requests);
        if let Some(order) = &self.order {
            // What is executed again has its place: behind itself, it would wait for ever.
            let step_in_order = |step: SequenceStep| match step.again {
                true => step,
                false => SequenceStep { item: in_order(step.item, order), ..step },
            };
            steps = steps.into_iter().map(|step| step.map(step_in_order)).collect();
        }
        Some(self.assigned(executor, Work::Steps(steps), reason, place, now))
    }

    /// Ends the sequences whose time is over: requests of those that waited for too long.
    pub(in crate::execution) fn expire_sequences(&mut self, now: Instant) -> Expired {
        let Some(sequencer) = &mut self.sequencer else { return Expired::new() };
        sequencer.expire(now).into_iter().map(|request| (request, Expiry::Sequence)).collect()
    }

    /// Whether one more thread is to be called, or an instance is to be staged, or an alarm set: each instance has sequences
    /// of its own, and only it can execute these.
    pub(super) fn next_step_of_sequences(&mut self, now: Instant) -> Step {
        let Some(sequencer) = &mut self.sequencer else { return Step::Nothing };
        let mut alarm = sequencer.next_due();
        let is_held = sequencer.is_held();
        let mut is_due = |executor: &Executor| match sequencer.decide(executor.seat(), now) {
            Decision::Dispatch { .. } => !is_held,
            Decision::Wait { until, .. } => {
                alarm = alarm.into_iter().chain([until]).min();
                false
            }
            Decision::Idle => false,
        };
        let due = self.free.iter().filter(|executor| is_due(executor)).count();
        let granted_next = self.idle.iter().position(&mut is_due);
        if due > self.called {
            return self.call(now);
        }
        if let Some(place) = granted_next {
            self.staged += 1;
            return Step::Stage(self.idle.remove(place));
        }
        alarm.map_or(Step::Nothing, |at| self.set_alarm(at))
    }
}
