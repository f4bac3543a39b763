//! `grpc.health.v1.Health`: of the server, and of each model under its name.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nerite_backend::Code;
use nerite_core::registry::ModelEntry;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::status;
use crate::serving::Serving;

/// The health of the server as a whole, which is what the empty service name and the inference service's stand for, and
/// of models, which are the services of the other names.
pub(super) struct ServerHealth(pub(super) Arc<Serving>);

/// Models are directories, whose names have no more bytes than that.
const LONGEST_NAME: usize = 255;

const SERVICES: [&str; 2] = ["", "inference.GRPCInferenceService"];

/// How a service is now. A model serves when any of its versions does that can be counted on, whatever the server waits for
/// besides; a server that exits serves nothing.
fn status_of(serving: &Serving, service: &str) -> ServingStatus {
    let serves = |model: &ModelEntry| model.ready.values().any(|version| version.is_sound());
    let is_serving = match SERVICES.contains(&service) {
        true => serving.is_ready(),
        false => match serving.registry.entry(service) {
            Some(model) => serves(&model),
            None => return ServingStatus::ServiceUnknown,
        },
    };
    if is_serving && !serving.is_exiting() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// The name that is asked for. A stream keeps it for as long as it lasts, so it must not be as long as a client likes.
fn service_of(request: Request<HealthCheckRequest>) -> Result<String, Status> {
    let service = request.into_inner().service;
    if service.len() > LONGEST_NAME {
        let message = format!("the name of a service has at most {LONGEST_NAME} bytes");
        return Err(status::invalid(message));
    }
    Ok(service)
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for ServerHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = service_of(request)?;
        match status_of(&self.0, &service) {
            ServingStatus::ServiceUnknown => {
                Err(status::status(Code::NotFound, format!("unknown service '{service}'")))
            }
            status => Ok(Response::new(response(status))),
        }
    }

    type WatchStream = Watching;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watching>, Status> {
        Ok(Response::new(Watching::new(Arc::clone(&self.0), service_of(request)?)))
    }
}

/// Tells how a service is, and again whenever that has changed, until the server exits: the stream would otherwise hold up
/// the exit. What a client is too slow to hear of is left out.
pub(super) struct Watching {
    serving: Arc<Serving>,
    service: String,
    told: Option<ServingStatus>,
    /// Set when the server exits.
    is_over: bool,
    /// When to look: now, and whenever something has changed.
    looks: Pin<Box<dyn Stream<Item = ()> + Send>>,
}

impl Watching {
    fn new(serving: Arc<Serving>, service: String) -> Self {
        let stages = WatchStream::new(serving.watch()).map(drop);
        let looks = Box::pin(stages.merge(WatchStream::new(serving.registry.changes())));
        Self { serving, service, told: None, is_over: false, looks }
    }
}

impl Stream for Watching {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over {
            if ready!(self.looks.as_mut().poll_next(cx)).is_none() {
                break;
            }
            self.is_over = self.serving.is_exiting();
            let status = status_of(&self.serving, &self.service);
            if self.told.replace(status) != Some(status) {
                return Poll::Ready(Some(Ok(response(status))));
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::serving::Stage;

    fn serving() -> Arc<Serving> {
        Arc::new(Serving::new("test".into(), Arc::default(), Arc::default()))
    }

    /// What is told next: a status, the end, or nothing yet.
    fn next(watching: &mut Watching) -> Poll<Option<ServingStatus>> {
        let polled = Pin::new(watching).poll_next(&mut Context::from_waker(Waker::noop()));
        polled.map(|told| told.map(|told| told.unwrap().status()))
    }

    #[test]
    fn a_watched_server_tells_each_change_once_and_ends_when_it_exits() {
        let serving = serving();
        for service in SERVICES {
            assert_eq!(status_of(&serving, service), ServingStatus::NotServing);
        }
        let mut watching = Watching::new(Arc::clone(&serving), String::new());
        assert_eq!(next(&mut watching), Poll::Ready(Some(ServingStatus::NotServing)));
        assert_eq!(next(&mut watching), Poll::Pending);
        serving.enter(Stage::Running);
        assert_eq!(next(&mut watching), Poll::Ready(Some(ServingStatus::Serving)));
        assert_eq!(next(&mut watching), Poll::Pending);
        serving.enter(Stage::Exiting);
        assert_eq!(next(&mut watching), Poll::Ready(Some(ServingStatus::NotServing)));
        assert_eq!(next(&mut watching), Poll::Ready(None));
        assert_eq!(next(&mut watching), Poll::Ready(None));
    }

    #[tokio::test]
    async fn a_name_that_no_model_can_have_is_refused_and_not_kept() {
        let health = ServerHealth(serving());
        let request = |length| Request::new(HealthCheckRequest { service: "x".repeat(length) });
        assert!(health.watch(request(LONGEST_NAME)).await.is_ok());
        let refused = health.watch(request(LONGEST_NAME + 1)).await.err().map(|status| status.code());
        assert_eq!(refused, Some(tonic::Code::InvalidArgument));
    }

    #[test]
    fn the_exit_ends_the_stream_of_an_unknown_service_and_one_that_told_all_without_a_word() {
        let serving = serving();
        let mut unknown = Watching::new(Arc::clone(&serving), "nobody".to_owned());
        let mut told = Watching::new(Arc::clone(&serving), String::new());
        assert_eq!(next(&mut unknown), Poll::Ready(Some(ServingStatus::ServiceUnknown)));
        assert_eq!(next(&mut told), Poll::Ready(Some(ServingStatus::NotServing)));
        serving.enter(Stage::Exiting);
        assert_eq!(next(&mut unknown), Poll::Ready(None));
        assert_eq!(next(&mut told), Poll::Ready(None));
    }
}
