//! Whom a call comes from.

use std::net::SocketAddr;

use http::Request;
use hyper::service::Service;

/// The address that a call comes from: an extension of its request, where the service asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub SocketAddr);

/// Tells a service whom its calls come from, if that is known and asked for.
pub(super) struct Introduced<S> {
    inner: S,
    peer: Option<Peer>,
}

impl<S> Introduced<S> {
    pub(super) fn new(inner: S, peer: Option<Peer>) -> Self {
        Self { inner, peer }
    }
}

impl<S, B> Service<Request<B>> for Introduced<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<B>) -> Self::Future {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        self.inner.call(request)
    }
}
