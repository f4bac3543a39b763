use std::convert::Infallible;
use std::error::Error;
use std::future::{self, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use nerite_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::health_server::HealthServer;
use tower_service::Service;

use super::health::ServerHealth;
use super::infer::{self, CallOptions};
use super::metered::Metered;
use super::observed::Observed;
use super::service::InferenceService;
use super::until_exit::UntilExit;
use super::whole::Whole;
use super::{reflection, status, stream};
use crate::serving::Serving;

/// The largest message of an inference in either direction, and of any other answer, in bytes; as in Triton.
const LARGEST_MESSAGE: usize = i32::MAX as usize;

/// The largest message of any other call, in bytes; gRPC's default. They name things.
const LARGEST_QUESTION: usize = 4 << 20;
const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const MODEL_STREAM_INFER: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

const ENCODINGS: [CompressionEncoding; 3] =
    [CompressionEncoding::Gzip, CompressionEncoding::Deflate, CompressionEncoding::Zstd];

/// Every gRPC service of the daemon, by the path of a call.
#[derive(Clone)]
pub(crate) struct Services {
    serving: Arc<Serving>,
    options: CallOptions,
    inference: GrpcInferenceServiceServer<InferenceService>,
    health: HealthServer<ServerHealth>,
}

/// A call's answer to come.
pub(super) type Answered = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Services {
    /// The services over what is served. `compress`: answers to callers that accept it are compressed.
    pub(crate) fn new(serving: &Arc<Serving>, compress: bool) -> Services {
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
        let options = CallOptions { limit: LARGEST_MESSAGE, compress };
        Services { serving: Arc::clone(serving), options, inference, health }
    }
}

impl<B> Service<Request<B>> for Services
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Takes a share of what may be in flight, which the call has until its answer has been taken or its future is dropped.
    fn call(&mut self, request: Request<B>) -> Answered {
        let mut request = request.map(|body| UntilExit::new(body, &self.serving));
        let inflight = &self.serving.inflight;
        if request.uri().path() == MODEL_INFER {
            let observed = Observed::new(&self.serving, &mut request);
            let share = match inflight.request() {
                Ok(share) => share,
                Err(full) => {
                    let status = status::of_full(&full);
                    observed.ended(|| Some(status.clone()));
                    return answered(status);
                }
            };
            let (serving, options) = (Arc::clone(&self.serving), self.options);
            return Box::pin(
                async move { Ok(infer::call(&serving, request, share, options, observed).await) },
            );
        }
        if request.uri().path() == MODEL_STREAM_INFER {
            // Each of its messages is a request, and takes its own share.
            return Box::pin(future::ready(Ok(stream::call(&self.serving, request, self.options))));
        }
        // The body of such a call is gone when its message has been read.
        let share = Arc::new(inflight.call());
        let metered = |body| Whole::new(Metered::new(body, Arc::clone(&share)), LARGEST_QUESTION);
        let answer = self.route(request.map(metered));
        Box::pin(async move {
            let answer = answer.await;
            drop(share);
            answer
        })
    }
}

impl Services {
    /// Hands a call to the service that its path names.
    fn route<B>(&mut self, request: Request<B>) -> Answered
    where
        B: HttpBody<Data = Bytes, Error = Status> + Send + 'static,
    {
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        match path.split_once('/').map(|(service, _)| service) {
            Some("inference.GRPCInferenceService") => self.inference.call(request),
            Some("grpc.health.v1.Health") => self.health.call(request),
            Some("grpc.reflection.v1.ServerReflection") => {
                (reflection::handlers().v1)(request.map(Body::new))
            }
            Some("grpc.reflection.v1alpha.ServerReflection") => {
                (reflection::handlers().v1alpha)(request.map(Body::new))
            }
            _ => answered(status::unsupported(format!("unknown service or method '{path}'"))),
        }
    }
}

fn answered(status: Status) -> Answered {
    Box::pin(future::ready(Ok(status.into_http())))
}
