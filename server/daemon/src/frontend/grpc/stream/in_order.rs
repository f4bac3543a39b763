use std::collections::VecDeque;

/// What comes in any order and is to go in that of its numbers. Pure.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    /// The number of the first place.
    first: u64,
    places: VecDeque<Option<T>>,
}

impl<T> InOrder<T> {
    pub(super) fn new() -> InOrder<T> {
        InOrder { first: 0, places: VecDeque::new() }
    }

    /// How many have a number and have not gone.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The next number.
    pub(super) fn enter(&mut self) -> u64 {
        self.places.push_back(None);
        self.first + self.places.len() as u64 - 1
    }

    /// Puts what has come in its place.
    pub(super) fn fill(&mut self, number: u64, item: T) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(place) = index.and_then(|index| self.places.get_mut(index)) {
            *place = Some(item);
        }
    }

    /// The next that is to go, if it has come.
    pub(super) fn next(&mut self) -> Option<T> {
        let item = self.places.pop_front_if(|place| place.is_some()).flatten()?;
        self.first += 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_order_goes_in_the_order_of_its_numbers(
            order in Just((0..20u64).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut in_order = InOrder::new();
            let numbers: Vec<u64> = (0..20).map(|_| in_order.enter()).collect();
            prop_assert_eq!(numbers, (0..20).collect::<Vec<_>>());
            let mut gone = Vec::new();
            for (come, number) in order.iter().enumerate() {
                in_order.fill(*number, *number);
                gone.extend(std::iter::from_fn(|| in_order.next()));
                let expected = (0..20).take_while(|number| order[..=come].contains(number)).count();
                prop_assert_eq!((gone.len(), in_order.len()), (expected, 20 - expected));
            }
            prop_assert_eq!(gone, (0..20).collect::<Vec<_>>());
        }
    }
}
