mod batches;
mod sequence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use nerite_backend::CorrelationId;
use slab::Slab;

use super::rules::{Batching, Rules};
use super::seat::{Key, Seat};
use crate::execution::queue::Ticket;
use sequence::{Place, Sequence, Turn, Waiting};

/// A model version's sequences: which requests of them wait, which instance's row each has, and which wait for one.
///
/// Pure: it takes the time as an argument, and knows nothing of the requests (`T`) nor of what a sequence keeps from
/// one to the next (`M`). That is with the request while an engine has it, and here otherwise.
///
/// ```text
///        START                       a row is free                    taken
///  ───────────▶ backlog ───────────────────────▶ ready ─────────────────────────▶ with an engine
///                  ▲                              ▲  ▲                                   │ released
///                  │  the next begins anew, and   │  │ another request waits             ▼
///                  └──── others wait for a row ───┴──┴─────────────────────── idle ◀─────┴──▶ gone: END came, or
///                                                       a request comes                     it was idle for too long
/// ```
pub(in crate::execution) struct Sequences<T, M> {
    rules: Rules,
    /// Those whose requests wait or are executed, and those that may go on.
    by_id: HashMap<CorrelationId, Key>,
    sequences: Slab<Sequence<T, M>>,
    /// By instance.
    seats: Vec<Seat>,
    /// Those that have no row, in the order in which they get one. While there is any, no row is vacant.
    backlog: BTreeMap<u64, Key>,
    /// When those end that are idle, and those that would not wait longer for a row.
    due: BTreeSet<(Instant, Key)>,
    /// How many requests wait.
    waiting: usize,
    serial: u64,
}

/// A request that comes.
#[derive(Clone, Debug)]
pub(in crate::execution) struct Arrival {
    /// Which sequence it is of.
    pub(in crate::execution) id: CorrelationId,
    /// Whether it begins it anew.
    pub(in crate::execution) start: bool,
    /// Whether it ends it.
    pub(in crate::execution) end: bool,
    /// How long its sequence may wait for a row.
    pub(in crate::execution) timeout: Option<Duration>,
    /// When it came.
    pub(in crate::execution) now: Instant,
}

/// A request to be executed, as a row of a batch.
#[derive(Debug)]
pub(in crate::execution) struct Step<T, M> {
    /// Names the request to [`Sequences::released`] and [`Sequences::again`].
    pub(in crate::execution) ticket: Ticket,
    /// The request.
    pub(in crate::execution) item: T,
    /// What its sequence keeps; `None` if it begins.
    pub(in crate::execution) memory: Option<M>,
    /// Whether an engine has had it before.
    pub(in crate::execution) again: bool,
}

/// The request that a sequence is to go on with.
pub(in crate::execution) struct Head<'a, T, M> {
    /// The request.
    pub(in crate::execution) item: &'a T,
    /// What its sequence keeps; `None` if it begins.
    pub(in crate::execution) memory: Option<&'a M>,
}

/// A request that was taken out, and those that cannot be executed without it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::execution) struct Withdrawn<T> {
    /// The request.
    pub(in crate::execution) item: T,
    /// What came after it, up to where the sequence begins anew.
    pub(in crate::execution) followers: Vec<T>,
}

impl<T, M> Sequences<T, M> {
    /// No sequences, on so many instances.
    pub(in crate::execution) fn new(rules: Rules, instances: usize) -> Sequences<T, M> {
        Sequences {
            by_id: HashMap::new(),
            sequences: Slab::new(),
            seats: (0..instances).map(|_| Seat::new(rules.rows)).collect(),
            backlog: BTreeMap::new(),
            due: BTreeSet::new(),
            waiting: 0,
            serial: 0,
            rules,
        }
    }

    /// How many requests wait.
    pub(in crate::execution) fn len(&self) -> usize {
        self.waiting
    }

    /// How many of them are of sequences that have no row.
    pub(in crate::execution) fn backlogged(&self) -> usize {
        self.backlog.values().map(|&key| self.sequences[key].queue.len()).sum()
    }

    /// When the oldest of them came.
    pub(in crate::execution) fn oldest(&self) -> Option<Instant> {
        self.sequences.iter().filter_map(|(_, sequence)| Some(sequence.queue.front()?.arrived)).min()
    }

    /// Takes a request, or gives it back: its sequence has not begun, or is over.
    pub(in crate::execution) fn push(&mut self, arrival: Arrival, item: T) -> Result<Ticket, T> {
        let Arrival { id, start, end, timeout, now } = arrival;
        let key = match self.by_id.get(&id) {
            Some(&key) if start || self.sequences[key].open => key,
            None if start => self.begin(id, now),
            _ => return Err(item),
        };
        self.serial += 1;
        let serial = self.serial;
        self.waiting += 1;
        let until = timeout.and_then(|timeout| now.checked_add(timeout));
        let sequence = &mut self.sequences[key];
        sequence.open = !end && !self.rules.iterative;
        sequence.queue.push_back(Waiting { serial, arrived: now, start, timeout, until, again: false, item });
        let due = match sequence.place {
            Place::Backlog(_) => sequence.due.into_iter().chain(until).min(),
            _ => None,
        };
        self.set_due(key, due);
        self.settle(key, now);
        Ok(Ticket { key, serial })
    }

    /// Takes a request out that waits, which ends its sequence there: what came after it cannot be executed without
    /// it. `None` if it does not wait any more.
    pub(in crate::execution) fn withdraw(&mut self, ticket: Ticket, now: Instant) -> Option<Withdrawn<T>> {
        let Ticket { key, serial } = ticket;
        let sequence = self.sequences.get_mut(key)?;
        let first = sequence.queue.binary_search_by_key(&serial, |waiting| waiting.serial).ok()?;
        let next_start = (first + 1..sequence.queue.len()).find(|&place| sequence.queue[place].start);
        if next_start.is_none() {
            sequence.open = false;
        }
        let end = next_start.unwrap_or(sequence.queue.len());
        let mut removed = sequence.queue.drain(first..end).map(|waiting| waiting.item);
        let item = removed.next()?;
        let followers: Vec<T> = removed.collect();
        self.waiting -= 1 + followers.len();
        if matches!(sequence.place, Place::Backlog(_)) {
            self.set_patience(key);
        }
        if first == 0 {
            self.unready(key);
            self.settle(key, now);
        }
        Some(Withdrawn { item, followers })
    }

    /// An engine has let go of a request, and what its sequence keeps from it.
    pub(in crate::execution) fn released(&mut self, ticket: Ticket, memory: M, now: Instant) {
        if self.take_turn_back(ticket, memory) {
            self.settle(ticket.key, now);
        }
    }

    /// An engine wants a request to be executed once more, before those that came after it. Gives it back if its
    /// sequence is over.
    pub(in crate::execution) fn again(
        &mut self,
        ticket: Ticket,
        memory: M,
        item: T,
        now: Instant,
    ) -> Result<(), T> {
        let Ticket { key, serial } = ticket;
        if !self.take_turn_back(ticket, memory) {
            return Err(item);
        }
        let sequence = &mut self.sequences[key];
        if matches!(sequence.place, Place::Nowhere) {
            self.settle(key, now);
            return Err(item);
        }
        self.waiting += 1;
        sequence.queue.push_front(Waiting {
            serial,
            arrived: now,
            start: false,
            timeout: None,
            until: None,
            again: true,
            item,
        });
        self.settle(key, now);
        Ok(())
    }

    /// Ends the sequences that were idle for too long, and those that waited for too long for a row: the requests of these.
    pub(in crate::execution) fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(&(at, key)) = self.due.first()
            && at <= now
        {
            expired.extend(self.end(key));
            self.fill(now);
        }
        expired
    }

    /// When to look again for such.
    pub(in crate::execution) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    /// An instance cannot execute any more, and with it goes what it knew of its sequences, which end: their requests.
    pub(in crate::execution) fn lose(&mut self, seat: usize) -> Vec<T> {
        let lost = self.seats[seat].go_down();
        lost.into_iter().flat_map(|key| self.end_without_row(key)).collect()
    }

    /// An instance can execute, maybe again.
    pub(in crate::execution) fn restore(&mut self, seat: usize, now: Instant) {
        if self.seats[seat].come_up() {
            self.fill(now);
        }
    }

    /// From now on no sequence is kept for a request that has not come yet.
    pub(in crate::execution) fn retire(&mut self, now: Instant) {
        self.rules.max_idle = Duration::ZERO;
        let is_idle =
            |sequence: &Sequence<T, M>| sequence.queue.is_empty() && matches!(sequence.turn, Turn::Free(_));
        let idle = self.sequences.iter().filter(|(_, sequence)| is_idle(sequence));
        for key in idle.map(|(key, _)| key).collect::<Vec<Key>>() {
            self.end(key);
        }
        self.fill(now);
    }

    /// Ends all sequences: their requests.
    pub(in crate::execution) fn end_all(&mut self) -> Vec<T> {
        let mut requests = Vec::with_capacity(self.waiting);
        let keys: Vec<Key> = self.sequences.iter().map(|(key, _)| key).collect();
        for key in keys {
            requests.extend(self.end(key));
        }
        requests
    }

    /// Whether the ticket is that of the request that was with an engine until now.
    fn take_turn_back(&mut self, ticket: Ticket, memory: M) -> bool {
        let Some(sequence) = self.sequences.get_mut(ticket.key) else { return false };
        let is_its = matches!(sequence.turn, Turn::Taken { serial } if serial == ticket.serial);
        if is_its {
            sequence.turn = Turn::Free(Some(memory));
        }
        is_its
    }

    /// A new sequence, in a row if one is vacant: the first of all instances, so that they are used alike.
    fn begin(&mut self, id: CorrelationId, now: Instant) -> Key {
        let key = self.sequences.insert(Sequence {
            id: id.clone(),
            open: true,
            queue: VecDeque::new(),
            place: Place::Nowhere,
            turn: Turn::Free(None),
            ready: None,
            due: None,
        });
        self.by_id.insert(id, key);
        match self.vacancy() {
            Some((row, seat)) => self.give(seat, row, key),
            None => self.wait_for_row(key, now),
        }
        key
    }

    fn vacancy(&self) -> Option<(usize, usize)> {
        let vacancies =
            self.seats.iter().enumerate().filter_map(|(seat, rows)| Some((rows.vacancy()?, seat)));
        vacancies.min()
    }

    fn give(&mut self, seat: usize, row: usize, key: Key) {
        self.seats[seat].give(row, key);
        self.sequences[key].place = Place::Row { seat, row };
    }

    fn wait_for_row(&mut self, key: Key, now: Instant) {
        self.serial += 1;
        self.backlog.insert(self.serial, key);
        let sequence = &mut self.sequences[key];
        sequence.place = Place::Backlog(self.serial);
        for waiting in &mut sequence.queue {
            waiting.until = waiting.timeout.and_then(|timeout| now.checked_add(timeout));
        }
        self.set_patience(key);
    }

    /// Has a sequence that has no row wait for one as long as all of its requests would.
    fn set_patience(&mut self, key: Key) {
        let until = self.sequences[key].queue.iter().filter_map(|waiting| waiting.until).min();
        self.set_due(key, until);
    }

    /// Finds out what becomes of a sequence after something has changed about it.
    fn settle(&mut self, key: Key, now: Instant) {
        let sequence = &self.sequences[key];
        if matches!(sequence.turn, Turn::Taken { .. }) || sequence.ready.is_some() {
            return;
        }
        match (&sequence.place, sequence.queue.front()) {
            (Place::Nowhere, _) => {
                self.sequences.remove(key);
            }
            (_, None) if sequence.open => self.set_due(key, now.checked_add(self.rules.max_idle)),
            (_, None) => {
                self.end(key);
                self.fill(now);
            }
            // One that begins anew has had its row; it is the turn of those that wait for one.
            (&Place::Row { seat, row }, Some(next)) if next.start && !self.backlog.is_empty() => {
                self.seats[seat].take_back(row);
                self.wait_for_row(key, now);
                self.fill(now);
            }
            (&Place::Row { seat, .. }, Some(_)) => self.make_ready(seat, key, now),
            (Place::Backlog(_), Some(_)) => {}
        }
    }

    fn make_ready(&mut self, seat: usize, key: Key, now: Instant) {
        self.serial += 1;
        self.sequences[key].ready = Some((self.serial, now));
        self.seats[seat].add_ready(self.serial, key);
    }

    fn unready(&mut self, key: Key) {
        let sequence = &mut self.sequences[key];
        if let (Some((order, _)), Place::Row { seat, .. }) = (sequence.ready.take(), &sequence.place) {
            self.seats[*seat].remove_ready(order);
        }
    }

    /// Gives vacant rows to those that wait for one.
    fn fill(&mut self, now: Instant) {
        while !self.backlog.is_empty()
            && let Some((row, seat)) = self.vacancy()
            && let Some((_, key)) = self.backlog.pop_first()
        {
            self.set_due(key, None);
            self.give(seat, row, key);
            self.make_ready(seat, key, now);
        }
    }

    /// Ends a sequence, whose row is vacant then: its requests.
    fn end(&mut self, key: Key) -> Vec<T> {
        self.unready(key);
        match self.sequences[key].place {
            Place::Row { seat, row } => self.seats[seat].take_back(row),
            Place::Backlog(place) => {
                self.backlog.remove(&place);
            }
            Place::Nowhere => {}
        }
        self.end_without_row(key)
    }

    /// Ends a sequence that has no row any more. While an engine has a request of it, its place is kept for that.
    fn end_without_row(&mut self, key: Key) -> Vec<T> {
        self.set_due(key, None);
        let sequence = &mut self.sequences[key];
        if self.by_id.get(&sequence.id) == Some(&key) {
            self.by_id.remove(&sequence.id);
        }
        (sequence.place, sequence.open, sequence.ready) = (Place::Nowhere, false, None);
        let requests: Vec<T> = sequence.queue.drain(..).map(|waiting| waiting.item).collect();
        self.waiting -= requests.len();
        if matches!(sequence.turn, Turn::Free(_)) {
            self.sequences.remove(key);
        }
        requests
    }

    fn set_due(&mut self, key: Key, due: Option<Instant>) {
        let former = std::mem::replace(&mut self.sequences[key].due, due);
        if former == due {
            return;
        }
        if let Some(former) = former {
            self.due.remove(&(former, key));
        }
        if let Some(due) = due {
            self.due.insert((due, key));
        }
    }
}
