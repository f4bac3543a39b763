//! A port that was taken, and on which nothing is accepted yet.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::settings::{Host, Listener};

/// How many connections may wait to be accepted; the system lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// A listening socket. Clients can connect from now on, but wait until somebody serves it.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: TcpListener,
    addr: SocketAddr,
}

/// Why a port cannot be listened on. The text is a sentence for the user and names the flag.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// A host name that cannot be looked up.
    #[error("--{flags}-address: '{host}' cannot be resolved: {reason}")]
    Resolve {
        /// What the names of the flags begin with.
        flags: &'static str,
        /// The name.
        host: String,
        /// What the resolver said.
        reason: io::Error,
    },
    /// A host name without addresses.
    #[error("--{flags}-address: '{host}' has no address")]
    NoAddress {
        /// What the names of the flags begin with.
        flags: &'static str,
        /// The name.
        host: String,
    },
    /// An address of another machine.
    #[error("--{flags}-address: {ip} is not an address of this machine")]
    NotOurs {
        /// What the names of the flags begin with.
        flags: &'static str,
        /// The address.
        ip: IpAddr,
    },
    /// Somebody else listens there.
    #[error("--{flags}-port: port {} of {} is already in use", addr.port(), addr.ip())]
    Taken {
        /// What the names of the flags begin with.
        flags: &'static str,
        /// The address and port.
        addr: SocketAddr,
    },
    /// A port for the privileged alone.
    #[error("--{flags}-port: no permission to listen on port {}", addr.port())]
    NoPermission {
        /// What the names of the flags begin with.
        flags: &'static str,
        /// The address and port.
        addr: SocketAddr,
    },
    /// Anything else that the system objects to.
    #[error("--{flags}-address, --{flags}-port: cannot listen on {addr}: {reason}")]
    Listen {
        /// What the names of the flags begin with.
        flags: &'static str,
        /// The address and port.
        addr: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
}

impl Bound {
    /// Listens where `listener` says; `flags` is what the names of its flags begin with (`grpc`, `http`, `metrics`).
    ///
    /// A host name is resolved, which blocks. Of its addresses the first that belongs to this machine is
    /// taken, and a port in use there is an error, rather than a reason to try the next.
    pub(crate) fn bind(listener: &Listener, flags: &'static str) -> Result<Self, BindError> {
        let mut refusal = None;
        for addr in resolve(listener, flags)? {
            match listen(addr) {
                Ok((socket, addr)) => return Ok(Self { socket, addr }),
                Err(reason) => {
                    let error = BindError::new(flags, addr, reason);
                    if !matches!(error, BindError::NotOurs { .. }) {
                        return Err(error);
                    }
                    refusal.get_or_insert(error);
                }
            }
        }
        Err(refusal.unwrap_or_else(|| BindError::NoAddress { flags, host: listener.host.to_string() }))
    }

    /// Where it listens; the port is the one that the system chose if the setting was 0.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The socket, for the runtime of the caller.
    pub(super) fn into_socket(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.socket)
    }
}

impl BindError {
    fn new(flags: &'static str, addr: SocketAddr, reason: io::Error) -> Self {
        match reason.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { flags, addr },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { flags, ip: addr.ip() },
            io::ErrorKind::PermissionDenied => Self::NoPermission { flags, addr },
            _ => Self::Listen { flags, addr, reason },
        }
    }
}

fn resolve(listener: &Listener, flags: &'static str) -> Result<Vec<SocketAddr>, BindError> {
    match &listener.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, listener.port)]),
        Host::Name(host) => (host.as_str(), listener.port)
            .to_socket_addrs()
            .map(Iterator::collect)
            .map_err(|reason| BindError::Resolve { flags, host: host.clone(), reason }),
    }
}

fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted daemon must not wait for the connections of the last one to be forgotten.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    let socket = TcpListener::from(socket);
    let addr = socket.local_addr()?;
    Ok((socket, addr))
}
