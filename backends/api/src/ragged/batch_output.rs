use smallvec::SmallVec;

use super::count;
use crate::{BackendError, Shape, Slot};

/// An output that is cut up among the requests of a batch by the shapes of an input, whatever its own shape is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutput {
    /// The output.
    pub target: Slot,
    /// The input.
    pub source: Slot,
    /// The shape of a request's part, with the batch dimension in front. -1 stands for the extent that the input has in
    /// the same place.
    pub shape: Shape,
}

impl BatchOutput {
    /// The shapes of the parts of an output of shape `whole`, where the source has these shapes by request. Fails if the
    /// parts are not just the whole.
    pub(crate) fn shapes(
        &self,
        whole: &Shape,
        sources: &[&Shape],
    ) -> Result<SmallVec<[Shape; 8]>, BackendError> {
        let parts: SmallVec<[Shape; 8]> =
            sources.iter().map(|source| self.part(source)).collect::<Result<_, _>>()?;
        let wanted = parts.iter().try_fold(0usize, |sum, part| Ok(sum.saturating_add(count(part)?)))?;
        match whole.elements() {
            Some(elements) if elements == wanted => Ok(parts),
            _ => Err(BackendError::internal(format!(
                "the model gave an output of shape {whole}, but the shapes of the requests add up to {wanted} elements; \
                 correct the source_input of its batch_output, or its dims"
            ))),
        }
    }

    fn part(&self, source: &Shape) -> Result<Shape, BackendError> {
        let extents = self.shape.iter().enumerate().map(|(place, &extent)| match extent {
            -1 => source.get(place).copied(),
            fixed => Some(fixed),
        });
        extents.collect::<Option<_>>().ok_or_else(|| {
            BackendError::internal(
                "an output has more variable dimensions than the input that it is cut up by",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_extents_of_an_output_are_those_of_its_source() {
        let output = BatchOutput { target: 0, source: 0, shape: Shape::new(&[-1, -1, 4]) };
        let sources = [Shape::new(&[1, 3]), Shape::new(&[2, 2])];
        let sources: Vec<&Shape> = sources.iter().collect();
        let parts = output.shapes(&Shape::new(&[28]), &sources).unwrap();
        assert_eq!(*parts, [Shape::new(&[1, 3, 4]), Shape::new(&[2, 2, 4])]);
        for whole in [27, 29] {
            let error = output.shapes(&Shape::new(&[whole]), &sources).unwrap_err();
            assert!(error.message.contains("add up to 28 elements"), "{error}");
        }
    }

    #[test]
    fn an_extent_that_the_source_does_not_have_is_an_error() {
        let output = BatchOutput { target: 0, source: 0, shape: Shape::new(&[-1, -1, -1]) };
        assert!(output.shapes(&Shape::new(&[3]), &[&Shape::new(&[1, 3])]).is_err());
    }
}
