//! Where the request log goes.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the request log goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// A file, opened for append and created if it is not there.
    File(PathBuf),
    /// A penlogd, one datagram a line.
    Udp(SocketAddr),
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogTarget::File(path) => path.display().fmt(f),
            LogTarget::Udp(addr) => addr.fmt(f),
        }
    }
}
