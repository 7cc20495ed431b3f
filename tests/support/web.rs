//! A client of HTTP/1.1 that reads answers to the byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::client;

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub code: u16,
    /// The head, without its first line.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a field, which is there once.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        let mut values = self.head.lines().filter_map(|line| line.strip_prefix(&start));
        let value = values.next().unwrap_or_else(|| panic!("no {name} in {}", self.head));
        assert_eq!(values.next(), None, "{name} twice in {}", self.head);
        value
    }
}

/// A connection for several requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    #[track_caller]
    pub fn open(at: SocketAddr) -> Connection {
        Connection { stream: BufReader::new(client::connect(at)) }
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    #[track_caller]
    pub fn send(&self, bytes: &[u8]) {
        self.socket().write_all(bytes).expect("the other end reads");
    }

    /// The next answer; to HEAD it has no body.
    #[track_caller]
    pub fn answer(&mut self, is_to_head: bool) -> Answer {
        let mut line = || {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap_or_else(|error| panic!("no answer: {error}"));
            assert!(line.ends_with("\r\n"), "a line ends like this: {line:?}");
            line.truncate(line.len() - 2);
            line
        };
        let first = line();
        let code = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split(' ').next()?.parse().ok()).expect(&first);
        let mut head = String::new();
        loop {
            match line() {
                line if line.is_empty() => break,
                line => head.push_str(&format!("{line}\n")),
            }
        }
        let mut answer = Answer { code, head, body: String::new() };
        if !is_to_head {
            let mut body = vec![0; answer.field("Content-Length").parse().expect("a number")];
            self.stream.read_exact(&mut body).expect("a whole body");
            answer.body = String::from_utf8(body).expect("UTF-8");
        }
        answer
    }

    /// Panics unless the other end has ended in good order, and sent nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an orderly end");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

/// The answer to a request for a path on a connection of its own.
#[track_caller]
pub fn get(at: SocketAddr, path: &str) -> Answer {
    let mut connection = Connection::open(at);
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").as_bytes());
    let answer = connection.answer(false);
    connection.expect_end();
    answer
}
