//! Small TCP servers in threads of the test.
//!
//! ```ignore
//! let one = Server::start(greet("one"));
//! let two = Server::start(echo);
//! let pen = Pen::start(&["-r"], &[one.address(), two.address()]);
//! ```

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// What becomes of a connection after its conversation.
pub enum After {
    /// It is closed: with a FIN when all was read, with a reset when bytes were left unread.
    Close,
    /// It stays open, unread, until the server is dropped.
    Keep,
}

/// Sends back what comes until the client's end, then ends too.
pub fn echo(stream: &TcpStream) -> After {
    let (mut from, mut to) = (stream, stream);
    let _ = io::copy(&mut from, &mut to);
    After::Close
}

/// Sends `name` at once, ends its sending direction, and reads to the client's end.
pub fn greet(name: &str) -> impl Fn(&TcpStream) -> After + Send + Sync + 'static {
    let name = name.to_string();
    move |mut stream| {
        let _ = stream.write_all(name.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let _ = io::copy(&mut stream, &mut io::sink());
        After::Close
    }
}

/// Keeps the connection open and never reads.
pub fn hold(_: &TcpStream) -> After {
    After::Keep
}

/// Waits for a byte and resets the connection.
pub fn reset(stream: &TcpStream) -> After {
    // The byte stays unread, and a close with unread bytes is a reset.
    let _ = stream.peek(&mut [0]);
    After::Close
}

/// Reads to the client's end, then sends all that it read: it fails for a relay that does not pass on half-closes.
pub fn answer_at_the_end(mut stream: &TcpStream) -> After {
    let mut request = Vec::new();
    if stream.read_to_end(&mut request).is_ok() {
        let _ = stream.write_all(&request);
    }
    After::Close
}

/// A listening server.  Dropping it closes its listener and all of its connections.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ending: AtomicBool,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    /// Every client's address, in the order of arrival.
    peers: Vec<SocketAddr>,
    /// A second handle to each connection that is open, by its number.
    open: Vec<(usize, TcpStream)>,
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Listens on a free port of 127.0.0.1; every connection gets a thread that runs `talk` on it.
    pub fn start(talk: impl Fn(&TcpStream) -> After + Send + Sync + 'static) -> Server {
        Server::start_at((Ipv4Addr::LOCALHOST, 0).into(), talk)
    }

    /// The same at a given address: IPv6, or one that an earlier server had.
    #[track_caller]
    pub fn start_at(address: SocketAddr, talk: impl Fn(&TcpStream) -> After + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(address).unwrap_or_else(|e| panic!("cannot listen on {address}: {e}"));
        // std's queue of 128 overflows when thousands come at once, and the kernel drops who comes then: they would be
        // late for want of a test server, not of pen. A second listen(2) makes it longer.
        socket2::SockRef::from(&listener).listen(4096).expect("it listens already");
        let address = listener.local_addr().expect("a bound socket has one");
        let shared = Arc::new(Shared::default());
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, &Arc::new(talk))
        });
        Server { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The addresses of all connections so far, in order.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.shared.connections().peers.clone()
    }

    /// How many connections it has had.
    pub fn served(&self) -> usize {
        self.shared.connections().peers.len()
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.shared.connections().open.len()
    }
}

fn accept<T>(listener: &TcpListener, shared: &Arc<Shared>, talk: &Arc<T>)
where
    T: Fn(&TcpStream) -> After + Send + Sync + 'static,
{
    for number in 0.. {
        let Ok((stream, peer)) = listener.accept() else {
            continue;
        };
        if shared.ending.load(Ordering::SeqCst) {
            return;
        }
        let second = stream.try_clone().expect("there are descriptors");
        {
            let mut connections = shared.connections();
            connections.peers.push(peer);
            connections.open.push((number, second));
        }
        let (shared, talk) = (Arc::clone(shared), Arc::clone(talk));
        thread::spawn(move || {
            if let After::Close = talk(&stream) {
                let mut connections = shared.connections();
                connections.open.retain(|(other, _)| *other != number);
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        // One more connection, to wake the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        // A process that another test starts at this moment has the listener too, until it runs its
        // own program; who connects before that is reset, and not refused.
        let end = Instant::now() + Duration::from_secs(1);
        while TcpStream::connect(self.address).is_ok() && Instant::now() < end {
            thread::yield_now();
        }
        for (_, stream) in self.shared.connections().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// An address where nothing listens, and nothing will as long as this exists: connects are refused.
pub struct Refusing(Socket);

impl Refusing {
    /// Takes a free port of 127.0.0.1 without listening.  A [`Server`] may be started at its address meanwhile, and
    /// nobody else gets it before that.
    pub fn new() -> Refusing {
        Refusing::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Takes the address that a server had until now.
    pub fn at(address: SocketAddr) -> Refusing {
        Refusing(bound(address))
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        address(&self.0)
    }
}

/// An address that never answers a connect, neither yes nor no.
pub struct Blackhole {
    listener: Socket,
    _filler: TcpStream,
}

impl Blackhole {
    /// A listener whose queue is full: the kernel drops further connection requests.
    pub fn new() -> Blackhole {
        let listener = bound((Ipv4Addr::LOCALHOST, 0).into());
        // A queue of length 0 holds one connection (Linux), which nobody ever accepts.
        listener.listen(0).expect("the port is ours");
        let filler = TcpStream::connect(address(&listener)).expect("the queue has one place");
        Blackhole { listener, _filler: filler }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        address(&self.listener)
    }
}

fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("there are descriptors");
    // With it others that have it too may bind to the port as long as nobody listens there.
    socket.set_reuse_address(true).expect("a socket takes this option");
    socket.bind(&address.into()).unwrap_or_else(|e| panic!("cannot take {address}: {e}"));
    socket
}

fn address(socket: &Socket) -> SocketAddr {
    socket.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound socket has an address")
}
