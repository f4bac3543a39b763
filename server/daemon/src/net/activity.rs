//! What goes on at a connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;

/// How often a connection that was told to go is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How many looks without a call end a connection even though something is still written.
const PATIENCE: usize = 5;
/// So many bytes written between two looks are more than pings and updates of windows: an answer is on its way.
const ANSWERING: usize = 1024;

/// What a connection's layers have seen. Clones share it; connections do not.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<Seen>);

#[derive(Default)]
struct Seen {
    spoke: AtomicBool,
    written: AtomicUsize,
    calls: AtomicUsize,
}

impl Activity {
    /// The peer has said enough to be taken for a client.
    pub(super) fn peer_spoke(&self) {
        self.0.spoke.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub(super) fn has_peer_spoken(&self) -> bool {
        self.0.spoke.load(Ordering::Relaxed)
    }

    /// So many bytes were written to the peer.
    pub(super) fn wrote(&self, bytes: usize) {
        self.0.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many calls are open: not answered, or with an answer that was not taken up yet.
    pub(super) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Returns when there was no call for a while. An answer that was taken up may still have to be written, so that a
    /// peer which takes what is written gets somewhat longer.
    pub(super) async fn quiet(&self) {
        let mut looks = 0;
        let mut written = self.0.written.load(Ordering::Relaxed);
        loop {
            looks = if self.calls() == 0 { looks + 1 } else { 0 };
            tokio::time::sleep(LOOK).await;
            let before = std::mem::replace(&mut written, self.0.written.load(Ordering::Relaxed));
            let wrote = written.wrapping_sub(before);
            if looks > 0 && self.calls() == 0 && wrote < ANSWERING && (wrote == 0 || looks >= PATIENCE) {
                return;
            }
        }
    }

    fn call(&self) -> Call {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        Call(self.clone())
    }
}

/// A call that is open.
struct Call(Activity);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the calls of a service.
pub(super) struct Counted<S> {
    inner: S,
    activity: Activity,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, activity: Activity) -> Self {
        Self { inner, activity }
    }
}

impl<S, R, B> Service<Request<R>> for Counted<S>
where
    S: Service<Request<R>, Response = Response<B>>,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = CountedFuture<S::Future>;

    fn call(&self, request: Request<R>) -> Self::Future {
        CountedFuture { inner: self.inner.call(request), call: Some(self.activity.call()) }
    }
}

pin_project! {
    /// A call before its answer.
    pub(super) struct CountedFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F, B, E> Future for CountedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CountedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        let call = this.call.take();
        Poll::Ready(answer.map(|answer| answer.map(|inner| CountedBody { inner, _call: call })))
    }
}

pin_project! {
    /// The body of an answer, whose call is open until the body is dropped.
    pub(super) struct CountedBody<B> {
        #[pin]
        inner: B,
        _call: Option<Call>,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// How many looks it takes to find it quiet while `goes_on` is done once a look.
    async fn looks(activity: Activity, goes_on: impl Fn(&Activity, u64)) -> u64 {
        let start = Instant::now();
        let watched = activity.clone();
        let quiet = tokio::spawn(async move {
            watched.quiet().await;
            start.elapsed().as_secs()
        });
        for look in 0.. {
            tokio::time::sleep(LOOK / 2).await;
            goes_on(&activity, look);
            tokio::time::sleep(LOOK / 2).await;
            if quiet.is_finished() {
                break;
            }
        }
        quiet.await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_a_look_after_its_last_call_and_its_last_writing() {
        assert_eq!(looks(Activity::default(), |_, _| {}).await, 1);
        let first_only = |activity: &Activity, look| activity.wrote(usize::from(look == 0));
        assert_eq!(looks(Activity::default(), first_only).await, 2);
        let always = |activity: &Activity, _| activity.wrote(1);
        assert_eq!(looks(Activity::default(), always).await, PATIENCE as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_call_is_not_quiet_however_long_it_takes() {
        let activity = Activity::default();
        let call = parking_lot::Mutex::new(Some(activity.call()));
        let ends = |_: &Activity, look| drop((look == 99).then(|| call.lock().take()));
        assert_eq!(looks(activity.clone(), ends).await, 101);
        assert_eq!(activity.calls(), 0);
    }
}
