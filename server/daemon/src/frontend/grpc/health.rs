use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nerite_backend::Code;
use tokio::time::interval;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::status;
use crate::serving::{Serving, Stage};

/// `grpc.health.v1.Health` of the server as a whole, which is what the empty service name and the inference service's
/// stand for.
pub(super) struct ServerHealth(pub(super) Arc<Serving>);

const SERVICES: [&str; 2] = ["", "inference.GRPCInferenceService"];

/// How often a watched server looks whether its models are still as they should be.
const LOOK: Duration = Duration::from_secs(1);

fn response(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for ServerHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if SERVICES.contains(&service.as_str()) {
            Ok(Response::new(response(self.0.is_ready())))
        } else {
            Err(status::status(Code::NotFound, format!("unknown service '{service}'")))
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        // The exit ends every stream, which would otherwise hold it up.
        let stages = WatchStream::new(self.0.watch()).take_while(|stage| *stage != Stage::Exiting);
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            // The protocol keeps the stream of an unknown service open: it may come to be.
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            let stream = tokio_stream::once(Ok(unknown)).chain(stages.filter_map(|_| None));
            return Ok(Response::new(Box::pin(stream)));
        }
        let (serving, mut told) = (Arc::clone(&self.0), None);
        // Beside each change of the stage, a look now and then: models change, too.
        let changes = stages.timeout_repeating(interval(LOOK)).filter_map(move |_| {
            let ready = serving.is_ready();
            (told.replace(ready) != Some(ready)).then(|| Ok(response(ready)))
        });
        Ok(Response::new(Box::pin(changes.chain(tokio_stream::once(Ok(response(false)))))))
    }
}
