//! Sockets: connections, by TCP and Unix sockets, and what leads to one peer by UDP.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::peer;
use super::pipe::Pipe;
use super::tcp::{bind_source, connect, leave_port_open, new_tcp_socket, probe, set_option};
use super::udp;
use crate::base::addr::{Endpoint, Source};
use crate::base::keepalive::Keepalive;
use crate::net::{Ready, Stream, Unread};

/// One end of a connection. Non-blocking.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream, Known),
    /// A Unix stream socket.
    Unix(UnixStream),
    /// For datagrams to and from one peer.
    Udp(UdpSocket),
}

/// What is known of a TCP socket without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Known {
    unread: Unread,
    /// Its peer will be probed as the system has it, if the connection lasts.
    is_to_probe: bool,
    use_again: UseAgain,
}

/// Whether a socket can make another connection when this one is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum UseAgain {
    /// It was accepted, or something was done to it that would stay.
    #[default]
    Never,
    /// It has nothing but what every new one gets.
    IfEnded { is_ipv4: bool },
    /// The same, and the end was sent.
    Ended { is_ipv4: bool },
}

/// True where all holds that [`Unread`] asks of the system. On a Unix socket a read stops where a
/// message brings rights (unix(7)), and elsewhere no edge tells of urgent data.
const TELLS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Why a path is refused.
pub(super) const NOT_UNIX: &str = "a Unix socket has no UDP";

impl Socket {
    pub(super) fn tcp(stream: TcpStream) -> Socket {
        Socket::Tcp(stream, Known::default())
    }

    /// Begins to connect to `to`, from the local address `from` if that is given.
    pub fn connect(to: &Endpoint, from: Option<Source>, keepalive: Option<Keepalive>) -> io::Result<Socket> {
        match to {
            Endpoint::Inet(addr) => {
                let fd = new_tcp_socket(*addr)?;
                // Urgent data must come in its place in the stream, or it is lost (tcp(7)).
                set_option(&fd, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1 as libc::c_int)?;
                if from.is_some() {
                    leave_port_open(&fd);
                }
                bind_source(&fd, *addr, from)?;
                Socket::begin(TcpStream::from(fd), *addr, keepalive, from.is_none())
            }
            // Without blocking: where the queue of the server is full this is EAGAIN.
            Endpoint::Unix(path) => {
                mio::net::UnixStream::connect(path).map(|stream| Socket::Unix(UnixStream::from(OwnedFd::from(stream))))
            }
        }
    }

    /// Begins to connect with a TCP socket that has connected before and forgotten it.
    pub(super) fn reconnect(stream: TcpStream, to: SocketAddr, keepalive: Option<Keepalive>) -> io::Result<Socket> {
        Socket::begin(stream, to, keepalive, true)
    }

    fn begin(stream: TcpStream, to: SocketAddr, keepalive: Option<Keepalive>, is_plain: bool) -> io::Result<Socket> {
        // The system waits for hours before it probes, so that this has some seconds' time.
        let is_to_probe = keepalive == Some(Keepalive::default());
        let probes_otherwise = keepalive.filter(|_| !is_to_probe);
        if let Some(keepalive) = probes_otherwise {
            probe(&stream, keepalive)?;
        }
        let is_plain = is_plain && probes_otherwise.is_none() && TELLS_ALL;
        let use_again = if is_plain { UseAgain::IfEnded { is_ipv4: to.is_ipv4() } } else { UseAgain::Never };
        match connect(&stream, to) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(Socket::Tcp(stream, Known { is_to_probe, use_again, ..Known::default() })),
        }
    }

    /// It for another connection, and whether that must be by IPv4; `None` if it cannot make one, and it is
    /// closed. The peer's end must have been read; it is told ours, if it was not yet.
    pub(super) fn into_reusable(mut self) -> Option<(TcpStream, bool)> {
        if matches!(&self, Socket::Tcp(_, Known { use_again: UseAgain::IfEnded { .. }, .. })) {
            self.shutdown_write().ok()?;
        }
        match self {
            Socket::Tcp(stream, Known { use_again: UseAgain::Ended { is_ipv4 }, .. }) => Some((stream, is_ipv4)),
            Socket::Tcp(..) | Socket::Unix(_) | Socket::Udp(_) => None,
        }
    }

    /// Something is done that would stay.
    fn changes(&mut self) {
        if let Socket::Tcp(_, known) = self {
            known.use_again = UseAgain::Never;
        }
    }

    /// A socket for datagrams to and from `to`.
    pub fn connect_datagrams(to: &Endpoint, from: Option<Source>) -> io::Result<Socket> {
        match to {
            Endpoint::Inet(addr) => udp::connected(*addr, from).map(Socket::Udp),
            Endpoint::Unix(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, NOT_UNIX)),
        }
    }

    /// Whether it is for datagrams.
    pub fn is_datagrams(&self) -> bool {
        matches!(self, Socket::Udp(_))
    }

    /// What the system would not grant it makes as much of as it does.
    fn cap(&self, option: libc::c_int, bytes: u32) {
        let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        let _ = set_option(self, libc::SOL_SOCKET, option, bytes);
    }

    fn is_connected(&self) -> io::Result<bool> {
        let peer = match self {
            Socket::Tcp(stream, _) => stream.peer_addr().map(drop),
            Socket::Unix(stream) => stream.peer_addr().map(drop),
            Socket::Udp(_) => Ok(()),
        };
        match peer {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Bytes that the peer has not acknowledged, its end counted as one.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn unsent(stream: &TcpStream) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is open, and SIOCOUTQ (tcp(7)) writes one int to `count`.
    super::checked(unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Elsewhere there is no such call for sockets that std or libc would name for all.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn unsent(_: &TcpStream) -> io::Result<usize> {
    Ok(0)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream, _) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
            Socket::Udp(socket) => socket.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, known) => {
                if let Some(outcome) = known.unread.foretell() {
                    return outcome;
                }
                let outcome = stream.read(bytes);
                known.unread.read(&outcome, bytes.len());
                outcome
            }
            Socket::Unix(stream) => stream.read(bytes),
            Socket::Udp(socket) => socket.recv(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, _) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
            Socket::Udp(socket) => socket.send(bytes).map_err(udp::told),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    type Pipe = Pipe;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn fill(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, known) if known.unread.is_plain() => pipe.fill(&*stream),
            Socket::Tcp(..) => Ok(0),
            // A message that brings rights stops here for good (unix(7)).
            Socket::Unix(_) | Socket::Udp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn pour(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, _) => pipe.pour(stream),
            Socket::Unix(stream) => pipe.pour(stream),
            Socket::Udp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn peek(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if let Socket::Tcp(_, known) = self
            && let Some(outcome) = known.unread.foretell()
        {
            return outcome;
        }
        let fd = self.as_fd().as_raw_fd();
        // SAFETY: the descriptor is open, and the call writes to `bytes` only.
        let count = unsafe { libc::recv(fd, bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_PEEK) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn edge(&mut self, ready: Ready) {
        if let Socket::Tcp(_, known) = self
            && TELLS_ALL
        {
            known.unread.edge(ready);
        }
    }

    fn is_drained(&self) -> bool {
        matches!(self, Socket::Tcp(_, Known { unread: Unread::Nothing, .. }))
    }

    fn is_at_end(&self) -> bool {
        matches!(self, Socket::Tcp(_, Known { unread: Unread::OnlyEnd, .. }))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Socket::Tcp(stream, _) = self else { return self.write(bytes) };
        let flags = libc::MSG_MORE | libc::MSG_NOSIGNAL;
        // SAFETY: the descriptor is open, and the call reads `bytes` only.
        let count = unsafe { libc::send(stream.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn cap_sending(&mut self, bytes: u32) {
        self.changes();
        self.cap(libc::SO_SNDBUF, bytes);
    }

    fn cap_receiving(&mut self, bytes: u32) {
        self.changes();
        self.cap(libc::SO_RCVBUF, bytes);
    }

    fn settle(&mut self) {
        if let Socket::Tcp(stream, known) = self
            && std::mem::take(&mut known.is_to_probe)
        {
            // Without it a peer that vanishes is found out by the limits of a pair only.
            let _ = probe(&*stream, Keepalive::default());
            known.use_again = UseAgain::Never;
        }
    }

    fn connected(&mut self, edge: Ready) -> io::Result<bool> {
        // On Linux a socket that connects is not writable before it is done, so an edge without
        // an error says all there is to know.
        if cfg!(target_os = "linux") && edge.writable && !edge.failed {
            return Ok(true);
        }
        match self.take_error()? {
            Some(error) => Err(error),
            None => self.is_connected(),
        }
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Socket::Tcp(stream, _) => stream.take_error(),
            Socket::Unix(stream) => stream.take_error(),
            Socket::Udp(socket) => socket.take_error(),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream, known) => {
                if let UseAgain::IfEnded { is_ipv4 } = known.use_again {
                    known.use_again = UseAgain::Ended { is_ipv4 };
                }
                stream.shutdown(Shutdown::Write)
            }
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            // There is no end of datagrams.
            Socket::Udp(_) => Ok(()),
        }
    }

    fn unsent(&self) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, _) => unsent(stream),
            Socket::Unix(_) | Socket::Udp(_) => Ok(0),
        }
    }

    fn reset_on_drop(&mut self) -> io::Result<()> {
        self.changes();
        let Socket::Tcp(stream, _) = self else { return Ok(()) };
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        set_option(stream, libc::SOL_SOCKET, libc::SO_LINGER, linger)
    }

    fn no_delay(&mut self) -> io::Result<()> {
        self.changes();
        match self {
            Socket::Tcp(stream, _) => stream.set_nodelay(true),
            Socket::Unix(_) | Socket::Udp(_) => Ok(()),
        }
    }

    fn local(&self) -> io::Result<Endpoint> {
        match self {
            Socket::Tcp(stream, _) => stream.local_addr().map(Endpoint::inet),
            Socket::Udp(socket) => socket.local_addr().map(Endpoint::inet),
            Socket::Unix(stream) => {
                let path = stream.local_addr()?.as_pathname().map(Path::to_path_buf);
                Ok(Endpoint::Unix(path.unwrap_or_default()))
            }
        }
    }

    fn is_same_user(&self) -> bool {
        matches!(self, Socket::Unix(_)) && peer::is_same_user(self.as_fd())
    }

    fn peer(&self) -> io::Result<Endpoint> {
        match self {
            Socket::Tcp(stream, _) => stream.peer_addr().map(Endpoint::inet),
            Socket::Unix(_) | Socket::Udp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn descriptor(&self) -> i32 {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_address_of_the_other_family_is_not_held_against_a_server() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Endpoint::Inet(listener.local_addr().unwrap());
        for (from, seen) in [("::1", "127.0.0.1"), ("127.0.0.9", "127.0.0.9")] {
            let _socket = Socket::connect(&to, Some(Source::own(from.parse().unwrap())), None).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip().to_string(), seen);
        }
    }

    #[test]
    fn a_socket_is_one_word() {
        assert_eq!(size_of::<Socket>(), 8);
    }
}
