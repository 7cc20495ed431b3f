//! Which protocol a connection speaks: told from the port of the server, or from what is said first.

use super::lines::{is_one_of, word};
use super::{dns, http, ldap, tls};
use crate::base::bytes::find;

/// The protocols that are decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Control connections alone.
    Ftp,
    /// Also LMTP.
    Smtp,
    /// Version 3.
    Pop3,
    /// Version 4.
    Imap,
    /// Versions 1.0 and 1.1.
    Http,
    /// Version 3.
    Ldap,
    /// Also the older SSL 3.0.
    Tls,
    /// Over TCP.
    Dns,
}

/// All of them, in the order of the manual.
pub const PROTOCOLS: [Protocol; 8] = [
    Protocol::Ftp,
    Protocol::Smtp,
    Protocol::Pop3,
    Protocol::Imap,
    Protocol::Http,
    Protocol::Ldap,
    Protocol::Tls,
    Protocol::Dns,
];

impl Protocol {
    /// Its name in decoded lines and commands.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Ftp => "ftp",
            Protocol::Smtp => "smtp",
            Protocol::Pop3 => "pop3",
            Protocol::Imap => "imap",
            Protocol::Http => "http",
            Protocol::Ldap => "ldap",
            Protocol::Tls => "tls",
            Protocol::Dns => "dns",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Protocol> {
        PROTOCOLS.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The one that is spoken at a port, if it is well known (RFC 6335).
    pub fn at_port(port: u16) -> Option<Protocol> {
        Some(match port {
            21 => Protocol::Ftp,
            24 | 25 | 587 => Protocol::Smtp,
            53 => Protocol::Dns,
            80 | 8000 | 8008 | 8080 => Protocol::Http,
            110 => Protocol::Pop3,
            143 => Protocol::Imap,
            389 | 3268 => Protocol::Ldap,
            443 | 465 | 636 | 853 | 989 | 990 | 992 | 993 | 995 | 3269 | 8443 => Protocol::Tls,
            _ => return None,
        })
    }
}

/// What is known of a connection's protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is this one.
    Is(Protocol),
    /// More must be seen.
    Open,
    /// It is none that is known.
    None,
}

/// Bytes of both directions together that are looked at for a verdict.
pub const OPENING_MAX: usize = 1024;

/// Judges by the port of the server and by what was said first, up and down.
pub fn judge(port: Option<u16>, up: &[u8], down: &[u8]) -> Verdict {
    // These are what they are at any port.
    if tls::is_start(up) {
        return Verdict::Is(Protocol::Tls);
    }
    if is_request(up) || down.starts_with(b"HTTP/1.") {
        return Verdict::Is(Protocol::Http);
    }
    let may_be_tls = up.len() < 6 && !up.is_empty() && b"\x16\x03"[..up.len().min(2)] == up[..up.len().min(2)];
    if may_be_tls {
        return Verdict::Open;
    }
    if let Some(protocol) = port.and_then(Protocol::at_port) {
        return Verdict::Is(protocol);
    }
    let found = by_greeting(down, up).or_else(|| by_binary(up, down)).or_else(|| by_command(up));
    match found {
        Some(protocol) => Verdict::Is(protocol),
        None if up.len() + down.len() < OPENING_MAX => Verdict::Open,
        None => Verdict::None,
    }
}

fn is_request(up: &[u8]) -> bool {
    const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    let line = up.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    http::is_request_line(line)
        || METHODS.iter().any(|method| {
            let rest = up.strip_prefix(method.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
            matches!(rest, Some([b'/' | b'*', ..])) || rest.is_some_and(|rest| rest.starts_with(b"http"))
        })
}

fn by_binary(up: &[u8], down: &[u8]) -> Option<Protocol> {
    if ldap::is_start(up) || ldap::is_start(down) {
        return Some(Protocol::Ldap);
    }
    dns::is_start(up).then_some(Protocol::Dns)
}

/// By what the server says first, with the first command where the greeting leaves it open.
fn by_greeting(down: &[u8], up: &[u8]) -> Option<Protocol> {
    let text = down.to_ascii_uppercase();
    let has = |word: &[u8]| find(&text, word).is_some();
    if text.starts_with(b"+OK") {
        return Some(Protocol::Pop3);
    }
    if text.starts_with(b"* OK") || text.starts_with(b"* PREAUTH") || text.starts_with(b"* BYE") {
        return Some(Protocol::Imap);
    }
    if text.starts_with(b"220") {
        if has(b"SMTP") || has(b"LMTP") {
            return Some(Protocol::Smtp);
        }
        if has(b"FTP") {
            return Some(Protocol::Ftp);
        }
    }
    // A reply to a command that is known from one protocol alone.
    if text.starts_with(b"220") { by_command(up) } else { None }
}

/// By a command that the client sends; with a blank or an end behind it, so that it is whole.
fn by_command(up: &[u8]) -> Option<Protocol> {
    let end = up.iter().position(|byte| *byte == b'\n').unwrap_or(up.len());
    let line = up[..end].trim_ascii_end();
    let verb = word(line, 0);
    if verb.len() == up.len() {
        return None;
    }
    let second = word(line, 1);
    if is_one_of(verb, &["EHLO", "HELO", "LHLO"]) {
        return Some(Protocol::Smtp);
    }
    if is_one_of(verb, &["MAIL", "RCPT"]) && second.contains(&b':') {
        return Some(Protocol::Smtp);
    }
    if is_one_of(verb, &["APOP", "UIDL", "CAPA", "STLS"]) {
        return Some(Protocol::Pop3);
    }
    let is_imap = ["LOGIN", "CAPABILITY", "AUTHENTICATE", "STARTTLS", "SELECT", "EXAMINE", "NAMESPACE"];
    if is_one_of(second, &is_imap) {
        return Some(Protocol::Imap);
    }
    const FTP: [&str; 20] = [
        "USER", "PASS", "PORT", "EPRT", "PASV", "EPSV", "CWD", "CDUP", "TYPE", "SYST", "FEAT", "STOR", "MLSD", "NLST",
        "AUTH", "PBSZ", "PROT", "PWD", "RETR", "OPTS",
    ];
    is_one_of(verb, &FTP).then_some(Protocol::Ftp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_from_port_greeting_command_or_first_bytes() {
        use Protocol::*;
        let is = Verdict::Is;
        type Row = (Option<u16>, &'static [u8], &'static [u8], Verdict);
        let table: [Row; 22] = [
            (Some(21), b"", b"", is(Ftp)),
            (Some(21), b"\x16\x03\x01\x02\x00\x01", b"", is(Tls)),
            (Some(21), b"\x16", b"", Verdict::Open),
            (Some(80), b"", b"", is(Http)),
            (Some(10_080), b"GET /x HTTP/1.1\r\n", b"", is(Http)),
            (Some(10_080), b"GET /a/very/long/pa", b"", is(Http)),
            (Some(25), b"PROPFIND / HTTP/1.1\r\n", b"", is(Http)),
            (None, b"", b"220 (vsFTPd 3.0.5)\r\n", is(Ftp)),
            (None, b"", b"220 mail.example.org ESMTP Postfix\r\n", is(Smtp)),
            (None, b"", b"220 hello\r\n", Verdict::Open),
            (None, b"EHLO me\r\n", b"220 hello\r\n", is(Smtp)),
            (None, b"USER me\r\n", b"220 hello\r\n", is(Ftp)),
            (None, b"", b"+OK ready\r\n", is(Pop3)),
            (None, b"", b"* OK ready\r\n", is(Imap)),
            (None, b"a1 LOGIN x y\r\n", b"", is(Imap)),
            (None, b"PORT 127,0,0,1,12,212\r\n", b"", is(Ftp)),
            (None, b"POR", b"", Verdict::Open),
            (None, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", b"", is(Ldap)),
            (None, b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example", b"", is(Dns)),
            (None, b"hello\r\n", b"", Verdict::Open),
            (None, &[b'x'; OPENING_MAX], b"", Verdict::None),
            (None, b"hello", b"HTTP/1.1 400 Bad Request\r\n", is(Http)),
        ];
        for (port, up, down, verdict) in table {
            assert_eq!(judge(port, up, down), verdict, "{port:?} {:?} {:?}", up.escape_ascii(), down.escape_ascii());
        }
    }

    #[test]
    fn names_are_read_back() {
        for protocol in PROTOCOLS {
            assert_eq!(Protocol::named(protocol.name()), Some(protocol));
        }
        assert_eq!(Protocol::named("gopher"), None);
    }
}
