//! The receiver of traces, and what happens when it does not answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use super::super::batch_processor::{Exporter, Finished};
use super::super::clock::Clock;
use super::spans;
use crate::settings::Otlp;

/// How long an answer is waited for; the protocol's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long after each failure it is tried again. What fails once more is given up.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Sends traces to a receiver, a batch at a time. While it waits for an answer the queue fills, and then overflows.
pub(in super::super) struct OtlpExporter {
    resource: Resource,
    closing: watch::Receiver<bool>,
    connection: Option<(Runtime, TraceServiceClient<Channel>)>,
    /// Whether the last batch did not arrive.
    failing: bool,
}

impl OtlpExporter {
    pub(in super::super) fn new(settings: &Otlp, closing: watch::Receiver<bool>) -> OtlpExporter {
        let attributes = settings.resource.iter().map(|(key, value)| spans::text(key, value)).collect();
        let resource = Resource { attributes, ..Resource::default() };
        let connection = connect(&settings.url)
            .inspect_err(|error| tracing::error!("traces cannot be sent to {}: {error}", settings.url));
        OtlpExporter { resource, closing, connection: connection.ok(), failing: false }
    }
}

fn request(resource: &Resource, records: &[Finished]) -> ExportTraceServiceRequest {
    let clock = Clock::of_day();
    let spans: Vec<Span> = records.iter().flat_map(|record| spans::of(record, &clock)).collect();
    let scope = InstrumentationScope {
        name: "nerite".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource = Some(resource.clone());
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
    }
}

impl Exporter for OtlpExporter {
    fn take(&mut self, records: Vec<Finished>, dropped: &AtomicU64) {
        let OtlpExporter { resource, closing, connection, .. } = self;
        // Made anew for each attempt, since a copy would be needed for the first already.
        let request = || request(resource, &records);
        let sent = match connection {
            Some((runtime, client)) => runtime.block_on(send(client, request, closing)),
            None => Err(Status::unavailable("there is no connection")),
        };
        match sent {
            Ok(()) if self.failing => tracing::info!("traces arrive again at their receiver"),
            Ok(()) => {}
            Err(status) => {
                dropped.fetch_add(records.len() as u64, Relaxed);
                if !self.failing {
                    let (code, message) = (status.code(), status.message());
                    tracing::warn!(
                        "traces are dropped, as their receiver does not take them: {code:?}: {message}"
                    );
                }
                self.failing = true;
                return;
            }
        }
        self.failing = false;
    }
}

/// A connection that is made when it is first needed, and again when it is lost.
fn connect(url: &str) -> Result<(Runtime, TraceServiceClient<Channel>), Box<dyn std::error::Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(TIMEOUT).tcp_nodelay(true);
    if url.starts_with("https:") {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    let guard = runtime.enter();
    let client = TraceServiceClient::new(endpoint.connect_lazy());
    drop(guard);
    Ok((runtime, client))
}

/// Sends a batch, and again if that may help and there is time.
async fn send(
    client: &mut TraceServiceClient<Channel>,
    request: impl Fn() -> ExportTraceServiceRequest,
    closing: &mut watch::Receiver<bool>,
) -> Result<(), Status> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let answer = tokio::time::timeout(TIMEOUT, client.export(request())).await;
        let status = match answer {
            Ok(Ok(answer)) => {
                report(answer.into_inner().partial_success.unwrap_or_default());
                return Ok(());
            }
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer"),
        };
        let Some(pause) = pauses.next().filter(|_| may_be_repeated(status.code())) else {
            return Err(status);
        };
        let closed = tokio::time::timeout(pause, closing.wait_for(|closing| *closing)).await.is_ok();
        if closed {
            return Err(status);
        }
    }
}

fn report(partial: opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess) {
    if partial.rejected_spans > 0 {
        let (spans, why) = (partial.rejected_spans, partial.error_message);
        tracing::warn!("the receiver of traces refuses {spans} spans: {why}");
    }
}

/// What the protocol says of each code.
fn may_be_repeated(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}
