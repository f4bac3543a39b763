//! SIGTERM, as a Rust client sees it.

use std::time::{Duration, Instant};

use nerite_proto::inference::ServerReadyRequest;
use nerite_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nerite_tests::daemon::Daemon;
use nerite_tests::models::{Repository, SLOW_WIDTH, slow};
use nerite_tests::requests::{answer, request};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

/// The first refusal after the signal, which takes its time to arrive.
async fn exiting(client: &mut GrpcInferenceServiceClient<Channel>) -> anyhow::Result<Status> {
    for _ in 0..500 {
        if let Err(refused) = client.server_ready(ServerReadyRequest {}).await {
            return Ok(refused);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    anyhow::bail!("the daemon goes on being ready")
}

#[tokio::test]
async fn a_request_in_flight_is_answered_after_sigterm_and_the_exit_status_is_zero() -> anyhow::Result<()> {
    // About a second of work.
    let repository = Repository::empty()?.with("slow", &slow(400_000), "")?;
    let mut daemon = Daemon::start(repository.path())?;
    let mut client = GrpcInferenceServiceClient::new(daemon.connect().await?);
    let x: Vec<f32> = (0..SLOW_WIDTH as u16).map(f32::from).collect();
    let row = request("slow", &[1, SLOW_WIDTH as i64], &x);
    let mut second = client.clone();
    let in_flight = tokio::spawn(async move { second.model_infer(row).await });
    // Nothing tells a client that its request is being executed; this is ample for it to arrive.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!in_flight.is_finished(), "too fast for this test to say anything");

    daemon.terminate()?;
    let refused = exiting(&mut client).await?;
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "Server exiting"));
    assert!(!in_flight.is_finished(), "the daemon noticed the signal too late for this test to say anything");
    let response = in_flight.await??.into_inner();
    assert_eq!(answer(&response)?.1, x);
    assert_eq!(daemon.wait_exit().await?.code(), Some(0), "{}", daemon.log());
    Ok(())
}

#[tokio::test]
async fn who_watches_the_health_is_told_of_the_exit_and_does_not_hold_it_up() -> anyhow::Result<()> {
    let repository = Repository::empty()?;
    let mut daemon = Daemon::start(repository.path())?;
    let mut health = HealthClient::new(daemon.connect().await?);
    let mut watch = health.watch(HealthCheckRequest::default()).await?.into_inner();
    assert_eq!(watch.message().await?.map(|message| message.status()), Some(ServingStatus::Serving));
    daemon.terminate()?;
    let next = tokio::time::timeout(Duration::from_secs(5), watch.message()).await??;
    assert_eq!(next.map(|message| message.status()), Some(ServingStatus::NotServing));
    let begun = Instant::now();
    assert_eq!(daemon.wait_exit().await?.code(), Some(0), "{}", daemon.log());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // Not before here: the watch was open all the while.
    drop(watch);
    Ok(())
}

#[tokio::test]
async fn streams_that_nobody_ends_do_not_hold_up_the_exit() -> anyhow::Result<()> {
    let repository = Repository::empty()?;
    let mut daemon = Daemon::start(repository.path())?;
    let channel = daemon.connect().await?;
    let mut health = HealthClient::new(channel.clone());
    let unknown = HealthCheckRequest { service: "unknown".to_owned() };
    let mut watch = health.watch(unknown).await?.into_inner();
    assert_eq!(watch.message().await?.map(|message| message.status()), Some(ServingStatus::ServiceUnknown));
    let mut reflection = ServerReflectionClient::new(channel);
    let questions = tokio_stream::pending::<ServerReflectionRequest>();
    let mut answers = reflection.server_reflection_info(questions).await?.into_inner();
    daemon.terminate()?;
    let begun = Instant::now();
    assert!(watch.message().await?.is_none());
    assert!(answers.message().await.is_ok_and(|answer| answer.is_none()));
    assert_eq!(daemon.wait_exit().await?.code(), Some(0), "{}", daemon.log());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    Ok(())
}
