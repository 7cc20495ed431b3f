//! The seam: all that the event loop knows of the world.
//!
//! The real world is `sys`, over mio and libc; the other one is the simulation in `tests/sim`.
//! There are no further implementations. [`Net::wait`] is the only source of time.

mod datagrams;
mod event;
mod listen_options;
mod log_target;
mod pipe;
mod unread;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::addr::{Endpoint, Source};
use crate::base::diag::Severity;
use crate::base::keepalive::Keepalive;
use crate::base::time::Now;
pub use datagrams::{BATCH_MAX, DATAGRAM_MAX, Inbox, Outbox, Way};
pub use event::{Event, NoAddress, Ready, Signal, Successor, Token};
pub use listen_options::ListenOptions;
pub use log_target::LogTarget;
pub use pipe::{NoPipe, Pipe};
pub use unread::Unread;

/// How much was lost of what is for the operator, because nobody read it in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// Lines.
    pub messages: u64,
    /// Dumps.
    pub dumps: u64,
}

/// One end of a connection. Reads and writes never block.
pub trait Stream: Read + Write {
    /// What [`Net::pipe`] opens.
    type Pipe: Pipe;

    /// Moves what has come into an empty pipe, as far as there is room. 0 says that only a read
    /// can tell what is next: the end, or what must be read. `WouldBlock` means the same as with a
    /// read, and `Unsupported` that this is of no use, now or later.
    fn fill(&mut self, _: &mut Self::Pipe) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes what is in a pipe, as far as that goes.
    fn pour(&mut self, _: &mut Self::Pipe) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// As `read`, but leaves the bytes where they are: the next reads bring them again, and do not
    /// fail before they have brought them (`MSG_PEEK`, recv(2)).
    fn peek(&mut self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Takes note of an edge, before anything else is done about it. Who tells of one edge tells
    /// of all. What it saves is the stream's affair.
    fn edge(&mut self, _: Ready) {}

    /// True if it is certain that a read would say `WouldBlock`, without asking for it.
    fn is_drained(&self) -> bool {
        false
    }

    /// True if it is certain that a read would bring the end, without asking for it.
    fn is_at_end(&self) -> bool {
        false
    }

    /// As `write` of bytes that are the last: they may wait for the end that is told or made right after them, and
    /// leave with it (`MSG_MORE`, send(2)).
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    /// The connection has lasted for some seconds: sets what is not worth a call on a short one.
    fn settle(&mut self) {}

    /// Caps what the kernel keeps of what was written and the peer has not taken (`SO_SNDBUF`,
    /// socket(7)), in bytes. A world without such memory has nothing to do.
    fn cap_sending(&mut self, _bytes: u32) {}

    /// Caps what the kernel keeps of what has come and was not read (`SO_RCVBUF`), in bytes.
    fn cap_receiving(&mut self, _bytes: u32) {}

    /// `Ok(true)` once connected, `Ok(false)` while still pending; an error if the connect
    /// failed. `edge` is what made the caller ask, and may be spurious.
    fn connected(&mut self, edge: Ready) -> io::Result<bool>;

    /// The error that waits on the socket, if any, which takes it away (`SO_ERROR`, socket(7)).
    fn take_error(&self) -> io::Result<Option<io::Error>>;

    /// Sends what is still queued, then FIN. Reading goes on.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Bytes that were written but that the peer's kernel has not acknowledged.
    fn unsent(&self) -> io::Result<usize>;

    /// Makes dropping the stream reset the connection, and discard what is unsent.
    fn reset_on_drop(&mut self) -> io::Result<()>;

    /// Sends small segments at once from now on (`TCP_NODELAY`, tcp(7)); nothing on a Unix socket.
    fn no_delay(&mut self) -> io::Result<()>;

    /// Whether the kernel says that the peer is of this process's user or of root (unix(7)).
    fn is_same_user(&self) -> bool {
        false
    }

    /// The address of the peer. A world without addresses refuses.
    fn peer(&self) -> io::Result<Endpoint> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The address of this machine that the connection is at. A world without addresses refuses.
    fn local(&self) -> io::Result<Endpoint> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The number of the descriptor, for operators who compare with other tools.
    fn descriptor(&self) -> i32;
}

/// The world, as far as the event loop can tell. Nothing in it blocks but [`Net::wait`].
pub trait Net {
    /// A listening socket; dropping it closes it.
    type Listener: fmt::Debug;
    /// A connection; dropping it closes it, and ends its being watched.
    type Stream: Stream + fmt::Debug;
    /// An open request log. One `write` is one attempt to write, and may be short.
    type Log: Write + fmt::Debug;

    /// Opens a listening socket and watches it for reading.
    ///
    /// Fails if the address is in use, not of this machine, or not allowed.
    fn listen(&mut self, at: &Endpoint, options: ListenOptions, token: Token) -> io::Result<Self::Listener>;

    /// Opens a listening socket for one peer that is to come soon, after which it is closed. A world
    /// where that makes no difference has nothing to do.
    fn listen_once(&mut self, at: &Endpoint, options: ListenOptions, token: Token) -> io::Result<Self::Listener> {
        self.listen(at, options, token)
    }

    /// Closes a listening socket, also where another process has it open, and so would be told of.
    fn close(&mut self, listener: Self::Listener) {
        drop(listener);
    }

    /// Where the listener really listens: the port, if 0 was asked for.
    fn local(&self, listener: &Self::Listener) -> io::Result<Endpoint>;

    /// Takes the next client; `WouldBlock` if there is none.
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, Endpoint)>;

    /// Begins to connect, from the local address `from` if one is given. The connection is made
    /// when [`Stream::connected`] says so. The caller tells apart what is the server's fault and
    /// what is lack of something here.
    fn connect(&mut self, to: &Endpoint, from: Option<Source>) -> io::Result<Self::Stream>;

    /// Takes a connection back that is over: the peer's end was read, and it is told ours, as when the stream
    /// is dropped. It was watched under this token. A world that can make another connection of it may
    /// keep it for [`Net::connect`].
    fn retire(&mut self, stream: Self::Stream, token: Token) {
        let _ = token;
        drop(stream);
    }

    /// Nobody is connected, any more or after the start: what was kept for others is given back. What is retired from now on
    /// may be kept.
    fn rest(&mut self) {}

    /// A socket for datagrams to and from `to` and nobody else, from the local address `from` if one is
    /// given. It needs no time to connect. Each read brings one datagram whole, and 0 bytes are a
    /// datagram, too; each write sends one. Errors that come from afar (icmp(7)) are told by the next
    /// read or write, which does nothing else then; `InvalidInput` says that a datagram is too long. An edge tells of the first that comes after a
    /// `WouldBlock`, and none that a write would not block.
    fn connect_datagrams(&mut self, to: &Endpoint, from: Option<Source>) -> io::Result<Self::Stream> {
        let _ = (to, from);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes datagrams that came to a listener, as many as there are and as one call takes, in place
    /// of those in the box; `WouldBlock` if there are none.
    fn receive(&mut self, listener: &mut Self::Listener, inbox: &mut Inbox) -> io::Result<()> {
        let _ = (listener, inbox);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends answers from a listener, from number `first` on, as one call takes them; how many. An
    /// error is about the first one only, which is not sent; `InvalidInput` says that it is too long.
    fn answer(&mut self, listener: &mut Self::Listener, outbox: &Outbox, first: usize) -> io::Result<usize> {
        let _ = (listener, outbox, first);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sets how peers are probed on TCP connections that are made from now on, and on those that are
    /// accepted from `listeners` or from one that is opened later. At first it is as the system has
    /// it. A world where nobody vanishes has nothing to do.
    fn keep_alive(&mut self, how: Option<Keepalive>, listeners: &[&Self::Listener]) -> io::Result<()> {
        let _ = (how, listeners);
        Ok(())
    }

    /// True if an error of `accept`, `connect` or `watch` is nobody's fault: this machine lacks
    /// descriptors, memory or ports, or a rule of its own forbids it. Not of a source that is no address
    /// of this machine: that is `AddrNotAvailable`, and to wait is of no use.
    fn is_lack(&self, error: &io::Error) -> bool;

    /// True if so many bytes of memory can be had, and something besides for all that is too small
    /// to be asked for. What grows with connections asks first, and does without if it must. A
    /// world that is never short of memory has nothing to do.
    fn has_memory(&mut self, _bytes: usize) -> bool {
        true
    }

    /// Raises the limit of open descriptors to `welcome`, or as near as the system lets it; what it
    /// is then. What is beyond `needed` is the world's to use. A world without such a limit has
    /// nothing to do.
    fn raise_descriptors(&mut self, _needed: u64, welcome: u64) -> io::Result<u64> {
        Ok(welcome)
    }

    /// Watches both directions, once and for good; dropping the stream ends it.
    fn watch(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Watches a stream that is watched already under another token from now on. What is there to
    /// be read or written brings an edge anew. Where a second [`Net::watch`] does the same, there
    /// is nothing more to do.
    fn rewatch(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()> {
        self.watch(stream, token)
    }

    /// Sleeps until something happened or the time is up, and appends what happened to `events`.
    /// The only source of time.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<Now>;

    /// Lets more come before the next wait, for so long at most, which is less than a second. A world in which things
    /// come one by one has nothing to do.
    fn gather(&mut self, _time: Duration) {}

    /// Nanoseconds of the wall clock's second at the last wait, for reports. A world that counts whole
    /// seconds has none.
    fn subsecond(&self) -> u32 {
        0
    }

    /// A time of day as people here read it, from seconds since 1970-01-01 00:00:00 UTC. A world
    /// without time zones shows the seconds.
    fn local_time(&self, unix: u64) -> String {
        unix.to_string()
    }

    /// Opens a pipe; `open` of them are there already, which may be enough. `Unsupported` if there
    /// are none in this world.
    fn pipe(&mut self, open: usize) -> io::Result<<Self::Stream as Stream>::Pipe> {
        let _ = open;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Asks for the addresses of a host; [`Event::Resolved`] brings the answer, with `request`.
    fn resolve(&mut self, request: usize, name: &str);

    /// Opens a request log.
    fn open_log(&mut self, target: &LogTarget) -> io::Result<Self::Log>;

    /// Opens a file and empties it. One that has bytes must begin with these, so that nothing else is
    /// lost, and keeps them if it `continues` it; one that is new only this user may read. A world without
    /// files refuses.
    fn open_anew(&mut self, _path: &Path, _magic: &[u8], _continues: bool) -> io::Result<Self::Log> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads a file of commands, at most a mebibyte.
    fn read_commands(&mut self, path: &Path) -> io::Result<String>;

    /// Puts a file in place of the one that is there, at one go. A world without files refuses.
    fn write_file(&mut self, _path: &Path, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether [`Net::write_file`] can put a file there, as far as that is known now. A world without files refuses.
    fn may_write_file(&mut self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The path of a file, there or not, without symbolic links. A world without files has none.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }

    /// Says one line to the operator: stderr in the foreground, syslog otherwise. Never blocks;
    /// what cannot be written is dropped and counted, and the count is said later.
    fn say(&mut self, severity: Severity, text: &str);

    /// Writes one dump of the tracer, whole or not at all, never mixed with anything else. Never
    /// blocks; what cannot be written is dropped and counted, and the count is said later.
    fn dump(&mut self, bytes: &[u8]);

    /// What was lost of [`Net::say`] and [`Net::dump`] since the start. A world that loses nothing has
    /// nothing to count.
    fn lost(&self) -> Lost {
        Lost::default()
    }

    /// Starts the program anew, as a successor that gets the listeners: those for clients, and the
    /// one for commands. [`Event::Successor`] tells what becomes of it. An error is the end of a
    /// sentence; a world with nothing but this process knows no other way.
    fn start_successor(&mut self, _: &[&Self::Listener], _: Option<&Self::Listener>) -> Result<(), String> {
        Err(String::from("there is no way to start another process here"))
    }

    /// Ends a successor to which nothing was handed over, and returns what it has said and nobody
    /// heard. Nothing happens if there is none.
    fn end_successor(&mut self) -> String {
        String::new()
    }

    /// Leaves the listeners to the successor that is ready, with what is remembered of clients.
    /// Its sockets stay open, and keep who waits there. The listeners are those that it was started
    /// with, in the same order.
    fn hand_over(&mut self, _clients: &[u8], listeners: Vec<Self::Listener>, control: Option<Self::Listener>) {
        drop((listeners, control));
    }
}
