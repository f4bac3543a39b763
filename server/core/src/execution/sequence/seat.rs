//! The rows that an instance has for sequences.

use std::collections::{BTreeMap, BTreeSet};

/// A sequence by its place among those of its model's version.
pub(super) type Key = usize;

/// An instance's rows. A sequence has one from when it is given it to its end.
pub(super) struct Seat {
    /// Whether the instance can execute; while it cannot, it has no sequences.
    up: bool,
    capacity: usize,
    /// By row; as long as any was ever needed.
    rows: Vec<Option<Key>>,
    /// Those of them that nobody has.
    vacant: BTreeSet<usize>,
    /// Sequences whose next request may be executed, by the order in which they came to be so.
    ready: BTreeMap<u64, Key>,
}

impl Seat {
    /// So many rows that nobody has.
    pub(super) fn new(capacity: usize) -> Seat {
        Seat { up: true, capacity, rows: Vec::new(), vacant: BTreeSet::new(), ready: BTreeMap::new() }
    }

    /// The first row that a sequence can have.
    pub(super) fn vacancy(&self) -> Option<usize> {
        let next = (self.rows.len() < self.capacity).then_some(self.rows.len());
        self.vacant.first().copied().or(next).filter(|_| self.up)
    }

    /// Gives a row that is vacant to a sequence.
    pub(super) fn give(&mut self, row: usize, key: Key) {
        if row == self.rows.len() {
            self.rows.push(None);
        }
        self.vacant.remove(&row);
        self.rows[row] = Some(key);
    }

    /// Takes a row back from its sequence.
    pub(super) fn take_back(&mut self, row: usize) {
        self.rows[row] = None;
        self.vacant.insert(row);
    }

    /// The next request of a sequence may be executed, in that order.
    pub(super) fn add_ready(&mut self, order: u64, key: Key) {
        self.ready.insert(order, key);
    }

    /// Not any more.
    pub(super) fn remove_ready(&mut self, order: u64) {
        self.ready.remove(&order);
    }

    /// Those whose next request may be executed, in order.
    pub(super) fn ready(&self) -> impl Iterator<Item = Key> {
        self.ready.values().copied()
    }

    /// How many those are.
    pub(super) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// The instance cannot execute any more: the sequences that it had.
    pub(super) fn go_down(&mut self) -> Vec<Key> {
        let capacity = self.capacity;
        let seat = std::mem::replace(self, Seat { up: false, ..Seat::new(capacity) });
        seat.rows.into_iter().flatten().collect()
    }

    /// The instance can execute again. Whether it could not.
    pub(super) fn come_up(&mut self) -> bool {
        !std::mem::replace(&mut self.up, true)
    }
}
