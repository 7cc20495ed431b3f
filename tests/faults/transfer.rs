//! Long transfers that a fault befalls.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use crate::support::pattern::Pattern;
use crate::support::servers::{After, Server};
use crate::support::wait;

/// More than fits into all the buffers on the way.
pub const LONG: usize = 30_000_000;

/// A server that sends so many bytes to everybody, and reads to the client's end.
pub fn sending(total: usize) -> Server {
    let pattern = Pattern::new(11);
    Server::start(move |mut stream| {
        if pattern.write(stream, total, |_| {}).is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        After::Close
    })
}

/// A server that reads to each client's end; the channel tells how many bytes that were, or what went wrong.
pub fn receiving() -> (Server, mpsc::Receiver<io::Result<usize>>) {
    let pattern = Pattern::new(12);
    let (sender, outcome) = mpsc::channel();
    let server = Server::start(move |stream| {
        let _ = sender.send(pattern.check(stream, 65_536));
        After::Close
    });
    (server, outcome)
}

/// Where a transfer stops until it may go on: a twentieth of [`LONG`], so that the buffers on the way do not take the rest.
const STOP: usize = LONG / 20;

/// One end's part of a transfer, in a thread of its own.
pub struct Part {
    count: Arc<AtomicUsize>,
    gate: mpsc::Sender<()>,
    thread: JoinHandle<io::Result<usize>>,
}

/// Holds a transfer up at [`STOP`], until the other end of the channel says so or is gone.
struct Gate(Option<mpsc::Receiver<()>>);

impl Gate {
    fn pass(&mut self, count: usize) {
        if count >= STOP
            && let Some(gate) = self.0.take()
        {
            let _ = gate.recv();
        }
    }
}

impl Part {
    /// Reads what [`sending`] sends, to the end. It stops in between, until it [may go on](Part::go_on).
    pub fn receive(stream: &TcpStream) -> Part {
        let (stream, count) = (stream.try_clone().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (gate, waits) = mpsc::channel();
        let reader = Counted(stream, Arc::clone(&count), Gate(Some(waits)));
        Part { count, gate, thread: thread::spawn(move || Pattern::new(11).check(reader, 65_536)) }
    }

    /// Sends what [`receiving`] awaits, and ends the direction. It stops in between as well.
    pub fn send(stream: &TcpStream, total: usize) -> Part {
        let (stream, count) = (stream.try_clone().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        let (gate, waits) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut gate = Gate(Some(waits));
            Pattern::new(12).write(&stream, total, |sent| {
                counter.store(sent, Ordering::SeqCst);
                gate.pass(sent);
            })?;
            stream.shutdown(Shutdown::Write)?;
            Ok(total)
        });
        Part { count, gate, thread }
    }

    /// Waits until it has come to where it stops.
    #[track_caller]
    pub fn wait_for_stop(&self) {
        wait::until_true("the transfer has begun", || self.count.load(Ordering::SeqCst) >= STOP);
    }

    /// Lets it go on. So what befalls it in between befalls it before its end, however quick it is.
    pub fn go_on(&self) {
        // One that has ended already does not hear it.
        let _ = self.gate.send(());
    }

    /// Lets it go on, and waits for its end: how many bytes in all.
    #[track_caller]
    pub fn finish(self) -> io::Result<usize> {
        self.go_on();
        wait::until_true("the transfer ends", || self.thread.is_finished());
        self.thread.join().expect("it does not panic")
    }
}

/// Counts what is read.
struct Counted(TcpStream, Arc<AtomicUsize>, Gate);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        let sum = self.1.fetch_add(count, Ordering::SeqCst) + count;
        self.2.pass(sum);
        Ok(count)
    }
}

/// A round trip of one byte on a connection to an echo server.
#[track_caller]
pub fn assert_echoes(mut stream: &TcpStream) {
    stream.write_all(b"x").expect("the connection is open");
    stream.read_exact(&mut [0]).expect("the byte comes back");
}
