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
    for _ in 0..10_000 {
        let Ok(mut ready) = within(client.requests.clone().ready()).await else { break };
        let Ok((_, mut stream)) = ready.send_request(request("/wait"), false) else { break };
        stream.send_reset(Reason::CANCEL);
    }
    if !client.echoes().await {
        let end = within(client.end).await.unwrap().expect_err("it was told why");
        assert_eq!(end.reason(), Some(Reason::ENHANCE_YOUR_CALM), "{end}");
    }
    assert!(Client::connect(endpoint.local_addr()).await.echoes().await);
    gate.empty().await;
}
