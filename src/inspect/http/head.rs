//! Heads of HTTP/1 messages (RFC 9112): where one ends, and what it says of the body.
//!
//! Strict with requests: what two readers could understand in two ways is refused, because a
//! request that pen and a server tell apart differently is a way past pen. Responses are the
//! server's affair: one that is not understood is only not followed.

use std::fmt;

use memchr::{memchr, memchr_iter};

/// The longest head of a request, in bytes.
pub const HEAD_MAX: usize = 32 * 1024;

/// Why a request goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It cannot be framed safely: why, as the end of a sentence.
    Bad(&'static str),
    /// Its head is longer than [`HEAD_MAX`].
    TooLarge,
    /// It is of another version of HTTP.
    Version,
}

impl Refusal {
    /// Why, as the end of a sentence.
    pub fn why(self) -> &'static str {
        match self {
            Refusal::Bad(why) => why,
            Refusal::TooLarge => "the head of the request is too long",
            Refusal::Version => "only HTTP/1.0 and HTTP/1.1 are spoken here",
        }
    }

    /// The response that the client gets.
    pub fn answer(self) -> String {
        let body = format!("{self}\n");
        let length = body.len();
        let status = match self {
            Refusal::Bad(_) => "400 Bad Request",
            Refusal::TooLarge => "431 Request Header Fields Too Large",
            Refusal::Version => "505 HTTP Version Not Supported",
        };
        let fields = format!("Content-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close");
        format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n{body}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

/// Where the head ends that begins with `bytes`: behind its empty line. The first `seen` bytes were
/// looked at before.
pub fn end_of_head(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(2);
    let ends = memchr_iter(b'\n', &bytes[from..]).map(|at| from + at + 1);
    ends.into_iter().find_map(|line| match &bytes[line..] {
        [b'\n', ..] => Some(line + 1),
        [b'\r', b'\n', ..] => Some(line + 2),
        _ => None,
    })
}

/// The lines of a head without their ends, up to the empty one. An end is CR LF or LF alone
/// (RFC 9112 section 2.2).
pub fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest)?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = &rest[end + 1..];
        if line.is_empty() { None } else { Some(line) }
    })
}

/// Where the body of a message ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// After this many bytes.
    Length(u64),
    /// Where its last chunk and its trailers do.
    Chunked,
    /// Where the connection does: a response only.
    UntilClose,
}

/// What a request says of what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// How long its body is.
    pub framing: Framing,
    /// Its response has no body.
    pub is_head: bool,
    /// It may turn the connection into something that is not HTTP.
    pub switch: Option<Switch>,
}

/// What turns a connection into something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switch {
    /// CONNECT, if a 2xx answers it (RFC 9110 section 9.3.6).
    Connect,
    /// Upgrade, if a 101 answers it (RFC 9110 section 7.8).
    Upgrade,
}

impl Request {
    /// Reads a whole head, which begins with the request line.
    pub fn parse(head: &[u8]) -> Result<Request, Refusal> {
        let mut lines = lines(head);
        let line = lines.next().ok_or(Refusal::Bad("there is no request line"))?;
        let (method, minor) = request_line(line)?;
        let (mut length, mut codings, mut upgrade) = (None, None, false);
        for line in lines {
            let (name, value) = field(line)?;
            if name.eq_ignore_ascii_case(b"content-length") {
                let number = decimal(value).ok_or(Refusal::Bad("Content-Length is not a number"))?;
                if length.replace(number).is_some() {
                    return Err(Refusal::Bad("there is more than one Content-Length"));
                }
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                if codings.replace(value).is_some() {
                    return Err(Refusal::Bad("there is more than one Transfer-Encoding"));
                }
            } else if folds_to(name, b"content-length") || folds_to(name, b"transfer-encoding") {
                return Err(Refusal::Bad("a field is named almost like one that tells where the body ends"));
            } else if name.eq_ignore_ascii_case(b"upgrade") {
                upgrade = true;
            } else if name.eq_ignore_ascii_case(b"connection") && names_forwarded(value) {
                return Err(Refusal::Bad("Connection names a field that tells whom a request is from"));
            }
        }
        let framing = match (codings, length) {
            (Some(_), Some(_)) => return Err(Refusal::Bad("there are both Content-Length and Transfer-Encoding")),
            (Some(_), None) if minor == 0 => return Err(Refusal::Bad("HTTP/1.0 has no Transfer-Encoding")),
            (Some(codings), None) if ends_chunked(codings) => Framing::Chunked,
            (Some(_), None) => return Err(Refusal::Bad("Transfer-Encoding does not end in chunked")),
            (None, length) => Framing::Length(length.unwrap_or(0)),
        };
        let is_connect = method == b"CONNECT";
        if is_connect && framing != Framing::Length(0) {
            return Err(Refusal::Bad("CONNECT has no body"));
        }
        let switch = if is_connect { Some(Switch::Connect) } else { upgrade.then_some(Switch::Upgrade) };
        Ok(Request { framing, is_head: method == b"HEAD", switch })
    }
}

/// The method and the minor version: `METHOD SP target SP HTTP/1.x` (RFC 9112 section 3).
pub fn request_line(line: &[u8]) -> Result<(&[u8], u8), Refusal> {
    const BAD: Refusal = Refusal::Bad("that is no HTTP request");
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(BAD);
    };
    let is_target = !target.is_empty() && target.iter().all(|&byte| byte > b' ' && byte != 0x7f);
    if !is_token(method) || !is_target {
        return Err(BAD);
    }
    match version {
        b"HTTP/1.1" => Ok((method, 1)),
        b"HTTP/1.0" => Ok((method, 0)),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Refusal::Version)
        }
        _ => Err(BAD),
    }
}

/// The name and the value of a line (RFC 9112 section 5).
pub fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::Bad("a line of the head begins with a blank"));
    }
    let colon = memchr(b':', line).ok_or(Refusal::Bad("a line of the head has no colon"))?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    if !is_token(name) {
        return Err(Refusal::Bad("the name of a field has a byte that names do not have"));
    }
    if value.iter().any(|&byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
        return Err(Refusal::Bad("a line of the head has a control character"));
    }
    Ok((name, value))
}

/// What a response says of what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response {
    /// Its status code.
    pub status: u16,
    /// How long its body is, if its request lets it have one.
    pub framing: Framing,
}

impl Response {
    /// Reads a whole head; `None` if it is not understood.
    pub fn parse(head: &[u8]) -> Option<Response> {
        let mut lines = lines(head);
        let rest = lines.next()?.strip_prefix(b"HTTP/1.")?;
        let [minor, b' ', digits @ ..] = rest else { return None };
        let digits = digits.get(..3).filter(|_| matches!(digits.get(3), None | Some(b' ')))?;
        if !minor.is_ascii_digit() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        let (mut length, mut codings) = (None, None);
        for line in lines {
            let (name, value) = field(line).ok()?;
            if name.eq_ignore_ascii_case(b"content-length") {
                let number = decimal(value)?;
                if length.replace(number).is_some_and(|before| before != number) {
                    return None;
                }
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                codings = Some(value);
            }
        }
        let framing = match (codings, length) {
            (Some(codings), _) if ends_chunked(codings) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length),
            (Some(_), _) | (None, None) => Framing::UntilClose,
        };
        Some(Response { status, framing })
    }
}

/// The bytes of names and methods (RFC 9110 section 5.6.2).
fn is_token(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|&byte| is_token_byte(byte))
}

/// A byte of a name.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Without the blanks around it (RFC 9110 section 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A number of digits alone.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// True if chunked is the last of these codings, and stands there once.
fn ends_chunked(codings: &[u8]) -> bool {
    let mut last = true;
    for coding in codings.rsplit(|&byte| byte == b',').map(trim) {
        if coding.is_empty() || last != coding.eq_ignore_ascii_case(b"chunked") {
            return false;
        }
        last = false;
    }
    true
}

/// True if a name is this one but for case, and for underscores that servers take for hyphens.
fn folds_to(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && name.iter().zip(other).all(|(&byte, &other)| fold(byte) == other)
}

fn fold(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// True for X-Forwarded-For and its like, also as a server may come to see the name (RFC 3875
/// section 4.1.18).
pub fn is_forwarded(name: &[u8]) -> bool {
    const START: &[u8] = b"x-forwarded-";
    name.get(..START.len()).is_some_and(|start| folds_to(start, START))
}

/// True if a Connection field has somebody on the way drop what tells whom a request is from.
fn names_forwarded(options: &[u8]) -> bool {
    options.split(|&byte| byte == b',').any(|option| is_forwarded(trim(option)))
}

#[cfg(test)]
mod tests;
