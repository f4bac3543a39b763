//! The requests under way, against a model of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::flights::{Flights, Route, Until};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Lead,
    Join,
    Leave(usize),
    Land,
    /// Who leads gives up; so many of those who are given the flight after it fail at once.
    PassOn(usize),
}

/// A flight as it should be: its number, until when who leads it may wait, and those that wait.
type Model = (u64, Until, BTreeSet<(Until, u64)>);

fn steps() -> impl Strategy<Value = Vec<(Route, Option<u64>, Step)>> {
    let route = (0u64..2, 0usize..2).prop_map(|(hash, level)| Route { hash, level });
    let step = prop_oneof![
        1 => Just(Step::Lead),
        3 => Just(Step::Join),
        1 => (0usize..4).prop_map(Step::Leave),
        1 => Just(Step::Land),
        2 => (0usize..3).prop_map(Step::PassOn),
    ];
    prop::collection::vec((route, prop::option::of(0u64..3), step), 0..80)
}

proptest! {
    #[test]
    fn each_that_waits_is_handed_out_once_and_never_waits_for_one_that_may_wait_for_longer(steps in steps()) {
        let start = Instant::now();
        let mut flights: Flights<(), u64> = Flights::default();
        let mut model: BTreeMap<Route, Model> = BTreeMap::new();
        for (name, (route, seconds, step)) in (0..).zip(steps) {
            let until = seconds.map_or(Until::ForEver, |seconds| Until::At(start + Duration::from_secs(seconds)));
            let under_way = model.get_mut(&route);
            prop_assert_eq!(flights.get(route).map(|flight| flight.number), under_way.as_ref().map(|flight| flight.0));
            match (step, under_way) {
                (Step::Lead, None) => {
                    let number = flights.lead(route, (), until);
                    model.insert(route, (number, until, BTreeSet::new()));
                }
                (Step::Join, None) => prop_assert_eq!(flights.join(route, 0, (until, name), name), Err(name)),
                (Step::Join, Some((number, leaders, waiting))) => {
                    let suits = *leaders <= until;
                    prop_assert_eq!(flights.get(route).map(|flight| flight.suits(until)), Some(suits));
                    prop_assert_eq!(flights.join(route, *number, (until, name), name).is_ok(), suits);
                    if suits {
                        waiting.insert((until, name));
                    }
                }
                (Step::Leave(place), Some((number, _, waiting))) => {
                    let leaver = waiting.iter().nth(place).copied();
                    let left = flights.leave(route, *number, leaver.unwrap_or((until, name)));
                    prop_assert_eq!(left, leaver.map(|(_, name)| name));
                    leaver.map(|leaver| waiting.remove(&leaver));
                }
                (Step::Land, Some((number, _, waiting))) => {
                    let names: Vec<u64> = waiting.iter().map(|(_, name)| *name).collect();
                    prop_assert_eq!(flights.land(route, *number), names);
                    prop_assert!(flights.land(route, *number).is_empty(), "it is over");
                    model.remove(&route);
                }
                (Step::PassOn(fails), Some((number, leaders, waiting))) => {
                    let (mut given, mut one) = (0, flights.next(route, *number));
                    while let Some(leader) = one {
                        let expected = waiting.pop_first();
                        prop_assert_eq!(Some(leader), expected.map(|(_, name)| name));
                        if let Some((until, _)) = expected {
                            *leaders = until;
                        }
                        given += 1;
                        if given <= fails {
                            prop_assert_eq!(flights.next(route, *number), None, "the loop has to come to it");
                        }
                        one = flights.handed(route, *number);
                    }
                    if given <= fails {
                        prop_assert!(waiting.is_empty());
                        model.remove(&route);
                    }
                }
                _ => {}
            }
            prop_assert_eq!(flights.len(), model.len());
        }
    }
}
