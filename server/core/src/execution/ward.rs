//! The instances of a model version that are made anew, and what becomes of its requests where there is no other. Pure.

use std::time::{Duration, Instant};

/// For how long requests wait for an instance where there is none. Then they are answered, and those that come are refused,
/// until one is back.
const GRACE: Duration = Duration::from_secs(5);

/// An instance that cannot execute and is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mending {
    /// Its name, which it has alone within its model's version.
    pub instance: String,
    /// Why it cannot execute, or why no other could be made in its place.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// How many attempts have failed.
    pub failures: u32,
    /// When the next one begins; `None` while one goes on.
    pub next: Option<Instant>,
}

/// Instances that cannot execute, each either to be made anew from a time on, as `T` says, or just being so.
pub(super) struct Ward<T> {
    /// How many instances the model version has.
    instances: usize,
    cases: Vec<Case<T>>,
    /// Why the last one that failed did.
    reason: String,
    /// Since when all instances are here, while they are.
    outage: Option<Instant>,
    /// When to look next, if that is set.
    alarm: Option<Instant>,
}

struct Case<T> {
    seat: usize,
    mending: Mending,
    /// What is to be made anew; a thread has it while that goes on.
    vacant: Option<T>,
}

impl<T> Ward<T> {
    /// Of a version with so many instances, all of them well.
    pub(super) fn new(instances: usize) -> Ward<T> {
        Ward { instances, cases: Vec::new(), reason: String::new(), outage: None, alarm: None }
    }

    /// An instance cannot execute any more.
    pub(super) fn admit(&mut self, seat: usize, vacant: T, mending: Mending) {
        self.reason.clone_from(&mending.reason);
        let since = mending.since;
        self.cases.push(Case { seat, mending, vacant: Some(vacant) });
        if self.cases.len() == self.instances {
            self.outage = Some(since);
        }
    }

    /// What is to be made anew now; each is given once, until it is said what came of it.
    pub(super) fn due(&mut self, now: Instant) -> Vec<T> {
        let take = |case: &mut Case<T>| {
            let vacant = case.vacant.take_if(|_| case.mending.next.is_some_and(|next| next <= now))?;
            case.mending.next = None;
            Some(vacant)
        };
        self.cases.iter_mut().filter_map(take).collect()
    }

    /// Whatever is to be made anew, whenever, because it will not be.
    pub(super) fn give_up(&mut self) -> Vec<T> {
        let take = |case: &mut Case<T>| {
            case.mending.next = None;
            case.vacant.take()
        };
        self.cases.iter_mut().filter_map(take).collect()
    }

    /// An attempt has failed for that reason; the next one is to be made at `next`.
    pub(super) fn failed(&mut self, seat: usize, vacant: T, reason: String, next: Instant) {
        self.reason.clone_from(&reason);
        if let Some(case) = self.cases.iter_mut().find(|case| case.seat == seat) {
            let failures = case.mending.failures + 1;
            case.mending = Mending { reason, failures, next: Some(next), ..case.mending.clone() };
            case.vacant = Some(vacant);
        }
    }

    /// An instance was made anew. Since when it could not execute.
    pub(super) fn discharge(&mut self, seat: usize) -> Option<Instant> {
        let place = self.cases.iter().position(|case| case.seat == seat)?;
        self.outage = None;
        Some(self.cases.swap_remove(place).mending.since)
    }

    /// How many instances cannot execute.
    pub(super) fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether no instance can execute.
    pub(super) fn is_outage(&self) -> bool {
        self.outage.is_some()
    }

    /// Why requests are not taken now, and those that wait are not kept: no instance can execute, and that has lasted.
    pub(super) fn refusal(&self, now: Instant) -> Option<&str> {
        let has_lasted = now.saturating_duration_since(self.outage?) >= GRACE;
        has_lasted.then_some(self.reason.as_str())
    }

    /// The alarm to be set: for what is to be made anew next or for the end of the wait for an instance, unless one is set
    /// that rings before.
    pub(super) fn alarm(&mut self, now: Instant) -> Option<Instant> {
        self.alarm = self.alarm.filter(|&alarm| now < alarm);
        let end = self.outage.map(|since| since + GRACE).filter(|&end| now < end);
        let attempts = self.cases.iter().filter_map(|case| case.mending.next);
        let next = attempts.chain(end).min()?;
        if self.alarm.is_some_and(|alarm| alarm <= next) {
            return None;
        }
        self.alarm = Some(next);
        self.alarm
    }

    /// All instances that cannot execute.
    pub(super) fn mendings(&self) -> impl Iterator<Item = &Mending> {
        self.cases.iter().map(|case| &case.mending)
    }

    /// Whatever is to be made anew, which will not be.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.cases.drain(..).filter_map(|case| case.vacant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: &str = "it broke";

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn mending(seat: usize, next: Instant, since: Instant) -> Mending {
        let instance = format!("i{seat}");
        Mending { instance, reason: WHY.to_owned(), since, failures: 0, next: Some(next) }
    }

    /// Two instances, of which these are to be made anew at these times.
    fn ward(cases: &[Instant], now: Instant) -> Ward<usize> {
        let mut ward = Ward::new(2);
        for (seat, &next) in cases.iter().enumerate() {
            ward.admit(seat, seat, mending(seat, next, now));
        }
        ward
    }

    #[test]
    fn what_is_due_is_given_once_and_again_when_it_has_failed() {
        let now = Instant::now();
        let mut ward = ward(&[now, now + seconds(1)], now);
        assert_eq!(ward.due(now), [0]);
        assert_eq!(ward.due(now), [0; 0]);
        assert_eq!(
            ward.mendings().map(|mending| mending.next).collect::<Vec<_>>(),
            [None, Some(now + seconds(1))]
        );
        ward.failed(0, 0, "again".to_owned(), now + seconds(2));
        let failed = ward.mendings().next().unwrap();
        assert_eq!((failed.reason.as_str(), failed.failures, failed.since), ("again", 1, now));
        assert_eq!(ward.due(now + seconds(2)), [0, 1]);
        assert_eq!(ward.discharge(0), Some(now));
        assert_eq!(ward.discharge(0), None);
        assert_eq!(ward.len(), 1);
    }

    #[test]
    fn requests_are_refused_when_no_instance_could_execute_for_so_long_and_until_one_can() {
        let now = Instant::now();
        let mut ward = ward(&[now], now);
        assert!(!ward.is_outage());
        assert_eq!(ward.refusal(now + GRACE * 2), None, "another can");
        let later = now + seconds(1);
        ward.admit(1, 1, mending(1, later, later));
        assert!(ward.is_outage());
        assert_eq!(ward.refusal(now + GRACE), None);
        assert_eq!(ward.refusal(later + GRACE), Some(WHY));
        ward.due(later);
        ward.discharge(0);
        assert!(!ward.is_outage());
        assert_eq!(ward.refusal(later + GRACE), None);
        ward.admit(0, 0, mending(0, later, later + GRACE));
        assert_eq!(ward.refusal(later + GRACE), None, "it begins anew");
    }

    #[test]
    fn there_is_one_alarm_for_what_comes_first() {
        let now = Instant::now();
        let mut ward = ward(&[now + seconds(3), now + seconds(7)], now);
        assert_eq!(ward.alarm(now), Some(now + seconds(3)));
        assert_eq!(ward.alarm(now), None, "it is set");
        let mut now = now + seconds(3);
        ward.due(now);
        assert_eq!(ward.alarm(now), Some(now + seconds(2)), "when the wait for an instance is over");
        ward.failed(0, 0, WHY.to_owned(), now + seconds(1));
        assert_eq!(ward.alarm(now), Some(now + seconds(1)));
        now += seconds(1);
        ward.due(now);
        ward.discharge(0);
        assert_eq!(ward.alarm(now), Some(now + seconds(3)), "no instance is waited for any more");
        ward.due(now + seconds(3));
        assert_eq!(ward.alarm(now + seconds(3)), None, "nothing is to come");
    }

    #[test]
    fn what_will_not_be_made_anew_is_given_back() {
        let now = Instant::now();
        let mut ward = ward(&[now, now + seconds(1)], now);
        ward.due(now);
        assert_eq!(ward.drain().collect::<Vec<_>>(), [1]);
        assert_eq!(ward.len(), 0);
    }
}
