//! The way back from a batch's outputs to its requests, without a copy.

use std::ops::Range;

use crate::{BackendError, Buffer, Data, Outputs, Tensor, strings};

/// The outputs of each request, in order, where `rows` are the requests' rows. A slice keeps the whole batch's output
/// alive.
pub(super) fn share_out(outputs: &Outputs, rows: &[usize]) -> Result<Vec<Outputs>, BackendError> {
    check_rows(outputs, rows.iter().sum())?;
    let mut shares: Vec<Outputs> = rows.iter().map(|_| Outputs::with_capacity(outputs.len())).collect();
    for output in outputs {
        let Some(tensor) = output else {
            shares.iter_mut().for_each(|share| share.push(None));
            continue;
        };
        let buffer = tensor.data.clone().into_bytes();
        let ranges = row_ranges(tensor, &buffer, rows)?;
        for ((share, range), &rows) in shares.iter_mut().zip(ranges).zip(rows) {
            let data = Data::from(Buffer::from(buffer.slice(range)));
            let shape = tensor.shape.with_first(rows as i64);
            share.push(Some(Tensor { dtype: tensor.dtype, shape, data }));
        }
    }
    Ok(shares)
}

/// Fails if an output's first extent is not the number of rows.
pub(super) fn check_rows(outputs: &Outputs, rows: usize) -> Result<(), BackendError> {
    for tensor in outputs.iter().flatten() {
        if tensor.shape.first().is_none_or(|&first| first != rows as i64) {
            return Err(BackendError::internal(format!(
                "the model gave an output of shape {} for a batch of {rows}: its first dimension is not the batch; \
                 set max_batch_size to 0 in the model's configuration",
                tensor.shape
            )));
        }
    }
    Ok(())
}

/// Where each request's rows lie in an output's bytes.
fn row_ranges(tensor: &Tensor, bytes: &[u8], rows: &[usize]) -> Result<Vec<Range<usize>>, BackendError> {
    let wrong = || BackendError::internal("the model gave an output whose size does not fit its shape");
    let elements = tensor.shape.elements().ok_or_else(wrong)?;
    let per_row = elements.checked_div(rows.iter().sum()).unwrap_or(0);
    let mut strings = strings::elements(bytes);
    let mut start = 0;
    let mut ranges = Vec::with_capacity(rows.len());
    for &rows in rows {
        let end = match tensor.dtype.size() {
            Some(size) => start + rows * per_row * size,
            None => {
                for _ in 0..rows * per_row {
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
