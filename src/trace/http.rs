//! HTTP/1: the heads of requests and responses, and the size of bodies (RFC 9110, 9112).

use super::asked::Asked;
use super::dump::Direction;
use super::lines::{Body, Line, is_one_of, tell_body, word};
use super::told::Told;

/// Fields whose value is secret.
const SECRET: [&str; 6] = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token"];
/// Fields that are told with the first line.
const SHOWN: [&str; 9] = [
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
    "location",
    "upgrade",
    "authorization",
    "proxy-authorization",
    "connection",
];
/// Bytes of fields that are told.
const FIELDS_MAX: usize = 400;

/// What a client asked for, as far as it changes the answer (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Method {
    Head,
    Connect,
    Other,
}

/// How a head says that its body ends.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Framing {
    #[default]
    Unsaid,
    Length(u64),
    Chunked,
}

/// What one direction is at.
#[derive(Debug)]
enum At {
    Head,
    Body(Body),
    /// The line with the size of a chunk; bytes of the body so far.
    ChunkSize(u64),
    /// A chunk, and bytes before it.
    Chunk(Body, u64),
    Trailer(u64),
    /// Another protocol from here on.
    Opaque,
}

/// One direction.
#[derive(Debug)]
struct Side {
    at: At,
    line: Line,
    /// The first line of the head that is coming, and the fields that are told of it.
    first: Vec<u8>,
    fields: Vec<u8>,
    framing: Framing,
    /// The field before was secret; its lines may go on.
    is_folded_secret: bool,
}

/// A connection as far as it has come.
#[derive(Debug)]
pub struct Http {
    up: Side,
    down: Side,
    asked: Asked<Method>,
    /// A connection to elsewhere stands, or another protocol was agreed on.
    is_opaque: bool,
}

impl Default for Http {
    fn default() -> Http {
        Http { up: Side::new(), down: Side::new(), asked: Asked::default(), is_opaque: false }
    }
}

impl Http {
    /// Takes a chunk.
    pub fn take(&mut self, direction: Direction, chunk: &mut [u8], told: &mut Told<'_>) {
        let mut used = 0;
        while used < chunk.len() {
            let side = match direction {
                Direction::Up => &mut self.up,
                Direction::Down => &mut self.down,
            };
            if self.is_opaque && matches!(side.at, At::Head) {
                side.at = At::Opaque;
            }
            let (count, is_head_whole) = side.take(direction, &mut chunk[used..], told);
            used += count;
            if is_head_whole {
                match direction {
                    Direction::Up => self.end_request(told),
                    Direction::Down => self.end_response(told),
                }
            }
        }
    }

    fn end_request(&mut self, told: &mut Told<'_>) {
        let side = &mut self.up;
        let method = match word(&side.first, 0) {
            b"HEAD" => Method::Head,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        };
        if side.first.starts_with(b"PRI * HTTP/2") {
            told.line(b"HTTP/2 from here, which is not decoded");
            (side.at, self.is_opaque) = (At::Opaque, true);
            return;
        }
        self.asked.push(method);
        let framing = side.end_head(told);
        side.begin_body(if framing == Framing::Unsaid { Framing::Length(0) } else { framing });
    }

    fn end_response(&mut self, told: &mut Told<'_>) {
        let side = &mut self.down;
        let code = std::str::from_utf8(word(&side.first, 1)).ok().and_then(|code| code.parse().ok()).unwrap_or(0u16);
        let framing = side.end_head(told);
        if (100..200).contains(&code) && code != 101 {
            return;
        }
        let method = self.asked.pop().unwrap_or(Method::Other);
        if code == 101 || (method == Method::Connect && (200..300).contains(&code)) {
            told.line(b"another protocol from here, which is not decoded");
            (side.at, self.is_opaque) = (At::Opaque, true);
        } else if method == Method::Head || code == 204 || code == 304 {
            side.begin_body(Framing::Length(0));
        } else {
            side.begin_body(framing);
        }
    }
}

impl Side {
    fn new() -> Side {
        Side {
            at: At::Head,
            line: Line::default(),
            first: Vec::new(),
            fields: Vec::new(),
            framing: Framing::Unsaid,
            is_folded_secret: false,
        }
    }

    /// Takes some bytes; how many, and whether they end a head.
    fn take(&mut self, direction: Direction, chunk: &mut [u8], told: &mut Told<'_>) -> (usize, bool) {
        match &mut self.at {
            At::Opaque => (chunk.len(), false),
            At::Body(body) => {
                let (count, is_whole) = body.take(chunk);
                if is_whole {
                    tell_body(body.bytes, told);
                    self.at = At::Head;
                }
                (count, false)
            }
            At::Chunk(body, before) => {
                let (count, is_whole) = body.take(chunk);
                if is_whole {
                    // The line end behind the chunk is one of those that come before a size.
                    self.at = At::ChunkSize(*before + body.bytes);
                }
                (count, false)
            }
            At::Head | At::ChunkSize(_) | At::Trailer(_) => self.take_line(direction, chunk, told),
        }
    }

    fn take_line(&mut self, direction: Direction, chunk: &mut [u8], told: &mut Told<'_>) -> (usize, bool) {
        let is_folded = self.is_folded_secret;
        let secret = |line: &[u8]| if is_folded && is_fold(line) { Some(0) } else { secret_from(line) };
        let (count, is_whole) = self.line.take(chunk, told, secret);
        if !is_whole {
            return (count, false);
        }
        let is_head_whole = match self.at {
            At::ChunkSize(bytes) => {
                self.end_chunk_size(bytes, told);
                false
            }
            At::Trailer(bytes) => {
                if self.line.text().is_empty() {
                    tell_body(bytes, told);
                    self.at = At::Head;
                }
                false
            }
            At::Head | At::Body(_) | At::Chunk(..) | At::Opaque => self.end_head_line(direction, told),
        };
        let line = self.line.text();
        self.is_folded_secret = is_secret_field(line) || (is_folded && is_fold(line));
        self.line.clear();
        (count, is_head_whole)
    }

    /// A line of a head is whole; true if the head is.
    fn end_head_line(&mut self, direction: Direction, told: &mut Told<'_>) -> bool {
        let line = self.line.text();
        if self.first.is_empty() {
            let is_first = match direction {
                Direction::Up => is_request_line(line),
                Direction::Down => line.starts_with(b"HTTP/1.") && word(line, 1).len() == 3,
            };
            if is_first {
                self.first = line.to_vec();
                self.framing = Framing::Unsaid;
            } else if !line.is_empty() {
                told.unknown(self.line.length());
            }
            return false;
        }
        if line.is_empty() {
            return true;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if is_one_of(name, &["transfer-encoding"]) && value.to_ascii_lowercase().ends_with(b"chunked") {
            self.framing = Framing::Chunked;
        } else if is_one_of(name, &["content-length"]) && self.framing == Framing::Unsaid {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            self.framing = length.map_or(Framing::Unsaid, Framing::Length);
        }
        if is_one_of(name, &SHOWN) && self.fields.len() + line.len() < FIELDS_MAX {
            self.fields.extend_from_slice(b"; ");
            self.fields.extend_from_slice(&self.line.shown(told));
        }
        false
    }

    /// Tells a head that is whole.
    fn end_head(&mut self, told: &mut Told<'_>) -> Framing {
        let mut text = std::mem::take(&mut self.first);
        text.append(&mut self.fields);
        told.line(&text);
        self.framing
    }

    fn begin_body(&mut self, framing: Framing) {
        self.at = match framing {
            Framing::Unsaid => At::Body(Body::endless()),
            Framing::Length(0) => At::Head,
            Framing::Length(length) => At::Body(Body::counted(length)),
            Framing::Chunked => At::ChunkSize(0),
        };
    }

    fn end_chunk_size(&mut self, bytes: u64, told: &mut Told<'_>) {
        let line = self.line.text();
        if line.is_empty() {
            return;
        }
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let size = std::str::from_utf8(&line[..digits]).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
        self.at = match size {
            Some(0) => At::Trailer(bytes),
            Some(size) => At::Chunk(Body::counted(size), bytes),
            None => {
                told.unknown(self.line.length());
                At::Head
            }
        };
    }
}

/// `METHOD TARGET HTTP/1.1`; of a long target the end is not kept.
pub fn is_request_line(line: &[u8]) -> bool {
    let method = word(line, 0);
    let is_method = (3..=20).contains(&method.len()) && method.iter().all(|byte| byte.is_ascii_uppercase());
    let version = word(line, 2);
    is_method && (version.starts_with(b"HTTP/") || (version.is_empty() && line.len() > 1000))
}

fn is_fold(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn is_secret_field(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len() && is_one_of(name.trim_ascii_end(), &SECRET)
}

/// Where the value of a secret field begins.
pub fn secret_from(line: &[u8]) -> Option<usize> {
    if !is_secret_field(line) {
        return None;
    }
    let colon = line.iter().position(|byte| *byte == b':')?;
    let blanks = line[colon + 1..].iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    Some(colon + 1 + blanks)
}
