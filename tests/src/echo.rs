//! The floor for a server's cost: tonic as it comes, answering every ModelInfer with the same message.
//!
//! The service is what tonic generates for a contract of one method: it decodes the request and encodes the answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use nerite_proto::inference::{ModelInferRequest, ModelInferResponse};
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Server;
use tonic::{Status, body::Body};
use tonic_prost::ProstCodec;

const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// Serves at that address until the process ends.
pub async fn serve(address: SocketAddr, answer: ModelInferResponse) -> Result<(), tonic::transport::Error> {
    Server::builder().serve(address, Echo { answer: Arc::new(answer) }).await
}

#[derive(Clone)]
struct Echo {
    answer: Arc<ModelInferResponse>,
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            if request.uri().path() != MODEL_INFER {
                return Ok(Status::unimplemented("there is only ModelInfer here").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).unary(echo, request).await)
        })
    }
}

impl UnaryService<ModelInferRequest> for Echo {
    type Response = ModelInferResponse;
    type Future = BoxFuture<tonic::Response<Self::Response>, Status>;

    fn call(&mut self, _: tonic::Request<ModelInferRequest>) -> Self::Future {
        let answer = Arc::clone(&self.answer);
        Box::pin(async move { Ok(tonic::Response::new(ModelInferResponse::clone(&answer))) })
    }
}
