use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::thread;

use tokio::sync::{Semaphore, oneshot};
use tonic::Status;

/// As many pieces of work are done at a time as there are processors: more would take longer each and hold more memory.
static PLACES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(thread::available_parallelism().map_or(1, NonZeroUsize::get)));

/// Whoever waits for the result, as the work sees them.
pub(super) struct Caller<'a>(Box<dyn Fn() -> bool + 'a>);

impl Caller<'_> {
    /// One who does the work themselves.
    pub(super) fn here() -> Caller<'static> {
        Caller(Box::new(|| false))
    }

    /// Whether nobody waits any longer.
    pub(super) fn is_gone(&self) -> bool {
        (self.0)()
    }
}

/// Does the work on a thread that nobody else needs. Work that nobody waits for any longer is not begun.
pub(super) async fn offload<T: Send + 'static>(
    work: impl FnOnce(&Caller<'_>) -> T + Send + 'static,
) -> Result<T, Status> {
    let place = PLACES.acquire().await.expect("the semaphore is never closed");
    let (result, received) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let done = work(&Caller(Box::new(|| result.is_closed())));
        // Who waited may have gone.
        let _ = result.send(done);
    });
    received.await.map_err(|_| Status::internal("the work on a compressed message failed"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_notices_that_nobody_waits_for_it() {
        let (begun, noticed) = (mpsc::channel(), mpsc::channel());
        let work = offload(move |caller| {
            begun.0.send(caller.is_gone()).unwrap();
            while !caller.is_gone() {
                thread::yield_now();
            }
            noticed.0.send(()).unwrap();
        });
        let waiting = tokio::spawn(work);
        assert!(!tokio::task::spawn_blocking(move || begun.1.recv().unwrap()).await.unwrap());
        waiting.abort();
        tokio::task::spawn_blocking(move || noticed.1.recv().unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let status = offload(|_| assert!(PLACES.is_closed(), "this is the test's")).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal);
    }
}
