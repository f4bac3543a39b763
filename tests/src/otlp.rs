//! A receiver of OpenTelemetry's traces, on the protocol's own generated service.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status};

const LIMIT: Duration = Duration::from_secs(20);

/// A receiver on a port of its own. It lives as long as the test's runtime.
#[derive(Clone)]
pub struct Receiver {
    port: u16,
    manner: Manner,
    received: Arc<Mutex<Received>>,
}

/// What a receiver does with what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It keeps all of it.
    Keeps,
    /// It takes and forgets it.
    Forgets,
    /// It keeps whoever sends something waiting for ever.
    Hangs,
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    resource: HashMap<String, String>,
}

impl Receiver {
    /// A new one.
    pub async fn start(manner: Manner) -> anyhow::Result<Receiver> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let receiver = Receiver { port, manner, received: Arc::default() };
        let service = TraceServiceServer::new(receiver.clone()).max_decoding_message_size(64 << 20);
        let connections = connections(listener);
        tokio::spawn(tonic::transport::Server::builder().serve_with_incoming(service, connections));
        Ok(receiver)
    }

    /// The port of the loopback interface on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The flags that send traces to it, and at once.
    pub fn flags(&self) -> Vec<String> {
        let url = format!("opentelemetry,url=http://127.0.0.1:{}", self.port);
        let settings =
            ["mode=opentelemetry", "level=TIMESTAMPS", "opentelemetry,bsp_schedule_delay=20", &url];
        settings.map(|setting| format!("--trace-config={setting}")).into()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).spans.clone()
    }

    /// What the spans are of.
    pub fn resource(&self) -> HashMap<String, String> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).resource.clone()
    }

    /// The spans, once there are so many requests among them.
    pub async fn requests(&self, count: usize) -> anyhow::Result<Vec<Trace>> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let traces = Trace::all(&self.spans())?;
            if traces.len() >= count {
                return Ok(traces);
            }
            ensure!(Instant::now() < deadline, "{} requests came, not {count}", traces.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn connections(listener: TcpListener) -> impl tokio_stream::Stream<Item = io::Result<tokio::net::TcpStream>> {
    tokio_stream::iter(std::iter::repeat(Arc::new(listener))).then(|listener| async move {
        let (stream, _) = listener.accept().await?;
        Ok(stream)
    })
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        match self.manner {
            Manner::Keeps => {}
            Manner::Forgets => return Ok(Response::new(ExportTraceServiceResponse::default())),
            Manner::Hangs => std::future::pending().await,
        }
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        for group in request.into_inner().resource_spans {
            received.resource = texts(group.resource.unwrap_or_default().attributes);
            received.spans.extend(group.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The spans of one request.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The one around all others.
    pub request: Span,
    /// The others by name.
    pub parts: HashMap<String, Span>,
}

impl Trace {
    fn all(spans: &[Span]) -> anyhow::Result<Vec<Trace>> {
        let mut traces = Vec::new();
        for request in spans.iter().filter(|span| span.name == "InferRequest") {
            let mut parts = HashMap::new();
            let mut parents = vec![request.span_id.clone()];
            while let Some(parent) = parents.pop() {
                for span in spans.iter().filter(|span| {
                    span.trace_id == request.trace_id
                        && span.parent_span_id == parent
                        && span.span_id != parent
                }) {
                    parents.push(span.span_id.clone());
                    let before = parts.insert(span.name.clone(), span.clone());
                    ensure!(before.is_none(), "two spans '{}' of one request", span.name);
                }
            }
            traces.push(Trace { request: request.clone(), parts });
        }
        Ok(traces)
    }

    /// A part of it, by name.
    pub fn part(&self, name: &str) -> anyhow::Result<&Span> {
        self.parts.get(name).with_context(|| format!("there is no span '{name}'"))
    }

    /// The attributes of a span as text.
    pub fn attributes(span: &Span) -> HashMap<String, String> {
        texts(span.attributes.clone())
    }
}

fn texts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().filter_map(|pair| Some((pair.key, text(pair.value?.value?)))).collect()
}
