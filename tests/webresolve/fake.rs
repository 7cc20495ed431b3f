//! A name server in a thread of the test, which answers as it is told.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs until it is dropped.
pub struct Fake {
    /// Where it listens.
    pub at: SocketAddr,
    asked: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Calls `serve` for each question, with its socket, the question, who asks, and how many there were before.
    pub fn start(mut serve: impl FnMut(&UdpSocket, &[u8], SocketAddr, usize) + Send + 'static) -> Fake {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let at = socket.local_addr().expect("a bound socket has an address");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket takes time-outs");
        let (asked, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, over) = (Arc::clone(&asked), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while !over.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    serve(&socket, &buffer[..length], from, count.fetch_add(1, Ordering::Relaxed));
                }
            }
        });
        Fake { at, asked, is_over, thread: Some(thread) }
    }

    /// How many questions there were.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("it is joined once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the name server of the test failed");
    }
}

/// The answer to a question of one PTR: the name `host-A-B-C-D.test` for the address A.B.C.D.
pub fn answer(question: &[u8]) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = 12;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
        at = end;
    }
    let words: Vec<String> = labels[..4].iter().rev().cloned().collect();
    answer_with(question, &format!("host-{}", words.join("-")))
}

/// An answer with this label before `test`.
pub fn answer_with(question: &[u8], label: &str) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] = 0x81;
    bytes[3] = 0x80;
    bytes[7] = 1;
    bytes.extend_from_slice(b"\xc0\x0c\x00\x0c\x00\x01\x00\x00\x0e\x10");
    bytes.extend_from_slice(&u16::try_from(label.len() + 7).expect("labels are short").to_be_bytes());
    bytes.push(u8::try_from(label.len()).expect("labels are short"));
    bytes.extend_from_slice(label.as_bytes());
    bytes.extend_from_slice(b"\x04test\x00");
    bytes
}
