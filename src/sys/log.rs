//! The request log's file, or its way to a penlogd.

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::folder;
use crate::net::LogTarget;

/// An open request log. Nothing that it does waits for anybody.
#[derive(Debug)]
pub enum Log {
    /// A file, opened for append.
    File(File),
    /// A socket that is connected to a penlogd.
    Udp(UdpSocket),
}

impl Log {
    /// Opens it; a file is created if it is not there.
    pub fn open(target: &LogTarget) -> io::Result<Log> {
        match target {
            LogTarget::File(path) => folder::open_for_append(path).map(Log::File),
            LogTarget::Udp(addr) => {
                let any: IpAddr =
                    if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
                socket.set_nonblocking(true)?;
                socket.connect(addr)?;
                Ok(Log::Udp(socket))
            }
        }
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Log::File(file) => file.write(bytes),
            Log::Udp(socket) => socket.send(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
