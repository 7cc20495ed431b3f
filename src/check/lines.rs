//! Protocols of lines: what a server's words come to.

use memchr::memchr;

use crate::base::bytes::{find, masked};

/// The most bytes of a server's line that are told.
const TOLD_MAX: usize = 60;

/// What was heard so far comes to this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// More must come.
    More,
    /// The server serves; say this to end, or nothing if there is nothing to say.
    Good(Vec<u8>),
    /// It does not, and why; the same.
    Bad(String, Vec<u8>),
    /// Say this, and listen on.
    Say(Vec<u8>),
    /// The good bye was heard.
    Gone,
}

/// A request for a page. The name of a host with a colon is an IPv6 address (RFC 3986 section 3.2.2),
/// and one with a slash the path of a Unix socket, which no server takes for a host.
pub fn http_request(path: &str, host: &str) -> Vec<u8> {
    let host = match host {
        unix if unix.contains('/') => String::from("localhost"),
        ipv6 if ipv6.contains(':') && !ipv6.starts_with('[') => format!("[{ipv6}]"),
        host => String::from(host),
    };
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pen\r\nAccept: */*\r\nConnection: close\r\n\r\n").into()
}

/// A page is good by its status: this one, or 200 to 399. What follows is of no interest, and the
/// server ends the connection.
pub fn http(heard: &[u8], wanted: Option<u16>) -> Outcome {
    let Some(end) = memchr(b'\n', heard) else { return more_of(heard, b"HTTP/1.", "HTTP") };
    let line = &heard[..end];
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(number);
    let Some(status) = status else { return Outcome::Bad(String::from("it does not answer as HTTP"), Vec::new()) };
    let is_good = wanted.map_or((200..400).contains(&status), |wanted| wanted == status);
    if is_good {
        Outcome::Good(Vec::new())
    } else {
        Outcome::Bad(format!("it answers with status {status}"), Vec::new())
    }
}

/// More must come, unless what is there can be no beginning of it.
fn more_of(heard: &[u8], begins: &[u8], protocol: &str) -> Outcome {
    let length = heard.len().min(begins.len());
    if heard[..length] == begins[..length] {
        return Outcome::More;
    }
    Outcome::Bad(format!("it does not answer as {protocol}"), Vec::new())
}

fn number(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The last line of a reply with a code, of which all but the last have a dash behind it.
fn last_line<'a>(heard: &'a [u8], code: &[u8]) -> Option<&'a [u8]> {
    let mut rest = heard;
    while let Some(end) = memchr(b'\n', rest) {
        let line = &rest[..end];
        let goes_on = code.first().is_some_and(u8::is_ascii_digit) && line.get(3) == Some(&b'-')
            || !line.starts_with(&code[..1]) && rest.len() > end + 1 && rest != heard;
        if !goes_on {
            return Some(line);
        }
        rest = &rest[end + 1..];
    }
    None
}

/// The server greets first; the farewell is said whatever the greeting is.
pub fn greeting(heard: &[u8], code: &[u8], farewell: &str) -> Outcome {
    let Some(line) = last_line(heard, code) else { return Outcome::More };
    if line.starts_with(code) {
        return Outcome::Good(farewell.into());
    }
    Outcome::Bad(format!("it greets with '{}'", told(line)), farewell.into())
}

/// The server answers to the farewell.
pub fn goodbye(heard: &[u8], code: &[u8]) -> Outcome {
    if last_line(heard, code).is_some() { Outcome::Gone } else { Outcome::More }
}

/// A greeting of IMAP.
pub fn imap(heard: &[u8]) -> Outcome {
    let Some(end) = memchr(b'\n', heard) else { return Outcome::More };
    let farewell = Vec::from("pen LOGOUT\r\n");
    match &heard[..end] {
        line if line.starts_with(b"* OK") || line.starts_with(b"* PREAUTH") => Outcome::Good(farewell),
        line => Outcome::Bad(format!("it greets with '{}'", told(line)), farewell),
    }
}

/// The tagged answer to LOGOUT.
pub fn imap_goodbye(heard: &[u8]) -> Outcome {
    let is_done = find(heard, b"pen ").is_some_and(|at| memchr(b'\n', &heard[at..]).is_some());
    if is_done { Outcome::Gone } else { Outcome::More }
}

/// A server that wants a password first is there, too; one that loads its data set is not ready.
pub fn redis(heard: &[u8]) -> Outcome {
    let Some(end) = memchr(b'\n', heard) else { return Outcome::More };
    let farewell = Vec::from("QUIT\r\n");
    match &heard[..end] {
        line if line.starts_with(b"+PONG") || line.starts_with(b"-NOAUTH") => Outcome::Good(farewell),
        line => Outcome::Bad(format!("it answers with '{}'", told(line)), farewell),
    }
}

/// What must come somewhere.
pub fn talk(heard: &[u8], expect: &[u8]) -> Outcome {
    if find(heard, expect).is_some() { Outcome::Good(Vec::new()) } else { Outcome::More }
}

/// A server's line as it may be told.
fn told(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.iter().take(TOLD_MAX).map(|byte| masked(*byte) as char).collect()
}
