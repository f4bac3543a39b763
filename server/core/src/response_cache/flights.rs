use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Requests that are under way, each with those that are the same and wait for its answer. Pure: it knows nothing of what
/// waits, nor of what tells requests apart.
///
/// Who leads a flight never waits for longer than those who wait for it: it is the one whose time is over first.
///
/// ```text
///         ┌──join, leave──┐        ┌──join, leave──┐
///         ▼               │ next   ▼               │ handed, nobody waits or all is well
/// lead ──► Led ───────────┴──────► Handing ────────┴──────────────────────────────────────► Led
///          │                       │ land: its answer is there, or each goes its own way
///          └──land, next: nobody waits──────────────────────────────────────────────────► (over)
/// ```
pub(super) struct Flights<K, T> {
    flights: HashMap<Route, Flight<K, T>>,
    last: u64,
}

/// What requests have in common that may share a flight: their hash, and the place of their priority level, since none
/// is to wait for one that is less urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Route {
    pub(super) hash: u64,
    pub(super) level: usize,
}

/// Until when a request may wait to be executed. The first to be over is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    At(Instant),
    ForEver,
}

/// A request that is under way.
pub(super) struct Flight<K, T> {
    /// Tells it from others of the same route.
    pub(super) number: u64,
    pub(super) key: K,
    /// Until when who leads it may wait.
    until: Until,
    /// Those that wait, in the order in which they are to lead it, each under its name.
    waiting: BTreeMap<(Until, u64), T>,
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

impl<K, T> Flight<K, T> {
    /// Whether a request that may wait until then loses nothing by waiting for this one, which has ceased to wait, one
    /// way or the other, before that.
    pub(super) fn suits(&self, until: Until) -> bool {
        self.until <= until
    }
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Flights<K, T> {
        Flights { flights: HashMap::new(), last: 0 }
    }
}

impl<K, T> Flights<K, T> {
    /// The one under way there.
    pub(super) fn get(&self, route: Route) -> Option<&Flight<K, T>> {
        self.flights.get(&route)
    }

    /// Begins one where there is none. Its number.
    pub(super) fn lead(&mut self, route: Route, key: K, until: Until) -> u64 {
        self.last += 1;
        let (number, waiting) = (self.last, BTreeMap::new());
        self.flights.insert(route, Flight { number, key, until, waiting, handing: Handing::No });
        number
    }

    /// Has one more wait, under that name; it is given back if the flight is over, or suits it no more.
    pub(super) fn join(&mut self, route: Route, number: u64, name: (Until, u64), one: T) -> Result<(), T> {
        match self.flight(route, number) {
            Some(flight) if flight.suits(name.0) => {
                flight.waiting.insert(name, one);
                Ok(())
            }
            _ => Err(one),
        }
    }

    /// Takes that one out which does not want to wait any more.
    pub(super) fn leave(&mut self, route: Route, number: u64, name: (Until, u64)) -> Option<T> {
        self.flight(route, number)?.waiting.remove(&name)
    }

    /// It is over: those that waited.
    pub(super) fn land(&mut self, route: Route, number: u64) -> Vec<T> {
        if self.flight(route, number).is_none() {
            return Vec::new();
        }
        let flight = self.flights.remove(&route);
        flight.into_iter().flat_map(|flight| flight.waiting.into_values()).collect()
    }

    /// Who led it will bring no answer: the one to lead it from now on. It is over if nobody waits. Whoever gets one here
    /// has it led and calls [`Flights::handed`]; until then, others are not given any, so that a row of failures is a loop
    /// and no recursion.
    pub(super) fn next(&mut self, route: Route, number: u64) -> Option<T> {
        let flight = self.flight(route, number)?;
        if flight.handing != Handing::No {
            flight.handing = Handing::Again;
            return None;
        }
        self.hand(route, number)
    }

    /// The one that was given is under way: another, if that one has failed already.
    pub(super) fn handed(&mut self, route: Route, number: u64) -> Option<T> {
        let flight = self.flight(route, number)?;
        if flight.handing == Handing::Again {
            return self.hand(route, number);
        }
        flight.handing = Handing::No;
        None
    }

    fn hand(&mut self, route: Route, number: u64) -> Option<T> {
        let flight = self.flight(route, number)?;
        let Some(((until, _), one)) = flight.waiting.pop_first() else {
            self.flights.remove(&route);
            return None;
        };
        (flight.until, flight.handing) = (until, Handing::Yes);
        Some(one)
    }

    fn flight(&mut self, route: Route, number: u64) -> Option<&mut Flight<K, T>> {
        self.flights.get_mut(&route).filter(|flight| flight.number == number)
    }

    /// How many are under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }
}
