//! The server behind all balancers: one thread, any number of connections, each byte verified.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::wire::{self, CHUNK, HEAD, Sequence, Unit};

const LISTENER: Token = Token(usize::MAX);

/// Chunks that one connection moves before others have their turn.
const SHARE: usize = 4;

struct Connection {
    stream: TcpStream,
    head: [u8; HEAD],
    has_head: usize,
    /// The unit under way, how much of it has come and how much of its answer has gone.
    unit: Option<Unit>,
    came: u64,
    gone: u64,
    has_ended: bool,
}

/// How a connection was left.
enum Left {
    Waiting,
    OutOfShare,
    Closed,
}

/// Serves for ever. Says `listening` on standard output once it does.
pub fn serve(at: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    // A burst of connects must not wait for the kernel's retransmission of a SYN.
    let socket = socket2::Socket::new(socket2::Domain::for_address(at), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(4096)?;
    let mut listener = TcpListener::from_std(socket.into());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening");
    let mut connections: Slab<Connection> = Slab::new();
    let mut queue = VecDeque::new();
    let mut events = Events::with_capacity(1024);
    let sequence = Sequence::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let wait = if queue.is_empty() { None } else { Some(std::time::Duration::ZERO) };
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        let known = queue.len();
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
            } else {
                queue.push_back(event.token().0);
            }
        }
        // Those with news go first: a short answer does not wait for a long one.
        queue.rotate_left(known);
        for _ in 0..queue.len() {
            let Some(key) = queue.pop_front() else { break };
            let Some(connection) = connections.get_mut(key) else { continue };
            match connection.step(&sequence, &mut buffer) {
                Ok(Left::Waiting) => {}
                Ok(Left::OutOfShare) => queue.push_back(key),
                Ok(Left::Closed) => drop(connections.remove(key)),
                Err(error) => {
                    if error.kind() == io::ErrorKind::InvalidData {
                        return Err(error);
                    }
                    drop(connections.remove(key));
                }
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Slab<Connection>) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let slot = connections.vacant_entry();
        poll.registry().register(&mut stream, Token(slot.key()), Interest::READABLE | Interest::WRITABLE)?;
        let head = [0; HEAD];
        slot.insert(Connection { stream, head, has_head: 0, unit: None, came: 0, gone: 0, has_ended: false });
    }
}

impl Connection {
    fn step(&mut self, sequence: &Sequence, buffer: &mut [u8]) -> io::Result<Left> {
        for _ in 0..SHARE {
            let wrote = self.send(sequence)?;
            let read = self.receive(sequence, buffer)?;
            if self.has_ended {
                return Ok(Left::Closed);
            }
            if !wrote && !read {
                return Ok(Left::Waiting);
            }
        }
        Ok(Left::OutOfShare)
    }

    /// Takes one chunk; false if there is none for now.
    fn receive(&mut self, sequence: &Sequence, buffer: &mut [u8]) -> io::Result<bool> {
        // The next unit is not begun before the answer to this one has gone, nor is it read: as an
        // ordinary server has it, a client that takes nothing is not listened to.
        let is_heard = self.unit.is_some_and(|unit| self.came == unit.up);
        if is_heard {
            return Ok(false);
        }
        let skipped = self.unit.filter(|unit| unit.is_skimmed).map_or(0, |unit| wire::skipped(self.came, unit.up));
        if skipped > 0 {
            return match wire::skip(&self.stream, skipped) {
                Ok(count) => {
                    self.came += count as u64;
                    self.has_ended = count == 0;
                    Ok(count > 0)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            };
        }
        let room = match self.unit {
            Some(unit) => buffer.len().min(usize::try_from(unit.up - self.came).unwrap_or(CHUNK)),
            None => buffer.len(),
        };
        let count = match self.stream.read(&mut buffer[..room]) {
            Ok(0) => {
                self.has_ended = true;
                return Ok(false);
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.take(sequence, &buffer[..count])?;
        Ok(true)
    }

    fn take(&mut self, sequence: &Sequence, mut bytes: &[u8]) -> io::Result<()> {
        if self.unit.is_none() {
            let count = bytes.len().min(HEAD - self.has_head);
            self.head[self.has_head..][..count].copy_from_slice(&bytes[..count]);
            self.has_head += count;
            bytes = &bytes[count..];
            if self.has_head == HEAD {
                self.unit = Some(Unit::parse(&self.head)?);
            }
        }
        sequence.verify(self.came, bytes)?;
        self.came += bytes.len() as u64;
        if self.unit.is_some_and(|unit| self.came > unit.up) {
            return Err(wire::wrong("a client sends more than it said"));
        }
        Ok(())
    }

    /// Sends one chunk; false if there is nothing to send or no room for it.
    fn send(&mut self, sequence: &Sequence) -> io::Result<bool> {
        let Some(unit) = self.unit else { return Ok(false) };
        let is_heard = self.came == unit.up;
        let due = unit.early + if is_heard { unit.late } else { 0 };
        let mut wrote = false;
        if self.gone < due {
            match self.stream.write(sequence.at(self.gone, due - self.gone)) {
                Ok(count) => self.gone += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            wrote = true;
        }
        if is_heard && self.gone == unit.received() && unit.is_last {
            self.has_ended = true;
        } else if is_heard && self.gone == unit.received() {
            (self.unit, self.has_head, self.came, self.gone) = (None, 0, 0, 0);
            return Ok(true);
        }
        Ok(wrote)
    }
}
