//! Traces of requests, as an OpenTelemetry receiver gets them.

use std::time::{Duration, Instant};

use nerite_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nerite_proto::inference::{ModelInferRequest, TraceSettingRequest, trace_setting_request::SettingValue};
use nerite_tests::daemon::Daemon;
use nerite_tests::metrics;
use nerite_tests::models::{Repository, SLOW_WIDTH, double, slow};
use nerite_tests::otlp::{Manner, Receiver, Trace};
use nerite_tests::requests::request;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::transport::Channel;
use tonic::{Code, Request};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";

type Client = GrpcInferenceServiceClient<Channel>;

/// A daemon that sends its traces to the receiver, and a client of it.
async fn start(
    repository: &Repository,
    receiver: &Receiver,
    settings: &[&str],
) -> anyhow::Result<(Daemon, Client)> {
    let mut flags = receiver.flags();
    flags.extend(settings.iter().map(|setting| format!("--trace-config={setting}")));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let daemon = Daemon::start_with(repository.path(), &flags)?;
    let client = GrpcInferenceServiceClient::new(daemon.connect().await?);
    Ok((daemon, client))
}

fn doubling() -> anyhow::Result<Repository> {
    Repository::empty()?.with("double", &double(&[-1, 4]), "")
}

fn row(id: &str) -> ModelInferRequest {
    ModelInferRequest { id: id.to_owned(), ..request("double", &[1, 4], &[1.0; 4]) }
}

/// The request as part of a trace that its caller samples or does not.
fn part_of_a_trace(message: ModelInferRequest, sampled: bool) -> anyhow::Result<Request<ModelInferRequest>> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE_ID}-{PARENT_ID}-0{}", u8::from(sampled));
    request.metadata_mut().insert("traceparent", parent.parse()?);
    request.metadata_mut().insert("tracestate", "vendor=opaque".parse()?);
    Ok(request)
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn assert_within(inner: &Span, outer: &Span) {
    let times = |span: &Span| (span.start_time_unix_nano, span.end_time_unix_nano);
    let ((start, end), (first, last)) = (times(inner), times(outer));
    assert!(first <= start && start <= end && end <= last, "{} is not within {}", inner.name, outer.name);
}

#[tokio::test]
async fn a_trace_of_a_client_arrives_whole() -> anyhow::Result<()> {
    let receiver = Receiver::start(Manner::Keeps).await?;
    let (repository, resource) = (doubling()?, "opentelemetry,resource=deployment.environment=test");
    let (daemon, mut client) = start(&repository, &receiver, &["rate=0", resource]).await?;
    client.model_infer(row("not traced")).await?;
    client.model_infer(part_of_a_trace(row("not traced"), false)?).await?;
    client.model_infer(part_of_a_trace(row("mine"), true)?).await?;
    let traces = receiver.requests(1).await?;
    let [trace] = &traces[..] else { anyhow::bail!("{} requests were traced", traces.len()) };

    let root = &trace.request;
    assert_eq!(hex(&root.trace_id), TRACE_ID);
    assert_eq!(hex(&root.parent_span_id), PARENT_ID);
    assert_eq!(root.trace_state, "vendor=opaque");
    let attributes = Trace::attributes(root);
    for (key, value) in [
        ("triton.model_name", "double"),
        ("triton.model_version", "1"),
        ("triton.request_id", "mine"),
        ("rpc.method", "ModelInfer"),
        ("rpc.grpc.status_code", "0"),
    ] {
        assert_eq!(attributes.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(trace.parts.len(), 5, "{:?}", trace.parts.keys());
    let in_order = ["decode", "queue", "batch", "encode"];
    for name in in_order {
        assert_within(trace.part(name)?, root);
        assert_eq!(trace.part(name)?.parent_span_id, root.span_id, "{name}");
    }
    for pair in in_order.windows(2) {
        let [before, after] = [trace.part(pair[0])?, trace.part(pair[1])?];
        assert!(before.end_time_unix_nano <= after.start_time_unix_nano, "{pair:?}");
    }
    assert_within(trace.part("compute")?, trace.part("batch")?);
    assert_eq!(trace.part("compute")?.parent_span_id, trace.part("batch")?.span_id);
    assert!(trace.part("batch")?.links.is_empty());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64;
    assert!(now - root.end_time_unix_nano < 60_000_000_000, "the time of the day is another");
    let resource = receiver.resource();
    assert_eq!(resource["service.name"], "triton-inference-server");
    assert_eq!(resource["deployment.environment"], "test");
    let text = daemon.metrics()?;
    assert_eq!(metrics::values(&text, "nerite_traces_total"), [1.0]);
    assert_eq!(metrics::values(&text, "nerite_traces_dropped_total"), [0.0]);
    Ok(())
}

#[tokio::test]
async fn requests_of_a_batch_are_linked_to_each_other() -> anyhow::Result<()> {
    let receiver = Receiver::start(Manner::Keeps).await?;
    let config = "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 5000000 preferred_batch_size: [ 3 ] }";
    let repository = Repository::empty()?.with("slow", &slow(1), config)?;
    let (_daemon, client) = start(&repository, &receiver, &["rate=1"]).await?;
    let row = request("slow", &[1, SLOW_WIDTH as i64], &[1.0; SLOW_WIDTH]);
    let calls: Vec<_> = [true, false, true]
        .into_iter()
        .map(|sampled| {
            let (mut client, row) = (client.clone(), row.clone());
            // Its caller does not want the second to be traced.
            tokio::spawn(async move { anyhow::Ok(client.model_infer(part_of_a_trace(row, sampled)?).await?) })
        })
        .collect();
    for call in calls {
        call.await??;
    }
    let traces = receiver.requests(2).await?;
    let [one, other] = &traces[..] else { anyhow::bail!("{} requests were traced", traces.len()) };
    for (one, other) in [(one, other), (other, one)] {
        let batch = one.part("batch")?;
        let [link] = &batch.links[..] else { anyhow::bail!("{} links", batch.links.len()) };
        assert_eq!((&link.trace_id, &link.span_id), (&other.request.trace_id, &other.request.span_id));
        let attributes = Trace::attributes(batch);
        assert_eq!((&*attributes["nerite.batch.requests"], &*attributes["nerite.batch.rows"]), ("3", "3"));
    }
    Ok(())
}

#[tokio::test]
async fn one_request_in_so_many_is_traced_and_so_many_in_all() -> anyhow::Result<()> {
    let receiver = Receiver::start(Manner::Keeps).await?;
    let repository = doubling()?.with("other", &double(&[-1, 4]), "")?;
    let (mut daemon, mut client) = start(&repository, &receiver, &["rate=10", "count=7"]).await?;
    // A model with a rate of its own.
    let setting = |value: &str| SettingValue { value: vec![value.to_owned()] };
    let settings = [("trace_rate".to_owned(), setting("25")), ("trace_count".to_owned(), setting("-1"))];
    let own = TraceSettingRequest { settings: settings.into(), model_name: "other".to_owned() };
    client.trace_setting(own).await?;
    for _ in 0..50 {
        client.model_infer(row("")).await?;
        client.model_infer(ModelInferRequest { model_name: "other".to_owned(), ..row("") }).await?;
    }
    for _ in 0..50 {
        client.model_infer(row("")).await?;
    }
    // All that there is arrives before the exit.
    daemon.terminate()?;
    assert_eq!(daemon.wait_exit().await?.code(), Some(0), "{}", daemon.log());
    let traces = receiver.requests(9).await?;
    let of = |model: &str| {
        traces.iter().filter(|trace| Trace::attributes(&trace.request)["triton.model_name"] == model).count()
    };
    assert_eq!((of("double"), of("other")), (7, 2));
    let mut ids: Vec<_> = traces.iter().map(|trace| &trace.request.trace_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 9, "each request is a trace of its own");
    Ok(())
}

#[tokio::test]
async fn requests_that_fail_are_traced_with_their_status() -> anyhow::Result<()> {
    let receiver = Receiver::start(Manner::Keeps).await?;
    let repository = doubling()?.with("slow", &slow(4_000_000), "")?;
    let (_daemon, mut client) = start(&repository, &receiver, &["rate=1"]).await?;
    let unknown = ModelInferRequest { model_name: "unknown".to_owned(), ..row("") };
    assert_eq!(client.model_infer(unknown).await.unwrap_err().code(), Code::NotFound);
    let wrong = request("double", &[1, 3], &[1.0; 3]);
    assert_eq!(client.model_infer(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    let mut late = Request::new(request("slow", &[1, SLOW_WIDTH as i64], &[1.0; SLOW_WIDTH]));
    late.set_timeout(Duration::from_millis(100));
    assert!(client.model_infer(late).await.is_err());
    let mut codes: Vec<_> = Vec::new();
    for trace in receiver.requests(3).await? {
        assert!(trace.parts.contains_key("decode") && !trace.parts.contains_key("encode"));
        let code = Trace::attributes(&trace.request)["rpc.grpc.status_code"].clone();
        // Only what the server could not do is an error of the server's.
        let expected = if code == "4" { StatusCode::Error } else { StatusCode::Unset };
        assert_eq!(trace.request.status.as_ref().map(|status| status.code), Some(expected.into()));
        codes.push(code);
    }
    codes.sort();
    assert_eq!(codes, ["3", "4", "5"], "invalid argument, deadline exceeded, not found");
    Ok(())
}

/// Sends many requests while nobody takes traces, and ends the daemon.
async fn without_a_receiver(receiver: &Receiver, settings: &[&str]) -> anyhow::Result<()> {
    let repository = doubling()?;
    let queue =
        ["rate=1", "opentelemetry,bsp_max_queue_size=60", "opentelemetry,bsp_max_export_batch_size=12"];
    let (mut daemon, mut client) = start(&repository, receiver, &[&queue, settings].concat()).await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..500 {
        let begun = Instant::now();
        client.model_infer(row("")).await?;
        slowest = slowest.max(begun.elapsed());
    }
    // A second is ample for a busy machine, and much less than anything here waits for.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let text = daemon.metrics()?;
    assert_eq!(metrics::values(&text, "nerite_traces_total"), [500.0]);
    let dropped = metrics::values(&text, "nerite_traces_dropped_total");
    assert!(dropped[0] >= 480.0, "{dropped:?}");
    daemon.terminate()?;
    let begun = Instant::now();
    assert_eq!(daemon.wait_exit().await?.code(), Some(0), "{}", daemon.log());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_hangs_slows_no_request_and_does_not_hold_up_the_exit() -> anyhow::Result<()> {
    let receiver = Receiver::start(Manner::Hangs).await?;
    without_a_receiver(&receiver, &[]).await
}

#[tokio::test]
async fn a_receiver_that_is_away_slows_no_request_and_does_not_hold_up_the_exit() -> anyhow::Result<()> {
    let receiver = Receiver::start(Manner::Keeps).await?;
    // Nobody listens on the discard port.
    without_a_receiver(&receiver, &["opentelemetry,url=http://127.0.0.1:9"]).await
}

#[tokio::test]
async fn a_daemon_that_does_not_trace_has_no_thread_for_it() -> anyhow::Result<()> {
    let receiver = Receiver::start(Manner::Keeps).await?;
    let repository = doubling()?;
    let (daemon, mut client) = start(&repository, &receiver, &["rate=0"]).await?;
    client.model_infer(row("")).await?;
    assert!(!daemon.threads()?.contains(&"nerite-trace".to_owned()));
    client.model_infer(part_of_a_trace(row(""), true)?).await?;
    receiver.requests(1).await?;
    assert!(daemon.threads()?.contains(&"nerite-trace".to_owned()));
    Ok(())
}
