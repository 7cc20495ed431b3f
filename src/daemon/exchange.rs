//! One HTTP request answered and one connection ended in order: the servers of the demonstration.
//!
//! A request is read as far as its head; the answer is the caller's. Everything is tried at every
//! event until it would block, so edges need no book-keeping.

use std::io;

use crate::base::bytes::find;
use crate::net::Stream;

/// The most bytes of a head; who sends more is answered as if it ended there.
const HEAD_MAX: usize = 8192;

/// How far an exchange has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It waits for the peer.
    Waiting,
    /// It is over: the connection may be closed.
    Over,
}

/// A connection on which one request is answered.
#[derive(Debug)]
pub struct Exchange<S> {
    stream: S,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The head, as far as it came.
    Reading(Vec<u8>),
    /// The answer, and how much of it is sent.
    Answering(Vec<u8>, usize),
    /// The answer is sent and its end too: what still comes is thrown away, because closing with
    /// bytes unread would reset the connection and could take the answer with it.
    Leaving,
}

impl<S: Stream> Exchange<S> {
    /// Begins on a connection that was just accepted.
    pub fn new(stream: S) -> Exchange<S> {
        Exchange { stream, phase: Phase::Reading(Vec::new()) }
    }

    /// The connection, to have it watched.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Goes on as far as it goes now. `answer` turns a request's head into bytes, and is called
    /// at most once in the life of an exchange.
    pub fn step(&mut self, answer: impl FnOnce(&[u8]) -> Vec<u8>) -> Progress {
        let result = self.read_head(answer).and_then(|()| self.send()).and_then(|()| self.discard());
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Waiting,
            Ok(()) | Err(_) => Progress::Over,
        }
    }

    fn read_head(&mut self, answer: impl FnOnce(&[u8]) -> Vec<u8>) -> io::Result<()> {
        let Phase::Reading(head) = &mut self.phase else { return Ok(()) };
        let mut bytes = [0; 1024];
        while !is_complete(head) {
            match retry(|| self.stream.read(&mut bytes))? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => head.extend_from_slice(&bytes[..count]),
            }
        }
        self.phase = Phase::Answering(answer(head), 0);
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let Phase::Answering(answer, sent) = &mut self.phase else { return Ok(()) };
        while *sent < answer.len() {
            *sent += retry(|| self.stream.write(&answer[*sent..]))?;
        }
        self.stream.shutdown_write()?;
        self.phase = Phase::Leaving;
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        let mut bytes = [0; 1024];
        while retry(|| self.stream.read(&mut bytes))? > 0 {}
        Ok(())
    }
}

/// The path that a head asks for: `/` for `GET / HTTP/1.1`; empty if it is no HTTP.
pub fn path(head: &[u8]) -> &str {
    let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    std::str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
}

/// An answer with a text, after which the connection is closed.
pub fn ok(content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: {content_type}\r\n\r\n{body}").into_bytes()
}

fn is_complete(head: &[u8]) -> bool {
    head.len() >= HEAD_MAX || head.ends_with(b"\n\n") || find(head, b"\r\n\r\n").is_some()
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Peer;
    use super::*;

    /// Lets a peer send `pieces`, and tells what was asked and what it got.
    fn run(pieces: &[&[u8]]) -> (Option<Vec<u8>>, Vec<u8>) {
        let mut exchange = Exchange::new(Peer::default());
        let mut asked = None;
        for turn in 0..100 {
            let peer = exchange.stream();
            peer.rest.extend_from_slice(pieces.get(turn).unwrap_or(&&b""[..]));
            peer.room = 7;
            let progress = exchange.step(|head| {
                assert!(asked.is_none(), "it is answered once");
                asked = Some(head.to_vec());
                ok("text/html", "Ulric was here.")
            });
            if progress == Progress::Over {
                break;
            }
            exchange.stream().gone = turn >= pieces.len() + 40;
        }
        (asked, exchange.stream().got.clone())
    }

    #[test]
    fn a_request_in_pieces_is_answered_whole_and_once() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Type: text/html\r\n\r\nUlric was here.";
        let long = vec![b'x'; HEAD_MAX];
        let table: [&[&[u8]]; 5] = [
            &[b"GET / HTTP/1.0\r\n\r\n"],
            &[b"GET / HT", b"TP/1.0\r\nA: b\r\n\r", b"\n"],
            &[b"GET /\n\n"],
            &[b"POST / HTTP/1.1\r\n\r\nand a body", b"and more of it"],
            &[&long],
        ];
        for pieces in table {
            let (asked, got) = run(pieces);
            assert!(asked.is_some_and(|asked| asked.starts_with(&pieces[0][..8.min(pieces[0].len())])));
            assert_eq!(got, answer);
        }
        assert_eq!(run(&[b"GET / HTTP/1.0\r\n"]), (None, Vec::new()));
    }

    #[test]
    fn the_path_is_the_second_word() {
        let table: [(&[u8], &str); 5] = [
            (b"GET /die HTTP/1.1\r\n\r\n", "/die"),
            (b"GET /\n\n", "/"),
            (b"GET", ""),
            (b"\r\nGET / HTTP/1.0", ""),
            (b"\xff\xfe / x", ""),
        ];
        for (head, expected) in table {
            assert_eq!(path(head), expected);
        }
    }
}
