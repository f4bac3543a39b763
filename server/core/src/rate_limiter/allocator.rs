use std::collections::{BTreeMap, HashMap};

use super::demand::{DemandId, Demands, Needs, Resource};

/// Who waits for resources, and what is held. Pure.
///
/// The one of the lowest rank is let go first, whenever it came; while it has to wait, so has everyone behind it, so that
/// many small ones cannot starve a large one: their ranks grow as they execute.
pub(super) struct Allocator<T> {
    held: HashMap<Resource, u32>,
    /// By rank, and among equals by arrival.
    staged: BTreeMap<(u64, u64), (DemandId, T)>,
    serial: u64,
}

impl<T> Default for Allocator<T> {
    fn default() -> Allocator<T> {
        Allocator { held: HashMap::new(), staged: BTreeMap::new(), serial: 0 }
    }
}

impl<T> Allocator<T> {
    /// Lets one wait.
    pub(super) fn stage(&mut self, demand: DemandId, rank: u64, item: T) {
        self.serial += 1;
        self.staged.insert((rank, self.serial), (demand, item));
    }

    /// Hands out what the first one needs, if it is there.
    pub(super) fn grant(&mut self, demands: &Demands) -> Option<T> {
        let first = self.staged.first_entry()?;
        let needs = demands.needs(first.get().0);
        let is_there = |(resource, count): &(Resource, u32)| {
            let held = self.held.get(resource).copied().unwrap_or(0);
            held.saturating_add(*count) <= demands.limit(resource)
        };
        if !needs.iter().all(is_there) {
            return None;
        }
        for (resource, count) in needs {
            *self.held.entry(resource.clone()).or_default() += count;
        }
        Some(first.remove().1)
    }

    /// Takes back what one needed.
    pub(super) fn release(&mut self, needs: &Needs) {
        for (resource, count) in needs {
            if let Some(held) = self.held.get_mut(resource) {
                *held = held.saturating_sub(*count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{RateLimit, ResourceDemand};
    use crate::rate_limiter::ResourceLimit;

    fn demands(limit: u32, counts: &[u32]) -> (Demands, Vec<DemandId>) {
        let limit = ResourceLimit { name: "r".to_owned(), count: limit, device: None };
        let mut demands = Demands::new(vec![limit]);
        let add = |&count: &u32| {
            let resources = vec![ResourceDemand { name: "R".to_owned(), count, global: true }];
            demands.add(&RateLimit { resources, priority: 1 }, 0).expect("within the limit")
        };
        let ids = counts.iter().map(add).collect();
        (demands, ids)
    }

    #[test]
    fn the_lowest_rank_goes_first_and_nobody_of_a_higher_one_overtakes_it() {
        let (demands, ids) = demands(3, &[3, 1]);
        let mut allocator = Allocator::default();
        allocator.stage(ids[1], 0, "small");
        allocator.stage(ids[0], 1, "large");
        allocator.stage(ids[1], 2, "late");
        assert_eq!(allocator.grant(&demands), Some("small"));
        assert_eq!(allocator.grant(&demands), None, "the large one waits, and the late one behind it");
        allocator.release(demands.needs(ids[1]));
        assert_eq!(allocator.grant(&demands), Some("large"));
        assert_eq!(allocator.grant(&demands), None);
        allocator.release(demands.needs(ids[0]));
        assert_eq!(allocator.grant(&demands), Some("late"));
    }

    proptest! {
        #[test]
        fn never_more_is_held_than_there_is_and_everyone_gets_a_turn(
            limit in 1u32..6, wanted in prop::collection::vec((1u32..6, 0u64..4), 1..40)
        ) {
            let counts: Vec<u32> = wanted.iter().map(|&(count, _)| count.min(limit)).collect();
            let (demands, ids) = demands(limit, &counts);
            let mut allocator = Allocator::default();
            for (i, &(_, rank)) in wanted.iter().enumerate() {
                allocator.stage(ids[i], rank, i);
            }
            let (mut held, mut turns) = (Vec::new(), 0);
            loop {
                while let Some(i) = allocator.grant(&demands) {
                    held.push(i);
                    turns += 1;
                }
                prop_assert!(held.iter().map(|&i| counts[i]).sum::<u32>() <= limit);
                match held.pop() {
                    Some(i) => allocator.release(demands.needs(ids[i])),
                    None => break,
                }
            }
            prop_assert_eq!(turns, wanted.len());
        }
    }
}
