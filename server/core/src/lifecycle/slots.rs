//! How many loads may be under way at once, decided. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How many loads may hang before others have to wait for them.
const MOST_HANGING: usize = 64;

/// Numbers the loads that are under way.
pub(super) type SlotId = u64;

/// Jobs that wait, and the slots in which others are being done. A job that takes very long may hang: after a while its
/// slot does not count any more, so that it does not hold up the others.
pub(super) struct Slots<J> {
    limit: usize,
    patience: Duration,
    waiting: VecDeque<J>,
    /// What is not to begin before some time.
    resting: Vec<(Instant, J)>,
    /// Since when each is taken.
    taken: BTreeMap<SlotId, Instant>,
    /// Those of them that are known to be overdue.
    overdue: BTreeSet<SlotId>,
    next: SlotId,
}

impl<J> Slots<J> {
    /// So many slots, each of which counts for as long as `patience`.
    pub(super) fn new(limit: usize, patience: Duration) -> Slots<J> {
        Slots {
            limit: limit.max(1),
            patience,
            waiting: VecDeque::new(),
            resting: Vec::new(),
            taken: BTreeMap::new(),
            overdue: BTreeSet::new(),
            next: 0,
        }
    }

    /// Lets a job wait.
    pub(super) fn push(&mut self, job: J) {
        self.waiting.push_back(job);
    }

    /// Lets a job wait, and not begin before then.
    pub(super) fn push_later(&mut self, at: Instant, job: J) {
        self.resting.push((at, job));
    }

    /// Forgets the jobs that wait or rest of which that is true.
    pub(super) fn drop_jobs(&mut self, is_unwanted: impl Fn(&J) -> bool) {
        self.waiting.retain(|job| !is_unwanted(job));
        self.resting.retain(|(_, job)| !is_unwanted(job));
    }

    /// The next job to begin now, if any, and the slot that it takes.
    pub(super) fn take(&mut self, now: Instant) -> Option<(SlotId, J)> {
        let rested = self.resting.extract_if(.., |(at, _)| *at <= now).map(|(_, job)| job);
        self.waiting.extend(rested);
        let in_time = self.taken.values().filter(|&&since| now < since + self.patience).count();
        if in_time >= self.limit || self.taken.len() >= self.limit + MOST_HANGING {
            return None;
        }
        let job = self.waiting.pop_front()?;
        let slot = self.next;
        self.next += 1;
        self.taken.insert(slot, now);
        Some((slot, job))
    }

    /// A job is done.
    pub(super) fn free(&mut self, slot: SlotId) {
        self.taken.remove(&slot);
        self.overdue.remove(&slot);
    }

    /// The slots that count no more since the last time that this was asked.
    pub(super) fn newly_overdue(&mut self, now: Instant) -> Vec<SlotId> {
        let late =
            self.taken.iter().filter(|&(_, &since)| since + self.patience <= now).map(|(&slot, _)| slot);
        let new: Vec<SlotId> = late.filter(|slot| !self.overdue.contains(slot)).collect();
        self.overdue.extend(&new);
        new
    }

    /// When to take again, if no job is done before: a slot ceases to count, or a job has rested.
    pub(super) fn look_again(&self, now: Instant) -> Option<Instant> {
        let ceases = self.taken.values().map(|&since| since + self.patience);
        let freed = ceases.filter(|&at| now < at);
        freed.chain(self.resting.iter().map(|&(at, _)| at)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn taken(slots: &mut Slots<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| slots.take(now)).map(|(_, job)| job).collect()
    }

    #[test]
    fn jobs_begin_in_their_order_at_most_so_many_at_once() {
        let (mut slots, now) = (Slots::new(2, PATIENCE), Instant::now());
        (0..4).for_each(|job| slots.push(job));
        assert_eq!(taken(&mut slots, now), [0, 1]);
        slots.free(0);
        assert_eq!(taken(&mut slots, now), [2]);
        slots.free(1);
        slots.free(2);
        assert_eq!(taken(&mut slots, now), [3]);
        slots.free(3);
        assert_eq!(slots.look_again(now), None, "nothing is under way");
    }

    #[test]
    fn a_job_that_hangs_gives_way_to_another_after_a_while() {
        let (mut slots, now) = (Slots::new(1, PATIENCE), Instant::now());
        (0..3).for_each(|job| slots.push(job));
        assert_eq!(taken(&mut slots, now), [0]);
        let later = slots.look_again(now).expect("two wait");
        let before = later - Duration::from_millis(1);
        assert_eq!((taken(&mut slots, before), slots.newly_overdue(before)), (vec![], vec![]));
        assert_eq!(taken(&mut slots, later), [1], "one at a time all the same");
        assert_eq!(
            [slots.newly_overdue(later), slots.newly_overdue(later)],
            [vec![0], vec![]],
            "it is told once"
        );
        slots.free(1);
        assert_eq!(taken(&mut slots, later), [2]);
    }

    #[test]
    fn a_job_that_rests_begins_when_it_is_time_and_holds_up_no_other() {
        let (mut slots, now) = (Slots::new(1, PATIENCE), Instant::now());
        let later = now + Duration::from_secs(1);
        slots.push_later(later, 0);
        slots.push(1);
        assert_eq!((taken(&mut slots, now), slots.look_again(now)), (vec![1], Some(later)));
        assert_eq!(taken(&mut slots, later), []);
        slots.free(0);
        assert_eq!(taken(&mut slots, later), [0]);
        slots.free(1);
        assert_eq!(slots.look_again(later), None);
    }

    #[test]
    fn however_many_hang_the_threads_are_bounded() {
        let (mut slots, mut now) = (Slots::new(2, PATIENCE), Instant::now());
        (0..1000).for_each(|job| slots.push(job));
        let mut begun = 0;
        for _ in 0..1000 {
            begun += taken(&mut slots, now).len();
            now += PATIENCE;
        }
        assert_eq!(begun, 2 + MOST_HANGING);
        assert_eq!(slots.look_again(now), None, "nothing but the end of one helps");
    }
}
