use smallvec::{SmallVec, smallvec};

/// The place of an input or output in its model's [`Declaration`](crate::Declaration). Names are resolved to slots
/// when a model loads and when a request is admitted, and looked up nowhere else.
pub type Slot = usize;

/// A set of slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slots(SmallVec<[u64; 1]>);

impl Slots {
    /// The slots `0..count`.
    pub fn all(count: usize) -> Slots {
        let mut words: SmallVec<[u64; 1]> = smallvec![u64::MAX; count.div_ceil(64)];
        if let Some(last) = words.last_mut()
            && !count.is_multiple_of(64)
        {
            *last = (1 << (count % 64)) - 1;
        }
        Slots(words)
    }

    /// Adds a slot.
    pub fn insert(&mut self, slot: Slot) {
        let word = slot / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (slot % 64);
    }

    /// Whether the slot is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        self.0.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Adds every slot of `other`.
    pub fn extend(&mut self, other: &Slots) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    /// How many slots are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// The slots in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.0.len() * 64).filter(|&slot| self.contains(slot))
    }
}

impl FromIterator<Slot> for Slots {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Slots {
        let mut set = Slots::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_behave_like_a_set_of_numbers(a in prop::collection::btree_set(0usize..200, 0..20),
                                              b in prop::collection::btree_set(0usize..200, 0..20)) {
            let mut slots: Slots = a.iter().copied().collect();
            slots.extend(&b.iter().copied().collect());
            let expected: BTreeSet<usize> = a.union(&b).copied().collect();
            prop_assert_eq!(slots.len(), expected.len());
            prop_assert_eq!(slots.is_empty(), expected.is_empty());
            prop_assert_eq!(slots.iter().collect::<BTreeSet<_>>(), expected);
        }

        #[test]
        fn all_holds_exactly_the_slots_below_its_count(count in 0usize..200) {
            let all = Slots::all(count);
            prop_assert_eq!(all.len(), count);
            prop_assert!(!all.contains(count));
        }
    }
}
