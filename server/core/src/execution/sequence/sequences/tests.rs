use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::execution::decide::{Decision, DispatchReason, Policy};

const MAX_IDLE: Duration = Duration::from_secs(1);
const SEATS: usize = 2;
const IDS: u64 = 7;

/// A request: a number that is its own, its sequence's, and how often that had begun when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    name: u64,
    id: u64,
    run: u64,
    start: bool,
}

/// What a sequence keeps: the numbers of its requests so far.
type Memory = Vec<u64>;

fn rules(strategy: Batching, rows: usize) -> Rules {
    Rules { strategy, rows, max_idle: MAX_IDLE, iterative: false }
}

fn direct(rows: usize) -> Rules {
    rules(Batching::Direct { fewest: 0, delay: Duration::ZERO, most: rows }, rows)
}

fn oldest(rows: usize, most: u32) -> Rules {
    rules(Batching::Oldest(Policy::greedy(most)), rows)
}

#[derive(Clone, Debug)]
enum Operation {
    Push {
        id: u64,
        start: bool,
        end: bool,
        impatient: bool,
    },
    Execute {
        seat: usize,
    },
    Release {
        which: Index,
    },
    Withdraw {
        which: Index,
    },
    Pass {
        millis: u64,
    },
    /// An instance breaks.
    Lose {
        seat: usize,
    },
    Restore {
        seat: usize,
    },
    /// Another version is served from now on; what this one has taken it executes.
    Reload,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        12 => (0..IDS, prop::bool::weighted(0.4), prop::bool::weighted(0.3), prop::bool::weighted(0.2))
            .prop_map(|(id, start, end, impatient)| Operation::Push { id, start, end, impatient }),
        8 => (0..SEATS).prop_map(|seat| Operation::Execute { seat }),
        8 => any::<Index>().prop_map(|which| Operation::Release { which }),
        3 => any::<Index>().prop_map(|which| Operation::Withdraw { which }),
        3 => (0u64..1500).prop_map(|millis| Operation::Pass { millis }),
        1 => (0..SEATS).prop_map(|seat| Operation::Lose { seat }),
        2 => (0..SEATS).prop_map(|seat| Operation::Restore { seat }),
        1 => Just(Operation::Reload),
    ];
    prop::collection::vec(operation, 1..120)
}

/// The sequences beside what is expected of them.
struct World {
    sequences: Sequences<Item, Memory>,
    now: Instant,
    names: u64,
    /// By correlation id: how often it has begun.
    runs: BTreeMap<u64, u64>,
    /// Which may go on without beginning anew.
    open: BTreeSet<u64>,
    /// What waits, in the order in which it came.
    waiting: Vec<(Ticket, Item)>,
    executing: Vec<(Step<Item, Memory>, Item)>,
    /// By run: the requests that were released.
    done: BTreeMap<(u64, u64), Vec<u64>>,
    /// By run: the row that its first request had.
    rows: BTreeMap<(u64, u64), (usize, usize)>,
    /// By correlation id: since when it has had no request.
    idle: BTreeMap<u64, Instant>,
}

impl World {
    fn new(rules: Rules) -> World {
        World {
            sequences: Sequences::new(rules, SEATS),
            now: Instant::now(),
            names: 0,
            runs: BTreeMap::new(),
            open: BTreeSet::new(),
            waiting: Vec::new(),
            executing: Vec::new(),
            done: BTreeMap::new(),
            rows: BTreeMap::new(),
            idle: BTreeMap::new(),
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Push { id, start, end, impatient } => self.push(*id, *start, *end, *impatient),
            Operation::Execute { seat } => self.execute(*seat),
            Operation::Release { which } if !self.executing.is_empty() => {
                self.release(which.index(self.executing.len()));
            }
            Operation::Withdraw { which } if !self.waiting.is_empty() => {
                self.withdraw(which.index(self.waiting.len()));
            }
            Operation::Pass { millis } => self.pass(Duration::from_millis(*millis)),
            Operation::Lose { seat } => self.lose(*seat),
            Operation::Restore { seat } => self.sequences.restore(*seat, self.now),
            Operation::Reload => self.reload(),
            _ => {}
        }
        self.check();
    }

    fn push(&mut self, id: u64, start: bool, end: bool, impatient: bool) {
        self.names += 1;
        let run = self.runs.get(&id).copied().unwrap_or_default() + u64::from(start);
        let item = Item { name: self.names, id, run, start };
        let timeout = impatient.then_some(Duration::from_millis(700));
        let arrival = Arrival { id: CorrelationId::Number(id), start, end, timeout, now: self.now };
        match self.sequences.push(arrival, item.clone()) {
            Ok(ticket) => {
                assert!(start || self.open.contains(&id), "it has begun");
                self.waiting.push((ticket, item));
                self.runs.insert(id, run);
                self.idle.remove(&id);
                match end {
                    true => self.open.remove(&id),
                    false => self.open.insert(id),
                };
            }
            Err(returned) => {
                assert!(!start && !self.open.contains(&id), "one that goes on is not refused");
                assert_eq!(returned, item);
            }
        }
    }

    fn execute(&mut self, seat: usize) {
        let Decision::Dispatch { requests, .. } = self.sequences.decide(seat, |_, _| true, self.now) else {
            return;
        };
        let rows = self.sequences.ready_rows(seat);
        let steps = self.sequences.take(seat, requests, |_, _| true);
        let is_direct = matches!(self.sequences.rules.strategy, Batching::Direct { .. });
        assert!(steps.last().is_some_and(Option::is_some), "a batch does not end with nothing");
        for (index, step) in steps.into_iter().enumerate() {
            let Some(step) = step else { continue };
            let row = rows.iter().position(|&key| key == Some(step.ticket.key)).expect("it was ready");
            assert!(!is_direct || row == index, "a request has its sequence's row");
            self.take(step, (seat, row));
        }
    }

    fn take(&mut self, step: Step<Item, Memory>, row: (usize, usize)) {
        let item = step.item.clone();
        let place =
            self.waiting.iter().position(|(_, waiting)| waiting.name == item.name).expect("it waited");
        let others = self.waiting.iter().filter(|(_, other)| other.id == item.id);
        assert!(others.into_iter().all(|(_, other)| other.name >= item.name), "it was the first of its id");
        assert!(self.executing.iter().all(|(_, other)| other.id != item.id), "the others were released");
        let done = self.done.get(&(item.id, item.run)).cloned();
        assert_eq!(step.memory, done, "it has what its own run has left, and all of it");
        assert_eq!(step.memory.is_none(), item.start, "a run begins with nothing");
        assert_eq!(*self.rows.entry((item.id, item.run)).or_insert(row), row, "a run stays in its row");
        self.waiting.remove(place);
        self.executing.push((step, item));
    }

    fn release(&mut self, which: usize) {
        let (step, item) = self.executing.remove(which);
        let mut memory = step.memory.unwrap_or_default();
        memory.push(item.name);
        self.done.insert((item.id, item.run), memory.clone());
        self.sequences.released(step.ticket, memory, self.now);
        self.note_idle(item.id);
    }

    fn withdraw(&mut self, which: usize) {
        let (ticket, item) = self.waiting[which].clone();
        let withdrawn = self.sequences.withdraw(ticket, self.now).expect("it waited");
        assert_eq!(self.sequences.withdraw(ticket, self.now), None, "once");
        let same = |other: &Item| other.id == item.id && other.run == item.run && other.name >= item.name;
        let gone: Vec<Item> = self.remove(|other| same(other));
        let returned: Vec<Item> = std::iter::once(withdrawn.item).chain(withdrawn.followers).collect();
        assert_eq!(returned, gone, "it goes with what came after it, up to the next beginning");
        if self.runs.get(&item.id) == Some(&item.run) {
            self.open.remove(&item.id);
        }
        self.note_idle(item.id);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let expired = self.sequences.expire(self.now);
        for item in &expired {
            assert!(!self.rows.contains_key(&(item.id, item.run)), "what has a row does not time out");
            self.open.remove(&item.id);
        }
        let names: BTreeSet<u64> = expired.iter().map(|item| item.name).collect();
        assert_eq!(self.remove(|item| names.contains(&item.name)).len(), expired.len());
        let now = self.now;
        let over: Vec<u64> =
            self.idle.iter().filter(|(_, since)| **since + MAX_IDLE <= now).map(|(id, _)| *id).collect();
        for id in over {
            self.idle.remove(&id);
            self.open.remove(&id);
        }
        assert!(self.sequences.next_due().is_none_or(|due| due > now));
    }

    fn lose(&mut self, seat: usize) {
        let held = self.sequences.sequences.iter().filter_map(|(_, sequence)| {
            match (&sequence.place, &sequence.id) {
                (Place::Row { seat: its, .. }, CorrelationId::Number(id)) if *its == seat => Some(*id),
                _ => None,
            }
        });
        let held: BTreeSet<u64> = held.collect();
        let lost: BTreeSet<u64> = self.sequences.lose(seat).iter().map(|item| item.name).collect();
        let gone: BTreeSet<u64> =
            self.remove(|item| held.contains(&item.id)).iter().map(|item| item.name).collect();
        assert_eq!(lost, gone, "what it had is lost, and nothing else");
        for id in held {
            self.open.remove(&id);
            self.idle.remove(&id);
            // What is still with the engine is no concern of what begins now.
            self.executing.retain(|(step, item)| {
                if item.id == id {
                    self.sequences.released(step.ticket, Vec::new(), self.now);
                }
                item.id != id
            });
        }
    }

    fn reload(&mut self) {
        (0..SEATS).for_each(|seat| self.sequences.restore(seat, self.now));
        self.sequences.retire(self.now);
        while !self.waiting.is_empty() || !self.executing.is_empty() {
            (0..SEATS).for_each(|seat| self.execute(seat));
            assert!(!self.executing.is_empty(), "nothing waits for what cannot come");
            self.release(0);
            assert!(self.sequences.expire(self.now).is_empty());
        }
        self.check_if_empty();
        self.sequences = Sequences::new(Rules { max_idle: MAX_IDLE, ..self.sequences.rules.clone() }, SEATS);
        self.idle.clear();
        self.open.clear();
    }

    fn remove(&mut self, gone: impl Fn(&Item) -> bool) -> Vec<Item> {
        let removed =
            self.waiting.iter().filter(|(_, item)| gone(item)).map(|(_, item)| item.clone()).collect();
        self.waiting.retain(|(_, item)| !gone(item));
        removed
    }

    fn note_idle(&mut self, id: u64) {
        let busy = self.waiting.iter().any(|(_, item)| item.id == id)
            || self.executing.iter().any(|(_, item)| item.id == id);
        if !busy && self.open.contains(&id) {
            self.idle.entry(id).or_insert(self.now);
        }
    }

    fn check(&self) {
        let sequences = &self.sequences;
        assert_eq!(sequences.len(), self.waiting.len());
        assert!(
            sequences.backlog.is_empty() || sequences.vacancy().is_none(),
            "nobody waits for a vacant row"
        );
        let arrived = |(_, item): &(Ticket, Item)| item.name;
        assert_eq!(sequences.oldest().is_none(), self.waiting.iter().map(arrived).min().is_none());
        for (key, sequence) in &sequences.sequences {
            let is_taken = matches!(sequence.turn, Turn::Taken { .. });
            let can_go =
                !is_taken && !sequence.queue.is_empty() && matches!(sequence.place, Place::Row { .. });
            assert_eq!(sequence.ready.is_some(), can_go, "what can be executed is ready");
            if !matches!(sequence.place, Place::Nowhere) {
                assert_eq!(sequences.by_id.get(&sequence.id), Some(&key));
            }
        }
    }

    fn finish(mut self) {
        (0..SEATS).for_each(|seat| self.sequences.restore(seat, self.now));
        while !self.waiting.is_empty() || !self.executing.is_empty() {
            (0..SEATS).for_each(|seat| self.execute(seat));
            if self.executing.is_empty() {
                // Those that are idle have the rows.
                let waiting = self.waiting.len();
                self.pass(MAX_IDLE);
                (0..SEATS).for_each(|seat| self.execute(seat));
                assert!(self.waiting.len() < waiting, "nothing waits for ever");
            }
            while !self.executing.is_empty() {
                self.release(0);
                self.check();
            }
        }
        self.pass(MAX_IDLE);
        self.check_if_empty();
    }

    fn check_if_empty(&self) {
        let Sequences { by_id, sequences, seats, backlog, due, waiting, .. } = &self.sequences;
        assert!(by_id.is_empty() && sequences.is_empty() && backlog.is_empty() && due.is_empty());
        assert_eq!(*waiting, 0);
        let vacant = |seat: &Seat| seat.vacancy() == Some(0) && seat.ready_count() == 0;
        assert!(seats.iter().all(vacant), "every row is vacant again");
    }
}

proptest! {
    #[test]
    fn no_state_crosses_sequences_and_no_row_leaks_whatever_happens(
        operations in operations(),
        rows in 1usize..4,
        is_direct in any::<bool>(),
    ) {
        let rules = if is_direct { direct(rows) } else { oldest(rows, 2) };
        let mut world = World::new(rules);
        operations.iter().for_each(|operation| world.apply(operation));
        world.finish();
    }
}

fn arrival(id: u64, start: bool, end: bool, now: Instant) -> Arrival {
    Arrival { id: CorrelationId::Number(id), start, end, timeout: None, now }
}

/// Sequences of texts that keep a number, of which these have begun.
fn begun(rules: Rules, instances: usize, ids: &[u64], now: Instant) -> Sequences<&'static str, u64> {
    let mut sequences = Sequences::new(rules, instances);
    for &id in ids {
        sequences.push(arrival(id, true, false, now), "start").unwrap();
    }
    sequences
}

fn execute<M>(sequences: &mut Sequences<&'static str, M>, seat: usize) -> Vec<Option<Step<&'static str, M>>> {
    sequences.take(seat, usize::MAX, |_, _| true)
}

#[test]
fn sequences_are_spread_over_the_instances_before_they_share_one() {
    let now = Instant::now();
    let sequences = begun(direct(2), 2, &[1, 2, 3], now);
    assert_eq!([0, 1].map(|seat| sequences.seats[seat].ready_count()), [2, 1]);
}

#[test]
fn a_row_without_a_request_is_left_out_only_behind_the_last_that_has_one() {
    let now = Instant::now();
    let mut sequences = begun(direct(4), 1, &[1, 2, 3, 4], now);
    for step in execute(&mut sequences, 0).into_iter().flatten() {
        sequences.released(step.ticket, 0, now);
    }
    sequences.push(arrival(3, false, false, now), "third").unwrap();
    let rows: Vec<_> =
        execute(&mut sequences, 0).into_iter().map(|step| step.map(|step| step.item)).collect();
    assert_eq!(rows, [None, None, Some("third")]);
}

#[test]
fn direct_waits_for_its_share_of_rows_and_no_longer_than_the_delay() {
    let (now, delay) = (Instant::now(), Duration::from_millis(5));
    let rules = rules(Batching::Direct { fewest: 3, delay, most: 4 }, 4);
    let mut sequences = begun(rules, 1, &[1, 2], now);
    let decision = |sequences: &Sequences<_, u64>, at| sequences.decide(0, |_, _| true, at);
    assert_eq!(decision(&sequences, now), Decision::Wait { until: now + delay, rows: 0 });
    let late = Decision::Dispatch { requests: 2, reason: DispatchReason::Delay };
    assert_eq!(decision(&sequences, now + delay), late);
    sequences.push(arrival(3, true, false, now), "start").unwrap();
    let enough = Decision::Dispatch { requests: 3, reason: DispatchReason::Preferred };
    assert_eq!(decision(&sequences, now), enough);
}

#[test]
fn an_idle_sequence_ends_and_leaves_its_row_to_one_that_waits() {
    let now = Instant::now();
    let mut sequences = begun(direct(1), 1, &[1, 2], now);
    assert_eq!(sequences.backlogged(), 1);
    let step = execute(&mut sequences, 0).remove(0).unwrap();
    let late = now + MAX_IDLE * 3;
    assert_eq!(sequences.next_due(), None, "what is executed is not idle");
    sequences.released(step.ticket, 7, late);
    assert_eq!(sequences.next_due(), Some(late + MAX_IDLE));
    assert!(sequences.expire(late + MAX_IDLE).is_empty());
    assert_eq!(sequences.backlogged(), 0);
    assert_eq!(sequences.push(arrival(1, false, false, late), "more"), Err("more"));
}

#[test]
fn nothing_is_kept_for_requests_that_cannot_come_any_more_and_what_waits_is_executed() {
    let now = Instant::now();
    let mut sequences = begun(direct(1), 2, &[1, 2, 3], now);
    let first = execute(&mut sequences, 0).remove(0).unwrap();
    let second = execute(&mut sequences, 1).remove(0).unwrap();
    sequences.released(second.ticket, 0, now);
    assert_eq!(sequences.backlogged(), 1);
    sequences.retire(now);
    assert_eq!(sequences.backlogged(), 0, "the idle one has ended");
    sequences.released(first.ticket, 0, now);
    assert!(sequences.expire(now).is_empty());
    let third = execute(&mut sequences, 1).remove(0).unwrap();
    sequences.released(third.ticket, 0, now);
    assert!(sequences.expire(now).is_empty() && sequences.sequences.is_empty());
}

#[test]
fn a_sequence_that_begins_again_and_again_lets_others_have_its_row() {
    let now = Instant::now();
    let mut sequences = begun(direct(1), 1, &[1, 2], now);
    sequences.push(arrival(1, false, true, now), "end").unwrap();
    sequences.push(arrival(1, true, true, now), "again").unwrap();
    let mut order = Vec::new();
    while let Some(Some(step)) = execute(&mut sequences, 0).pop() {
        order.push((step.ticket.key, step.item));
        sequences.released(step.ticket, 0, now);
        if order.len() == 3 {
            sequences.push(arrival(2, false, true, now), "end").unwrap();
        }
    }
    assert_eq!(order, [(0, "start"), (0, "end"), (1, "start"), (1, "end"), (0, "again")]);
}

#[test]
fn one_that_is_executed_again_goes_before_what_came_after_it_and_can_be_given_up_meanwhile() {
    let now = Instant::now();
    let mut sequences = begun(Rules { iterative: true, ..direct(1) }, 1, &[1], now);
    let ticket = sequences.push(arrival(1, true, false, now), "second").unwrap();
    let step = execute(&mut sequences, 0).remove(0).unwrap();
    sequences.again(step.ticket, 1, step.item, now).unwrap();
    let again = execute(&mut sequences, 0).remove(0).unwrap();
    assert_eq!((again.item, again.memory), ("start", Some(1)));
    sequences.again(again.ticket, 2, again.item, now).unwrap();
    assert_eq!(sequences.withdraw(again.ticket, now).map(|withdrawn| withdrawn.item), Some("start"));
    let second = execute(&mut sequences, 0).remove(0).unwrap();
    assert_eq!((second.ticket, second.memory), (ticket, None));
    sequences.released(second.ticket, 3, now);
    assert!(sequences.sequences.is_empty(), "it ends when it is not executed again");
}
