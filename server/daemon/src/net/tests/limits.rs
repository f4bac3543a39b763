//! More than there may be.

use std::num::{NonZeroU32, NonZeroUsize};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::support::{Client, limits, read, request, settings, start_within, within};
use crate::settings::Limits;

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed_at_once_and_the_others_go_on() {
    let limits = Limits { connections: NonZeroUsize::new(2).unwrap(), ..limits() };
    let (endpoint, _gate) = start_within(&settings(), &limits);
    let addr = endpoint.local_addr();
    let (one, two) = (Client::connect(addr).await, Client::connect(addr).await);
    assert!(one.echoes().await && two.echoes().await);

    for _ in 0..10 {
        let mut beyond = within(TcpStream::connect(addr)).await.unwrap();
        assert!(!matches!(within(beyond.read(&mut [0; 64])).await, Ok(1..)), "the server spoke to it");
    }
    assert!(one.echoes().await && two.echoes().await);

    // Its place is free once the server has noticed.
    drop(one);
    let served = async {
        loop {
            let stream = TcpStream::connect(addr).await.unwrap();
            if let Ok(client) = Client::over(stream).await
                && client.echoes().await
            {
                break;
            }
        }
    };
    within(served).await;
    assert!(two.echoes().await);
}

#[tokio::test]
async fn a_call_beyond_the_limit_of_its_connection_waits_until_one_has_ended() {
    let limits = Limits { streams_per_connection: NonZeroU32::new(3).unwrap(), ..limits() };
    let (endpoint, gate) = start_within(&settings(), &limits);
    let client = Client::connect(endpoint.local_addr()).await;
    assert!(client.echoes().await);
    assert_eq!(client.requests.current_max_send_streams(), 3);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(client.send(request("/wait"), vec![]).await.unwrap());
    }
    gate.entered(3).await;

    let other = Client::connect(endpoint.local_addr()).await;
    assert!(other.echoes().await, "the limit is each connection's own");
    let fourth = tokio::spawn(async move { client.call("/wait", vec![]).await });
    assert!(other.echoes().await);
    assert_eq!(gate.count(), 3);

    gate.open();
    for answer in waiting {
        assert_eq!(read(answer).await.unwrap().status(), Some("0"));
    }
    assert_eq!(within(fourth).await.unwrap().unwrap().status(), Some("0"));
}
