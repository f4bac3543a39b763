use std::sync::Arc;

use smallvec::SmallVec;

use super::count;
use crate::{AlignedBytes, BackendError, Buffer, DType, Shape, Slot, Tensor};

/// An input that no caller sends: it tells the model which requests share a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchInput {
    /// What it tells of them.
    pub kind: BatchInputKind,
    /// The type of its elements.
    pub dtype: BatchInputType,
    /// The input whose shapes it tells.
    pub source: Slot,
    /// The inputs that are given it.
    pub targets: Vec<Slot>,
}

/// What a batch input tells. Elements are counted by request, whatever number of rows it has; `[2,3]` has six. Shapes are
/// told by row, and without the batch dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchInputKind {
    /// The number of elements of each request, of shape `[requests]`.
    ElementCount,
    /// The number of elements of each request and all before it: where it ends. Of shape `[requests]`.
    AccumulatedElementCount,
    /// The same with a 0 in front, of shape `[requests + 1]`.
    AccumulatedElementCountWithZero,
    /// The largest number of elements of a request, as the only extent of a tensor of zeros.
    MaxElementCountAsShape,
    /// The shape of each row, of shape `[rows, extents]`.
    ItemShape,
    /// The same in one dimension, of shape `[rows * extents]`.
    ItemShapeFlatten,
}

/// The type of a batch input's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchInputType {
    /// INT32.
    Int32,
    /// FP32.
    Float32,
}

type Numbers = SmallVec<[usize; 16]>;

impl BatchInput {
    /// What the model is given where the source has these shapes, by request and with the batch dimension in front. Fails
    /// if a number is none of the type.
    pub(crate) fn tensor(&self, sources: &[&Shape]) -> Result<Tensor, BackendError> {
        match self.kind {
            BatchInputKind::ElementCount => self.list(&counts(sources)?),
            BatchInputKind::AccumulatedElementCount => self.list(&totals(&counts(sources)?)[1..]),
            BatchInputKind::AccumulatedElementCountWithZero => self.list(&totals(&counts(sources)?)),
            BatchInputKind::MaxElementCountAsShape => {
                Ok(self.zeros(counts(sources)?.into_iter().max().unwrap_or(0)))
            }
            BatchInputKind::ItemShape => {
                let extents = sources.first().map_or(0, |shape| shape.len().saturating_sub(1)) as i64;
                let flat = self.list(&items(sources)?)?;
                let rows: i64 = sources.iter().filter_map(|shape| shape.first()).sum();
                Ok(Tensor { shape: Shape::new(&[rows, extents]), ..flat })
            }
            BatchInputKind::ItemShapeFlatten => self.list(&items(sources)?),
        }
    }

    fn list(&self, numbers: &[usize]) -> Result<Tensor, BackendError> {
        let mut bytes = AlignedBytes::with_capacity(numbers.len() * BatchInputType::SIZE);
        for &number in numbers {
            bytes.extend_from_slice(&self.dtype.encode(number).ok_or_else(|| {
                BackendError::invalid(format!(
                    "the batch has {number} elements, a number that no {} holds: send fewer at once",
                    self.dtype.dtype()
                ))
            })?);
        }
        Ok(self.of(numbers.len(), bytes))
    }

    fn zeros(&self, len: usize) -> Tensor {
        let mut bytes = AlignedBytes::default();
        bytes.resize(len.saturating_mul(BatchInputType::SIZE));
        self.of(len, bytes)
    }

    fn of(&self, len: usize, bytes: AlignedBytes) -> Tensor {
        Tensor::new(self.dtype.dtype(), Shape::new(&[len as i64]), Buffer::from(Arc::new(bytes)))
    }
}

impl BatchInputType {
    /// The size of an element.
    const SIZE: usize = 4;

    /// The same as an element type of any tensor.
    pub fn dtype(self) -> DType {
        match self {
            BatchInputType::Int32 => DType::I32,
            BatchInputType::Float32 => DType::F32,
        }
    }

    /// `None` for a number that the type does not hold exactly.
    fn encode(self, number: usize) -> Option<[u8; BatchInputType::SIZE]> {
        match self {
            BatchInputType::Int32 => i32::try_from(number).ok().map(i32::to_ne_bytes),
            BatchInputType::Float32 => {
                let float = number as f32;
                (float as usize == number).then(|| float.to_ne_bytes())
            }
        }
    }
}

fn counts(sources: &[&Shape]) -> Result<Numbers, BackendError> {
    sources.iter().map(|shape| count(shape)).collect()
}

/// A 0, and the sums of all counts so far.
fn totals(counts: &[usize]) -> Numbers {
    let mut total = 0usize;
    let sums = counts.iter().map(|&count| {
        total = total.saturating_add(count);
        total
    });
    std::iter::once(0).chain(sums).collect()
}

/// The extents of each row, one row behind the other.
fn items(sources: &[&Shape]) -> Result<Numbers, BackendError> {
    let mut extents = Numbers::new();
    for shape in sources {
        let (&rows, item) = shape
            .split_first()
            .ok_or_else(|| BackendError::internal("a request of a batch has no batch dimension"))?;
        for _ in 0..rows {
            extents.extend(item.iter().map(|&extent| usize::try_from(extent).unwrap_or(0)));
        }
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: BatchInputKind, dtype: BatchInputType, shapes: &[&[i64]]) -> Result<Tensor, BackendError> {
        let shapes: Vec<Shape> = shapes.iter().map(|shape| Shape::new(shape)).collect();
        BatchInput { kind, dtype, source: 0, targets: vec![1] }.tensor(&shapes.iter().collect::<Vec<_>>())
    }

    fn read(tensor: &Tensor) -> Vec<i64> {
        let bytes = tensor.data.contiguous().expect("one piece");
        let words = bytes.as_chunks::<4>().0.iter();
        match tensor.dtype {
            DType::F32 => words.map(|&word| f32::from_ne_bytes(word) as i64).collect(),
            _ => words.map(|&word| i32::from_ne_bytes(word).into()).collect(),
        }
    }

    #[test]
    fn each_kind_of_batch_input_tells_what_tritons_documents_say() {
        // Requests of one row are those of the guide to ragged batching; the shapes of items those of the protocol.
        let ragged: &[&[i64]] = &[&[1, 3], &[1, 4], &[1, 5]];
        let items: &[&[i64]] = &[&[2, 3, 1], &[1, 2, 2]];
        use BatchInputKind::*;
        type Row<'a> = (BatchInputKind, &'a [&'a [i64]], &'a [i64], &'a [i64]);
        let table: &[Row<'_>] = &[
            (ElementCount, ragged, &[3], &[3, 4, 5]),
            (ElementCount, items, &[2], &[6, 4]),
            (AccumulatedElementCount, ragged, &[3], &[3, 7, 12]),
            (AccumulatedElementCountWithZero, ragged, &[4], &[0, 3, 7, 12]),
            (AccumulatedElementCountWithZero, items, &[3], &[0, 6, 10]),
            (MaxElementCountAsShape, ragged, &[5], &[0, 0, 0, 0, 0]),
            (MaxElementCountAsShape, &[&[1, 0]], &[0], &[]),
            (ItemShape, items, &[3, 2], &[3, 1, 3, 1, 2, 2]),
            (ItemShapeFlatten, items, &[6], &[3, 1, 3, 1, 2, 2]),
            (ItemShape, ragged, &[3, 1], &[3, 4, 5]),
        ];
        for (kind, shapes, shape, values) in table {
            for dtype in [BatchInputType::Int32, BatchInputType::Float32] {
                let tensor = of(*kind, dtype, shapes).unwrap();
                assert_eq!(tensor.dtype, dtype.dtype());
                assert_eq!(&*tensor.shape, *shape, "{kind:?} of {shapes:?}");
                assert_eq!(read(&tensor), *values, "{kind:?} of {shapes:?}");
            }
        }
    }

    #[test]
    fn a_number_that_the_type_does_not_hold_is_an_error_and_never_another_number() {
        let float = (1 << 24) + 1;
        for (dtype, most) in
            [(BatchInputType::Int32, i64::from(i32::MAX)), (BatchInputType::Float32, float - 1)]
        {
            assert!(of(BatchInputKind::ElementCount, dtype, &[&[1, most]]).is_ok());
            let error =
                of(BatchInputKind::AccumulatedElementCount, dtype, &[&[1, most], &[1, 1]]).unwrap_err();
            assert!(error.message.contains(&format!("{} elements", most + 1)), "{error}");
        }
    }
}
