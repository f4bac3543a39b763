//! The requests that wait: by priority, in the order in which they came, each for as long as its level's policy allows.
//!
//! Pure: it takes the time as an argument and knows nothing of what waits in it.

#[cfg(test)]
mod tests;

use std::time::Instant;

use slab::Slab;

use crate::admission::QueueTerms;
use crate::model::{QueuePolicy, Scheduling, TimeoutAction, level};

/// An empty queue that once was longer than this gives its memory back.
const KEPT: usize = 1024;

/// What waits, in the order in which it is to be taken: the levels one after the other, the highest first; within a
/// level, those in time before those overdue; among these, first come, first served.
///
/// Taking one out, wherever it is, costs the same: who gives up leaves nothing behind.
pub(super) struct Queue<T> {
    levels: Vec<Level>,
    default_priority: u32,
    nodes: Slab<Node<T>>,
    rows: u64,
    /// How many of the entries may expire or become overdue.
    timed: usize,
    /// The serial number of the last entry.
    serial: u64,
}

/// One that waits.
pub(super) struct Entry<T> {
    /// How many rows of a batch it takes.
    pub(super) rows: u32,
    /// When it came.
    pub(super) enqueued: Instant,
    pub(super) item: T,
    /// When it lets the others go first.
    overdue_at: Option<Instant>,
    /// When it must not be taken any more.
    expires: Option<(Instant, Expiry)>,
}

/// Why an entry must not be taken any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It waited for longer than its level's policy allows.
    Timeout,
    /// Its caller's own deadline has passed.
    Deadline,
    /// Its sequence waited for an instance for longer than a request of it allows.
    Sequence,
}

/// One that comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) rows: u32,
    pub(super) now: Instant,
    pub(super) terms: QueueTerms,
}

/// One that was let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) ticket: Ticket,
    /// When it is to be taken out because of its level's policy.
    pub(crate) times_out: Option<Instant>,
}

/// Names an entry; of no use once that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(super) key: usize,
    pub(super) serial: u64,
}

struct Level {
    policy: QueuePolicy,
    len: usize,
    in_time: Lane,
    overdue: Lane,
}

/// A linked list through the nodes.
#[derive(Clone, Copy, Default)]
struct Lane {
    first: Option<usize>,
    last: Option<usize>,
}

struct Node<T> {
    entry: Entry<T>,
    serial: u64,
    level: usize,
    is_overdue: bool,
    before: Option<usize>,
    after: Option<usize>,
}

impl<T> Queue<T> {
    /// An empty queue of the levels of that scheduling.
    pub(super) fn new(scheduling: &Scheduling) -> Queue<T> {
        let level = |policy: &QueuePolicy| Level {
            policy: policy.clone(),
            len: 0,
            in_time: Lane::default(),
            overdue: Lane::default(),
        };
        Queue {
            levels: scheduling.levels.iter().map(level).collect(),
            default_priority: scheduling.default_priority,
            nodes: Slab::new(),
            rows: 0,
            timed: 0,
            serial: 0,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many rows they have together.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// When the oldest one came, as far as the heads of its lists tell, which are all that is looked at: of those that are
    /// overdue, one that brought a short time limit of its own stands before older ones.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let heads = self.levels.iter().flat_map(|level| [level.in_time.first, level.overdue.first]);
        heads.flatten().map(|key| self.nodes[key].entry.enqueued).min()
    }

    /// Lets one in, or gives it back if its level is full. So many of those in the queue are not counted.
    pub(super) fn push(&mut self, arrival: Arrival, uncounted: usize, item: T) -> Result<Placed, T> {
        let Arrival { rows, now, terms: QueueTerms { priority, timeout, deadline, since } } = arrival;
        let level = self.level(priority);
        let policy = &self.levels[level].policy;
        if policy.max_queue_size.is_some_and(|most| self.levels[level].len >= most.saturating_add(uncounted))
        {
            return Err(item);
        }
        let until = policy.timeout(timeout).and_then(|timeout| since.unwrap_or(now).checked_add(timeout));
        let (overdue_at, times_out) = match policy.timeout_action {
            TimeoutAction::Delay => (until, None),
            TimeoutAction::Reject => (None, until),
        };
        let expiries = [times_out.map(|at| (at, Expiry::Timeout)), deadline.map(|at| (at, Expiry::Deadline))];
        let expires = expiries.into_iter().flatten().min_by_key(|(at, _)| *at);
        self.serial += 1;
        let serial = self.serial;
        let entry = Entry { rows, enqueued: now, item, overdue_at, expires };
        self.rows += u64::from(rows);
        self.timed += usize::from(entry.is_timed());
        self.levels[level].len += 1;
        let node = Node { entry, serial, level, is_overdue: false, before: None, after: None };
        let key = self.nodes.insert(node);
        self.link(key);
        Ok(Placed { ticket: Ticket { key, serial }, times_out })
    }

    /// Takes one out, unless it was taken already.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        self.nodes.get(ticket.key).filter(|node| node.serial == ticket.serial)?;
        Some(self.take_out(ticket.key))
    }

    /// Takes the first so many out, in order.
    pub(super) fn take(&mut self, count: usize) -> Vec<T> {
        let mut taken = Vec::with_capacity(count.min(self.len()));
        while taken.len() < count
            && let Some(key) = self.first()
        {
            taken.push(self.take_out(key));
        }
        taken
    }

    /// Looks after the first so many: those that have expired are taken out, and those overdue let the others go first.
    /// Those that come after them are left for later.
    pub(super) fn expire(&mut self, now: Instant, reach: usize) -> Vec<(T, Expiry)> {
        let mut expired = Vec::new();
        let mut seen = 0;
        for level in 0..self.levels.len() {
            for overdue in [false, true] {
                let mut next = self.lane(level, overdue).first;
                while let Some(key) = next
                    && self.timed > 0
                    && seen < reach
                {
                    next = self.nodes[key].after;
                    let entry = &self.nodes[key].entry;
                    if let Some((_, why)) = entry.expires.filter(|(at, _)| *at <= now) {
                        expired.push((self.take_out(key), why));
                    } else if !overdue && entry.overdue_at.is_some_and(|at| at <= now) {
                        self.unlink(key);
                        self.nodes[key].is_overdue = true;
                        self.link(key);
                    } else {
                        seen += 1;
                    }
                }
            }
        }
        expired
    }

    /// What waits, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        let lanes = self.levels.iter().flat_map(|level| [level.in_time, level.overdue]);
        lanes.flat_map(|lane| {
            std::iter::successors(lane.first, |&key| self.nodes[key].after).map(|key| &self.nodes[key].entry)
        })
    }

    fn level(&self, priority: u64) -> usize {
        level(priority, self.default_priority, self.levels.len())
    }

    fn first(&self) -> Option<usize> {
        self.levels.iter().find_map(|level| level.in_time.first.or(level.overdue.first))
    }

    fn take_out(&mut self, key: usize) -> T {
        self.unlink(key);
        let Node { entry, level, .. } = self.nodes.remove(key);
        self.levels[level].len -= 1;
        self.rows -= u64::from(entry.rows);
        self.timed -= usize::from(entry.is_timed());
        if self.nodes.is_empty() && self.nodes.capacity() > KEPT {
            self.nodes.shrink_to_fit();
        }
        entry.item
    }

    fn lane(&mut self, level: usize, overdue: bool) -> &mut Lane {
        let level = &mut self.levels[level];
        if overdue { &mut level.overdue } else { &mut level.in_time }
    }

    /// Puts a node that is in no lane at the end of its own.
    fn link(&mut self, key: usize) {
        let (level, overdue) = (self.nodes[key].level, self.nodes[key].is_overdue);
        let last = self.lane(level, overdue).last.replace(key);
        match last {
            Some(last) => self.nodes[last].after = Some(key),
            None => self.lane(level, overdue).first = Some(key),
        }
        let node = &mut self.nodes[key];
        (node.before, node.after) = (last, None);
    }

    fn unlink(&mut self, key: usize) {
        let Node { level, is_overdue, before, after, .. } = self.nodes[key];
        match before {
            Some(before) => self.nodes[before].after = after,
            None => self.lane(level, is_overdue).first = after,
        }
        match after {
            Some(after) => self.nodes[after].before = before,
            None => self.lane(level, is_overdue).last = before,
        }
    }
}

impl<T> Entry<T> {
    fn is_timed(&self) -> bool {
        self.overdue_at.is_some() || self.expires.is_some()
    }
}
