//! Taking a port.

use std::net::{SocketAddr, TcpStream};

use super::support::{listener, loopback};
use crate::net::Bound;
use crate::net::bound::BindError;
use crate::settings::Listener;

fn refusal(listener: &Listener) -> BindError {
    Bound::bind(listener, "grpc").expect_err("this cannot be listened on")
}

#[test]
fn a_free_port_is_chosen_and_clients_can_connect_at_once() {
    for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
        let bound = Bound::bind(&listener(host, 0), "grpc").unwrap();
        assert_ne!(bound.local_addr().port(), 0);
        let addr = if host == "localhost" { bound.local_addr() } else { loopback(bound.local_addr()) };
        TcpStream::connect(addr).unwrap();
    }
}

#[test]
fn all_ipv6_addresses_include_the_ipv4_ones() {
    // A machine without IPv6 has nothing to promise.
    if let Ok(bound) = Bound::bind(&listener("[::]", 0), "grpc") {
        TcpStream::connect(loopback(bound.local_addr())).unwrap();
    }
}

#[test]
fn what_cannot_be_listened_on_is_named_with_its_flag() {
    let taken = Bound::bind(&listener("127.0.0.1", 0), "grpc").unwrap();
    let port = taken.local_addr().port();
    assert_eq!(
        refusal(&listener("127.0.0.1", port)).to_string(),
        format!("--grpc-port: port {port} of 127.0.0.1 is already in use")
    );
    assert_eq!(
        refusal(&listener("192.0.2.1", 0)).to_string(),
        "--grpc-address: 192.0.2.1 is not an address of this machine"
    );
    let error = refusal(&listener("no-such-host.invalid", 0)).to_string();
    assert!(error.starts_with("--grpc-address: 'no-such-host.invalid' cannot be resolved: "), "{error}");
}

#[test]
fn a_port_can_be_taken_again_right_after_it_was_served() {
    let first = Bound::bind(&listener("127.0.0.1", 0), "grpc").unwrap();
    let addr: SocketAddr = first.local_addr();
    let client = TcpStream::connect(addr).unwrap();
    drop(first);
    Bound::bind(&listener("127.0.0.1", addr.port()), "grpc").unwrap();
    drop(client);
}
