//! Many at once, and none of them staying.

use std::time::Duration;

use h2::Reason;
use tokio::net::TcpStream;

use super::support::{Client, request, settings, start, within};
use crate::net::Stopped;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_clients_that_come_and_go_leave_nothing_behind() {
    let (endpoint, _gate) = start(&settings());
    let addr = endpoint.local_addr();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..20 {
        clients.spawn(async move {
            for i in 0..100 {
                let stream = within(TcpStream::connect(addr)).await.unwrap();
                if (client + i) % 10 == 0 {
                    let client = Client::over(stream).await.unwrap();
                    assert!(client.echoes().await);
                }
            }
        });
    }
    within(clients.join_all()).await;
    let client = Client::connect(addr).await;
    assert!(client.echoes().await);
    drop(client);
    assert_eq!(within(endpoint.stop(Duration::from_secs(20))).await, Stopped::Drained);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_cancel_a_thousand_calls_at_once_and_go_on() {
    let (endpoint, gate) = start(&settings());
    let client = Client::connect(endpoint.local_addr()).await;
    let mut answers = Vec::new();
    for _ in 0..1000 {
        answers.push(client.send(request("/wait"), vec![]).await.unwrap());
    }
    gate.entered(1000).await;
    drop(answers);
    gate.empty().await;
    assert!(client.echoes().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_resets_on_one_connection_hurt_nobody_else() {
    let (endpoint, gate) = start(&settings());
    let client = Client::connect(endpoint.local_addr()).await;
    let mut error = None;
    for _ in 0..10_000 {
        let mut ready = match within(client.requests.clone().ready()).await {
            Ok(ready) => ready,
            Err(end) => {
                error = Some(end);
                break;
            }
        };
        match ready.send_request(request("/wait"), false) {
            Ok((_, mut stream)) => stream.send_reset(Reason::CANCEL),
            Err(end) => {
                error = Some(end);
                break;
            }
        }
    }
    match error {
        None => assert!(client.echoes().await),
        Some(error) => assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM), "{error}"),
    }
    assert!(Client::connect(endpoint.local_addr()).await.echoes().await);
    gate.empty().await;
}
