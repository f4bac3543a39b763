//! The end of an endpoint.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{Client, read, refused, request, settings, start, within};
use crate::net::Stopped;
use crate::net::endpoint::Endpoint;

#[tokio::test]
async fn a_drain_waits_for_calls_in_flight_and_takes_no_new_connection() {
    let (endpoint, gate) = start(&settings());
    let (busy, idle) =
        (Client::connect(endpoint.local_addr()).await, Client::connect(endpoint.local_addr()).await);
    assert!(idle.echoes().await);
    let answer = busy.send(request("/wait"), b"in flight".to_vec()).await.unwrap();
    gate.entered(1).await;

    endpoint.drain();
    refused(endpoint.local_addr()).await;
    within(idle.end).await.unwrap().unwrap();
    assert!(tokio::time::timeout(Duration::ZERO, endpoint.drained()).await.is_err());

    gate.open();
    assert_eq!(read(answer).await.unwrap().data, b"in flight");
    within(endpoint.drained()).await;
    within(busy.end).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_has_not_ended_at_the_limit_is_cut_and_its_handlers_are_dropped() {
    let (endpoint, gate) = start(&settings());
    let client = Client::connect(endpoint.local_addr()).await;
    let waiting = client.send(request("/wait"), vec![]).await.unwrap();
    let streaming = client.send(request("/stream"), vec![]).await.unwrap();
    gate.entered(2).await;
    assert_eq!(within(endpoint.stop(Duration::ZERO)).await, Stopped::Cut);
    gate.empty().await;
    assert!(read(waiting).await.is_err());
    assert!(read(streaming).await.is_err());
    refused(endpoint.local_addr()).await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_even_end_when_it_is_cut_holds_up_a_stop_for_a_second_only() {
    let (endpoint, deaf) = Endpoint::new(([127, 0, 0, 1], 0).into());
    let start = tokio::time::Instant::now();
    assert_eq!(endpoint.stop(Duration::from_secs(5)).await, Stopped::Cut);
    assert_eq!(start.elapsed().as_secs(), 6);
    drop(deaf);
}

#[tokio::test]
async fn clients_that_have_said_nothing_do_not_hold_up_a_drain() {
    let (endpoint, _gate) = start(&settings());
    let _silent = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    let client = Client::connect(endpoint.local_addr()).await;
    assert!(client.echoes().await);
    assert_eq!(within(endpoint.stop(Duration::from_secs(9))).await, Stopped::Drained);
}

/// What every client sends at once, from one that then says nothing more, not even that it has heard.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn clients_that_have_nothing_in_flight_and_never_go_do_not_hold_up_a_drain() {
    let (endpoint, _gate) = start(&settings());
    let mut mute = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    mute.write_all(GREETING).await.unwrap();
    // Once it has heard the server's greeting, it counts as a client.
    within(mute.read_u8()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(within(endpoint.stop(Duration::from_secs(25))).await, Stopped::Drained);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_is_cut_with_nothing_in_flight_has_lost_nothing() {
    let (endpoint, _gate) = start(&settings());
    let mut mute = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    mute.write_all(GREETING).await.unwrap();
    within(mute.read_u8()).await.unwrap();
    assert_eq!(within(endpoint.stop(Duration::ZERO)).await, Stopped::Drained);
}

#[tokio::test]
async fn dropping_the_handle_ends_everything() {
    let (endpoint, gate) = start(&settings());
    let addr = endpoint.local_addr();
    let client = Client::connect(addr).await;
    let answer = client.send(request("/wait"), vec![]).await.unwrap();
    gate.entered(1).await;
    drop(endpoint);
    assert!(read(answer).await.is_err());
    gate.empty().await;
    refused(addr).await;
}
