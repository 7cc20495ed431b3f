//! The sockets of a resolver, and the loop in which a filter waits: for answers, for more input, and
//! for room in its output.
//!
//! Datagram sockets are connected, so the kernel drops what does not come from the server's address
//! and port, and tells when nobody listens there. Input and output may be shared with other processes
//! and stay as they are; they are asked before each call whether it would wait.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::clock::unix_now;
use super::poll_one;
use super::socket::Socket;
use crate::base::addr::Endpoint;
use crate::base::time::{Moment, Now};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// The longest datagram that is taken. Without EDNS none has more than 512 bytes (RFC 1035 section
/// 4.2.1); servers that send more are understood.
const DATAGRAM_MAX: usize = 4096;

const INPUT: Token = Token(usize::MAX - 1);
const OUTPUT: Token = Token(usize::MAX - 2);

/// Tokens of connections begin here, those of lanes at 0.
const STREAMS: usize = 1 << 30;

/// What the monotonic clock says at the start, in nanoseconds: not 0, so that a time before it has a
/// moment, too.
const ORIGIN: u64 = 10 * 365 * 86_400 * 1_000_000_000;

/// What has come from the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival<'a> {
    /// A message from the server of a lane.
    Datagram(usize, &'a [u8]),
    /// Nobody listens at the other end of this lane, or there is no way there.
    Unreachable(usize),
    /// A whole message over a connection.
    Stream(usize, &'a [u8]),
    /// The connection could not be made, or has ended.
    StreamFailed(usize),
}

/// A connection: its message on the way out, then the answer with its length before it.
#[derive(Debug)]
struct Stream {
    socket: Socket,
    unsent: Vec<u8>,
    answer: Vec<u8>,
}

/// The sockets and the loop.
#[derive(Debug)]
pub struct DnsNet {
    poll: Poll,
    events: Events,
    servers: Vec<SocketAddr>,
    /// How many lanes each server has.
    width: usize,
    lanes: Vec<Option<UdpSocket>>,
    streams: Vec<Option<Stream>>,
    /// What is to be looked at after an event; nobody is in it twice for long.
    ready: Vec<Token>,
    /// Lanes where sending has failed.
    failed: Vec<usize>,
    /// Connections that could not even be begun.
    unopened: Vec<usize>,
    origin: Instant,
    buffer: Vec<u8>,
}

impl DnsNet {
    /// The loop, with `width` lanes to each of these servers; their sockets are opened when used.
    pub fn new(servers: Vec<SocketAddr>, width: usize) -> io::Result<DnsNet> {
        let lanes = servers.len() * width;
        Ok(DnsNet {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            servers,
            width,
            lanes: (0..lanes).map(|_| None).collect(),
            streams: Vec::new(),
            ready: Vec::new(),
            failed: Vec::new(),
            unopened: Vec::new(),
            origin: Instant::now(),
            buffer: vec![0; DATAGRAM_MAX],
        })
    }

    /// The time.
    pub fn now(&self) -> Now {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { moment: Moment::from_nanos(ORIGIN.saturating_add(nanos)), unix: unix_now() }
    }

    /// Sends a message to the server of this lane. If the system cannot, [`DnsNet::arrivals`] tells so;
    /// a full queue is as good as a loss on the way.
    pub fn send(&mut self, lane: usize, message: &[u8]) {
        for _ in 0..2 {
            match self.lane(lane).and_then(|socket| socket.send(message)) {
                // It tells what became of an earlier message, and this one is not sent yet.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => self.failed.push(lane),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
                Err(_) => return self.failed.push(lane),
                Ok(_) => return,
            }
        }
    }

    /// Gives a lane another port.
    pub fn renew(&mut self, lane: usize) {
        self.lanes[lane] = None;
    }

    /// Begins to connect to a server, for this message.
    pub fn connect(&mut self, stream: usize, server: usize, message: &[u8]) {
        if self.streams.len() <= stream {
            self.streams.resize_with(stream + 1, || None);
        }
        match self.open_stream(stream, server, message) {
            Ok(opened) => {
                self.streams[stream] = Some(opened);
                self.ready.push(Token(STREAMS + stream));
            }
            Err(_) => self.unopened.push(stream),
        }
    }

    /// Closes a connection, if there is one of this name.
    pub fn disconnect(&mut self, stream: usize) {
        if let Some(place) = self.streams.get_mut(stream) {
            *place = None;
        }
    }

    /// Watches a descriptor for input. False for what is always ready, such as a file.
    pub fn watch_input(&mut self, fd: &impl AsFd) -> io::Result<bool> {
        self.watch(fd.as_fd().as_raw_fd(), INPUT, Interest::READABLE)
    }

    /// Watches a descriptor for room in it. False for what always has room, such as a file.
    pub fn watch_output(&mut self, fd: &impl AsFd) -> io::Result<bool> {
        self.watch(fd.as_fd().as_raw_fd(), OUTPUT, Interest::WRITABLE)
    }

    /// Ends watching a descriptor, before it is closed.
    pub fn unwatch(&mut self, fd: &impl AsFd) {
        // It may not be watched.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd.as_fd().as_raw_fd()));
    }

    /// Sleeps until something has happened, or for `timeout`.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let is_idle = self.ready.is_empty() && self.failed.is_empty() && self.unopened.is_empty();
        let timeout = if is_idle { timeout } else { Some(Duration::ZERO) };
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        let tokens = self.events.iter().map(mio::event::Event::token);
        self.ready.extend(tokens.filter(|token| !matches!(*token, INPUT | OUTPUT)));
        Ok(())
    }

    /// Hands over all that has come from the network.
    pub fn arrivals(&mut self, mut take: impl FnMut(Arrival<'_>)) {
        for lane in self.failed.drain(..) {
            take(Arrival::Unreachable(lane));
        }
        for stream in self.unopened.drain(..) {
            take(Arrival::StreamFailed(stream));
        }
        for token in std::mem::take(&mut self.ready) {
            match token.0.checked_sub(STREAMS) {
                None => self.receive(token.0, &mut take),
                Some(stream) => self.converse(stream, &mut take),
            }
        }
    }

    fn watch(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<bool> {
        match self.poll.registry().register(&mut SourceFd(&fd), token, interest) {
            Ok(()) => Ok(true),
            // EPERM: epoll(7) does not take files, for they are always ready.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lane(&mut self, lane: usize) -> io::Result<&UdpSocket> {
        if self.lanes[lane].is_none() {
            let server = self.servers[lane / self.width];
            let any: IpAddr =
                if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_nonblocking(true)?;
            socket.connect(server)?;
            let fd = socket.as_raw_fd();
            self.poll.registry().register(&mut SourceFd(&fd), Token(lane), Interest::READABLE)?;
            self.lanes[lane] = Some(socket);
        }
        Ok(self.lanes[lane].as_ref().expect("it has just been opened"))
    }

    fn receive(&mut self, lane: usize, take: &mut impl FnMut(Arrival<'_>)) {
        while let Some(socket) = &self.lanes[lane] {
            match socket.recv(&mut self.buffer) {
                Ok(count) => take(Arrival::Datagram(lane, &self.buffer[..count])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The error is taken by this; the socket goes on.
                Err(_) => take(Arrival::Unreachable(lane)),
            }
        }
    }

    fn open_stream(&self, stream: usize, server: usize, message: &[u8]) -> io::Result<Stream> {
        let socket = Socket::connect(&Endpoint::Inet(self.servers[server]), None, None)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let fd = socket.as_fd().as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), Token(STREAMS + stream), both)?;
        let length = u16::try_from(message.len()).map_err(|_| ErrorKind::InvalidInput)?;
        Ok(Stream { socket, unsent: [&length.to_be_bytes(), message].concat(), answer: Vec::new() })
    }

    fn converse(&mut self, at: usize, take: &mut impl FnMut(Arrival<'_>)) {
        let Some(place) = self.streams.get_mut(at) else { return };
        // What is named here may have ended since.
        let Some(stream) = place else { return };
        match stream.go_on() {
            Ok(false) => return,
            Ok(true) => take(Arrival::Stream(at, &stream.answer[2..])),
            Err(_) => take(Arrival::StreamFailed(at)),
        }
        *place = None;
    }
}

impl Stream {
    /// Sends and receives what it can; true once the answer is whole.
    fn go_on(&mut self) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if is_later(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let mut bytes = [0; DATAGRAM_MAX];
        loop {
            if let Some(length) = self.answer.first_chunk()
                && self.answer.len() >= 2 + usize::from(u16::from_be_bytes(*length))
            {
                self.answer.truncate(2 + usize::from(u16::from_be_bytes(*length)));
                return Ok(true);
            }
            match self.socket.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.answer.extend_from_slice(&bytes[..count]),
                Err(error) if is_later(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Also a socket that is not connected yet is only a matter of time.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}

/// Reads what is there; `WouldBlock` if there is nothing now.
pub fn read_now(file: &mut (impl Read + AsFd), buffer: &mut [u8]) -> io::Result<usize> {
    if !poll_one(&*file, libc::POLLIN, 0) {
        return Err(ErrorKind::WouldBlock.into());
    }
    file.read(buffer)
}

/// Writes what there is room for; `WouldBlock` if there is none now. `is_file` if it always has room.
pub fn write_now(file: &mut File, bytes: &[u8], is_file: bool) -> io::Result<usize> {
    if is_file {
        return file.write(bytes);
    }
    if !poll_one(&*file, libc::POLLOUT, 0) {
        return Err(ErrorKind::WouldBlock.into());
    }
    // What is ready takes so much without waiting (pipe(7)).
    file.write(&bytes[..bytes.len().min(libc::PIPE_BUF)])
}

/// The number of a zone of addresses (RFC 4007): of an interface by name, or a number as it is.
pub fn zone_number(zone: &str) -> Option<u32> {
    if let Ok(number) = zone.parse() {
        return Some(number);
    }
    let name = std::ffi::CString::new(zone).ok()?;
    // SAFETY: the name is a string with its zero byte, which the call only reads.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        number => Some(number),
    }
}

/// A copy of the standard output's descriptor, without a buffer.
pub fn standard_output() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// A copy of the standard input's descriptor, without a buffer.
pub fn standard_input() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn loopback() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The next thing that arrives, in words.
    fn next(net: &mut DnsNet) -> String {
        let end = Instant::now() + PATIENCE;
        let mut found = Vec::new();
        while found.is_empty() && Instant::now() < end {
            net.wait(Some(Duration::from_millis(100))).unwrap();
            net.arrivals(|arrival| found.push(format!("{arrival:?}")));
        }
        found.join(", ")
    }

    #[test]
    fn only_the_server_of_a_lane_is_heard() {
        let (server, stranger) = (loopback(), loopback());
        let mut net = DnsNet::new(vec![server.local_addr().unwrap()], 2).unwrap();
        net.send(1, b"question");
        let mut bytes = [0; 64];
        let (count, from) = server.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"question");
        stranger.send_to(b"forged", from).unwrap();
        server.send_to(b"answer", from).unwrap();
        assert_eq!(next(&mut net), format!("{:?}", Arrival::Datagram(1, b"answer")));
        // Another port, and the old one is closed.
        net.renew(1);
        net.send(1, b"question");
        assert_ne!(server.recv_from(&mut bytes).unwrap().1, from);
    }

    #[test]
    fn a_port_where_nobody_listens_is_told_and_the_next_message_is_sent() {
        let server = loopback();
        let at = server.local_addr().unwrap();
        drop(server);
        let mut net = DnsNet::new(vec![at], 1).unwrap();
        net.send(0, b"question");
        assert_eq!(next(&mut net), "Unreachable(0)");
        net.send(0, b"again");
        // The port may be somebody else's by now; then there is nothing to see here.
        let Ok(server) = UdpSocket::bind(at) else { return };
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        net.send(0, b"now");
        let mut bytes = [0; 64];
        assert_eq!(server.recv(&mut bytes).unwrap(), 3);
    }

    #[test]
    fn an_answer_over_a_connection_may_come_in_pieces_or_not_at_all() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut net = DnsNet::new(vec![listener.local_addr().unwrap()], 1).unwrap();
        for (answer, expected) in [
            (&b"\0\x06answer"[..], format!("{:?}", Arrival::Stream(3, b"answer"))),
            (b"\0\x06answer and more", format!("{:?}", Arrival::Stream(3, b"answer"))),
            (b"\0\x06answe", String::from("StreamFailed(3)")),
            (b"\0", String::from("StreamFailed(3)")),
            (b"", String::from("StreamFailed(3)")),
        ] {
            net.connect(3, 0, b"question");
            let serving = thread::spawn({
                let listener = listener.try_clone().unwrap();
                move || {
                    let mut stream = listener.accept().unwrap().0;
                    let mut question = [0; 10];
                    stream.read_exact(&mut question).unwrap();
                    for byte in answer {
                        // Whoever has what was asked for hangs up.
                        let _ = stream.write_all(&[*byte]);
                    }
                    question
                }
            });
            assert_eq!(next(&mut net), expected);
            assert_eq!(serving.join().unwrap(), *b"\0\x08question");
        }
        let at = listener.local_addr().unwrap();
        drop(listener);
        let mut net = DnsNet::new(vec![at], 1).unwrap();
        net.connect(0, 0, b"question");
        assert_eq!(next(&mut net), "StreamFailed(0)");
    }

    #[test]
    fn pipes_are_asked_before_they_are_read_or_written() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut buffer = [0; 100];
        assert_eq!(read_now(&mut reader, &mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut writer = File::from(std::os::fd::OwnedFd::from(writer));
        let mut written = 0;
        let error = loop {
            match write_now(&mut writer, &[b'x'; 10_000], false) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(written >= libc::PIPE_BUF, "{written}");
        assert_eq!(read_now(&mut reader, &mut buffer).unwrap(), 100);
        drop(writer);
        let mut rest = Vec::new();
        assert_eq!(reader.read_to_end(&mut rest).unwrap(), written - 100);
        assert_eq!(read_now(&mut reader, &mut buffer).unwrap(), 0, "the end can be read");
    }

    #[test]
    fn zones_are_interfaces_or_numbers() {
        assert_eq!(zone_number("7"), Some(7));
        assert!(zone_number("lo").is_none_or(|number| number > 0));
        assert_eq!(zone_number("no-such-interface"), None);
    }
}
