/// How a reshape fails to hold the same elements as the dims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// They have different numbers of elements.
    Size,
    /// They have different numbers of variable dimensions.
    Variable,
}

/// Compares the number of elements: as a whole, or, with variable dimensions, in each part between two of them. So
/// `[2, 4, -1, 6]` matches `[8, -1, 1, 6]`.
pub(crate) fn compare(dims: &[i64], reshape: &[i64]) -> Result<(), Mismatch> {
    let (have, want) = (parts(dims), parts(reshape));
    match (have.len(), want.len()) {
        (1, 1) => {}
        (1, _) | (_, 1) => return Err(Mismatch::Size),
        (have, want) if have != want => return Err(Mismatch::Variable),
        _ => {}
    }
    // A product that does not fit equals nothing.
    let equal = |(have, want): (&Option<i64>, &Option<i64>)| have.is_some() && have == want;
    if have.iter().zip(&want).all(equal) { Ok(()) } else { Err(Mismatch::Size) }
}

/// The number of elements between variable dimensions: one more than there are of those.
fn parts(dims: &[i64]) -> Vec<Option<i64>> {
    dims.split(|&dim| dim < 0)
        .map(|part| part.iter().try_fold(1i64, |count, &dim| count.checked_mul(dim)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reshape_keeps_the_number_of_elements_between_variable_dimensions() {
        type Row = (&'static [i64], &'static [i64], Result<(), Mismatch>);
        let table: &[Row] = &[
            (&[4], &[2, 2], Ok(())),
            (&[1], &[], Ok(())),
            (&[], &[1, 1], Ok(())),
            (&[0], &[0, 3], Ok(())),
            (&[2], &[], Err(Mismatch::Size)),
            (&[4], &[2, 3], Err(Mismatch::Size)),
            (&[2, 4, -1, 6], &[8, -1, 1, 6], Ok(())),
            (&[2, 4, -1, 6], &[8, -1, 5], Err(Mismatch::Size)),
            (&[4, -1], &[-1, 4], Err(Mismatch::Size)),
            (&[4, -1], &[4], Err(Mismatch::Size)),
            (&[-1, 2, -1], &[-1, 2], Err(Mismatch::Variable)),
            (&[i64::MAX, 3], &[3, i64::MAX], Err(Mismatch::Size)),
        ];
        for (dims, reshape, expected) in table {
            assert_eq!(compare(dims, reshape), *expected, "{dims:?} as {reshape:?}");
        }
    }
}
