/// What a tensor of shape `actual`, which the declared `from` allows, becomes under `reshape { shape: to }`: extents
/// that may vary carry over in order. Neither shape has the batch dimension.
pub(crate) fn reshaped<'a>(
    from: &'a [i64],
    actual: &'a [i64],
    to: &'a [i64],
) -> impl Iterator<Item = i64> + 'a {
    let mut varying =
        from.iter().zip(actual).filter(|(declared, _)| **declared < 0).map(|(_, actual)| *actual);
    to.iter().map(move |&extent| if extent < 0 { varying.next().unwrap_or(1) } else { extent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_extents_are_regrouped_and_varying_ones_carry_over_in_order() {
        let shape = |from: &[i64], actual: &[i64], to: &[i64]| reshaped(from, actual, to).collect::<Vec<_>>();
        assert_eq!(shape(&[16], &[16], &[1, 4, 4]), [1, 4, 4]);
        assert_eq!(shape(&[-1, 4, -1], &[7, 4, 9], &[2, 2, -1, -1]), [2, 2, 7, 9]);
        assert_eq!(shape(&[1], &[1], &[]), [] as [i64; 0]);
    }
}
