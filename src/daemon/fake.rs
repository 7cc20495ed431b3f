//! A world small enough for the unit tests of this part: what is tried with the real loop is in
//! the simulation and in the program tests.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::base::addr::{Endpoint, Source};
use crate::base::diag::Severity;
use crate::base::time::Now;
use crate::net::{Event, ListenOptions, LogTarget, Net, NoPipe, Ready, Signal, Stream, Token};
use crate::sys::resolve::Answer;

/// What the other side of a connection does: it sends `rest`, and takes as many bytes as there is
/// `room`.
#[derive(Debug, Default)]
pub struct Peer {
    pub rest: Vec<u8>,
    pub room: usize,
    pub got: Vec<u8>,
    /// It has ended its direction.
    pub gone: bool,
}

impl Peer {
    pub fn sending(bytes: &[u8]) -> Peer {
        Peer { rest: bytes.to_vec(), room: usize::MAX, ..Peer::default() }
    }
}

impl Read for Peer {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && !self.gone {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.room.min(bytes.len());
        self.room -= count;
        self.got.extend_from_slice(&bytes[..count]);
        if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Peer {
    type Pipe = NoPipe;

    fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("nobody looks here")
    }

    fn connected(&mut self, _: Ready) -> io::Result<bool> {
        Ok(true)
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn unsent(&self) -> io::Result<usize> {
        Ok(0)
    }

    fn reset_on_drop(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn no_delay(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> i32 {
        -1
    }
}

/// Counts itself among the open ones for as long as it lives.
#[derive(Debug)]
pub struct FakeListener {
    at: Endpoint,
    open: Rc<Cell<usize>>,
}

impl Drop for FakeListener {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

/// What a test wants of the world, and what was asked of it.
#[derive(Debug, Default)]
pub struct FakeNet {
    pub now: Now,
    /// Where somebody wanted to listen, and was let.
    pub listening: Vec<(Endpoint, Token)>,
    pub refuse_to_listen: bool,
    pub refuse_ports: Vec<u16>,
    /// Who connects next, to whichever listener is asked.
    pub clients: Vec<Peer>,
    /// What is answered for a name; `None` for nothing ever.
    pub names: Vec<(&'static str, Option<Answer>)>,
    /// The names that were asked for.
    pub asked: Vec<String>,
    /// Comes with the next wait.
    pub signal: Option<Signal>,
    /// What the next waits bring.
    pub answers: Vec<Event>,
    /// How many listeners are open.
    pub open: Rc<Cell<usize>>,
}

impl FakeNet {
    pub fn open_listeners(&self) -> usize {
        self.open.get()
    }
}

impl Net for FakeNet {
    type Listener = FakeListener;
    type Stream = Peer;
    type Log = Vec<u8>;

    fn listen(&mut self, at: &Endpoint, _: ListenOptions, token: Token) -> io::Result<FakeListener> {
        if self.refuse_to_listen || at.port().is_some_and(|port| self.refuse_ports.contains(&port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let at = match at {
            Endpoint::Inet(addr) if addr.port() == 0 => {
                let port = 40_000 + u16::try_from(self.listening.len()).unwrap();
                Endpoint::inet(SocketAddr::new(addr.ip(), port))
            }
            other => other.clone(),
        };
        self.listening.push((at.clone(), token));
        self.open.set(self.open.get() + 1);
        Ok(FakeListener { at, open: Rc::clone(&self.open) })
    }

    fn local(&self, listener: &FakeListener) -> io::Result<Endpoint> {
        Ok(listener.at.clone())
    }

    fn accept(&mut self, _: &mut FakeListener) -> io::Result<(Peer, Endpoint)> {
        let peer = self.clients.pop().ok_or(io::ErrorKind::WouldBlock)?;
        Ok((peer, Endpoint::inet("127.0.0.1:9".parse().unwrap())))
    }

    fn connect(&mut self, _: &Endpoint, _: Option<Source>) -> io::Result<Peer> {
        panic!("nobody connects here")
    }

    fn is_lack(&self, _: &io::Error) -> bool {
        false
    }

    fn watch(&mut self, _: &mut Peer, _: Token) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<Now> {
        events.extend(self.signal.take().map(Event::Signal));
        if self.answers.is_empty() {
            self.now.moment = self.now.moment + timeout.expect("somebody would sleep for ever");
        } else {
            // One at a time, so that whoever waits must wait more than once.
            events.push(self.answers.remove(0));
        }
        Ok(self.now)
    }

    fn resolve(&mut self, request: usize, name: &str) {
        self.asked.push(String::from(name));
        let row = self.names.iter().find(|row| row.0 == name).unwrap_or_else(|| panic!("{name} is not in the test"));
        self.answers.extend(row.1.clone().map(|answer| Event::Resolved { request, answer }));
    }

    fn open_log(&mut self, _: &LogTarget) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn read_commands(&mut self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn say(&mut self, _: Severity, _: &str) {}

    fn dump(&mut self, _: &[u8]) {}
}
