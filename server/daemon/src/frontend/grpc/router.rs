use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use nerite_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::health_server::HealthServer;
use tower_service::Service;

use super::health::ServerHealth;
use super::infer::{self, Terms};
use super::service::InferenceService;
use super::until_exit::UntilExit;
use super::whole::Whole;
use super::{reflection, status};
use crate::serving::Serving;

/// The largest message of an inference in either direction, and of any other answer, in bytes; as in Triton.
const LARGEST_MESSAGE: usize = i32::MAX as usize;

/// The largest message of any other call, in bytes; gRPC's default. They name things.
const LARGEST_QUESTION: usize = 4 << 20;

const ENCODINGS: [CompressionEncoding; 3] =
    [CompressionEncoding::Gzip, CompressionEncoding::Deflate, CompressionEncoding::Zstd];

/// Every gRPC service of the daemon, by the path of a call.
#[derive(Clone)]
pub struct Services {
    serving: Arc<Serving>,
    terms: Terms,
    inference: GrpcInferenceServiceServer<InferenceService>,
    health: HealthServer<ServerHealth>,
}

/// A call's answer to come.
pub(super) type Answered = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Services {
    /// The services over what is served. `compress`: answers to callers that accept it are compressed.
    pub fn new(serving: &Arc<Serving>, compress: bool) -> Services {
        let mut inference = GrpcInferenceServiceServer::new(InferenceService(Arc::clone(serving)))
            .max_decoding_message_size(LARGEST_QUESTION)
            .max_encoding_message_size(LARGEST_MESSAGE);
        for encoding in ENCODINGS {
            inference = inference.accept_compressed(encoding);
            if compress {
                inference = inference.send_compressed(encoding);
            }
        }
        let health = HealthServer::new(ServerHealth(Arc::clone(serving)));
        let terms = Terms { limit: LARGEST_MESSAGE, compress };
        Services { serving: Arc::clone(serving), terms, inference, health }
    }
}

impl Service<Request<Incoming>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Answered {
        let request = request.map(|body| UntilExit::new(body, &self.serving));
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        if path == "inference.GRPCInferenceService/ModelInfer" {
            let (serving, terms) = (Arc::clone(&self.serving), self.terms);
            return Box::pin(async move { Ok(infer::call(&serving, request, terms).await) });
        }
        let service = path.split_once('/').map(|(service, _)| service.to_owned());
        let request = request.map(|body| Whole::new(body, LARGEST_QUESTION));
        match service.as_deref() {
            Some("inference.GRPCInferenceService") => self.inference.call(request),
            Some("grpc.health.v1.Health") => self.health.call(request),
            Some("grpc.reflection.v1.ServerReflection") => (reflection::handlers().v1)(request),
            Some("grpc.reflection.v1alpha.ServerReflection") => (reflection::handlers().v1alpha)(request),
            _ => {
                let path = request.uri().path().trim_start_matches('/');
                let status = status::unsupported(format!("unknown service or method '{path}'"));
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}
