use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn reject(max_queue_size: Option<usize>, timeout_ms: Option<u64>) -> QueuePolicy {
    let default_timeout = timeout_ms.map(Duration::from_millis);
    QueuePolicy { max_queue_size, default_timeout, allow_timeout_override: true, ..QueuePolicy::default() }
}

fn delay(timeout_ms: u64) -> QueuePolicy {
    QueuePolicy { timeout_action: TimeoutAction::Delay, ..reject(None, Some(timeout_ms)) }
}

fn levels(levels: &[QueuePolicy]) -> Scheduling {
    Scheduling { levels: levels.to_vec(), ..Scheduling::default() }
}

fn arrival(level: u64, now: Instant) -> Arrival {
    Arrival { rows: 1, now, terms: QueueTerms { priority: level + 1, ..QueueTerms::default() } }
}

#[test]
fn a_priority_of_none_or_of_no_level_is_the_default() {
    let policies = vec![QueuePolicy::default(); 3];
    let queue = Queue::<u32>::new(&Scheduling { default_priority: 2, ..levels(&policies) });
    let found: Vec<usize> = [0, 1, 2, 3, 4, u64::MAX].map(|priority| queue.level(priority)).into();
    assert_eq!(found, [1, 0, 1, 2, 1, 1]);
    assert_eq!(Queue::<u32>::new(&Scheduling::default()).level(7), 0);
}

fn order(queue: &Queue<u32>) -> Vec<u32> {
    queue.iter().map(|entry| entry.item).collect()
}

#[test]
fn higher_levels_go_first_and_within_a_level_who_came_first() {
    let mut queue = Queue::new(&levels(&[reject(None, None), reject(None, None)]));
    let now = Instant::now();
    for (item, level) in [(1, 1), (2, 0), (3, 1), (4, 0)] {
        assert!(queue.push(arrival(level, now), 0, item).is_ok());
    }
    assert_eq!(order(&queue), [2, 4, 1, 3]);
    assert_eq!(queue.take(3), [2, 4, 1]);
    assert_eq!((queue.len(), queue.rows()), (1, 1));
}

#[test]
fn a_full_level_gives_back_what_comes_and_other_levels_do_not_mind() {
    let mut queue = Queue::new(&levels(&[reject(Some(2), None), reject(Some(1), None)]));
    let now = Instant::now();
    let first = queue.push(arrival(0, now), 0, 1).unwrap();
    assert!(queue.push(arrival(0, now), 0, 2).is_ok());
    assert_eq!(queue.push(arrival(0, now), 0, 3).unwrap_err(), 3);
    assert!(queue.push(arrival(1, now), 0, 4).is_ok());
    assert_eq!(queue.remove(first.ticket), Some(1));
    assert!(queue.push(arrival(0, now), 0, 5).is_ok(), "who gave up takes no room");
    assert_eq!(order(&queue), [2, 5, 4]);
}

#[test]
fn what_is_overdue_lets_the_others_of_its_level_go_first_and_is_not_lost() {
    let mut queue = Queue::new(&levels(&[delay(10), reject(None, None)]));
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    assert!(queue.push(arrival(1, start), 0, 9).is_ok());
    for (item, ms) in [(1, 0), (2, 5), (3, 8)] {
        assert!(queue.push(arrival(0, at(ms)), 0, item).is_ok());
    }
    let mut expired = queue.expire(at(10), 9);
    assert_eq!(order(&queue), [2, 3, 1, 9], "behind its own level, before the next");
    expired.extend(queue.expire(at(30), 9));
    assert_eq!(order(&queue), [1, 2, 3, 9]);
    assert!(expired.is_empty());
}

#[test]
fn what_has_expired_is_taken_out_with_the_reason_that_came_first() {
    let mut queue = Queue::new(&levels(&[reject(None, Some(10))]));
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let with = |deadline: Option<u64>, timeout: Option<u64>| {
        let (deadline, timeout) = (deadline.map(at), timeout.map(Duration::from_millis));
        Arrival { rows: 1, now: start, terms: QueueTerms { priority: 1, deadline, timeout, since: None } }
    };
    let placed = queue.push(with(None, None), 0, 1).unwrap();
    assert_eq!(placed.times_out, Some(at(10)));
    assert!(queue.push(with(Some(4), None), 0, 2).is_ok());
    assert_eq!(queue.push(with(None, Some(6)), 0, 3).unwrap().times_out, Some(at(6)));
    assert!(queue.expire(at(3), 9).is_empty());
    assert_eq!(queue.expire(at(6), 9), [(2, Expiry::Deadline), (3, Expiry::Timeout)]);
    assert_eq!(queue.expire(at(10), 9), [(1, Expiry::Timeout)]);
    assert!(queue.len() == 0 && queue.rows() == 0);
}

/// A queue as simple as can be: everything in one list, sorted anew each time.
#[derive(Default)]
struct Model {
    entries: Vec<Simple>,
}

#[derive(Clone)]
struct Simple {
    item: u32,
    level: usize,
    rows: u32,
    overdue_at: Option<u64>,
    expires: Option<u64>,
    /// When it became overdue, if it did.
    overdue: Option<u32>,
}

#[derive(Clone, Debug)]
enum Operation {
    Push { level: usize, rows: u32, timeout: Option<u64>, deadline: Option<u64> },
    Remove(prop::sample::Index),
    Take(usize),
    Advance(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let push = (0usize..3, 1u32..4, prop::option::of(0u64..30), prop::option::of(0u64..30))
        .prop_map(|(level, rows, timeout, deadline)| Operation::Push { level, rows, timeout, deadline });
    let operation = prop_oneof![
        6 => push,
        2 => any::<prop::sample::Index>().prop_map(Operation::Remove),
        2 => (0usize..5).prop_map(Operation::Take),
        2 => (0u64..15).prop_map(Operation::Advance),
    ];
    prop::collection::vec(operation, 1..80)
}

impl Model {
    fn sort(&mut self) {
        self.entries.sort_by_key(|entry| (entry.level, entry.overdue.is_some(), entry.overdue, entry.item));
    }

    /// Ages all entries; returns those that have expired.
    fn age(&mut self, now: u64, moves: &mut u32) -> Vec<u32> {
        let (expired, kept) =
            self.entries.iter().cloned().partition(|entry| entry.expires.is_some_and(|at| at <= now));
        self.entries = kept;
        for entry in &mut self.entries {
            if entry.overdue.is_none() && entry.overdue_at.is_some_and(|at| at <= now) {
                *moves += 1;
                entry.overdue = Some(*moves);
            }
        }
        self.sort();
        Vec::<Simple>::into_iter(expired).map(|entry| entry.item).collect()
    }
}

proptest! {
    #[test]
    fn whatever_is_done_to_it_the_queue_is_the_sorted_list_of_what_waits(operations in operations()) {
        let policies = [reject(Some(4), Some(12)), delay(9), reject(None, None)];
        let mut queue = Queue::new(&levels(&policies));
        let mut model = Model::default();
        let mut tickets = BTreeMap::new();
        let (start, mut now, mut moves) = (Instant::now(), 0, 0);
        let at = |ms: u64| start + Duration::from_millis(ms);
        for (item, operation) in (1u32..).zip(operations) {
            match operation {
                Operation::Push { level, rows, timeout, deadline } => {
                    let deadline = deadline.map(|after| now + after);
                    let terms = QueueTerms {
                        priority: level as u64 + 1,
                        timeout: timeout.map(Duration::from_millis),
                        deadline: deadline.map(at),
                        since: None,
                    };
                    let arrival = Arrival { rows, now: at(now), terms };
                    let pushed = queue.push(arrival, 0, item);
                    let full = level == 0 && model.entries.iter().filter(|entry| entry.level == 0).count() >= 4;
                    prop_assert_eq!(pushed.is_err(), full);
                    if let Ok(placed) = pushed {
                        tickets.insert(item, placed.ticket);
                        let wait = |default: u64| now + timeout.map_or(default, |asked| asked.min(default));
                        let times_out = (level == 0).then(|| wait(12));
                        let overdue_at = (level == 1).then(|| wait(9));
                        let expires = times_out.into_iter().chain(deadline).min();
                        prop_assert_eq!(placed.times_out, times_out.map(at));
                        model.entries.push(Simple { item, level, rows, overdue_at, expires, overdue: None });
                    }
                }
                Operation::Remove(which) if !tickets.is_empty() => {
                    let items: Vec<u32> = tickets.keys().copied().collect();
                    let item = items[which.index(items.len())];
                    let waits = model.entries.iter().position(|entry| entry.item == item);
                    prop_assert_eq!(queue.remove(tickets[&item]), waits.map(|_| item));
                    if let Some(place) = waits {
                        model.entries.remove(place);
                    }
                }
                Operation::Remove(_) => {}
                Operation::Take(count) => {
                    let count = count.min(model.entries.len());
                    let taken: Vec<u32> = model.entries.drain(..count).map(|entry| entry.item).collect();
                    prop_assert_eq!(queue.take(count), taken);
                }
                Operation::Advance(ms) => {
                    now += ms;
                    let expired = queue.expire(at(now), usize::MAX);
                    let mut expired: Vec<u32> = expired.into_iter().map(|(item, _)| item).collect();
                    expired.sort_unstable();
                    let mut expected = model.age(now, &mut moves);
                    expected.sort_unstable();
                    prop_assert_eq!(expired, expected);
                }
            }
            model.sort();
            prop_assert_eq!(order(&queue), model.entries.iter().map(|entry| entry.item).collect::<Vec<_>>());
            prop_assert_eq!(queue.rows(), model.entries.iter().map(|entry| u64::from(entry.rows)).sum::<u64>());
            prop_assert_eq!(queue.len(), model.entries.len());
            let timed = model.entries.iter().filter(|e| e.overdue_at.is_some() || e.expires.is_some()).count();
            prop_assert_eq!(queue.timed, timed);
        }
    }

    #[test]
    fn looking_after_the_first_few_puts_those_in_order(
        items in prop::collection::vec((any::<bool>(), 0u64..20), 1..30), now in 0u64..20, reach in 0usize..10
    ) {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let fill = |queue: &mut Queue<u32>| {
            for (item, &(deadline, ms)) in (0..).zip(&items) {
                let deadline = deadline.then(|| at(ms));
                let timeout = Some(Duration::from_millis(ms));
                let terms = QueueTerms { priority: 1, deadline, timeout, since: None };
                assert!(queue.push(Arrival { rows: 1, now: start, terms }, 0, item).is_ok());
            }
        };
        let (mut some, mut all) = (Queue::new(&levels(&[delay(20)])), Queue::new(&levels(&[delay(20)])));
        fill(&mut some);
        fill(&mut all);
        some.expire(at(now), reach);
        all.expire(at(now), usize::MAX);
        let (some, all) = (order(&some), order(&all));
        let in_time = all.iter().take(reach).filter(|&&item| items[item as usize].1 > now).count();
        prop_assert_eq!(&some[..in_time], &all[..in_time]);
    }
}
