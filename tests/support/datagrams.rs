//! Small servers and clients by UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::wait::PATIENCE;

/// A server that answers datagrams in a thread.  Dropping it closes its socket.
pub struct Responder {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ending: AtomicBool,
    received: Mutex<Vec<(SocketAddr, Vec<u8>)>>,
}

impl Shared {
    fn received(&self) -> MutexGuard<'_, Vec<(SocketAddr, Vec<u8>)>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Responder {
    /// On a free port of 127.0.0.1; `answer` makes the answers to one datagram.
    pub fn start(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Responder {
        Responder::start_at((Ipv4Addr::LOCALHOST, 0).into(), answer)
    }

    /// The same at a given address.
    #[track_caller]
    pub fn start_at(address: SocketAddr, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Responder {
        let socket = UdpSocket::bind(address).unwrap_or_else(|e| panic!("cannot bind {address}: {e}"));
        let address = socket.local_addr().expect("a bound socket has one");
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut buffer = vec![0; 65_536];
                loop {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                    if shared.ending.load(Ordering::SeqCst) {
                        return;
                    }
                    shared.received().push((from, buffer[..length].to_vec()));
                    for bytes in answer(&buffer[..length]) {
                        let _ = socket.send_to(&bytes, from);
                    }
                }
            }
        });
        Responder { address, shared, thread: Some(thread) }
    }

    /// Sends each datagram back, behind its name and a colon.
    pub fn named(name: &str) -> Responder {
        let name = name.to_string();
        Responder::start(move |bytes| vec![[name.as_bytes(), b":", bytes].concat()])
    }

    /// Takes all and says nothing.
    pub fn silent() -> Responder {
        Responder::start(|_| Vec::new())
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come so far, in order.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.shared.received().iter().map(|(_, bytes)| bytes.clone()).collect()
    }

    /// From how many sockets that came.
    pub fn peers(&self) -> usize {
        self.peers_of(|_| true)
    }

    /// From how many sockets those of them came that are meant.  One that was closed may have given its port to another.
    pub fn peers_of(&self, is_meant: impl Fn(&[u8]) -> bool) -> usize {
        let received = self.shared.received();
        let meant = received.iter().filter(|(_, bytes)| is_meant(bytes));
        let mut peers: Vec<SocketAddr> = meant.map(|(from, _)| *from).collect();
        peers.sort();
        peers.dedup();
        peers.len()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        let any: IpAddr = if self.address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { self.address.ip() };
        let _ = UdpSocket::bind((any, 0)).and_then(|socket| socket.send_to(b"", self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An address where nobody is, and nobody will be as long as this exists: what is sent there is refused.
pub struct Nobody {
    address: SocketAddr,
    /// It is connected to itself, so that the kernel finds no socket for others.
    _socket: UdpSocket,
}

impl Nobody {
    /// A port of 127.0.0.1.
    pub fn new() -> Nobody {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let address = socket.local_addr().expect("a bound socket has one");
        socket.connect(address).expect("a socket can be connected to itself");
        Nobody { address, _socket: socket }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A client's socket, connected to `to`: it hears only what comes from there.
#[track_caller]
pub fn client(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    client_from(any, to)
}

/// The same from another address of this machine, as if it were another machine.
#[track_caller]
pub fn client_from(from: impl Into<IpAddr>, to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((from.into(), 0)).expect("there is a free port");
    socket.connect(to).expect("a socket can be connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    socket
}

/// The next datagram, which must come.
#[track_caller]
pub fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    loop {
        match client.recv(&mut buffer) {
            Ok(length) => return buffer[..length].to_vec(),
            // pen was not there for an earlier one, as in an upgrade that fails.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

/// Sends a text, and returns the answer as a text.
#[track_caller]
pub fn ask(client: &UdpSocket, question: &str) -> String {
    client.send(question.as_bytes()).expect("it can be sent");
    String::from_utf8_lossy(&receive(client)).into_owned()
}

/// The answer to a text, if it comes within a time.
#[track_caller]
pub fn ask_within(client: &UdpSocket, question: &str, time: Duration) -> Option<String> {
    client.send(question.as_bytes()).expect("it can be sent");
    client.set_read_timeout(Some(time)).expect("a time that is not zero");
    let mut buffer = vec![0; 65_536];
    let answer = client.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
    client.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    answer
}
