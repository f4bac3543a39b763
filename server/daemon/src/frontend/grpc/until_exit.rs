//! Requests that end when the server does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;

use super::status;
use crate::serving::{Serving, Stage};

pin_project! {
    /// A request's body that fails when the server exits: what has not come by then is not waited for.
    ///
    /// It would be refused if it came. And a caller that never ends its side, as of a stream, must not hold up the exit.
    pub(super) struct UntilExit<B> {
        #[pin]
        inner: B,
        serving: Arc<Serving>,
        // Made for those alone who have to wait, which small requests do not.
        exit: Option<Exit>,
    }
}

type Exit = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<B> UntilExit<B> {
    pub(super) fn new(inner: B, serving: &Arc<Serving>) -> Self {
        Self { inner, serving: Arc::clone(serving), exit: None }
    }
}

impl<B> Body for UntilExit<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| Status::from_error(error.into()))));
        }
        ready!(this.exit.get_or_insert_with(|| exit(this.serving)).as_mut().poll(cx));
        Poll::Ready(Some(Err(status::exiting())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn exit(serving: &Serving) -> Exit {
    let mut stages = serving.watch();
    Box::pin(async move {
        // An error says that the server is gone, which is an exit as well.
        let _ = stages.wait_for(|stage| *stage == Stage::Exiting).await;
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};
    use tokio_stream::StreamExt;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn what_has_come_is_read_and_what_has_not_fails_at_the_exit() {
        let serving = Arc::new(Serving::new("test".into(), Arc::default(), Arc::default()));
        let first = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"first")));
        let unfinished = StreamBody::new(tokio_stream::once(first).chain(tokio_stream::pending()));
        let mut body = UntilExit::new(unfinished, &serving);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        let rest = tokio::spawn(async move { body.frame().await });
        tokio::task::yield_now().await;
        assert!(!rest.is_finished());
        serving.enter(Stage::Exiting);
        let status = rest.await.unwrap().unwrap().unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "Server exiting"));
    }
}
