//! What a client and a server of the soak say to each other, so that both know every byte that must come.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crate::support::client::reset;
use crate::support::pattern::{Pattern, read};
use crate::support::wait;

/// How long either side waits for the other's next byte.  What is stopped by a fault goes on long before.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Bytes of [`Talk`] on the wire.
const HEAD: usize = 18;

/// How a conversation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The request, then the answer; the server closes.
    Plain,
    /// The same, but the client ends its direction, and the server waits for that end.
    EndsFirst,
    /// Both speak at once.
    AtOnce,
    /// The server answers and ends its direction, then reads the request up to the client's end.
    AnswersFirst,
    /// The client resets the connection within its request.
    Cut,
}

/// All sorts, by the number that stands for each on the wire.
const SORTS: [Sort; 5] = [Sort::Plain, Sort::EndsFirst, Sort::AtOnce, Sort::AnswersFirst, Sort::Cut];

/// One conversation.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    pub sort: Sort,
    pub seed: u8,
    /// Bytes to the server, and to the client.
    pub up: usize,
    pub down: usize,
}

impl Talk {
    fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[0] = SORTS.iter().position(|sort| *sort == self.sort).map_or(0, |at| at as u8);
        head[1] = self.seed;
        head[2..10].copy_from_slice(&(self.up as u64).to_be_bytes());
        head[10..].copy_from_slice(&(self.down as u64).to_be_bytes());
        head
    }

    fn parse(head: &[u8; HEAD]) -> Option<Talk> {
        let number = |at: usize| {
            let bytes: [u8; 8] = head[at..at + 8].try_into().ok()?;
            usize::try_from(u64::from_be_bytes(bytes)).ok()
        };
        let sort = *SORTS.get(usize::from(head[0]))?;
        Some(Talk { sort, seed: head[1], up: number(2)?, down: number(10)? })
    }
}

/// The bytes to the server, and to the client.
pub fn patterns(seed: u8) -> (&'static Pattern, &'static Pattern) {
    let seed = usize::from(seed) % PATTERNS;
    let patterns = PATTERN.get_or_init(|| (0..2 * PATTERNS as u64).map(Pattern::new).collect());
    (&patterns[2 * seed], &patterns[2 * seed + 1])
}

/// Bounds reads and writes by [`SILENCE_MAX`].
pub fn silent_for_long(stream: &TcpStream) -> Result<(), String> {
    let bounded = stream.set_read_timeout(Some(SILENCE_MAX)).and_then(|()| stream.set_write_timeout(Some(SILENCE_MAX)));
    bounded.map_err(|error| format!("time-out: {error}"))
}

/// Making a pattern takes longer than a small conversation.
const PATTERNS: usize = 8;
static PATTERN: OnceLock<Vec<Pattern>> = OnceLock::new();

/// Reads in small pieces, with a pause before each.
pub struct Slow<'a>(pub &'a TcpStream, pub Duration);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        pause(self.1);
        (&mut &*self.0).read(buffer)
    }
}

impl Write for Slow<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        pause(self.1);
        (&mut &*self.0).write(&bytes[..bytes.len().min(20_000)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets a time pass: what is slow in a soak is slow by it.
pub fn pause(time: Duration) {
    if !time.is_zero() {
        wait::within(time, || None::<()>);
    }
}

/// The client's part.  `served_by` hears the number of the server as soon as it is known.  A pause makes the client
/// slow, in what it reads and in what it writes.
pub fn client(stream: TcpStream, talk: Talk, slow: Duration, mut served_by: impl FnMut(u8)) -> Result<(), String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    silent_for_long(&stream)?;
    let (up, down) = patterns(talk.seed);
    (&stream).write_all(&talk.head()).map_err(told("head"))?;
    let mut number = [0];
    (&stream).read_exact(&mut number).map_err(told("number"))?;
    served_by(number[0]);
    let send = |total: usize| up.write(Slow(&stream, slow), total, |_| {});
    let receive = || match down.check(Slow(&stream, slow), if slow.is_zero() { 65_536 } else { 5_000 }) {
        Ok(count) if count == talk.down => Ok(()),
        Ok(count) => Err(format!("a clean end after {count} of {} bytes", talk.down)),
        Err(error) => Err(format!("answer: {error}")),
    };
    let end = || stream.shutdown(Shutdown::Write).map_err(told("end"));
    match talk.sort {
        Sort::Plain => {
            send(talk.up).map_err(told("request"))?;
            receive()
        }
        Sort::EndsFirst => {
            send(talk.up).map_err(told("request"))?;
            end()?;
            receive()
        }
        Sort::AtOnce => thread::scope(|scope| {
            let sending = scope.spawn(|| send(talk.up).map_err(told("request")));
            let received = receive();
            sending.join().expect("it does not panic").and(received)
        }),
        Sort::AnswersFirst => {
            receive()?;
            send(talk.up).map_err(told("request"))?;
            end()?;
            // Closed only when the server has read it all: then its end arrives, and nothing else.
            Ok(())
        }
        Sort::Cut => {
            send(talk.up / 2).map_err(told("request"))?;
            reset(stream);
            Ok(())
        }
    }
}

/// The server's part; an error is something that must never happen.
pub fn server(stream: &TcpStream, number: u8) -> Result<(), String> {
    let mut head = [0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match read(&mut &*stream, &mut head[filled..]) {
            // A client that hangs up at once.
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => filled += count,
        }
    }
    let talk = Talk::parse(&head).ok_or_else(|| format!("a head of {head:?}"))?;
    let (up, down) = patterns(talk.seed);
    let receive = || match (up.check(stream.take(talk.up as u64), 65_536), talk.sort) {
        (Ok(count), Sort::Cut) => Err(format!("{talk:?}: a cut request of {count} bytes had a clean end")),
        (Ok(count), _) if count == talk.up => Ok(()),
        (Ok(count), _) => Err(format!("{talk:?}: a clean end after {count} bytes")),
        (Err(error), Sort::Cut) if error.kind() == io::ErrorKind::ConnectionReset => Err(String::new()),
        (Err(error), _) => Err(format!("{talk:?}: {error}")),
    };
    let receive_end = || match read(&mut &*stream, &mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(format!("{talk:?}: more than was sent")),
        Err(error) => Err(format!("{talk:?}: instead of the end: {error}")),
    };
    // What cannot be sent was said by the client.
    let send = || {
        let _ = down.write(stream, talk.down, |_| {});
        let _ = stream.shutdown(Shutdown::Write);
    };
    let _ = (&mut &*stream).write_all(&[number]);
    let outcome = match talk.sort {
        Sort::Plain => receive().map(|()| send()).and_then(|()| receive_end()),
        Sort::Cut => receive(),
        Sort::EndsFirst => receive().and_then(|()| receive_end()).map(|()| send()),
        Sort::AtOnce => thread::scope(|scope| {
            let sending = scope.spawn(send);
            let received = receive();
            sending.join().expect("it does not panic");
            received.and_then(|()| receive_end())
        }),
        Sort::AnswersFirst => {
            send();
            receive().and_then(|()| receive_end())
        }
    };
    match outcome {
        // Cut as it was meant to be.
        Err(text) if text.is_empty() => Ok(()),
        outcome => outcome,
    }
}
