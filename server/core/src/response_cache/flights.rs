use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Requests that are under way, each with those that are the same and wait for its answer. Pure: it knows nothing of what
/// waits, nor of what tells requests apart.
///
/// ```text
///         ┌──join, leave──┐        ┌──join, leave──┐
///         ▼               │ next   ▼               │ handed, nobody waits or all is well
/// lead ──► Led ───────────┴──────► Handing ────────┴──────────────────────────────────────► Led
///          │                       │ land: its answer is there, or each goes its own way
///          └──land, next: nobody waits──────────────────────────────────────────────────► (over)
/// ```
pub(super) struct Flights<K, T> {
    flights: HashMap<u64, Flight<K, T>>,
    last: u64,
}

/// A request that is under way.
pub(super) struct Flight<K, T> {
    /// Tells it from others of the same hash.
    pub(super) number: u64,
    pub(super) key: K,
    /// How it waits to be executed.
    pub(super) urgency: Urgency,
    waiting: VecDeque<(u64, T)>,
    handing: Handing,
}

/// Whether the flight is being handed to one of those that wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handing {
    No,
    Yes,
    /// And who was given it has failed already.
    Again,
}

/// How a request waits to be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Urgency {
    /// The place of its priority level, the most urgent first.
    pub(super) level: usize,
    /// Until when it may wait; `None` for ever.
    pub(super) until: Option<Instant>,
}

impl Urgency {
    /// Whether a request that waits like `other` loses nothing if this one is executed for it: this one goes first, and
    /// has ceased to wait, one way or the other, before that one's time is over.
    pub(super) fn suits(&self, other: &Urgency) -> bool {
        let in_time = match (self.until, other.until) {
            (_, None) => true,
            (Some(mine), Some(others)) => mine <= others,
            (None, Some(_)) => false,
        };
        self.level <= other.level && in_time
    }
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Flights<K, T> {
        Flights { flights: HashMap::new(), last: 0 }
    }
}

impl<K, T> Flights<K, T> {
    /// The one under way with that hash.
    pub(super) fn get(&self, hash: u64) -> Option<&Flight<K, T>> {
        self.flights.get(&hash)
    }

    /// Begins one where there is none. Its number.
    pub(super) fn lead(&mut self, hash: u64, key: K, urgency: Urgency) -> u64 {
        self.last += 1;
        let (number, waiting) = (self.last, VecDeque::new());
        self.flights.insert(hash, Flight { number, key, urgency, waiting, handing: Handing::No });
        number
    }

    /// Has one more wait, under that name; it is given back if the flight is over.
    pub(super) fn join(&mut self, hash: u64, number: u64, name: u64, one: T) -> Result<(), T> {
        match self.flight(hash, number) {
            Some(flight) => {
                flight.waiting.push_back((name, one));
                Ok(())
            }
            None => Err(one),
        }
    }

    /// Takes that one out which does not want to wait any more.
    pub(super) fn leave(&mut self, hash: u64, number: u64, name: u64) -> Option<T> {
        let waiting = &mut self.flight(hash, number)?.waiting;
        let place = waiting.iter().position(|(other, _)| *other == name)?;
        waiting.remove(place).map(|(_, one)| one)
    }

    /// It is over: those that waited.
    pub(super) fn land(&mut self, hash: u64, number: u64) -> Vec<T> {
        if self.flight(hash, number).is_none() {
            return Vec::new();
        }
        let flight = self.flights.remove(&hash);
        flight.into_iter().flat_map(|flight| flight.waiting).map(|(_, one)| one).collect()
    }

    /// Who led it will bring no answer: the one to lead it from now on. It is over if nobody waits. Whoever gets one here
    /// has it led and calls [`Flights::handed`]; until then, others are not given any, so that a row of failures is a loop
    /// and no recursion.
    pub(super) fn next(&mut self, hash: u64, number: u64) -> Option<T> {
        let flight = self.flight(hash, number)?;
        if flight.handing != Handing::No {
            flight.handing = Handing::Again;
            return None;
        }
        self.hand(hash, number)
    }

    /// The one that was given is under way: another, if that one has failed already.
    pub(super) fn handed(&mut self, hash: u64, number: u64) -> Option<T> {
        let flight = self.flight(hash, number)?;
        if flight.handing == Handing::Again {
            return self.hand(hash, number);
        }
        flight.handing = Handing::No;
        None
    }

    fn hand(&mut self, hash: u64, number: u64) -> Option<T> {
        let flight = self.flight(hash, number)?;
        flight.handing = Handing::Yes;
        let next = flight.waiting.pop_front();
        if next.is_none() {
            self.flights.remove(&hash);
        }
        next.map(|(_, one)| one)
    }

    fn flight(&mut self, hash: u64, number: u64) -> Option<&mut Flight<K, T>> {
        self.flights.get_mut(&hash).filter(|flight| flight.number == number)
    }

    /// How many are under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }
}
