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

/// One end's part of a transfer, in a thread of its own.
pub struct Part {
    count: Arc<AtomicUsize>,
    thread: JoinHandle<io::Result<usize>>,
}

impl Part {
    /// Reads what [`sending`] sends, to the end.
    pub fn receive(stream: &TcpStream) -> Part {
        let (stream, count) = (stream.try_clone().unwrap(), Arc::new(AtomicUsize::new(0)));
        let reader = Counted(stream, Arc::clone(&count));
        Part { count, thread: thread::spawn(move || Pattern::new(11).check(reader, 65_536)) }
    }

    /// Sends what [`receiving`] awaits, and ends the direction.
    pub fn send(stream: &TcpStream, total: usize) -> Part {
        let (stream, count) = (stream.try_clone().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        let thread = thread::spawn(move || {
            Pattern::new(12).write(&stream, total, |sent| counter.store(sent, Ordering::SeqCst))?;
            stream.shutdown(Shutdown::Write)?;
            Ok(total)
        });
        Part { count, thread }
    }

    /// Waits until some of it has gone by.
    #[track_caller]
    pub fn wait_for(&self, bytes: usize) {
        wait::until_true("the transfer has begun", || self.count.load(Ordering::SeqCst) >= bytes);
    }

    /// Waits for its end: how many bytes in all.
    #[track_caller]
    pub fn finish(self) -> io::Result<usize> {
        wait::until_true("the transfer ends", || self.thread.is_finished());
        self.thread.join().expect("it does not panic")
    }
}

/// Counts what is read.
struct Counted(TcpStream, Arc<AtomicUsize>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count, Ordering::SeqCst);
        Ok(count)
    }
}

/// A round trip of one byte on a connection to an echo server.
#[track_caller]
pub fn assert_echoes(mut stream: &TcpStream) {
    stream.write_all(b"x").expect("the connection is open");
    stream.read_exact(&mut [0]).expect("the byte comes back");
}
