//! Clients that expire, go away and break off.

use std::time::{Duration, Instant};

use nerite_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nerite_tests::daemon::Daemon;
use nerite_tests::load::bodies::frame;
use nerite_tests::load::storm::Storm;
use nerite_tests::metrics;
use nerite_tests::models::{Repository, SLOW_WIDTH, slow};
use nerite_tests::requests::{answer, request};

const REQUESTS: usize = 5_000;

/// What counts the requests that the daemon has in hand.
const GAUGES: [&str; 3] =
    ["nv_inference_pending_request_count", "nerite_inflight_requests", "nerite_inflight_bytes"];

/// How long the daemon may take to notice that everybody has gone. It takes no time; this ends a test that fails.
const LIMIT: Duration = Duration::from_secs(30);

/// The gauges of those that are not zero.
fn left(daemon: &Daemon) -> anyhow::Result<Vec<String>> {
    let text = daemon.metrics()?;
    let mut left = Vec::new();
    for gauge in GAUGES {
        let values = metrics::values(&text, gauge);
        anyhow::ensure!(!values.is_empty(), "there is no {gauge}");
        if values.iter().any(|&value| value != 0.0) {
            left.push(format!("{gauge} is not 0"));
        }
    }
    Ok(left)
}

#[tokio::test]
async fn after_a_storm_of_clients_that_go_away_nothing_is_left_of_them() -> anyhow::Result<()> {
    // Some 2 ms each, with and without batching.
    let model = slow(800);
    let repository = Repository::empty()?
        .with("batching", &model, "max_batch_size: 4 dynamic_batching { }")?
        .with("single", &model, "max_batch_size: 1 dynamic_batching { }")?;
    let mut daemon = Daemon::start(repository.path())?;
    let x = [1.5; SLOW_WIDTH];
    let requests = ["batching", "single"].map(|model| request(model, &[1, SLOW_WIDTH as i64], &x));
    let bodies = requests.iter().map(frame).collect();
    let port = daemon.grpc_port();
    let storm = Storm { port, seed: 7, clients: 4, requests: REQUESTS, bodies };
    let tally = storm.run().await?;
    assert_eq!((tally.total(), tally.unanswered, tally.failed), (REQUESTS, 0, 0), "{tally}");
    assert!(tally.expired > 0 && tally.abandoned > 0 && tally.broken > 0, "no storm: {tally}");

    let deadline = Instant::now() + LIMIT;
    while let left = left(&daemon)?
        && !left.is_empty()
    {
        anyhow::ensure!(Instant::now() < deadline, "{left:?}\n{}", daemon.metrics()?);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut client = GrpcInferenceServiceClient::new(daemon.connect().await?);
    for request in requests {
        let response = client.model_infer(request).await?.into_inner();
        assert_eq!(answer(&response)?.1, x);
    }
    daemon.terminate()?;
    assert_eq!(daemon.wait_exit().await?.code(), Some(0), "{}", daemon.log());
    Ok(())
}
