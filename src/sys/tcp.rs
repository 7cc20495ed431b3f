//! TCP and UDP sockets as system calls know them: options and addresses.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::checked;
use crate::base::addr::Source;
use crate::base::keepalive::Keepalive;

/// A new non-blocking TCP socket of the family of `addr`, which is closed on exec.
pub(super) fn new_tcp_socket(addr: SocketAddr) -> io::Result<OwnedFd> {
    new_socket(addr, libc::SOCK_STREAM)
}

/// The same for datagrams.
pub(super) fn new_udp_socket(addr: SocketAddr) -> io::Result<OwnedFd> {
    new_socket(addr, libc::SOCK_DGRAM)
}

fn new_socket(addr: SocketAddr, kind: libc::c_int) -> io::Result<OwnedFd> {
    let domain = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    #[cfg(not(target_vendor = "apple"))]
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket(2) takes no pointers.
    let number = checked(unsafe { libc::socket(domain, kind, 0) })?;
    // SAFETY: the descriptor is new, and nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    #[cfg(target_vendor = "apple")]
    {
        super::set_nonblocking(&fd)?;
        // SAFETY: the descriptor is open; no memory is passed.
        checked(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    Ok(fd)
}

pub(super) fn set_option<T>(fd: impl AsFd, level: libc::c_int, name: libc::c_int, value: T) -> io::Result<()> {
    let length = mem::size_of::<T>() as libc::socklen_t;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the pointer and length are those of `value`, which outlives the call.
    checked(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) }).map(drop)
}

pub(super) fn option(fd: impl AsFd, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = mem::size_of::<libc::c_int>() as libc::socklen_t;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: both pointers are live, and the length is that of the value.
    checked(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut length) })?;
    Ok(value)
}

#[cfg(target_vendor = "apple")]
const KEEP_IDLE: libc::c_int = libc::TCP_KEEPALIVE;
#[cfg(not(any(target_vendor = "apple", target_os = "openbsd")))]
const KEEP_IDLE: libc::c_int = libc::TCP_KEEPIDLE;

/// The options of keep-alive probes: idle time, interval, count. Where there are none these are the same for all
/// sockets of the system.
#[cfg(not(target_os = "openbsd"))]
pub(super) const PROBES: &[libc::c_int] = &[KEEP_IDLE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT];
#[cfg(target_os = "openbsd")]
pub(super) const PROBES: &[libc::c_int] = &[];

/// Lets a new socket probe its peer.
pub(super) fn probe(fd: impl AsFd + Copy, how: Keepalive) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1 as libc::c_int)?;
    let values = [how.idle.map(i32::from), how.interval.map(i32::from), how.count.map(i32::from)];
    for (name, value) in PROBES.iter().copied().zip(values) {
        if let Some(value) = value {
            set_option(fd, libc::IPPROTO_TCP, name, value)?;
        }
    }
    Ok(())
}

/// The family of a socket's own address.
fn family(fd: impl AsFd) -> io::Result<libc::c_int> {
    // SAFETY: a socket address is plain numbers, and all of them may be zero.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: both pointers are live, and the length is that of the address.
    checked(unsafe { libc::getsockname(fd, (&raw mut storage).cast(), &raw mut length) })?;
    Ok(libc::c_int::from(storage.ss_family))
}

/// Whether it is a socket for datagrams of IP.
pub(super) fn is_udp(fd: impl AsFd + Copy) -> io::Result<bool> {
    let is_ip = [libc::AF_INET, libc::AF_INET6].contains(&family(fd)?);
    Ok(is_ip && option(fd, libc::SOL_SOCKET, libc::SO_TYPE)? == libc::SOCK_DGRAM)
}

pub(super) fn is_listening(fd: impl AsFd) -> io::Result<bool> {
    Ok(option(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0)
}

/// Listens, with a queue of this length; once more for a queue of another length.
pub(super) fn listen(fd: impl AsFd, backlog: u32) -> io::Result<()> {
    let backlog = libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open for as long as it is borrowed; no memory is passed.
    checked(unsafe { libc::listen(fd.as_fd().as_raw_fd(), backlog) }).map(drop)
}

pub(super) fn bind(fd: &OwnedFd, addr: SocketAddr) -> io::Result<()> {
    let (storage, length) = raw_address(addr);
    // SAFETY: the pointer and length are those of a socket address that outlives the call.
    checked(unsafe { libc::bind(fd.as_raw_fd(), (&raw const storage).cast(), length) }).map(drop)
}

/// Gives a socket that will connect to `to` its local address. One of the other family says nothing
/// about this connection.
pub(super) fn bind_source(fd: &OwnedFd, to: SocketAddr, from: Option<Source>) -> io::Result<()> {
    let Some(Source { ip, is_foreign }) = from.filter(|from| from.ip.is_ipv4() == to.is_ipv4()) else { return Ok(()) };
    if is_foreign {
        allow_foreign(fd, ip.is_ipv4())?;
    }
    bind(fd, SocketAddr::new(ip, 0)).map_err(|error| unbound(error, ip))
}

/// Leaves the port that goes with a source to connect(2), which knows where the connection leads: a port can
/// be had for each server, not only once for all (IP_BIND_ADDRESS_NO_PORT, ip(7)). A system that does not know
/// that chooses the port at once.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn leave_port_open(fd: &OwnedFd) {
    let _ = set_option(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1 as libc::c_int);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn leave_port_open(_: &OwnedFd) {}

/// Why a source cannot be had. What connect(2) says where there is no port left bind(2) says of an address
/// that is not this machine's, and has another number for the ports.
fn unbound(error: io::Error, ip: IpAddr) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => {
            let why = format!("its source {ip} is not an address of this machine");
            io::Error::new(io::ErrorKind::AddrNotAvailable, why)
        }
        Some(libc::EADDRINUSE) => io::Error::from_raw_os_error(libc::EADDRNOTAVAIL),
        _ => error,
    }
}

/// Lets a socket have an address that is not this machine's (ip(7)). The port is chosen when it
/// connects, so that as many connections as there are ports go to each server.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn allow_foreign(fd: &OwnedFd, is_ipv4: bool) -> io::Result<()> {
    let yes: libc::c_int = 1;
    match is_ipv4 {
        true => set_option(fd, libc::SOL_IP, libc::IP_TRANSPARENT, yes)?,
        false => set_option(fd, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, yes)?,
    }
    // Without it there are fewer ports, and nothing else is wrong.
    let _ = set_option(fd, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, yes);
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn allow_foreign(_: &OwnedFd, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn connect(fd: impl AsFd, addr: SocketAddr) -> io::Result<()> {
    let (storage, length) = raw_address(addr);
    // SAFETY: the pointer and length are those of a socket address that outlives the call.
    checked(unsafe { libc::connect(fd.as_fd().as_raw_fd(), (&raw const storage).cast(), length) }).map(drop)
}

/// An address as the system calls take it, and its length.
pub(super) fn raw_address(addr: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: zero is a valid value for every field of a socket address.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let length = match addr {
        SocketAddr::V4(addr) => {
            // SAFETY: sockaddr_storage has room and alignment for every socket address.
            let raw = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = addr.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(addr.ip().octets());
            mem::size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(addr) => {
            // SAFETY: as above.
            let raw = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = addr.port().to_be();
            raw.sin6_addr.s6_addr = addr.ip().octets();
            raw.sin6_flowinfo = addr.flowinfo();
            raw.sin6_scope_id = addr.scope_id();
            mem::size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_not_there_is_told_from_one_without_ports() {
        let of = |number, ip: &str| unbound(io::Error::from_raw_os_error(number), ip.parse().unwrap());
        let foreign = of(libc::EADDRNOTAVAIL, "192.0.2.77");
        assert_eq!((foreign.kind(), foreign.raw_os_error()), (io::ErrorKind::AddrNotAvailable, None));
        assert_eq!(foreign.to_string(), "its source 192.0.2.77 is not an address of this machine");
        assert_eq!(of(libc::EADDRINUSE, "127.0.0.1").raw_os_error(), Some(libc::EADDRNOTAVAIL));
        assert_eq!(of(libc::EACCES, "127.0.0.1").raw_os_error(), Some(libc::EACCES));
    }
}
