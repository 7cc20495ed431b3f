//! The socket of the system's logger.
//!
//! Only transport: what is sent, and what becomes of a message that could not be, is decided by
//! the console.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// Where systems have the socket: Linux and OpenBSD, FreeBSD and NetBSD, macOS.
const PLACES: [&str; 3] = ["/dev/log", "/var/run/log", "/var/run/syslog"];

/// A connection to the system's logger, which comes back if the logger was restarted.
#[derive(Debug)]
pub struct Syslog {
    places: Vec<PathBuf>,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// Connects to the system's logger, now if it is there, at the next message otherwise. After
    /// chroot(2) only a socket that was connected before, or one in the jail, can be reached.
    pub fn open() -> Syslog {
        Syslog::at(PLACES.iter().map(PathBuf::from).collect())
    }

    /// The same with the socket at the first of `places` where there is one.
    pub fn at(places: Vec<PathBuf>) -> Syslog {
        let socket = connect(&places).ok();
        Syslog { places, socket }
    }

    /// Sends one message. `WouldBlock` if the logger is behind; any other error means that it
    /// is not there. Never blocks.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(message) {
                Ok(_) => return Ok(()),
                // What the BSDs say in place of WouldBlock.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => self.socket = None,
            }
        }
        let socket = connect(&self.places)?;
        let sent = socket.send(message);
        self.socket = Some(socket);
        sent.map(drop)
    }

    /// What to watch for writing after `WouldBlock`.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }
}

fn connect(places: &[PathBuf]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    if places.iter().any(|place| socket.connect(place).is_ok()) {
        Ok(socket)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::test_dir;

    fn receive(logger: &UnixDatagram) -> String {
        let mut bytes = [0; 2048];
        let count = logger.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn messages_reach_a_logger_that_was_restarted() {
        let dir = test_dir("syslog");
        let path = dir.join("log");
        let mut syslog = Syslog::at(vec![dir.join("elsewhere"), path.clone()]);
        assert!(syslog.fd().is_none());
        assert_eq!(syslog.send(b"nobody").unwrap_err().kind(), io::ErrorKind::NotFound);
        for message in ["one", "two"] {
            let logger = UnixDatagram::bind(&path).unwrap();
            syslog.send(message.as_bytes()).unwrap();
            assert_eq!(receive(&logger), message);
            drop(logger);
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_logger_that_does_not_read_holds_nothing_up() {
        let dir = test_dir("syslog-full");
        let path = dir.join("log");
        let logger = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::at(vec![path]);
        let error = (0..100_000).find_map(|_| syslog.send(&[b'x'; 500]).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        receive(&logger);
        assert!(syslog.send(b"there is room again").is_ok());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
