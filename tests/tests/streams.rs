//! ModelStreamInfer through tonic's own client.

use std::time::Duration;

use nerite_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nerite_proto::inference::{ModelInferRequest, ModelStatisticsRequest};
use nerite_tests::daemon::Daemon;
use nerite_tests::models::{Repository, SLOW_WIDTH, double, slow};
use nerite_tests::requests::{answer, request};
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// So many requests for `double`, of as many numbers each as its own number says.
fn requests(count: usize) -> Vec<ModelInferRequest> {
    let numbered = |number: usize| ModelInferRequest {
        id: number.to_string(),
        ..request("double", &[number as i64, 4], &vec![number as f32; 4 * number])
    };
    (1..=count).map(numbered).collect()
}

#[tokio::test]
async fn a_stream_is_answered_in_order_plain_and_compressed() -> anyhow::Result<()> {
    let repository = Repository::empty()?.with("double", &double(&[-1, 4]), "max_batch_size: 1000")?;
    let daemon = Daemon::start_with(repository.path(), &["--grpc-infer-response-compression-level=low"])?;
    let client = GrpcInferenceServiceClient::new(daemon.connect().await?);
    let gzip = CompressionEncoding::Gzip;
    for mut client in [client.clone(), client.send_compressed(gzip).accept_compressed(gzip)] {
        let sent = tokio_stream::iter(requests(300));
        let mut answers = client.model_stream_infer(sent).await?.into_inner();
        for number in 1..=300 {
            let message = answers.message().await?.expect("there are as many answers as requests");
            assert_eq!(message.error_message, "");
            let response = message.infer_response.expect("no error, so a response");
            assert_eq!(response.id, number.to_string());
            let doubled = vec![2.0 * number as f32; 4 * number];
            assert_eq!(answer(&response)?, (vec![number as i64, 4], doubled));
        }
        assert!(answers.message().await?.is_none(), "it ends well when the client's side has ended");
    }
    Ok(())
}

/// How many requests for `slow` have failed.
async fn failures(client: &mut GrpcInferenceServiceClient<Channel>) -> anyhow::Result<u64> {
    let asked = ModelStatisticsRequest { name: "slow".to_owned(), ..Default::default() };
    let statistics = client.model_statistics(asked).await?.into_inner().model_stats;
    let stats = statistics.first().and_then(|one| one.inference_stats.as_ref());
    Ok(stats.and_then(|stats| stats.fail).map_or(0, |fail| fail.count))
}

#[tokio::test]
async fn the_deadline_of_a_stream_ends_it_and_all_its_requests() -> anyhow::Result<()> {
    // Some minutes of work.
    let repository = Repository::empty()?.with("slow", &slow(40_000_000), "")?;
    let daemon = Daemon::start(repository.path())?;
    let mut client = GrpcInferenceServiceClient::new(daemon.connect().await?);
    let row = request("slow", &[1, SLOW_WIDTH as i64], &[0.0; SLOW_WIDTH]);
    // One, since an execution for several is not ended by its callers.
    let mut stream = Request::new(tokio_stream::once(row));
    stream.set_timeout(Duration::from_millis(300));
    let mut answers = client.model_stream_infer(stream).await?.into_inner();
    let late = answers.message().await.unwrap_err();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&late.code()), "{late}");
    for _ in 0..1000 {
        if failures(&mut client).await? == 1 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("its request goes on")
}
