//! `nerite health`: the health check of containers that have no other program to ask with.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::settings::{Host, Listener};

/// How long to wait to be connected, and for the answer.
const PATIENCE: Duration = Duration::from_secs(4);

const REQUEST: &[u8] = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Why a daemon does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// It has no endpoint that could be asked.
    #[error("the HTTP port is off (--allow-http=false), and nothing else answers a health check")]
    Off,
    /// Its port is any.
    #[error(
        "--http-port=0 does not say which port was taken; give the daemon a port, and this command the same"
    )]
    AnyPort,
    /// Nobody can be asked there, or no answer came.
    #[error("no answer from {at}")]
    Silent {
        /// Where it was looked for.
        at: String,
        /// What came instead.
        source: io::Error,
    },
    /// What answers there speaks something else.
    #[error("what answers at {0} does not speak HTTP")]
    Foreign(SocketAddr),
    /// It says so itself.
    #[error("not ready: {at} answers {status}")]
    NotReady {
        /// Where it was asked.
        at: SocketAddr,
        /// The HTTP status.
        status: u16,
    },
}

/// Asks the daemon that listens there whether it is ready.
pub fn health(listener: &Listener) -> Result<(), HealthError> {
    if !listener.enabled {
        return Err(HealthError::Off);
    }
    if listener.port == 0 {
        return Err(HealthError::AnyPort);
    }
    let named = format!("{}:{}", listener.host, listener.port);
    let (at, stream) = connect(listener).map_err(|source| HealthError::Silent { at: named, source })?;
    let head = ask(stream).map_err(|source| HealthError::Silent { at: at.to_string(), source })?;
    match status(&head) {
        None => Err(HealthError::Foreign(at)),
        Some(200) => Ok(()),
        Some(status) => Err(HealthError::NotReady { at, status }),
    }
}

/// A connection to what listens there. Like the daemon, it goes through all addresses of a name.
fn connect(listener: &Listener) -> io::Result<(SocketAddr, TcpStream)> {
    let mut refusal = io::Error::other("the name has no address");
    for at in addresses(listener)? {
        match TcpStream::connect_timeout(&at, PATIENCE) {
            Ok(stream) => return Ok((at, stream)),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Where to reach what listens there: by the loopback interface, if it listens on all of them.
fn addresses(listener: &Listener) -> io::Result<Vec<SocketAddr>> {
    let ip = match &listener.host {
        Host::Name(name) => return Ok((name.as_str(), listener.port).to_socket_addrs()?.collect()),
        Host::Ip(ip) if !ip.is_unspecified() => *ip,
        Host::Ip(IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
        Host::Ip(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
    };
    Ok(vec![SocketAddr::new(ip, listener.port)])
}

/// The beginning of the answer, as far as its status.
fn ask(mut stream: TcpStream) -> io::Result<[u8; 12]> {
    let until = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let mut head = [0; 12];
    let mut rest = &mut head[..];
    while !rest.is_empty() {
        // Each piece has the time that those before it have left.
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(too_late());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => rest = &mut rest[read..],
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(too_late());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("nothing that is whole came within {PATIENCE:?}"))
}

/// The status in the beginning of an answer; nothing if it is not one of HTTP/1.
fn status(head: &[u8; 12]) -> Option<u16> {
    let text = std::str::from_utf8(head).ok()?;
    text.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// The outcome where the port answers so, to whatever it is asked.
    fn asked(host: &str, answer: &'static [u8]) -> Result<(), HealthError> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let answering = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = vec![0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            request
        });
        let outcome = health(&Listener { enabled: true, host: host.parse().unwrap(), port });
        assert_eq!(answering.join().unwrap(), REQUEST);
        outcome
    }

    #[test]
    fn a_daemon_is_healthy_when_its_port_says_that_it_is_ready() {
        for host in ["0.0.0.0", "127.0.0.1", "localhost"] {
            asked(host, b"HTTP/1.1 200 OK\r\n\r\n").unwrap_or_else(|error| panic!("{host}: {error}"));
        }
    }

    #[test]
    fn any_other_answer_is_told_as_what_it_is() {
        for (answer, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "answers 400"),
            (b"HTTP/1.0 503 \r\n", "answers 503"),
            (b"220 mail ready and waiting\r\n", "does not speak HTTP"),
            (b"HTTP/1.1 \xff\xff\xff\r\n", "does not speak HTTP"),
            (b"HTTP/1.1 20", "no answer from 127.0.0.1:"),
            (b"", "no answer from 127.0.0.1:"),
        ] {
            let error = asked("0.0.0.0", answer).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_port_that_cannot_be_asked_is_told_before_it_is_tried() {
        let listener =
            |enabled, host: &str, port| Listener { enabled, host: host.parse().expect("a host"), port };
        for (listener, expected) in [
            (listener(false, "0.0.0.0", 8000), "--allow-http=false"),
            (listener(true, "0.0.0.0", 0), "--http-port=0"),
            (listener(true, "nowhere.invalid", 8000), "no answer from nowhere.invalid:8000"),
        ] {
            let error = health(&listener).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
