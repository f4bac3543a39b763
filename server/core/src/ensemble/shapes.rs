//! Shapes of tensors that go between models with a batch dimension and models without.

use nerite_backend::Shape;

/// Whether two declared shapes may stand for the same tensor.
pub(super) fn agree(a: &[i64], b: &[i64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| a == b || a == -1 || b == -1)
}

/// The shape in which a tensor of `shape` goes to one who declares `dims` (without the batch dimension), and has a batch
/// dimension in front or has not. `rows` are those of the batch that the tensor is of; 0 if it is of none. As in Triton.
pub(super) fn handed_over(shape: &Shape, rows: u32, dims: &Shape, batching: bool) -> Shape {
    match (rows > 0, batching) {
        // It becomes a batch of one row, unless it looks like a batch already.
        (false, true) if agree(dims, shape) => shape.prepend(1),
        // A batch of one row is that row, unless it is wanted as a whole.
        (true, false) if rows == 1 && !agree(dims, shape) => Shape::new(shape.get(1..).unwrap_or_default()),
        _ => shape.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_dimension_is_put_in_front_or_taken_off_only_between_models_that_differ_in_it() {
        let (one_row, two_rows, plain) = ([1, 3], [2, 3], [3]);
        for (shape, rows, dims, batching, expected) in [
            (&plain[..], 0, &[3][..], true, &one_row[..]),
            (&two_rows, 0, &[3], true, &two_rows),
            (&one_row, 1, &[3], false, &plain),
            (&one_row, 1, &[-1, 3], false, &one_row),
            (&two_rows, 2, &[3], false, &two_rows),
            (&two_rows, 2, &[3], true, &two_rows),
            (&plain, 0, &[3], false, &plain),
        ] {
            let got = handed_over(&Shape::new(shape), rows, &Shape::new(dims), batching);
            assert_eq!(&got[..], expected, "{shape:?} {rows} {dims:?} {batching}");
        }
    }
}
