//! Addresses: where a socket listens or connects, and who a client is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket in bytes (`sun_path` of unix(7) less its final NUL; the BSDs
/// have a few bytes less and refuse such a path when it is used).
pub const UNIX_PATH_MAX: usize = 107;

/// Where a socket listens, where it connects to, or where its peer is.
///
/// An IPv4 address that reached an IPv6 socket (`::ffff:192.0.2.1`) is always held as IPv4:
/// build one with [`Endpoint::inet`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    /// An IPv4 or IPv6 address and a TCP port.
    Inet(SocketAddr),
    /// The path of a Unix stream socket; empty for a client, which has no path.
    Unix(PathBuf),
}

impl Endpoint {
    /// An address and port, with IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2) turned into IPv4.
    pub fn inet(addr: SocketAddr) -> Endpoint {
        let ip = addr.ip().to_canonical();
        match (addr, ip) {
            (SocketAddr::V6(_), IpAddr::V4(_)) => Endpoint::Inet(SocketAddr::new(ip, addr.port())),
            _ => Endpoint::Inet(addr),
        }
    }

    /// The client that a peer at this endpoint is.
    pub fn client(&self) -> ClientAddr {
        match self {
            Endpoint::Inet(addr) => ClientAddr::Inet(addr.ip()),
            Endpoint::Unix(_) => ClientAddr::Unix,
        }
    }

    /// The TCP port; `None` for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Endpoint::Inet(addr) => Some(addr.port()),
            Endpoint::Unix(_) => None,
        }
    }

    /// The address without its port, as logs show it: `192.0.2.1`, `::1` or a path.
    pub fn host(&self) -> HostText<'_> {
        HostText(self)
    }
}

impl fmt::Display for Endpoint {
    /// `192.0.2.1:80`, `[::1]:80` or a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Inet(addr) => addr.fmt(f),
            Endpoint::Unix(path) if path.as_os_str().is_empty() => f.write_str("unix"),
            Endpoint::Unix(path) => path.display().fmt(f),
        }
    }
}

/// The local address of a connection to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// The address.
    pub ip: IpAddr,
    /// It is not this machine's but the client's (`IP_TRANSPARENT`, ip(7)).
    pub is_foreign: bool,
}

impl Source {
    /// An address of this machine.
    pub fn own(ip: IpAddr) -> Source {
        Source { ip, is_foreign: false }
    }
}

/// Shows an endpoint without its port.
#[derive(Clone, Copy, Debug)]
pub struct HostText<'a>(&'a Endpoint);

impl fmt::Display for HostText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Endpoint::Inet(addr) => addr.ip().fmt(f),
            Endpoint::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Who a client is: its address without its port. All clients of a Unix socket are one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ClientAddr {
    /// An IPv4 address, or an IPv6 address that is not an IPv4-mapped one.
    Inet(IpAddr),
    /// Somebody on this machine, by a Unix socket.
    Unix,
}

impl fmt::Display for ClientAddr {
    /// The address, or `-` for a client by a Unix socket, as in pen's request log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientAddr::Inet(ip) => ip.fmt(f),
            ClientAddr::Unix => f.write_str("-"),
        }
    }
}

/// True if `path` fits into a Unix socket address and is not empty.
pub fn fits_unix_socket(path: &Path) -> bool {
    (1..=UNIX_PATH_MAX).contains(&path.as_os_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_mapped_client_counts_as_ipv4() {
        let mapped = Endpoint::inet("[::ffff:192.0.2.7]:99".parse().unwrap());
        let plain = Endpoint::inet("192.0.2.7:99".parse().unwrap());
        assert_eq!(mapped, plain);
        assert_eq!(mapped.client().to_string(), "192.0.2.7");
        assert_eq!(mapped.port(), Some(99));
    }

    #[test]
    fn endpoints_and_clients_read_as_people_write_them() {
        let table = [
            (Endpoint::inet("192.0.2.7:80".parse().unwrap()), "192.0.2.7:80", "192.0.2.7", "192.0.2.7"),
            (Endpoint::inet("[2001:db8::1]:80".parse().unwrap()), "[2001:db8::1]:80", "2001:db8::1", "2001:db8::1"),
            (Endpoint::Unix("/run/x".into()), "/run/x", "/run/x", "-"),
            (Endpoint::Unix(PathBuf::new()), "unix", "", "-"),
        ];
        for (endpoint, text, host, client) in table {
            assert_eq!(endpoint.to_string(), text);
            assert_eq!(endpoint.host().to_string(), host);
            assert_eq!(endpoint.client().to_string(), client);
        }
    }
}
