//! Which of an engine's optimisation profiles a batch is executed with.

use std::fmt::Write;

use nerite_backend::Shape;

/// What a profile takes of one input, from the smallest to the largest, and what it was optimised for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) min: Vec<i64>,
    pub(crate) opt: Vec<i64>,
    pub(crate) max: Vec<i64>,
}

/// What a profile takes of all inputs, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) inputs: Vec<InputRanges>,
}

/// What a profile takes of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputRanges {
    pub(crate) shape: Range,
    /// Of a shape tensor, where the library tells.
    pub(crate) values: Option<Range>,
}

/// An input of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Given<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [i64],
    /// The elements of a shape tensor.
    pub(crate) values: Option<Vec<i64>>,
}

impl Range {
    fn takes(&self, given: &[i64]) -> bool {
        let bounds = self.min.iter().zip(&self.max);
        self.min.len() == given.len()
            && bounds.zip(given).all(|((min, max), given)| (min..=max).contains(&given))
    }

    /// How far it is from what the profile was optimised for.
    fn distance(&self, given: &[i64]) -> u64 {
        let each = self.opt.iter().zip(given).map(|(opt, given)| opt.abs_diff(*given));
        each.fold(0, u64::saturating_add)
    }
}

impl InputRanges {
    fn takes(&self, given: &Given<'_>) -> bool {
        let values = match (&self.values, &given.values) {
            (Some(range), Some(values)) => range.takes(values),
            _ => true,
        };
        values && self.shape.takes(given.shape)
    }

    fn distance(&self, given: &Given<'_>) -> u64 {
        let values = match (&self.values, &given.values) {
            (Some(range), Some(values)) => range.distance(values),
            _ => 0,
        };
        values.saturating_add(self.shape.distance(given.shape))
    }
}

/// Of the `allowed` profiles that take all of the inputs, the one that was optimised for what is nearest to them, the
/// first of several. If there is none, the error says why.
pub(crate) fn choose(profiles: &[Profile], allowed: &[usize], inputs: &[Given<'_>]) -> Result<usize, String> {
    let fitting = allowed.iter().filter_map(|&index| {
        let profile = profiles.get(index)?;
        let takes = profile.inputs.len() == inputs.len()
            && profile.inputs.iter().zip(inputs).all(|(ranges, given)| ranges.takes(given));
        let distances = profile.inputs.iter().zip(inputs).map(|(ranges, given)| ranges.distance(given));
        takes.then(|| (index, distances.fold(0, u64::saturating_add)))
    });
    fitting
        .min_by_key(|&(_, distance)| distance)
        .map(|(index, _)| index)
        .ok_or_else(|| refusal(profiles, allowed, inputs))
}

/// What each profile does not take.
fn refusal(profiles: &[Profile], allowed: &[usize], inputs: &[Given<'_>]) -> String {
    let mut text = String::from("no optimization profile of the engine takes these inputs");
    for &index in allowed {
        let Some(profile) = profiles.get(index) else { continue };
        for (ranges, given) in
            profile.inputs.iter().zip(inputs).filter(|(ranges, given)| !ranges.takes(given))
        {
            let (what, range, given_extents) = match (&ranges.values, &given.values) {
                (Some(range), Some(values)) if ranges.shape.takes(given.shape) => {
                    ("values", range, values.as_slice())
                }
                _ => ("shape", &ranges.shape, given.shape),
            };
            let [min, max, is] = [&range.min[..], &range.max[..], given_extents].map(Shape::new);
            // Writing to a string cannot fail.
            let _ =
                write!(text, "; profile {index} takes of '{}' {what} {min} to {max}, not {is}", given.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(min: &[i64], opt: &[i64], max: &[i64]) -> Range {
        Range { min: min.to_vec(), opt: opt.to_vec(), max: max.to_vec() }
    }

    fn profile(shape: Range) -> Profile {
        Profile { inputs: vec![InputRanges { shape, values: None }] }
    }

    fn given(shape: &[i64]) -> [Given<'_>; 1] {
        [Given { name: "x", shape, values: None }]
    }

    #[test]
    fn the_nearest_of_the_profiles_that_take_a_shape_is_chosen() {
        let profiles = [
            profile(range(&[1, 4], &[1, 4], &[2, 4])),
            profile(range(&[1, 4], &[8, 4], &[16, 4])),
            profile(range(&[4, 4], &[32, 4], &[64, 4])),
        ];
        for (rows, all, some) in [(1, Ok(0), Ok(1)), (2, Ok(0), Ok(1)), (3, Ok(1), Ok(1)), (16, Ok(1), Ok(1))]
        {
            assert_eq!(choose(&profiles, &[0, 1, 2], &given(&[rows, 4])), all);
            assert_eq!(choose(&profiles, &[1, 2], &given(&[rows, 4])), some);
        }
        assert_eq!(choose(&profiles, &[0, 1, 2], &given(&[17, 4])), Ok(2));
        assert_eq!(choose(&profiles, &[2, 7], &given(&[4, 4])), Ok(2));
    }

    #[test]
    fn what_no_profile_takes_is_told_of_each() {
        let profiles = [profile(range(&[1, 4], &[2, 4], &[2, 4])), profile(range(&[4, 4], &[4, 4], &[8, 4]))];
        let error = choose(&profiles, &[0, 1], &given(&[3, 4])).unwrap_err();
        assert_eq!(
            error,
            "no optimization profile of the engine takes these inputs; profile 0 takes of 'x' shape [1,4] to [2,4], not \
             [3,4]; profile 1 takes of 'x' shape [4,4] to [8,4], not [3,4]"
        );
        assert!(choose(&profiles, &[0, 1], &given(&[1, 4, 1])).is_err());
        assert!(choose(&profiles, &[], &given(&[1, 4])).is_err());
    }

    #[test]
    fn the_values_of_a_shape_tensor_count() {
        let of_values = |values| Profile {
            inputs: vec![InputRanges { shape: range(&[2], &[2], &[2]), values: Some(values) }],
        };
        let profiles =
            [of_values(range(&[1, 1], &[4, 4], &[8, 8])), of_values(range(&[8, 8], &[16, 16], &[32, 32]))];
        let with = |values: &[i64]| {
            let given = [Given { name: "s", shape: &[2], values: Some(values.to_vec()) }];
            choose(&profiles, &[0, 1], &given)
        };
        assert_eq!(with(&[8, 8]), Ok(0));
        assert_eq!(with(&[9, 9]), Ok(1));
        assert!(
            with(&[4, 9]).unwrap_err().contains("profile 0 takes of 's' values [1,1] to [8,8], not [4,9]")
        );
    }

    proptest! {
        #[test]
        fn a_profile_that_is_chosen_takes_the_shape_and_none_that_does_is_nearer(
            ranges in prop::collection::vec((0i64..9, 0i64..9, 0i64..9), 0..5), rows in 0i64..20,
        ) {
            let profiles: Vec<Profile> = ranges
                .iter()
                .map(|&(min, opt, max)| profile(range(&[min], &[min + opt], &[min + opt + max])))
                .collect();
            let allowed: Vec<usize> = (0..profiles.len()).collect();
            let fits = |index: &usize| profiles[*index].inputs[0].shape.takes(&[rows]);
            let distance = |index: &usize| profiles[*index].inputs[0].shape.opt[0].abs_diff(rows);
            let expected = allowed.iter().copied().filter(fits).min_by_key(distance);
            prop_assert_eq!(choose(&profiles, &allowed, &given(&[rows])).ok(), expected);
        }
    }
}
