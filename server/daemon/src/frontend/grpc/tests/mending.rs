//! What is told of a model none of whose instances can execute.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt;
use nerite_core::registry::PublicState;
use nerite_proto::inference::{
    ModelReadyRequest, ModelReadyResponse, RepositoryIndexRequest, RepositoryIndexResponse,
};
use prost::Message;

use super::calls::{INFER, answer, framed, request, send};
use super::held::Held;
use crate::frontend::metrics::Format;
use crate::frontend::model_states::states;
use crate::serving::Stage;

/// Longer than anything here takes on the slowest machine.
const LIMIT: Duration = Duration::from_secs(20);

async fn ask<A: Message + Default>(held: &Held, method: &str, request: &impl Message) -> A {
    let call = Request::post(format!("/inference.GRPCInferenceService/{method}"));
    let answer = answer(send(held, call, &framed(&request.encode_to_vec()), true)).await;
    let message = answer.into_body().collect().await.unwrap().to_bytes();
    A::decode(&message[5..]).unwrap()
}

async fn is_ready(held: &Held) -> bool {
    let request = ModelReadyRequest { name: "held".to_owned(), ..Default::default() };
    ask::<ModelReadyResponse>(held, "ModelReady", &request).await.ready
}

fn metric(held: &Held, name: &str) -> String {
    let text = String::from_utf8(held.serving.metrics.render(&held.serving, Format::Text)).unwrap();
    let series = format!("{name}{{model=\"held\",version=\"1\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).expect("the metric is there").to_owned()
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < LIMIT, "it never came to be so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_model_without_an_instance_is_not_ready_which_the_index_and_the_metrics_say() {
    let mut held = Held::new(0, 0);
    held.serving.enter(Stage::Running);
    assert!(is_ready(&held).await && held.serving.is_ready());
    held.is_broken.store(true, Ordering::SeqCst);
    let call = send(&held, Request::post(INFER), &request("held", 1), true);
    let call = tokio::spawn(answer(call));
    drop(held.batches.recv().await);
    assert_eq!(call.await.unwrap().headers()["grpc-status"], "13");
    until("not ready", async || !is_ready(&held).await).await;
    assert!(!held.serving.is_ready());
    until("told why", async || {
        let index: RepositoryIndexResponse =
            ask(&held, "RepositoryIndex", &RepositoryIndexRequest::default()).await;
        let model = index.models.into_iter().find(|model| model.name == "held").unwrap();
        assert_eq!(model.state, "UNAVAILABLE");
        let told = [
            "no instance can execute, 'held_0' not for ",
            ": the device is gone; ",
            "To load the model again",
        ];
        told.iter().all(|part| model.reason.contains(part))
    })
    .await;
    assert_eq!(
        (metric(&held, "nerite_instances_mending"), metric(&held, "nerite_instances")),
        ("1".into(), "1".into())
    );
    assert_eq!(metric(&held, "nerite_instance_restarts_total"), "0");
    held.is_broken.store(false, Ordering::SeqCst);
    until("ready again", async || is_ready(&held).await).await;
    assert!(held.serving.is_ready());
    let entry = held.serving.registry.entry("held").unwrap();
    assert!(states(&entry).iter().all(|(_, status)| status.state == PublicState::Ready));
    assert_eq!(metric(&held, "nerite_instances_mending"), "0");
    assert_eq!(metric(&held, "nerite_instance_restarts_total"), "1");
}
