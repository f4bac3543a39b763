use std::time::Instant;

/// The alarms that are set, each earlier than those that were set before it. None is taken back, so that one is set only
/// if no other rings by then: where short waits alternate with a long one, the long one is set once.
#[derive(Debug, Default)]
pub(super) struct Alarms(Vec<Instant>);

impl Alarms {
    /// When the next one rings.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.last().copied()
    }

    /// Whether one is to be set for that time, which then counts as set.
    pub(super) fn add(&mut self, at: Instant) -> bool {
        let is_needed = self.next().is_none_or(|next| at < next);
        if is_needed {
            self.0.push(at);
        }
        is_needed
    }

    /// What was set for a time that has come does not ring any more.
    pub(super) fn rung(&mut self, now: Instant) {
        while self.0.pop_if(|at| *at <= now).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_alarm_is_set_only_if_no_other_rings_by_then() {
        let (mut alarms, start) = (Alarms::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(alarms.add(at(100)) && !alarms.add(at(100)) && !alarms.add(at(200)));
        for second in 1..50 {
            assert!(alarms.add(at(second)) && !alarms.add(at(second)));
            alarms.rung(at(second));
            assert!(!alarms.add(at(150)), "the long one is still set");
        }
        assert_eq!(alarms.next(), Some(at(100)));
        alarms.rung(at(100));
        assert_eq!(alarms.next(), None);
        assert!(alarms.add(at(200)));
    }
}
