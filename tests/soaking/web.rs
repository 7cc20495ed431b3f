//! What a client and a server of the soak say to each other in HTTP: every request must tell whom it is from, and every
//! body must be whole.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::conversation::{Slow, patterns, silent_for_long};
use super::traffic::Random;

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunks,
}

/// One request, and the answer that it asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    seed: u8,
    up: usize,
    down: usize,
    framing: Framing,
    /// It says that another address sent it.
    is_forged: bool,
    is_last: bool,
}

impl Request {
    /// Those of one connection.
    pub fn some(random: &mut Random, most: u64) -> Vec<Request> {
        let count = 1 + random.below(6);
        (1..=count)
            .map(|number| Request {
                seed: random.below(256) as u8,
                up: if random.below(3) == 0 { 0 } else { random.size(most) },
                down: random.size(most),
                framing: if random.below(2) == 0 { Framing::Length } else { Framing::Chunks },
                is_forged: random.below(4) == 0,
                is_last: number == count,
            })
            .collect()
    }

    /// Bytes of both bodies.
    pub fn bytes(&self) -> u64 {
        (self.up + self.down) as u64
    }

    fn head(&self, client: IpAddr) -> String {
        let Request { seed, down, .. } = self;
        let (method, framing) = match (self.up, self.framing) {
            (0, _) => ("GET", String::new()),
            (up, Framing::Length) => ("POST", format!("Content-Length: {up}\r\n")),
            (_, Framing::Chunks) => ("PUT", "Transfer-Encoding: chunked\r\n".to_string()),
        };
        let how = if self.framing == Framing::Length { "length" } else { "chunks" };
        let forged = if self.is_forged { "x-forwarded-for: 192.0.2.99\r\n" } else { "" };
        let last = if self.is_last { "Connection: close\r\n" } else { "" };
        format!(
            "{method} /{seed}/{down}/{how} HTTP/1.1\r\nHost: soak\r\n{forged}X-Client: {client}\r\n{framing}{last}\r\n"
        )
    }
}

/// The client's part, with all requests sent at once or each after the answer to the one before.
pub fn client(
    stream: &TcpStream,
    requests: &[Request],
    slow: Duration,
    is_pipelined: bool,
    mut served_by: impl FnMut(u8),
) -> Result<(), String> {
    silent_for_long(stream)?;
    let from = stream.local_addr().map_err(|error| error.to_string())?.ip();
    let send = |request: &Request| -> Result<(), String> {
        let sent = write_pieces(stream, request.head(from).as_bytes())
            .and_then(|()| if request.up == 0 { Ok(()) } else { write_body(stream, request, request.up, true) });
        sent.map_err(|error| format!("{request:?}: {error}"))
    };
    let mut reader = BufReader::new(Slow(stream, slow));
    let mut receive = |request: &Request| -> Result<(), String> {
        let head = read_head(&mut reader).map_err(|error| format!("{request:?}: head of the answer: {error}"))?;
        served_by(field(&head, "X-Server")?.parse().map_err(|_| format!("{head:?}"))?);
        let count =
            read_body(&mut reader, &head, request.seed, false).map_err(|error| format!("{request:?}: {error}"))?;
        if count == request.down { Ok(()) } else { Err(format!("{request:?}: an answer of {count} bytes")) }
    };
    if is_pipelined {
        thread::scope(|scope| {
            let sending = scope.spawn(|| requests.iter().try_for_each(send));
            let received = requests.iter().try_for_each(&mut receive);
            sending.join().expect("it does not panic").and(received)
        })?;
    } else {
        requests.iter().try_for_each(|request| send(request).and_then(|()| receive(request)))?;
    }
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        other => Err(format!("instead of the end behind the last answer: {other:?}")),
    }
}

/// The server's part; an error is something that must never happen.
pub fn server(stream: &TcpStream, number: u8) -> Result<(), String> {
    let mut reader = BufReader::new(stream);
    loop {
        // Who hangs up between two requests, or in a head, has had another failure, and says so.
        let Ok(head) = read_head(&mut reader) else { return Ok(()) };
        let (client, told) = (field(&head, "X-Client")?, field(&head, "X-Forwarded-For")?);
        if client != told || field(&head, "X-Forwarded-Proto")? != "http" {
            return Err(format!("a request of {client} says {head:?}"));
        }
        let words: Vec<&str> = head[0].split([' ', '/']).collect();
        let &[_, "", seed, down, how, ..] = words.as_slice() else { return Err(format!("asked for {:?}", head[0])) };
        let numbers = seed.parse().ok().zip(down.parse().ok());
        let (seed, down) = numbers.ok_or_else(|| format!("asked for {:?}", head[0]))?;
        read_body(&mut reader, &head, seed, true).map_err(|error| format!("{:?}: {error}", head[0]))?;
        let framing = if how == "length" { Framing::Length } else { Framing::Chunks };
        let is_last = field(&head, "Connection").is_ok();
        let request = Request { seed, up: 0, down, framing, is_forged: false, is_last };
        let said = match framing {
            Framing::Length => format!("Content-Length: {down}"),
            Framing::Chunks => "Transfer-Encoding: chunked".to_string(),
        };
        let answer = format!("HTTP/1.1 200 OK\r\nX-Server: {number}\r\n{said}\r\n\r\n");
        // What cannot be sent is said by the client.
        let sent = (&*stream).write_all(answer.as_bytes()).and_then(|()| write_body(stream, &request, down, false));
        if sent.is_err() || is_last {
            return Ok(());
        }
    }
}

/// Splits a head at places that depend on its bytes.
fn write_pieces(mut to: impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let length = (1 + usize::from(bytes[0]) * bytes.len() % 97).min(bytes.len());
        to.write_all(&bytes[..length])?;
        bytes = &bytes[length..];
    }
    Ok(())
}

fn write_body(mut to: &TcpStream, request: &Request, total: usize, is_up: bool) -> io::Result<()> {
    let (up, down) = patterns(request.seed);
    let pattern = if is_up { up } else { down };
    match request.framing {
        Framing::Length => pattern.write(to, total, |_| {}),
        Framing::Chunks => {
            let mut sent = 0;
            while sent < total {
                let bytes = pattern.at(sent, (1 + sent % 40_009).min(total - sent));
                to.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())?;
                sent += bytes.len();
            }
            to.write_all(b"0\r\n\r\n")
        }
    }
}

/// The lines of a head.
fn read_head(from: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            return Ok(lines);
        }
        lines.push(line);
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_string()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("an end behind {line:?}"))),
    }
}

/// The value of a field that must be there once.
fn field<'a>(head: &'a [String], name: &str) -> Result<&'a str, String> {
    let values: Vec<&str> = head
        .iter()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(other, value)| other.eq_ignore_ascii_case(name).then_some(value))
        .collect();
    match values.as_slice() {
        [value] => Ok(value),
        _ => Err(format!("{} times {name} in {head:?}", values.len())),
    }
}

/// Reads a body and compares it; returns its length.
fn read_body(from: &mut impl BufRead, head: &[String], seed: u8, is_up: bool) -> io::Result<usize> {
    let (up, down) = patterns(seed);
    let pattern = if is_up { up } else { down };
    if field(head, "Transfer-Encoding").is_ok() {
        return pattern.check(Chunks { from, left: 0, is_over: false }, 65_536);
    }
    let length: usize = field(head, "Content-Length").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    match pattern.check(from.take(length as u64), 65_536)? {
        count if count == length => Ok(count),
        count => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("a clean end after {count} of {length}"))),
    }
}

/// Reads what is within chunks.
struct Chunks<'a, R> {
    from: &'a mut R,
    left: usize,
    is_over: bool,
}

impl<R: BufRead> Read for Chunks<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_over {
            let line = read_line(self.from)?;
            self.left =
                usize::from_str_radix(&line, 16).map_err(|_| io::Error::other(format!("a chunk of {line:?}")))?;
            self.is_over = self.left == 0;
            if self.is_over && !read_line(self.from)?.is_empty() {
                return Err(io::Error::other("no empty line behind the last chunk"));
            }
        }
        if self.is_over || buffer.is_empty() {
            return Ok(0);
        }
        let most = buffer.len().min(self.left);
        let count = self.from.read(&mut buffer[..most])?;
        if count == 0 && self.left > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a clean end within a chunk"));
        }
        self.left -= count;
        if count > 0 && self.left == 0 && !read_line(self.from)?.is_empty() {
            return Err(io::Error::other("more than a chunk said"));
        }
        Ok(count)
    }
}
