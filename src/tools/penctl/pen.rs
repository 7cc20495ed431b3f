//! The pen that is asked: where it is, and one exchange with it.
//!
//! Each exchange has a thread of its own, so that look-up, connect and reply together have one limit;
//! whatever it is stuck in ends with the program.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use crate::base::error::{Error, reason};
use crate::base::operand::{Host, ListenSpec, Services};
use crate::sys::clock::Stopwatch;

/// The longest reply that is taken.
const REPLY_MAX: u64 = 64 * 1024 * 1024;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Pieces that wait for who prints them; a pen whose stream is not read tells of what is lost.
const PIECES: usize = 4;

/// Where a pen listens for commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Pen {
    /// A port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Both as they were written.
        text: String,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pen::Tcp { text, .. } => f.write_str(text),
            Pen::Unix(path) => path.display().fmt(f),
        }
    }
}

/// What went wrong, and with what.
type Failed = (&'static str, io::Error);

/// A reply that comes in pieces; it is over when no more come.
#[derive(Debug)]
pub(super) struct Reply {
    pieces: Receiver<Result<Vec<u8>, Failed>>,
    pen: Pen,
    patience: Duration,
}

impl Pen {
    /// Reads the address of a pen, which has the form of a listening address, but always a host.
    pub(super) fn parse(operand: &str, services: &Services) -> Result<Pen, Error> {
        let fail = |what: &str| Error::usage(format!("'{}': {what}", operand.escape_debug()));
        if !operand.contains(['/', ':']) {
            return Err(fail("no port"));
        }
        let spec = ListenSpec::parse(operand, services).map_err(|error| fail(&error.to_string()))?;
        let host = match spec.host {
            Host::Unix(path) => return Ok(Pen::Unix(path)),
            Host::Addr(ip) => ip.to_string(),
            Host::Name(name) => name,
        };
        match spec.port {
            0 => Err(fail("port 0 is not within 1 to 65535")),
            port => Ok(Pen::Tcp { host, port, text: String::from(operand) }),
        }
    }

    /// Sends a line. The reply is to begin and, if it is [`whole`](Reply::whole), to end within this
    /// time.
    pub(super) fn ask(&self, line: &str, patience: Duration) -> Reply {
        let (sender, pieces) = mpsc::sync_channel(PIECES);
        let (pen, line) = (self.clone(), format!("{line}\n"));
        thread::spawn(move || {
            if let Err(failed) = pen.converse(&line, &sender) {
                // Nobody listens any more if this comes too late.
                let _ = sender.send(Err(failed));
            }
        });
        Reply { pieces, pen: self.clone(), patience }
    }

    fn converse(&self, line: &str, pieces: &SyncSender<Result<Vec<u8>, Failed>>) -> Result<(), Failed> {
        match self {
            Pen::Tcp { host, port, .. } => {
                let addresses = (host.as_str(), *port).to_socket_addrs().map_err(|error| ("cannot look up", error))?;
                let mut failed = io::Error::other("no address");
                for address in addresses {
                    match TcpStream::connect(address) {
                        Ok(stream) => return exchange(stream, line, pieces),
                        Err(error) => failed = error,
                    }
                }
                Err(("cannot connect to", failed))
            }
            Pen::Unix(path) => {
                let stream = UnixStream::connect(path).map_err(|error| ("cannot connect to", error))?;
                exchange(stream, line, pieces)
            }
        }
    }
}

fn exchange(
    mut stream: impl Read + Write,
    line: &str,
    pieces: &SyncSender<Result<Vec<u8>, Failed>>,
) -> Result<(), Failed> {
    let no_reply = |error| ("no reply from", error);
    stream.write_all(line.as_bytes()).map_err(no_reply)?;
    let mut piece = vec![0; PIECE];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            // Nobody may listen any more.
            Ok(count) if pieces.send(Ok(piece[..count].to_vec())).is_err() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(no_reply(error)),
        }
    }
}

impl Reply {
    /// All of it.
    pub(super) fn whole(self) -> Result<Vec<u8>, Error> {
        let clock = Stopwatch::started();
        let mut reply = Vec::new();
        while let Some(piece) = self.piece_within(self.patience.saturating_sub(clock.time()))? {
            reply.extend(piece);
            if reply.len() as u64 > REPLY_MAX {
                return Err(Error::unavailable(format!("the reply of {} has no end", self.pen)));
            }
        }
        Ok(reply)
    }

    /// Its beginning, which says whether pen obeys.
    pub(super) fn first(&self) -> Result<Option<Vec<u8>>, Error> {
        self.piece_within(self.patience)
    }

    /// What comes next, whenever that is.
    pub(super) fn next(&self) -> Result<Option<Vec<u8>>, Error> {
        self.pieces.recv().map_or(Ok(None), |piece| self.checked(piece))
    }

    fn piece_within(&self, time: Duration) -> Result<Option<Vec<u8>>, Error> {
        match self.pieces.recv_timeout(time) {
            Ok(piece) => self.checked(piece),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                let (pen, seconds) = (&self.pen, self.patience.as_secs_f64());
                Err(Error::unavailable(format!("no reply from {pen} within {seconds} seconds")))
            }
        }
    }

    fn checked(&self, piece: Result<Vec<u8>, Failed>) -> Result<Option<Vec<u8>>, Error> {
        let told = |(what, error): Failed| Error::unavailable(format!("{what} {}: {}", self.pen, reason(&error)));
        piece.map(Some).map_err(told)
    }
}
