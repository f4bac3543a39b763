use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nerite_backend::{DType, Inputs, Meta, Shape, Slots, Tensor};

use crate::admission::{Admitted, QueueTerms};

const LIMIT: Duration = Duration::from_secs(20);

/// A request of so many rows for a model with one input of one byte per row.
pub(crate) fn request(id: &str, rows: u32) -> Admitted {
    of_shapes(id, rows, &[Some(&[i64::from(rows), 1])])
}

/// A request of bytes in these shapes, by slot; `None` for an input that is left out.
pub(crate) fn of_shapes(id: &str, rows: u32, shapes: &[Option<&[i64]>]) -> Admitted {
    let tensor = |shape: &&[i64]| {
        let shape = Shape::new(shape);
        let bytes = vec![7; shape.elements().expect("the test gives a real shape")];
        Tensor::new(DType::U8, shape, Bytes::from(bytes))
    };
    let inputs: Inputs = shapes.iter().map(|shape| shape.as_ref().map(tensor)).collect();
    let wanted = Slots::all(inputs.len());
    Admitted {
        inputs,
        wanted,
        rows,
        meta: Meta { id: id.to_owned(), ..Meta::default() },
        terms: QueueTerms::default(),
    }
}

/// Looks at a future once.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Waits as a caller does, woken when it is time.
#[track_caller]
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.expect("it comes to an end") })
}

/// Yields until it is so.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "it never came to be so");
        thread::yield_now();
    }
}
