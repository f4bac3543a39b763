//! The way back from a batch's outputs to its requests, without a copy.

use std::ops::Range;
use std::slice;

use smallvec::SmallVec;

use crate::{BackendError, Buffer, Data, Outputs, Ragged, Request, Shape, Slot, Tensor, ragged, strings};

type Shapes = SmallVec<[Shape; 8]>;

/// The outputs of each request, in order. A slice keeps the whole batch's output alive.
pub(super) fn share_out(
    outputs: &Outputs,
    requests: &[Request],
    ragged: &Ragged,
) -> Result<Vec<Outputs>, BackendError> {
    check_rows(outputs, requests, ragged)?;
    let mut shares: Vec<Outputs> = requests.iter().map(|_| Outputs::with_capacity(outputs.len())).collect();
    for (slot, output) in outputs.iter().enumerate() {
        let Some(tensor) = output else {
            shares.iter_mut().for_each(|share| share.push(None));
            continue;
        };
        let buffer = tensor.data.clone().into_bytes();
        let shapes = shapes(slot, tensor, requests, ragged)?;
        let ranges = ranges(tensor, &buffer, &shapes)?;
        for ((share, range), shape) in shares.iter_mut().zip(ranges).zip(shapes) {
            let data = Data::from(Buffer::from(buffer.slice(range)));
            share.push(Some(Tensor { dtype: tensor.dtype, shape, data }));
        }
    }
    Ok(shares)
}

/// Makes the outputs those of a request that was alone.
pub(super) fn give_all(
    outputs: &mut Outputs,
    request: &Request,
    ragged: &Ragged,
) -> Result<(), BackendError> {
    let request = slice::from_ref(request);
    check_rows(outputs, request, ragged)?;
    for batch_output in &ragged.batch_outputs {
        if let Some(Some(tensor)) = outputs.get_mut(batch_output.target)
            && let Some(shape) = shapes(batch_output.target, tensor, request, ragged)?.pop()
        {
            tensor.shape = shape;
        }
    }
    Ok(())
}

/// Fails if the first extent of an output that is shared out by rows is not their number.
fn check_rows(outputs: &Outputs, requests: &[Request], ragged: &Ragged) -> Result<(), BackendError> {
    let rows: i64 = requests.iter().map(|request| i64::from(request.rows())).sum();
    let by_rows = outputs.iter().enumerate().filter(|(slot, _)| ragged.batch_output(*slot).is_none());
    for tensor in by_rows.filter_map(|(_, output)| output.as_ref()) {
        if tensor.shape.first().is_none_or(|&first| first != rows) {
            let remedy = match ragged.is_empty() {
                true => "set max_batch_size to 0 in the model's configuration",
                false => {
                    "name it in a batch_output if an input's shape says how it is cut up, and send one row a request if \
                     the model counts requests by its batch_input"
                }
            };
            return Err(BackendError::internal(format!(
                "the model gave an output of shape {} for a batch of {rows}: its first dimension is not the batch; \
                 {remedy}",
                tensor.shape
            )));
        }
    }
    Ok(())
}

/// The shapes of the requests' parts of an output.
fn shapes(
    slot: Slot,
    tensor: &Tensor,
    requests: &[Request],
    ragged: &Ragged,
) -> Result<Shapes, BackendError> {
    match ragged.batch_output(slot) {
        Some(output) => output.shapes(&tensor.shape, &ragged::shapes(requests, output.source)?),
        None => Ok(requests.iter().map(|request| tensor.shape.with_first(request.rows().into())).collect()),
    }
}

/// Where tensors of these shapes lie, one behind the other, in an output's bytes.
fn ranges(tensor: &Tensor, bytes: &[u8], shapes: &Shapes) -> Result<Vec<Range<usize>>, BackendError> {
    let wrong = || BackendError::internal("the model gave an output whose size does not fit its shape");
    let mut strings = strings::elements(bytes);
    let mut start = 0;
    let mut ranges = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let elements = shape.elements().ok_or_else(wrong)?;
        let end = match tensor.dtype.size() {
            Some(size) => {
                elements.checked_mul(size).and_then(|size| size.checked_add(start)).ok_or_else(wrong)?
            }
            None => {
                for _ in 0..elements {
                    strings.next().ok_or_else(wrong)?.map_err(|_| wrong())?;
                }
                bytes.len() - strings.rest().len()
            }
        };
        if end > bytes.len() {
            return Err(wrong());
        }
        ranges.push(start..end);
        start = end;
    }
    if start == bytes.len() { Ok(ranges) } else { Err(wrong()) }
}
