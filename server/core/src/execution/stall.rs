//! Which instances have been executing for too long. Pure.

use std::time::{Duration, Instant};

/// An instance that has been executing for longer than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The instance's name, which it has alone within its model's version.
    pub instance: String,
    /// When the execution began.
    pub since: Instant,
}

/// What each instance of a model version does, and when to look at them next.
///
/// What begins and ends costs the same however many instances there are; all of them are looked at only when the alarm
/// has rung, of which there is at most one.
pub(super) struct Watch {
    /// How long an execution may take.
    limit: Duration,
    /// By the executor's seat.
    seats: Vec<Seat>,
    /// When to look next. Set while any instance executes that is not stalled, and until it has rung.
    alarm: Option<Instant>,
}

struct Seat {
    instance: String,
    doing: Doing,
}

/// ```text
/// Rests ──begin──► Executes ──look, too late──► Stalls
///   ▲──────end────────┘──────────end──────────────┘
/// ```
enum Doing {
    Rests,
    Executes { since: Instant },
    Stalls { since: Instant },
}

/// What a look has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Instances that are stalled and were not at the last look.
    pub(super) stalls: Vec<Stall>,
    /// When to look again, if at all.
    pub(super) alarm: Option<Instant>,
}

impl Watch {
    /// Over the instances of these names, by their seats, none of which executes.
    pub(super) fn new(limit: Duration, instances: impl Iterator<Item = String>) -> Watch {
        let seats = instances.map(|instance| Seat { instance, doing: Doing::Rests }).collect();
        Watch { limit, seats, alarm: None }
    }

    /// An execution begins. The alarm to be set for it, unless there is one.
    pub(super) fn begin(&mut self, seat: usize, now: Instant) -> Option<Instant> {
        self.seats[seat].doing = Doing::Executes { since: now };
        if self.alarm.is_some() {
            return None;
        }
        // So long a limit that no clock reaches it is none.
        self.alarm = now.checked_add(self.limit);
        self.alarm
    }

    /// An execution is over. The stall that ends with it, if it was one.
    pub(super) fn end(&mut self, seat: usize) -> Option<Stall> {
        let seat = &mut self.seats[seat];
        let stall = seat.stall();
        seat.doing = Doing::Rests;
        stall
    }

    /// Looks after all executions, if it is time to.
    pub(super) fn look(&mut self, now: Instant) -> Found {
        if self.alarm.is_none_or(|at| now < at) {
            return Found::default();
        }
        let (mut stalls, mut oldest) = (Vec::new(), None);
        for seat in &mut self.seats {
            let Doing::Executes { since } = seat.doing else { continue };
            if now.saturating_duration_since(since) >= self.limit {
                seat.doing = Doing::Stalls { since };
                stalls.extend(seat.stall());
            } else {
                oldest = Some(oldest.map_or(since, |oldest: Instant| oldest.min(since)));
            }
        }
        self.alarm = oldest.and_then(|since| since.checked_add(self.limit));
        Found { stalls, alarm: self.alarm }
    }

    /// All stalls there are.
    pub(super) fn stalls(&self) -> impl Iterator<Item = Stall> {
        self.seats.iter().filter_map(Seat::stall)
    }
}

impl Seat {
    fn stall(&self) -> Option<Stall> {
        match self.doing {
            Doing::Stalls { since } => Some(Stall { instance: self.instance.clone(), since }),
            Doing::Rests | Doing::Executes { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn watch() -> (Watch, Instant) {
        (Watch::new(LIMIT, ["a", "b", "c"].map(str::to_owned).into_iter()), Instant::now())
    }

    fn stall(instance: &str, since: Instant) -> Stall {
        Stall { instance: instance.to_owned(), since }
    }

    fn found(stalls: Vec<Stall>, alarm: Option<Instant>) -> Found {
        Found { stalls, alarm }
    }

    #[test]
    fn the_first_execution_sets_the_alarm_and_those_that_follow_share_it() {
        let (mut watch, start) = watch();
        assert_eq!(watch.begin(0, start), Some(start + LIMIT));
        assert_eq!(watch.begin(1, start + seconds(1)), None);
        assert_eq!(watch.end(0), None);
        assert_eq!(watch.begin(0, start + seconds(2)), None);
    }

    #[test]
    fn when_it_rings_it_is_set_again_for_the_oldest_execution_or_not_at_all() {
        let (mut watch, start) = watch();
        watch.begin(0, start);
        watch.end(0);
        watch.begin(2, start + seconds(4));
        watch.begin(1, start + seconds(3));
        let again = start + seconds(3) + LIMIT;
        assert_eq!(watch.look(start + LIMIT), found(vec![], Some(again)));
        watch.end(1);
        watch.end(2);
        assert_eq!(watch.look(again), found(vec![], None));
        assert_eq!(watch.begin(1, again), Some(again + LIMIT), "and again by the next that begins");
    }

    #[test]
    fn an_execution_that_takes_too_long_is_found_once_and_is_a_stall_until_it_ends() {
        let (mut watch, start) = watch();
        watch.begin(0, start);
        watch.begin(1, start + seconds(1));
        assert_eq!(watch.look(start + LIMIT - seconds(1)), Found::default(), "it is not yet time");
        let (first, second) = (stall("a", start), stall("b", start + seconds(1)));
        let again = start + seconds(1) + LIMIT;
        assert_eq!(watch.look(start + LIMIT), found(vec![first.clone()], Some(again)));
        assert_eq!(watch.look(again), found(vec![second.clone()], None));
        assert_eq!(watch.stalls().collect::<Vec<_>>(), [first.clone(), second.clone()]);
        assert_eq!(watch.end(0), Some(first));
        assert_eq!(watch.end(0), None);
        assert_eq!(watch.stalls().collect::<Vec<_>>(), [second]);
    }

    #[test]
    fn a_stall_sets_no_alarm_and_leaves_it_to_those_that_begin_after_it() {
        let (mut watch, start) = watch();
        watch.begin(0, start);
        assert_eq!(watch.look(start + LIMIT).alarm, None);
        let later = start + LIMIT * 3;
        assert_eq!(watch.begin(1, later), Some(later + LIMIT));
    }

    #[test]
    fn a_limit_that_no_clock_reaches_is_none() {
        let mut watch = Watch::new(Duration::MAX, std::iter::once("a".to_owned()));
        assert_eq!(watch.begin(0, Instant::now()), None);
        assert_eq!(watch.end(0), None);
    }
}
