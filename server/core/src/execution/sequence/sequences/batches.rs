//! Which requests are executed together, and when.

use std::time::{Duration, Instant};

use super::sequence::{Place, Turn, Waiting};
use super::{Batching, Head, Key, Sequences, Step};
use crate::execution::decide::{Candidate, Decision, DispatchReason, decide};
use crate::execution::queue::Ticket;

impl<T, M> Sequences<T, M> {
    /// What an instance with nothing else to do does with its sequences. Where a batch has to have requests that are
    /// alike, `alike` compares the first with another.
    pub(in crate::execution) fn decide(
        &self,
        seat: usize,
        alike: impl Fn(Head<'_, T, M>, Head<'_, T, M>) -> bool,
        now: Instant,
    ) -> Decision {
        match &self.rules.strategy {
            Batching::Direct { fewest, delay, most } => self.decide_direct(seat, *fewest, *most, *delay, now),
            Batching::Oldest(policy) => {
                let first = self.seats[seat].ready().next();
                let candidates = self.seats[seat].ready().map(|key| Candidate {
                    rows: 1,
                    like_first: first
                        .is_some_and(|first| first == key || alike(self.head(first), self.head(key))),
                    enqueued: self.sequences[key].ready.map_or(now, |(_, since)| since),
                });
                decide(candidates, 1, policy, now)
            }
        }
    }

    fn decide_direct(
        &self,
        seat: usize,
        fewest: usize,
        most: usize,
        delay: Duration,
        now: Instant,
    ) -> Decision {
        let ready = self.seats[seat].ready_count();
        let arrivals = self.seats[seat].ready().filter_map(|key| self.sequences[key].queue.front());
        let Some(oldest) = arrivals.map(|waiting| waiting.arrived).min() else { return Decision::Idle };
        let dispatch = |reason| Decision::Dispatch { requests: ready, reason };
        if most == 1 {
            return dispatch(DispatchReason::Single);
        }
        if ready >= most {
            return dispatch(DispatchReason::Full);
        }
        if fewest <= 1 || delay.is_zero() {
            return dispatch(DispatchReason::Idle);
        }
        if ready >= fewest {
            return dispatch(DispatchReason::Preferred);
        }
        match oldest.checked_add(delay) {
            Some(until) if now < until => Decision::Wait { until, rows: 0 },
            Some(_) => dispatch(DispatchReason::Delay),
            None => Decision::Idle,
        }
    }

    /// The rows of the batch that was decided upon; `None` where the row's sequence has nothing to be executed, but one
    /// with a later row has.
    pub(in crate::execution) fn take(
        &mut self,
        seat: usize,
        requests: usize,
        alike: impl Fn(Head<'_, T, M>, Head<'_, T, M>) -> bool,
    ) -> Vec<Option<Step<T, M>>> {
        match self.rules.strategy {
            Batching::Oldest(_) => {
                let keys: Vec<Key> = self.seats[seat].ready().take(requests).collect();
                keys.into_iter().map(|key| self.take_turn(key)).collect()
            }
            Batching::Direct { .. } => {
                let mut rows = self.ready_rows(seat);
                // Others have to be like the one that has been ready for longest, which waits for no more batches then.
                let Some(first) = self.seats[seat].ready().next() else { return Vec::new() };
                for key in &mut rows {
                    *key = key.filter(|&key| key == first || alike(self.head(first), self.head(key)));
                }
                let taken = rows.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
                rows.truncate(taken);
                rows.into_iter().map(|key| key.and_then(|key| self.take_turn(key))).collect()
            }
        }
    }

    /// The ready sequences of an instance by row.
    pub(super) fn ready_rows(&self, seat: usize) -> Vec<Option<Key>> {
        let mut rows = Vec::new();
        for key in self.seats[seat].ready() {
            if let Place::Row { row, .. } = self.sequences[key].place {
                rows.resize(rows.len().max(row + 1), None);
                rows[row] = Some(key);
            }
        }
        rows
    }

    fn head(&self, key: Key) -> Head<'_, T, M> {
        let sequence = &self.sequences[key];
        let waiting = sequence.queue.front().expect("a ready sequence has a request");
        let memory = match &sequence.turn {
            Turn::Free(memory) if !waiting.start => memory.as_ref(),
            _ => None,
        };
        Head { item: &waiting.item, memory }
    }

    fn take_turn(&mut self, key: Key) -> Option<Step<T, M>> {
        self.unready(key);
        let sequence = &mut self.sequences[key];
        let Waiting { serial, start, again, item, .. } = sequence.queue.pop_front()?;
        self.waiting -= 1;
        let kept = std::mem::replace(&mut sequence.turn, Turn::Taken { serial });
        let memory = match kept {
            Turn::Free(memory) if !start => memory,
            _ => None,
        };
        Some(Step { ticket: Ticket { key, serial }, item, memory, again })
    }
}
