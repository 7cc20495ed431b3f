//! Listeners: sockets where clients or their datagrams arrive, and their options.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::socket::{NOT_UNIX, Socket};
use super::tcp::{
    PROBES, allow_foreign, bind, is_listening, is_udp, listen, new_tcp_socket, option, probe, set_option,
};
use super::udp;
use super::unix_path::{self, SocketFile};
use crate::base::addr::Endpoint;
use crate::base::keepalive::Keepalive;
use crate::net::{Inbox, ListenOptions, Outbox};

/// A listening socket. Dropping it closes it, and removes the file of a Unix socket, if that is
/// still its own.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(mio::net::TcpListener),
    /// A Unix stream socket, and its file.
    Unix(mio::net::UnixListener, SocketFile),
    /// For datagrams.
    Udp(udp::Arrivals),
}

impl Listener {
    /// Opens a listening socket. Its options are inherited by the clients' sockets: no delay for
    /// small segments, urgent data in line, keep-alive probes.
    pub fn open(at: &Endpoint, options: ListenOptions, keepalive: Option<Keepalive>) -> io::Result<Listener> {
        let yes: libc::c_int = 1;
        match at {
            Endpoint::Inet(addr) if options.datagrams => udp::Arrivals::open(*addr, options.shared).map(Listener::Udp),
            Endpoint::Unix(_) if options.datagrams => Err(io::Error::new(io::ErrorKind::InvalidInput, NOT_UNIX)),
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
                if options.foreign {
                    allow_foreign(&fd, addr.is_ipv4())?;
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
        for (name, value) in PROBES.iter().copied().zip(values) {
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
        if is_udp(&fd)? {
            return udp::Arrivals::of(fd).map(Listener::Udp);
        }
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

    /// Gives one that somebody else opened the options of ours.
    pub fn fit(&self) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => {
                let yes: libc::c_int = 1;
                set_option(listener, libc::IPPROTO_TCP, libc::TCP_NODELAY, yes)?;
                set_option(listener, libc::SOL_SOCKET, libc::SO_OOBINLINE, yes)
            }
            Listener::Unix(..) => Ok(()),
            Listener::Udp(arrivals) => arrivals.fit(),
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
            Listener::Udp(arrivals) => arrivals.socket().local_addr().map(Endpoint::Inet),
        }
    }

    /// Whether it is for datagrams.
    pub fn is_datagrams(&self) -> bool {
        matches!(self, Listener::Udp(_))
    }

    /// Sets how long the queue may be; there is none for datagrams.
    pub fn set_backlog(&self, backlog: u32) -> io::Result<()> {
        if self.is_datagrams() { Ok(()) } else { listen(self, backlog) }
    }

    /// Takes datagrams.
    pub fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        match self {
            Listener::Udp(arrivals) => arrivals.receive(inbox),
            Listener::Tcp(_) | Listener::Unix(..) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sends answers.
    pub fn answer(&mut self, outbox: &Outbox, first: usize) -> io::Result<usize> {
        match self {
            Listener::Udp(arrivals) => arrivals.answer(outbox, first),
            Listener::Tcp(_) | Listener::Unix(..) => Err(io::ErrorKind::Unsupported.into()),
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
            Listener::Udp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
            Listener::Udp(arrivals) => arrivals.socket().as_fd(),
        }
    }
}
