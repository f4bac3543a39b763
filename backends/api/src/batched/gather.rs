use std::sync::Arc;

use crate::{AlignedBytes, BackendError, Buffer, Data, Inputs, Request, Shape, Slots, Tensor};

/// A gathered buffer larger than this is not kept for the next batch.
const LARGEST_KEPT: usize = 32 << 20;

/// Puts the inputs of several requests behind one another, in memory that is reused from batch to batch.
#[derive(Default)]
pub(super) struct Gather {
    /// By slot. A buffer is free again when the engine has dropped its tensor.
    buffers: Vec<Arc<AlignedBytes>>,
}

impl Gather {
    /// The batch's inputs by slot, each in one aligned piece; those that are ragged have one dimension. A single request's
    /// input that is so already is not copied.
    pub(super) fn gather(&mut self, requests: &[Request], ragged: &Slots) -> Result<Inputs, BackendError> {
        let Some(first) = requests.first() else { return Ok(Inputs::new()) };
        let slots = first.inputs().len();
        self.buffers.resize_with(slots, Arc::default);
        (0..slots).map(|slot| self.gather_slot(slot, requests, ragged.contains(slot))).collect()
    }

    fn gather_slot(
        &mut self,
        slot: usize,
        requests: &[Request],
        is_ragged: bool,
    ) -> Result<Option<Tensor>, BackendError> {
        let mut tensors = requests.iter().map(|request| request.inputs().get(slot).and_then(Option::as_ref));
        let Some(Some(first)) = tensors.clone().next() else {
            return match tensors.all(|tensor| tensor.is_none()) {
                true => Ok(None),
                false => Err(mixed()),
            };
        };
        let (mut bytes, mut rows, mut elements) = (0, 0, 0);
        for tensor in tensors.clone() {
            let tensor = tensor.ok_or_else(mixed)?;
            bytes += tensor.data.len();
            rows += tensor.shape.first().copied().unwrap_or(1);
            elements += tensor.shape.elements().unwrap_or(0);
        }
        let shape = match requests {
            _ if is_ragged => Shape::new(&[elements as i64]),
            [_] => first.shape.clone(),
            _ => first.shape.with_first(rows),
        };
        let data = match requests {
            [_] if is_usable(first) => first.data.clone(),
            _ => Data::from(self.copy(slot, bytes, tensors.flatten())),
        };
        Ok(Some(Tensor { dtype: first.dtype, shape, data }))
    }

    fn copy<'a>(&mut self, slot: usize, bytes: usize, tensors: impl Iterator<Item = &'a Tensor>) -> Buffer {
        let mut kept = std::mem::take(&mut self.buffers[slot]);
        let reusable = Arc::get_mut(&mut kept).filter(|buffer| buffer.capacity() <= LARGEST_KEPT.max(bytes));
        let mut target = reusable.map(std::mem::take).unwrap_or_default();
        target.clear();
        if target.capacity() < bytes {
            target = AlignedBytes::with_capacity(bytes);
        }
        for buffer in tensors.flat_map(|tensor| tensor.data.buffers()) {
            target.extend_from_slice(buffer.host().unwrap_or_default());
        }
        let shared = Arc::new(target);
        if shared.capacity() <= LARGEST_KEPT {
            self.buffers[slot] = Arc::clone(&shared);
        }
        Buffer::from(shared)
    }
}

/// Whether an engine can take the tensor as it is: in one piece, and aligned like a gathered one. An engine may round
/// differently where its vector loops have to begin with an odd piece; answers must not depend on where in a message
/// the bytes lay.
fn is_usable(tensor: &Tensor) -> bool {
    let alignment = if tensor.dtype.size().is_some() { AlignedBytes::ALIGNMENT } else { 1 };
    tensor.data.contiguous().is_some_and(|bytes| bytes.as_ptr().addr().is_multiple_of(alignment))
}

fn mixed() -> BackendError {
    BackendError::internal("a batch mixes requests with and without an optional input")
}
