//! The load: one thread, any number of connections, each byte verified.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::wire::{self, CHUNK, HEAD, Sequence, Unit};

/// Chunks that one connection moves before others have their turn.
const SHARE: usize = 4;

/// The longest that a unit may take in which bytes should move.
pub const PATIENCE: Duration = Duration::from_secs(30);

struct Connection {
    stream: TcpStream,
    unit: Unit,
    /// Units to go, the one under way included; 0 is an open connection at rest.
    units: u64,
    sent: u64,
    got: u64,
    /// The server has closed behind its answer.
    has_ended: bool,
}

/// How a connection was left.
enum Left {
    Waiting,
    OutOfShare,
    /// One more unit is complete.
    Complete,
}

/// What an operation on the load is to reach.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Units to complete.
    pub units: u64,
    /// Each on a connection of its own, with so many of them at a time.
    pub short: Option<(usize, Unit)>,
}

/// Connections to one address.
pub struct Load {
    to: SocketAddr,
    poll: Poll,
    events: Events,
    connections: Slab<Connection>,
    queue: VecDeque<usize>,
    sequence: Sequence,
    buffer: Vec<u8>,
}

impl Load {
    /// No connection yet.
    pub fn new(to: SocketAddr) -> io::Result<Load> {
        Ok(Load {
            to,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Slab::new(),
            queue: VecDeque::new(),
            sequence: Sequence::new(),
            buffer: vec![0; CHUNK],
        })
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Opens connections and lets each complete one small exchange, so that all of them are known to stand from end to
    /// end. Few at a time: what is measured later is not how a backlog overflows.
    pub fn open(&mut self, count: usize) -> io::Result<()> {
        let before = self.len();
        let (mut begun, mut complete) = (0, 0);
        let mut deadline = Instant::now() + PATIENCE;
        while complete < count as u64 {
            while begun < count as u64 && begun - complete < 64 {
                self.connect(Unit::exchange(64, 64), 1)?;
                begun += 1;
            }
            let more = self.turn(deadline, |load, key| load.connections[key].units = 0)?;
            complete += more;
            // Some take long for many, and are to be seen doing so.
            if more > 0 {
                deadline = Instant::now() + PATIENCE;
            }
        }
        assert_eq!(self.len(), before + count, "nobody closes a connection but its client");
        Ok(())
    }

    /// Begins so many units on every connection that is open.
    pub fn begin(&mut self, unit: Unit, units: u64) -> Goal {
        for (key, connection) in &mut self.connections {
            (connection.unit, connection.units, connection.sent, connection.got) = (unit, units, 0, 0);
            self.queue.push_back(key);
        }
        Goal { units: units * self.connections.len() as u64, short: None }
    }

    /// Works until the goal is reached.
    pub fn reach(&mut self, goal: Goal) -> io::Result<()> {
        let mut begun = 0;
        let mut complete = 0;
        let mut deadline = Instant::now() + PATIENCE;
        while complete < goal.units {
            if let Some((at_a_time, unit)) = goal.short {
                while begun < goal.units && begun - complete < at_a_time as u64 {
                    self.connect(unit, 1)?;
                    begun += 1;
                }
            }
            let more = self.turn(deadline, |load, key| match goal.short {
                Some(_) => drop(load.connections.remove(key)),
                None => {
                    let connection = &mut load.connections[key];
                    (connection.sent, connection.got) = (0, 0);
                    connection.units -= 1;
                    if connection.units > 0 {
                        load.queue.push_back(key);
                    }
                }
            })?;
            complete += more;
            if more > 0 {
                deadline = Instant::now() + PATIENCE;
            }
        }
        Ok(())
    }

    /// Asks for a unit on each connection, and reads nothing yet.
    pub fn begin_to_read(&mut self, unit: Unit) -> io::Result<()> {
        self.begin(unit, 1);
        self.queue.clear();
        self.connections.iter_mut().try_for_each(|(_, connection)| connection.send(&self.sequence).map(drop))
    }

    /// Reads a little from each connection, again and again for a while, and leaves the rest to the kernels.
    pub fn read_slowly(&mut self, bytes: usize, every: Duration, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for (_, connection) in &mut self.connections {
                connection.receive(&self.sequence, &mut self.buffer[..bytes])?;
            }
            std::thread::sleep(every);
        }
        Ok(())
    }

    /// How long it takes from the connect to the first byte of an answer, on a connection of its own.
    pub fn first_byte(&mut self) -> io::Result<Duration> {
        let begun = Instant::now();
        self.reach(Goal { units: 1, short: Some((1, Unit::exchange(64, 1))) })?;
        Ok(begun.elapsed())
    }

    /// Closes all connections.
    pub fn close(&mut self) {
        self.queue.clear();
        self.connections.clear();
    }

    fn connect(&mut self, unit: Unit, units: u64) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.to)?;
        let slot = self.connections.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(slot.key()), interest)?;
        slot.insert(Connection { stream, unit, units, sent: 0, got: 0, has_ended: false });
        Ok(())
    }

    /// Waits for news, and lets each connection do what it can. Returns how many units are complete, after `complete`
    /// has dealt with each.
    fn turn(&mut self, deadline: Instant, mut complete: impl FnMut(&mut Load, usize)) -> io::Result<u64> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes too long"));
        }
        let wait = if self.queue.is_empty() { left } else { Duration::ZERO };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            other => other?,
        }
        self.queue.extend(self.events.iter().map(|event| event.token().0));
        let mut done = 0;
        for _ in 0..self.queue.len() {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(key) else { continue };
            match connection.step(&self.sequence, &mut self.buffer)? {
                Left::Waiting => {}
                Left::OutOfShare => self.queue.push_back(key),
                Left::Complete => {
                    done += 1;
                    complete(self, key);
                }
            }
        }
        Ok(done)
    }
}

impl Connection {
    fn step(&mut self, sequence: &Sequence, buffer: &mut [u8]) -> io::Result<Left> {
        for _ in 0..SHARE {
            let wrote = self.send(sequence)?;
            let read = self.receive(sequence, buffer)?;
            if self.units > 0 && self.has_everything() && self.has_ended == self.unit.is_last {
                return Ok(Left::Complete);
            }
            if !wrote && !read {
                return Ok(Left::Waiting);
            }
        }
        Ok(Left::OutOfShare)
    }

    fn has_everything(&self) -> bool {
        self.sent == self.unit.sent() && self.got == self.unit.received()
    }

    fn send(&mut self, sequence: &Sequence) -> io::Result<bool> {
        if self.units == 0 || self.sent == self.unit.sent() {
            return Ok(false);
        }
        let place = self.sent.saturating_sub(HEAD as u64);
        let rest = sequence.at(place, self.unit.up - place);
        let outcome = if self.sent < HEAD as u64 {
            // A request is one segment, as programs send it.
            let mut first = self.unit.head()[self.sent as usize..].to_vec();
            first.extend_from_slice(&rest[..rest.len().min(8 * 1024)]);
            self.stream.write(&first)
        } else {
            self.stream.write(rest)
        };
        match outcome {
            Ok(count) => self.sent += count as u64,
            Err(error) if is_for_later(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn receive(&mut self, sequence: &Sequence, buffer: &mut [u8]) -> io::Result<bool> {
        let skipped = if self.unit.is_skimmed { wire::skipped(self.got, self.unit.received()) } else { 0 };
        if skipped > 0 && self.units > 0 {
            return match wire::skip(&self.stream, skipped) {
                Ok(0) => Err(wire::wrong("a connection ends before its time")),
                Ok(count) => {
                    self.got += count as u64;
                    Ok(true)
                }
                Err(error) if is_for_later(&error) => Ok(false),
                Err(error) => Err(error),
            };
        }
        // The end of a connection is looked for as well as bytes.
        match self.stream.read(buffer) {
            Ok(0) if self.unit.is_last && self.has_everything() => {
                self.has_ended = true;
                Ok(true)
            }
            Ok(0) => Err(wire::wrong("a connection ends before its time")),
            Ok(count) if self.units == 0 || self.got + count as u64 > self.unit.received() => {
                Err(wire::wrong("more arrives than was sent"))
            }
            Ok(count) => {
                sequence.verify(self.got, &buffer[..count])?;
                self.got += count as u64;
                Ok(true)
            }
            Err(error) if is_for_later(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Nothing to do for now; a socket that is still connecting says so in its own way.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
