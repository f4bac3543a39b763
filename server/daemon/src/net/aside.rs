//! A future beside a busy one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use pin_project_lite::pin_project;

pin_project! {
    /// Polls the future within only after that future itself was woken.
    ///
    /// A connection's task wakes several times a request. What it waits for besides, an order or a timer,
    /// sits behind locks that all connections share, and must not be asked every time.
    pub(super) struct Aside<F> {
        #[pin]
        inner: F,
        bell: Option<Arc<Bell>>,
    }
}

struct Bell {
    rung: AtomicBool,
    /// The task to wake, which is the one that polled last.
    task: Mutex<Waker>,
}

impl<F> Aside<F> {
    pub(super) fn new(inner: F) -> Self {
        Self { inner, bell: None }
    }
}

impl<F: Future> Future for Aside<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let bell = match this.bell {
            Some(bell) => {
                // Before the look at the bell: who rings it after that look wakes this task.
                bell.task.lock().clone_from(cx.waker());
                bell
            }
            None => {
                let task = Mutex::new(cx.waker().clone());
                this.bell.insert(Arc::new(Bell { rung: AtomicBool::new(true), task }))
            }
        };
        // Silenced before the poll, so that a wake during it is not lost.
        if !bell.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(bell));
        this.inner.poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.lock().wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_stands_aside_is_polled_when_it_was_woken_and_not_otherwise() {
        let (tx, rx) = oneshot::channel();
        // In a task of its own, as connections are: its waker is the same at every poll.
        let task = tokio::spawn(async move {
            let polls = AtomicUsize::new(0);
            let mut rx = pin!(rx);
            let counted = poll_fn(|cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                rx.as_mut().poll(cx)
            });
            let mut aside = pin!(Aside::new(counted));
            for _ in 0..100 {
                assert!(poll_fn(|cx| Poll::Ready(aside.as_mut().poll(cx).is_pending())).await);
            }
            assert_eq!(polls.load(Ordering::Relaxed), 1);
            tx.send(7).unwrap();
            assert_eq!(aside.await, Ok(7));
            polls.load(Ordering::Relaxed)
        });
        assert_eq!(task.await.unwrap(), 2);
    }
}
