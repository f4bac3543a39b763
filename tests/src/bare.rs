//! Floors for a server's cost: tonic as it comes, around as little as can be.
//!
//! The service is what tonic generates for a contract of one method: it decodes the request and encodes the answer.

pub mod echo;
pub mod run;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use nerite_proto::inference::{ModelInferRequest, ModelInferResponse};
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Server;
use tonic::{Status, body::Body};
use tonic_prost::ProstCodec;

const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// What answers a request, there and then.
pub trait Infer: Clone + Send + Sync + 'static {
    /// The answer.
    fn infer(&self, request: &ModelInferRequest) -> Result<ModelInferResponse, Status>;
}

/// Serves ModelInfer at that address until the process ends.
pub async fn serve(address: SocketAddr, infer: impl Infer) -> Result<(), tonic::transport::Error> {
    Server::builder().serve(address, Bare { infer }).await
}

#[derive(Clone)]
struct Bare<I> {
    infer: I,
}

impl<I: Infer> Service<Request<Body>> for Bare<I> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let bare = self.clone();
        Box::pin(async move {
            if request.uri().path() != MODEL_INFER {
                return Ok(Status::unimplemented("there is only ModelInfer here").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).unary(bare, request).await)
        })
    }
}

impl<I: Infer> UnaryService<ModelInferRequest> for Bare<I> {
    type Response = ModelInferResponse;
    type Future = BoxFuture<tonic::Response<Self::Response>, Status>;

    fn call(&mut self, request: tonic::Request<ModelInferRequest>) -> Self::Future {
        let bare = self.clone();
        Box::pin(async move { bare.infer.infer(request.get_ref()).map(tonic::Response::new) })
    }
}
