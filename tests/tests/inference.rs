//! Inference through tonic's own client.

use std::time::{Duration, Instant};

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use nerite_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nerite_tests::daemon::Daemon;
use nerite_tests::models::{Repository, SLOW_WIDTH, double, slow};
use nerite_tests::requests::{answer, request};
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};

const UNBATCHED: &str = r#"
    backend: "onnxruntime"
    input [ { name: "x" data_type: TYPE_FP32 dims: [ 2, 2 ] } ]
    output [ { name: "y" data_type: TYPE_FP32 dims: [ 2, 2 ] } ]
"#;

#[tokio::test]
async fn a_model_without_a_configuration_answers_a_first_request() -> anyhow::Result<()> {
    let repository = Repository::empty()?.with("double", &double(&[-1, 4]), "")?;
    let daemon = Daemon::start(repository.path())?;
    let mut client = GrpcInferenceServiceClient::new(daemon.connect().await?);
    let response = client.model_infer(request("double", &[1, 4], &[1.0, 2.0, 3.0, 4.0])).await?.into_inner();
    assert_eq!((response.model_name.as_str(), response.model_version.as_str()), ("double", "1"));
    assert_eq!(answer(&response)?, (vec![1, 4], vec![2.0, 4.0, 6.0, 8.0]));
    Ok(())
}

#[tokio::test]
async fn a_model_without_batching_takes_whole_tensors_only() -> anyhow::Result<()> {
    let repository = Repository::empty()?.with("double", &double(&[2, 2]), UNBATCHED)?;
    let daemon = Daemon::start(repository.path())?;
    let mut client = GrpcInferenceServiceClient::new(daemon.connect().await?);
    let response = client.model_infer(request("double", &[2, 2], &[1.0, 2.0, 3.0, 4.0])).await?.into_inner();
    assert_eq!(answer(&response)?, (vec![2, 2], vec![2.0, 4.0, 6.0, 8.0]));
    let refused = client.model_infer(request("double", &[1, 2, 2], &[0.0; 4])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("unexpected shape for input 'x' for model 'double'"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn compressed_requests_are_answered() -> anyhow::Result<()> {
    let repository = Repository::empty()?.with("double", &double(&[-1, 4]), "")?;
    let daemon = Daemon::start(repository.path())?;
    let channel = daemon.connect().await?;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = GrpcInferenceServiceClient::new(channel.clone())
            .send_compressed(encoding)
            .accept_compressed(encoding);
        let response = client.model_infer(request("double", &[4, 4], &[0.5; 16])).await?.into_inner();
        assert_eq!(answer(&response)?, (vec![4, 4], vec![1.0; 16]), "{encoding:?}");
    }
    Ok(())
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_accept_it_if_the_daemon_is_told_to() -> anyhow::Result<()> {
    let repository = Repository::empty()?.with("double", &double(&[-1, 4]), "max_batch_size: 100000")?;
    let daemon = Daemon::start_with(repository.path(), &["--grpc-infer-response-compression-level=low"])?;
    let channel = daemon.connect().await?;
    // The larger one is compressed away from the network's threads.
    for rows in [1, 100_000] {
        let (sent, received) = (vec![0.5; 4 * rows], vec![1.0; 4 * rows]);
        for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
            let client = GrpcInferenceServiceClient::new(channel.clone());
            let mut client = match encoding {
                Some(encoding) => client.send_compressed(encoding).accept_compressed(encoding),
                None => client,
            };
            let response = client.model_infer(request("double", &[rows as i64, 4], &sent)).await?;
            let named = response.metadata().get("grpc-encoding").map(|name| name.to_str());
            assert_eq!(named.transpose()?.map(str::to_owned), encoding.map(|encoding| encoding.to_string()));
            assert_eq!(answer(response.get_ref())?, (vec![rows as i64, 4], received.clone()), "{encoding:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn rows_that_travel_together_are_not_mixed_up() -> anyhow::Result<()> {
    let repository = Repository::empty()?.with("double", &double(&[-1, 4]), "")?;
    let daemon = Daemon::start(repository.path())?;
    let client = GrpcInferenceServiceClient::new(daemon.connect().await?);
    let calls: Vec<_> = (0..400_u16)
        .map(|number| {
            let mut client = client.clone();
            let x = f32::from(number);
            tokio::spawn(async move { client.model_infer(request("double", &[1, 4], &[x; 4])).await })
        })
        .collect();
    for (number, call) in (0..400_u16).zip(calls) {
        let response = call.await??.into_inner();
        assert_eq!(answer(&response)?, (vec![1, 4], vec![2.0 * f32::from(number); 4]));
    }
    Ok(())
}

#[tokio::test]
async fn a_deadline_that_passes_is_deadline_exceeded_at_once() -> anyhow::Result<()> {
    // Some ten seconds of work.
    let repository = Repository::empty()?.with("slow", &slow(4_000_000), "")?;
    let daemon = Daemon::start(repository.path())?;
    // tonic's own channel would give up by itself at the deadline and hide what the daemon says.
    let patient = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    let mut client = GrpcInferenceServiceClient::with_origin(patient, daemon.uri()?);
    let mut late = Request::new(request("slow", &[1, SLOW_WIDTH as i64], &[1.0; SLOW_WIDTH]));
    late.set_timeout(Duration::from_millis(100));
    let begun = Instant::now();
    let status = client.model_infer(late).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(begun.elapsed() > Duration::from_millis(90), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    Ok(())
}
