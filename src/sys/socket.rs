//! Sockets: connections, listeners and their options.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::checked;
use super::peer;
use super::pipe::Pipe;
use super::tcp::{PROBES, bind, connect, is_listening, listen, new_tcp_socket, option, probe, set_option};
use super::unix_path::{self, SocketFile};
use crate::base::addr::Endpoint;
use crate::base::keepalive::Keepalive;
use crate::net::{ListenOptions, Ready, Stream, Unread};

/// One end of a connection. Non-blocking.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream, Known),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// What is known of a TCP socket without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Known {
    unread: Unread,
    /// Its peer will be probed as the system has it, if the connection lasts.
    is_to_probe: bool,
}

/// True where all holds that [`Unread`] asks of the system. On a Unix socket a read stops where a
/// message brings rights (unix(7)), and elsewhere no edge tells of urgent data.
const TELLS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl Socket {
    fn tcp(stream: TcpStream) -> Socket {
        Socket::Tcp(stream, Known::default())
    }

    /// Begins to connect to `to`, from the local address `from` if that is given.
    pub fn connect(to: &Endpoint, from: Option<IpAddr>, keepalive: Option<Keepalive>) -> io::Result<Socket> {
        match to {
            Endpoint::Inet(addr) => {
                let fd = new_tcp_socket(*addr)?;
                // Urgent data must come in its place in the stream, or it is lost (tcp(7)).
                set_option(&fd, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1 as libc::c_int)?;
                // The system waits for hours before it probes, so that this has some seconds' time.
                let is_to_probe = keepalive == Some(Keepalive::default());
                if let Some(keepalive) = keepalive.filter(|_| !is_to_probe) {
                    probe(&fd, keepalive)?;
                }
                // An address of the other family says nothing about this connection.
                if let Some(ip) = from.filter(|ip| ip.is_ipv4() == addr.is_ipv4()) {
                    bind(&fd, SocketAddr::new(ip, 0))?;
                }
                match connect(&fd, *addr) {
                    Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                    _ => Ok(Socket::Tcp(TcpStream::from(fd), Known { is_to_probe, ..Known::default() })),
                }
            }
            // Without blocking: where the queue of the server is full this is EAGAIN.
            Endpoint::Unix(path) => {
                mio::net::UnixStream::connect(path).map(|stream| Socket::Unix(UnixStream::from(OwnedFd::from(stream))))
            }
        }
    }

    fn is_connected(&self) -> io::Result<bool> {
        let peer = match self {
            Socket::Tcp(stream, _) => stream.peer_addr().map(drop),
            Socket::Unix(stream) => stream.peer_addr().map(drop),
        };
        match peer {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream, _) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
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
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, _) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
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
            Socket::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn pour(&mut self, pipe: &mut Pipe) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream, _) => pipe.pour(stream),
            Socket::Unix(stream) => pipe.pour(stream),
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

    fn settle(&mut self) {
        if let Socket::Tcp(stream, known) = self
            && std::mem::take(&mut known.is_to_probe)
        {
            // Without it a peer that vanishes is found out by the limits of a pair only.
            let _ = probe(&*stream, Keepalive::default());
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
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream, _) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    #[cfg(target_os = "linux")]
    fn unsent(&self) -> io::Result<usize> {
        let mut count: libc::c_int = 0;
        if let Socket::Tcp(stream, _) = self {
            // SAFETY: the descriptor is open, and SIOCOUTQ (tcp(7)) writes one int to `count`.
            checked(unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) })?;
        }
        Ok(usize::try_from(count).unwrap_or(0))
    }

    #[cfg(not(target_os = "linux"))]
    fn unsent(&self) -> io::Result<usize> {
        // Elsewhere there is no such call for sockets that std or libc would name for all.
        Ok(0)
    }

    fn reset_on_drop(&mut self) -> io::Result<()> {
        let Socket::Tcp(stream, _) = self else { return Ok(()) };
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        set_option(stream, libc::SOL_SOCKET, libc::SO_LINGER, linger)
    }

    fn no_delay(&mut self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream, _) => stream.set_nodelay(true),
            Socket::Unix(_) => Ok(()),
        }
    }

    fn is_same_user(&self) -> bool {
        matches!(self, Socket::Unix(_)) && peer::is_same_user(self.as_fd())
    }

    fn descriptor(&self) -> i32 {
        self.as_fd().as_raw_fd()
    }
}

/// A listening socket. Dropping it closes it, and removes the file of a Unix socket, if that is
/// still its own.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(mio::net::TcpListener),
    /// A Unix stream socket, and its file.
    Unix(mio::net::UnixListener, SocketFile),
}

impl Listener {
    /// Opens a listening socket. Its options are inherited by the clients' sockets: no delay for
    /// small segments, urgent data in line, keep-alive probes.
    pub fn open(at: &Endpoint, options: ListenOptions, keepalive: Option<Keepalive>) -> io::Result<Listener> {
        let yes: libc::c_int = 1;
        match at {
            Endpoint::Inet(addr) => {
                let fd = new_tcp_socket(*addr)?;
                set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, yes)?;
                if options.shared {
                    set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, yes)?;
                }
                if addr.is_ipv6() {
                    let no: libc::c_int = 0;
                    set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, no)?;
                }
                set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, yes)?;
                set_option(&fd, libc::SOL_SOCKET, libc::SO_OOBINLINE, yes)?;
                if let Some(keepalive) = keepalive {
                    probe(&fd, keepalive)?;
                }
                bind(&fd, *addr)?;
                listen(&fd, options.backlog)?;
                Ok(Listener::Tcp(mio::net::TcpListener::from_std(fd.into())))
            }
            Endpoint::Unix(path) => {
                unix_path::claim(path)?;
                let listener = unix_path::bind(path, options.private)?;
                let file = SocketFile::bound(path)?;
                // It listens with a queue of mio's choice; a second listen(2) sets ours.
                listen(&listener, options.backlog)?;
                Ok(Listener::Unix(listener, file))
            }
        }
    }

    /// Sets how clients that come from now on are probed.
    pub fn keep_alive(&self, how: Option<Keepalive>) -> io::Result<()> {
        let Listener::Tcp(listener) = self else { return Ok(()) };
        let Some(how) = how else {
            return set_option(listener, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0 as libc::c_int);
        };
        // What was set before does not go by itself: only a new socket has the system's values.
        let plain = new_tcp_socket(listener.local_addr()?)?;
        let system = |name| option(&plain, libc::IPPROTO_TCP, name);
        let values = [how.idle.map(i32::from), how.interval.map(i32::from), how.count.map(i32::from)];
        set_option(listener, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1 as libc::c_int)?;
        for (name, value) in PROBES.into_iter().zip(values) {
            let value = value.map_or_else(|| system(name), Ok)?;
            set_option(listener, libc::IPPROTO_TCP, name, value)?;
        }
        Ok(())
    }

    /// A listening socket that another process opened in this way. The file of a Unix socket
    /// stays that process's until [`Listener::own_file`].
    ///
    /// Fails if it is something else.
    pub fn inherited(fd: OwnedFd) -> io::Result<Listener> {
        let not_ours = || io::Error::new(io::ErrorKind::InvalidData, "it is not a listening socket");
        if !is_listening(&fd)? {
            return Err(not_ours());
        }
        let unix = std::os::unix::net::UnixListener::from(fd);
        match unix.local_addr() {
            Ok(addr) => {
                let mut file = SocketFile::bound(addr.as_pathname().ok_or_else(not_ours)?)?;
                file.own(false);
                Ok(Listener::Unix(mio::net::UnixListener::from_std(unix), file))
            }
            // std refuses the address of another family.
            Err(_) => {
                let tcp = std::net::TcpListener::from(OwnedFd::from(unix));
                tcp.local_addr()?;
                Ok(Listener::Tcp(mio::net::TcpListener::from_std(tcp)))
            }
        }
    }

    /// Whether the file of a Unix socket is removed with this listener, or by another process.
    pub fn own_file(&mut self, is_ours: bool) {
        if let Listener::Unix(_, file) = self {
            file.own(is_ours);
        }
    }

    /// Where it listens.
    pub fn local(&self) -> io::Result<Endpoint> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(Endpoint::Inet),
            Listener::Unix(_, file) => Ok(Endpoint::Unix(file.path().to_path_buf())),
        }
    }

    /// Takes the next client.
    pub fn accept(&mut self) -> io::Result<(Socket, Endpoint)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, from) = listener.accept()?;
                Ok((Socket::tcp(TcpStream::from(OwnedFd::from(stream))), Endpoint::inet(from)))
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                Ok((Socket::Unix(UnixStream::from(OwnedFd::from(stream))), Endpoint::Unix(PathBuf::new())))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
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
            let _socket = Socket::connect(&to, Some(from.parse().unwrap()), None).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip().to_string(), seen);
        }
    }

    #[test]
    fn a_socket_is_one_word() {
        assert_eq!(size_of::<Socket>(), 8);
    }
}
