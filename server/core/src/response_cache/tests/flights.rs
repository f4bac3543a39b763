//! The requests under way, against a model of them.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::flights::{Flights, Urgency};
use super::*;

const LEISURELY: Urgency = Urgency { level: 0, until: None };

#[derive(Clone, Copy, Debug)]
enum Step {
    Lead(u64),
    Join(u64),
    Leave(u64),
    Land(u64),
    /// Who leads gives up; so many of those who are given the flight after it fail at once.
    PassOn(u64, usize),
}

proptest! {
    #[test]
    fn each_that_waits_is_handed_out_once_in_the_order_in_which_they_came(
        steps in prop::collection::vec((0u64..3, 0usize..5, 0usize..3), 0..80)
    ) {
        let steps = steps.into_iter().map(|(hash, step, fails)| match step {
            0 => Step::Lead(hash),
            1 => Step::Join(hash),
            2 => Step::Leave(hash),
            3 => Step::Land(hash),
            _ => Step::PassOn(hash, fails),
        });
        let mut flights: Flights<(), u64> = Flights::default();
        let mut model: BTreeMap<u64, (u64, Vec<u64>)> = BTreeMap::new();
        let mut next = 0;
        for step in steps {
            next += 1;
            match step {
                Step::Lead(hash) if !model.contains_key(&hash) => {
                    let number = flights.lead(hash, (), LEISURELY);
                    model.insert(hash, (number, Vec::new()));
                }
                Step::Join(hash) => {
                    let number = model.get(&hash).map_or(0, |flight| flight.0);
                    let joined = flights.join(hash, number, next, next);
                    prop_assert_eq!(joined.is_ok(), model.contains_key(&hash));
                    model.entry(hash).and_modify(|flight| flight.1.push(next));
                }
                Step::Leave(hash) => {
                    let Some((number, waiting)) = model.get_mut(&hash) else { continue };
                    let leaver = waiting.pop();
                    prop_assert_eq!(flights.leave(hash, *number, leaver.unwrap_or(u64::MAX)), leaver);
                }
                Step::Land(hash) => {
                    let (number, waiting) = model.remove(&hash).unwrap_or_default();
                    prop_assert_eq!(flights.land(hash, number), waiting);
                    prop_assert!(flights.land(hash, number).is_empty(), "it is over");
                }
                Step::PassOn(hash, fails) => {
                    let Some((number, waiting)) = model.get_mut(&hash) else { continue };
                    let mut given = Vec::new();
                    let mut one = flights.next(hash, *number);
                    while let Some(leader) = one {
                        given.push(leader);
                        if given.len() <= fails {
                            prop_assert_eq!(flights.next(hash, *number), None, "the loop has to come to it");
                        }
                        one = flights.handed(hash, *number);
                    }
                    let handed = waiting.len().min(fails + 1);
                    prop_assert_eq!(&given[..], &waiting[..handed]);
                    waiting.drain(..handed);
                    if handed <= fails {
                        model.remove(&hash);
                    }
                }
                Step::Lead(_) => {}
            }
            prop_assert_eq!(flights.len(), model.len());
        }
    }
}

#[test]
fn a_flight_suits_those_that_are_no_more_urgent_and_may_wait_as_long() {
    let now = Instant::now();
    let at = |level, seconds: Option<u64>| Urgency {
        level,
        until: seconds.map(|seconds| now + Duration::from_secs(seconds)),
    };
    for (flight, request, suits) in [
        (at(1, None), at(1, None), true),
        (at(0, None), at(1, None), true),
        (at(1, None), at(0, None), false),
        (at(1, Some(1)), at(1, None), true),
        (at(1, Some(1)), at(1, Some(1)), true),
        (at(1, Some(2)), at(1, Some(1)), false),
        (at(1, None), at(1, Some(1)), false),
    ] {
        assert_eq!(flight.suits(&request), suits, "{flight:?} {request:?}");
    }
}
