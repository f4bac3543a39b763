//! The small endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{Gate, bind, refused, within};
use crate::net::http1::{Limits, serve_within};
use crate::net::{Endpoint, Stopped};

/// Answers with method and path, `/wait` once the gate is open.
fn start() -> (Endpoint, Gate) {
    start_within(Limits { connections: 256, first_head: Duration::from_secs(30) })
}

fn start_within(limits: Limits) -> (Endpoint, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let handler = move |request: http::Request<hyper::body::Incoming>| {
        let gate = held.clone();
        async move {
            if request.uri().path() == "/wait" {
                gate.pass().await;
            }
            Response::new(Full::from(format!("{} {}", request.method(), request.uri())))
        }
    };
    (serve_within(limits, bind(), handler).unwrap(), gate)
}

async fn send(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = within(TcpStream::connect(addr)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Everything that comes until the server hangs up.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another_and_head_has_no_body() {
    let (endpoint, _gate) = start();
    let requests = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = rest(send(endpoint.local_addr(), requests).await).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    assert_eq!(answer.matches("content-length: 6").count(), 3, "{answer}");
    assert!(answer.contains("GET /a") && answer.ends_with("GET /c"), "{answer}");
    assert!(!answer.contains(" /b"), "{answer}");
}

#[tokio::test]
async fn garbage_is_refused_and_others_are_served() {
    let (endpoint, _gate) = start();
    let answer = rest(send(endpoint.local_addr(), b"\x16\x03\x01 nonsense\r\n\r\n").await).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let long = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 100_000]].concat();
    let mut stream = within(TcpStream::connect(endpoint.local_addr())).await.unwrap();
    let _ = stream.write_all(&long).await;
    let _ = within(stream.read_to_end(&mut Vec::new())).await;
    let request = b"GET / HTTP/1.0\r\n\r\n";
    assert!(rest(send(endpoint.local_addr(), request).await).await.ends_with("GET /"));
}

#[tokio::test]
async fn beyond_the_limit_clients_wait_for_a_place_and_get_it() {
    let (endpoint, gate) = start();
    let request = b"GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(send(endpoint.local_addr(), request).await);
    }
    gate.entered(256).await;
    assert_eq!(gate.count(), 256);
    gate.open();
    for client in clients {
        assert!(rest(client).await.ends_with("GET /wait"));
    }
}

#[tokio::test]
async fn clients_that_ask_nothing_do_not_keep_the_places_from_those_who_ask() {
    let (endpoint, _gate) = start_within(Limits { connections: 8, first_head: Duration::from_millis(50) });
    let mut silent = Vec::new();
    for said in [&b""[..], b"GET / HT"].repeat(8) {
        silent.push(send(endpoint.local_addr(), said).await);
    }
    let request = b"GET / HTTP/1.0\r\n\r\n";
    assert!(rest(send(endpoint.local_addr(), request).await).await.ends_with("GET /"));
}

#[tokio::test]
async fn a_client_that_has_asked_may_ask_again_later() {
    let (endpoint, _gate) = start_within(Limits { connections: 8, first_head: Duration::from_millis(50) });
    let mut client = send(endpoint.local_addr(), b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.readable().await.unwrap();
    // Somebody who came later and asks nothing is given up meanwhile.
    let silent = send(endpoint.local_addr(), b"").await;
    assert_eq!(rest(silent).await, "");
    client.write_all(b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(client).await.ends_with("GET /b"));
}

#[tokio::test]
async fn a_drain_finishes_the_request_in_flight_and_closes_idle_connections() {
    let (endpoint, gate) = start();
    let addr = endpoint.local_addr();
    let idle = send(addr, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let busy = send(addr, b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    gate.entered(1).await;
    endpoint.drain();
    refused(addr).await;
    assert!(rest(idle).await.ends_with("GET /"));
    gate.open();
    assert!(rest(busy).await.ends_with("GET /wait"));
    assert_eq!(within(endpoint.stop(Duration::from_secs(20))).await, Stopped::Drained);
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_no_harm() {
    let (endpoint, _gate) = start();
    let mut request =
        b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n".to_vec();
    request.resize(request.len() + 200_000, b'x');
    let mut stream = within(TcpStream::connect(endpoint.local_addr())).await.unwrap();
    let _ = stream.write_all(&request).await;
    let _ = within(stream.read_to_end(&mut Vec::new())).await;
    let request = b"GET / HTTP/1.0\r\n\r\n";
    assert!(rest(send(endpoint.local_addr(), request).await).await.ends_with("GET /"));
}
