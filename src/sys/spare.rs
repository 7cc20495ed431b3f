//! Sockets of connections that are over, for the next ones.
//!
//! On Linux a TCP socket whose connection has ended on both sides can be told to forget it, and
//! connect anew (connect(2), `AF_UNSPEC`): it keeps its descriptor, its options and its being
//! watched. That takes two calls, where a new socket takes four with the closing of the old one, and
//! less of the processor.
//!
//! Only a socket is kept about which nothing is left to say: it has no local address of its own and
//! no options but those that every new one gets, and its peer has ended. Whether the peer has
//! acknowledged all that it was sent, the end included, is looked at before it is used again: until
//! then the kernel goes on to send, as it does when the socket is closed.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use mio::Poll;
use mio::unix::SourceFd;

use super::arrivals::both_ways;
use super::checked;
use super::socket::{Socket, unsent};
use crate::base::addr::{Endpoint, Source};
use crate::base::keepalive::Keepalive;

/// So many are kept at most: what comes and goes in one turn.
const SPARES_MAX: usize = 64;

/// A socket that is to be used again, and still watched.
#[derive(Debug)]
struct Spare {
    stream: TcpStream,
    is_ipv4: bool,
    /// The token under which it is watched.
    token: usize,
}

impl Spare {
    /// Whether its peer has all that it was sent, and has acknowledged the end.
    fn is_acknowledged(&self) -> bool {
        unsent(&self.stream).is_ok_and(|count| count == 0)
    }
}

/// The sockets that are kept, the latest one last.
#[derive(Debug, Default)]
pub struct Spares {
    spares: Vec<Spare>,
    most: usize,
    /// The oldest is tried first: the latest has lately not been acknowledged yet.
    is_oldest_first: bool,
    /// The last socket that anybody got, if it is one that is watched already, and its token.
    watched: Option<(RawFd, usize)>,
}

impl Spares {
    /// There are so many descriptors that nothing else needs. Returns how many of them are left for others.
    pub fn allow(&mut self, descriptors: u64) -> u64 {
        self.most = usize::try_from(descriptors / 4).unwrap_or(usize::MAX).min(SPARES_MAX);
        self.limit(self.most);
        descriptors - self.most as u64
    }

    /// Keeps a socket that is watched under this token, if it can be used again; otherwise closes it.
    pub fn keep(&mut self, socket: Socket, token: usize) {
        if self.most > 0
            && let Some((stream, is_ipv4)) = socket.into_reusable()
        {
            self.limit(self.most - 1);
            self.spares.push(Spare { stream, is_ipv4, token });
        }
    }

    /// Begins to connect, with a socket that is kept or with a new one.
    pub fn connect(&mut self, to: &Endpoint, from: Option<Source>, keepalive: Option<Keepalive>) -> io::Result<Socket> {
        if let (Endpoint::Inet(addr), None) = (to, from)
            && let Some((stream, token)) = self.take(addr.is_ipv4())
            && let Ok(socket) = Socket::reconnect(stream, *addr, keepalive)
        {
            self.watched = Some((socket.as_fd().as_raw_fd(), token));
            return Ok(socket);
        }
        self.pass_over();
        Socket::connect(to, from, keepalive)
    }

    /// Somebody gets a socket that was not kept here. It is to be watched, also if it has the number of the last one
    /// that was.
    pub fn pass_over(&mut self) {
        self.watched = None;
    }

    /// Watches a socket that somebody got, unless it is watched so already.
    pub fn watch(&mut self, poll: &Poll, fd: RawFd, token: usize) -> io::Result<()> {
        if let Some((_, before)) = self.watched.take_if(|(watched, _)| *watched == fd) {
            return if before == token { Ok(()) } else { self.rewatch(poll, fd, token) };
        }
        self.forget(token);
        poll.registry().register(&mut SourceFd(&fd), mio::Token(token), both_ways())
    }

    /// Watches a socket under another token.
    pub fn rewatch(&mut self, poll: &Poll, fd: RawFd, token: usize) -> io::Result<()> {
        self.forget(token);
        poll.registry().reregister(&mut SourceFd(&fd), mio::Token(token), both_ways())
    }

    /// Takes a socket of this family that can connect now, with the token under which it is watched.
    fn take(&mut self, is_ipv4: bool) -> Option<(TcpStream, usize)> {
        let fits = |spare: &Spare| spare.is_ipv4 == is_ipv4;
        let ends = [self.spares.iter().rposition(fits)?, self.spares.iter().position(fits)?];
        let order = if self.is_oldest_first { [ends[1], ends[0]] } else { ends };
        let tried = if order[0] == order[1] { &order[..1] } else { &order };
        let found = tried.iter().copied().find(|at| {
            let is_acknowledged = self.spares[*at].is_acknowledged();
            // So it is likely to be with the next one, too.
            self.is_oldest_first ^= !is_acknowledged;
            is_acknowledged
        })?;
        let Spare { stream, token, .. } = self.spares.remove(found);
        forget_peer(&stream).is_ok().then_some((stream, token))
    }

    /// Whether an event with this token is of a socket that is kept: it is of the connection that is over, and
    /// must not be taken for one of the next.
    pub fn has(&self, token: usize) -> bool {
        self.spares.iter().any(|spare| spare.token == token)
    }

    /// Closes the one that is watched under this token: another socket will be.
    fn forget(&mut self, token: usize) {
        self.spares.retain(|spare| spare.token != token);
    }

    /// Keeps at most so many, the latest ones.
    pub fn limit(&mut self, most: usize) {
        self.spares.drain(..self.spares.len().saturating_sub(most));
    }
}

/// Makes a socket whose connection is over one that was never connected.
fn forget_peer(stream: &TcpStream) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        // SAFETY: zero is a valid value for every other field.
        ..unsafe { std::mem::zeroed() }
    };
    let length = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the pointer and length are those of an address that outlives the call.
    checked(unsafe { libc::connect(stream.as_raw_fd(), &raw const nobody, length) }).map(drop)
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_os = "android"))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::net::Stream;

    fn spares() -> Spares {
        let mut spares = Spares::default();
        spares.allow(1000);
        spares
    }

    /// A connection from here to a listener, as pen makes it.
    fn pair(listener: &TcpListener, from: Option<Source>) -> (Socket, TcpStream) {
        let to = Endpoint::Inet(listener.local_addr().unwrap());
        let socket = Socket::connect(&to, from, Some(Keepalive::default())).unwrap();
        (socket, listener.accept().unwrap().0)
    }

    /// Reads all there is, up to the end.
    fn read_to_end(socket: &mut Socket) -> Vec<u8> {
        let (mut all, started) = (Vec::new(), Instant::now());
        loop {
            match socket.read_to_end(&mut all) {
                Ok(_) => return all,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(started.elapsed() < Duration::from_secs(20));
        }
    }

    /// Waits until the socket's peer has acknowledged everything.
    fn wait_until_acknowledged(spares: &Spares) {
        let started = Instant::now();
        while !spares.spares.iter().all(Spare::is_acknowledged) {
            assert!(started.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn a_socket_makes_one_connection_after_the_other() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let listeners = [TcpListener::bind(at).unwrap(), TcpListener::bind(at).unwrap()];
            let is_ipv4 = at.starts_with('1');
            let (mut socket, mut peer) = pair(&listeners[0], None);
            let (mut spares, number) = (spares(), socket.descriptor());
            for round in 0..50u32 {
                let answer = vec![b'a' + (round % 26) as u8; 1 + round as usize * 100];
                assert_eq!(socket.write(b"request").unwrap(), 7);
                peer.read_exact(&mut [0; 7]).unwrap();
                peer.write_all(&answer).unwrap();
                // Whoever ends first.
                match round % 2 {
                    0 => socket.shutdown_write().unwrap(),
                    _ => peer.shutdown(Shutdown::Write).unwrap(),
                }
                drop(peer);
                assert_eq!(read_to_end(&mut socket), answer);
                spares.keep(socket, 7);
                assert!(spares.has(7) && !spares.has(8));
                wait_until_acknowledged(&spares);
                assert!(spares.take(!is_ipv4).is_none(), "the other family");
                let (stream, token) = spares.take(is_ipv4).unwrap();
                assert_eq!((token, stream.as_raw_fd(), spares.has(7)), (7, number, false));
                let listener = &listeners[round as usize / 2 % 2];
                socket = Socket::reconnect(stream, listener.local_addr().unwrap(), Some(Keepalive::default())).unwrap();
                peer = listener.accept().unwrap().0;
                assert!(socket.take_error().unwrap().is_none());
            }
        }
    }

    /// A poll, the spares and a listener.
    struct World {
        poll: Poll,
        spares: Spares,
        listener: TcpListener,
    }

    impl World {
        fn connect(&mut self, token: usize) -> (Socket, TcpStream) {
            let to = Endpoint::Inet(self.listener.local_addr().unwrap());
            let socket = self.spares.connect(&to, None, None).unwrap();
            self.spares.watch(&self.poll, socket.descriptor(), token).unwrap();
            (socket, self.listener.accept().unwrap().0)
        }

        /// Ends a connection at both ends.
        fn end(&mut self, (mut socket, peer): (Socket, TcpStream), token: usize) {
            drop(peer);
            assert!(read_to_end(&mut socket).is_empty());
            self.spares.keep(socket, token);
            wait_until_acknowledged(&self.spares);
        }

        /// The tokens of the events that there are now, and whether they are of spares.
        fn events(&mut self) -> Vec<(usize, bool)> {
            let mut events = mio::Events::with_capacity(8);
            self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            events.iter().map(|event| (event.token().0, self.spares.has(event.token().0))).collect()
        }
    }

    #[test]
    fn a_socket_is_watched_as_the_connection_that_has_it_now() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut world = World { poll: Poll::new().unwrap(), spares: spares(), listener };
        let first = world.connect(1);
        assert_eq!(world.events(), [(1, false)]);
        world.end(first, 1);
        assert_eq!(world.events(), [(1, true)], "what happened to it at last");
        // The same token, another one, and a new socket with the token of one that is kept.
        let again = world.connect(1);
        assert_eq!(world.events(), [(1, false)]);
        let number = again.0.descriptor();
        world.end(again, 1);
        world.events();
        let other = world.connect(2);
        assert_eq!((other.0.descriptor(), world.events()), (number, vec![(2, false)]));
        world.end(other, 2);
        world.events();
        let peer = TcpStream::connect(world.listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = world.listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        world.spares.pass_over();
        world.spares.watch(&world.poll, accepted.as_raw_fd(), 2).unwrap();
        drop(peer);
        assert_eq!(world.events(), [(2, false)]);
    }

    #[test]
    fn a_new_socket_with_the_number_of_one_that_was_given_up_is_watched() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut world = World { poll: Poll::new().unwrap(), spares: spares(), listener };
        let first = world.connect(1);
        world.end(first, 1);
        let to = Endpoint::Inet(world.listener.local_addr().unwrap());
        let number = world.spares.connect(&to, None, None).unwrap().descriptor();
        drop(world.listener.accept().unwrap());
        let next = Socket::connect(&to, None, None).unwrap();
        world.spares.pass_over();
        // Another test may have taken the number.
        if next.descriptor() == number {
            world.spares.watch(&world.poll, number, 1).unwrap();
            assert_eq!(world.events(), [(1, false)]);
        }
    }

    #[test]
    fn an_urgent_byte_is_in_its_place_in_the_next_connection_too() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut socket, peer) = pair(&listener, None);
        drop(peer);
        assert!(read_to_end(&mut socket).is_empty());
        let mut spares = spares();
        spares.keep(socket, 1);
        wait_until_acknowledged(&spares);
        let (stream, _) = spares.take(true).unwrap();
        let mut socket = Socket::reconnect(stream, listener.local_addr().unwrap(), None).unwrap();
        let peer = socket2::Socket::from(listener.accept().unwrap().0);
        peer.send(b"ab").unwrap();
        peer.send_out_of_band(b"!").unwrap();
        peer.send(b"cd").unwrap();
        drop(peer);
        assert_eq!(read_to_end(&mut socket), b"ab!cd");
    }

    #[test]
    fn what_the_peer_has_not_acknowledged_is_not_forgotten() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut socket, mut peer) = pair(&listener, None);
        peer.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(&mut socket).is_empty());
        // More than the peer takes unread.
        let (chunk, mut sent) = (vec![b'x'; 1 << 20], 0);
        while let Ok(count) = socket.write(&chunk) {
            sent += count;
        }
        let mut spares = spares();
        spares.keep(socket, 1);
        assert!(spares.take(true).is_none());
        // Whichever end is tried first, one that is acknowledged is found, and it waits.
        for token in [2, 3] {
            let (mut other, other_peer) = pair(&listener, None);
            drop(other_peer);
            read_to_end(&mut other);
            spares.keep(other, token);
            while !spares.spares[1].is_acknowledged() {}
            assert_eq!(spares.take(true).map(|(_, token)| token), Some(token));
            assert!(spares.has(1));
        }
        let mut got = 0;
        while let Ok(count @ 1..) = peer.read(&mut vec![0; 1 << 20]) {
            got += count;
        }
        assert_eq!(got, sent);
        wait_until_acknowledged(&spares);
        assert_eq!(spares.take(true).map(|(_, token)| token), Some(1));
    }

    #[test]
    fn a_socket_to_which_something_was_done_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        type Deed = fn(&mut Socket);
        let deeds: [(&str, Deed, bool); 6] = [
            ("nothing", |_| {}, true),
            ("no delay", |socket| socket.no_delay().unwrap(), false),
            ("probes", Socket::settle, false),
            ("less to send", |socket| socket.cap_sending(8192), false),
            ("less to receive", |socket| socket.cap_receiving(8192), false),
            ("a reset", |socket| socket.reset_on_drop().unwrap(), false),
        ];
        for (what, deed, is_kept) in deeds {
            let (mut socket, peer) = pair(&listener, None);
            deed(&mut socket);
            drop(peer);
            read_to_end(&mut socket);
            let mut spares = spares();
            spares.keep(socket, 1);
            assert_eq!(spares.has(1), is_kept, "{what}");
        }
        let from = Source::own("127.0.0.7".parse().unwrap());
        let to = Endpoint::Inet(listener.local_addr().unwrap());
        let probing = Keepalive { idle: Some(60), ..Keepalive::default() };
        for (from, keepalive) in [(Some(from), None), (None, Some(probing))] {
            let socket = Socket::connect(&to, from, keepalive).unwrap();
            drop(listener.accept().unwrap());
            assert!(socket.into_reusable().is_none());
        }
        let accepted = Socket::tcp(pair(&listener, None).1);
        assert!(accepted.into_reusable().is_none());
    }

    #[test]
    fn as_many_are_kept_as_there_are_descriptors_for_and_the_latest_ones() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (descriptors, left, kept) in [(0, 0, 0..0), (3, 3, 0..0), (8, 6, 3..5), (10_000, 9936, 0..5)] {
            let mut spares = Spares::default();
            assert_eq!(spares.allow(descriptors), left);
            for token in 0..5 {
                let (socket, _) = pair(&listener, None);
                spares.keep(socket, token);
            }
            let tokens: Vec<usize> = spares.spares.iter().map(|spare| spare.token).collect();
            assert_eq!(tokens, kept.collect::<Vec<_>>(), "{descriptors}");
            spares.forget(4);
            assert!(!spares.has(4));
            spares.limit(1);
            assert_eq!(spares.spares.len(), tokens.len().saturating_sub(1).min(1));
        }
    }
}
