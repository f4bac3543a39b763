//! Calls over HTTP/2.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::support::{Client, bind, read, request, settings, start, within};
use crate::net::accept::{Beyond, Places, accept};
use crate::net::endpoint::Endpoint;

#[tokio::test]
async fn calls_come_back_small_and_large_and_many_at_a_time() {
    let (endpoint, _gate) = start(&settings());
    let client = Client::connect(endpoint.local_addr()).await;
    assert!(client.echoes().await);
    let large: Vec<u8> = (0..20 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(client.call("/echo", large.clone()).await.unwrap().data == large);
    let mut answers = Vec::new();
    for i in 0..500 {
        let data = format!("call {i}").into_bytes();
        answers.push((data.clone(), client.send(request("/echo"), data).await.unwrap()));
    }
    for (data, answer) in answers {
        assert_eq!(read(answer).await.unwrap().data, data);
    }
}

#[tokio::test]
async fn accepted_sockets_do_not_wait_for_more_to_send() {
    let bound = bind();
    let (endpoint, orders) = Endpoint::new(bound.local_addr());
    let (seen, mut nodelay) = mpsc::unbounded_channel();
    let look = move |stream: TcpStream, _| {
        seen.send(stream.nodelay().unwrap()).unwrap();
        std::future::ready(())
    };
    let places = Places { limit: 4, beyond: Beyond::Waits };
    tokio::spawn(accept(bound.into_socket().unwrap(), places, orders, look));
    let _client = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    assert_eq!(within(nodelay.recv()).await, Some(true));
}

#[tokio::test]
async fn clients_that_say_nothing_do_not_stand_in_the_way_of_others() {
    let (endpoint, _gate) = start(&settings());
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(endpoint.local_addr()).await.unwrap());
    }
    assert!(Client::connect(endpoint.local_addr()).await.echoes().await);
}

#[tokio::test]
async fn garbage_ends_its_own_connection_and_no_other() {
    let (endpoint, _gate) = start(&settings());
    let client = Client::connect(endpoint.local_addr()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let long = [b"GET / HTTP/1.1\r\n".as_slice(), &[b'x'; 100_000]].concat();
    let broken: [&[u8]; 6] = [
        b"\0",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &long,
        &[preface.as_slice(), &[0xff; 64]].concat(),
        // A frame of more than the largest size, and then headers before the settings.
        &[preface.as_slice(), &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat(),
        &[preface.as_slice(), &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x82]].concat(),
    ];
    for bytes in broken {
        let mut stream = TcpStream::connect(endpoint.local_addr()).await.unwrap();
        // The server may hang up before it has read everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _ = within(stream.read_to_end(&mut Vec::new())).await;
    }
    assert!(client.echoes().await);
    assert!(Client::connect(endpoint.local_addr()).await.echoes().await);
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_and_the_connection_lives_on() {
    let (endpoint, _gate) = start(&settings());
    let client = Client::connect(endpoint.local_addr()).await;
    let with = |size: usize| {
        let mut request = request("/echo");
        request.headers_mut().insert("x-large", vec![b'x'; size].try_into().unwrap());
        request
    };
    let fits = client.send(with(48 << 10), vec![]).await.unwrap();
    assert_eq!(read(fits).await.unwrap().status(), Some("0"));
    let answer = within(client.send(with(80 << 10), vec![]).await.unwrap()).await;
    assert!(answer.map_or(true, |answer| answer.status() == 431));
    assert!(client.echoes().await);
}

#[tokio::test]
async fn a_connection_past_its_age_is_told_to_go_and_its_calls_are_finished() {
    let mut settings = settings();
    settings.max_connection_age = Some(Duration::from_millis(200));
    let (endpoint, gate) = start(&settings);
    let client = Client::connect(endpoint.local_addr()).await;
    let answer = client.send(request("/wait"), b"late".to_vec()).await.unwrap();
    gate.entered(1).await;
    within(async {
        while client.requests.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.open();
    assert_eq!(read(answer).await.unwrap().data, b"late");
    within(client.end).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_past_its_age_and_grace_is_cut() {
    let mut settings = settings();
    settings.max_connection_age = Some(Duration::from_millis(50));
    settings.max_connection_age_grace = Some(Duration::from_millis(1));
    let (endpoint, gate) = start(&settings);
    let client = Client::connect(endpoint.local_addr()).await;
    let answer = client.send(request("/wait"), vec![]).await.unwrap();
    assert!(within(answer).await.is_err());
    gate.empty().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_let_go() {
    let mut settings = settings();
    settings.keepalive_time = Duration::from_millis(1);
    settings.keepalive_timeout = Duration::from_millis(1);
    let (endpoint, _gate) = start(&settings);
    let mut dead = TcpStream::connect(endpoint.local_addr()).await.unwrap();
    dead.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // Its end is either of the two ways in which a connection is closed.
    let _ = within(dead.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn the_longest_times_that_can_be_set_are_served() {
    let mut settings = settings();
    let longest = Duration::from_millis(u64::MAX);
    (settings.keepalive_time, settings.keepalive_timeout) = (longest, longest);
    (settings.max_connection_age, settings.max_connection_age_grace) = (Some(longest), Some(longest));
    let (endpoint, _gate) = start(&settings);
    assert!(Client::connect(endpoint.local_addr()).await.echoes().await);
}
