//! The records of pen's request log: one line for each chunk that a client sends, and one for
//! each further HTTP request head within the chunk.
//!
//! ```text
//! 192.0.2.7 1010536070 10.0.0.1 GET /index.html HTTP/1.1
//! ```
//!
//! Client, seconds since 1970, server without its port, and the text: the first line of the
//! chunk or of the request, at most [`TEXT_MAX`] bytes of it. A penlogd gets
//! `+ client server text` instead. Client and server are one word each and never empty, nothing
//! but the printable bytes of ASCII gets in, so a line is a line whatever was sent; the text
//! may be empty.
//!
//! A chunk is looked at by itself, without memory of the ones before. Empty lines before a
//! request are passed over, as RFC 9112 section 2.2 has servers do; before anything else they
//! are the first line, and the text is empty.

use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;

use memchr::memchr;

use super::request::{first_request, further_requests};
use crate::base::addr::ClientAddr;
use crate::base::bytes::masked;

/// The most bytes of a first line that a record shows.
pub const TEXT_MAX: usize = 100;
/// The most bytes of a server's address that a record shows; the path of a Unix socket fits.
pub const SERVER_MAX: usize = 255;
/// The most bytes that a datagram to penlogd has.
pub const DATAGRAM_MAX: usize = 1024;

/// The longest client: an IPv6 address in its longest form (RFC 4291 section 2.2).
const CLIENT_MAX: usize = 45;
const _: () = assert!("+   \n".len() + CLIENT_MAX + SERVER_MAX + TEXT_MAX <= DATAGRAM_MAX);

/// Appends the lines of a chunk from `client` for the log file: `client unix server text`.
/// `unix` is the time in seconds since 1970. Returns how many lines; none for an empty chunk.
pub fn write_records(out: &mut Vec<u8>, client: ClientAddr, unix: u64, server: &impl Display, chunk: &[u8]) -> usize {
    write_each(out, chunk, |out| {
        write!(out, "{client} {unix} ").expect("writing to memory does not fail");
        write_server(out, server);
    })
}

/// Appends the lines of a chunk for penlogd: `+ client server text`. Each is a datagram of its
/// own, of at most [`DATAGRAM_MAX`] bytes with the newline. Returns how many lines.
pub fn write_datagrams(out: &mut Vec<u8>, client: ClientAddr, server: &impl Display, chunk: &[u8]) -> usize {
    write_each(out, chunk, |out| {
        write!(out, "+ {client} ").expect("writing to memory does not fail");
        write_server(out, server);
    })
}

fn write_each(out: &mut Vec<u8>, chunk: &[u8], write_start: impl Fn(&mut Vec<u8>)) -> usize {
    if chunk.is_empty() {
        return 0;
    }
    let first = first_request(chunk).unwrap_or(chunk);
    let start = out.len();
    write_start(out);
    out.push(b' ');
    let start = start..out.len();
    write_text(out, first);
    let mut lines = 1;
    for request in further_requests(first) {
        out.extend_from_within(start.clone());
        write_text(out, request);
        lines += 1;
    }
    lines
}

fn write_text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(first_line(bytes).iter().map(|&byte| masked(byte)));
    out.push(b'\n');
}

/// Writes the server as one word: the path of a Unix socket may hold anything.
fn write_server(out: &mut Vec<u8>, server: &impl Display) {
    let start = out.len();
    write!(out, "{server}").expect("writing to memory does not fail");
    if out.len() == start {
        out.push(b'-');
    }
    out.truncate(start + SERVER_MAX);
    for byte in &mut out[start..] {
        *byte = if *byte == b' ' { b'.' } else { masked(*byte) };
    }
}

/// Up to the first CR or LF, at most [`TEXT_MAX`] bytes.
fn first_line(bytes: &[u8]) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    let end = bytes.iter().position(|&byte| byte == b'\r' || byte == b'\n');
    &bytes[..end.unwrap_or(bytes.len())]
}

/// A line of the log file, read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Who sent the request.
    pub client: ClientAddr,
    /// When: seconds since 1970.
    pub unix: u64,
    /// The server that it went to, as it was written.
    pub server: &'a str,
    /// The first line of what was sent. Anything but CR LF at its end in a log of another
    /// program, printable bytes of ASCII in ours.
    pub text: &'a [u8],
}

/// Reads a line of the log file, with or without its newline; `None` if it is no record.
///
/// Logs of pen 0.34.1 are read as well: their lines begin with a blank for a client by a Unix
/// socket, and show IPv4 clients of an IPv6 listener as `::ffff:192.0.2.7`.
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (client, rest) = word(line)?;
    let (unix, rest) = word(rest)?;
    let (server, text) = word(rest)?;
    let is_number = unix.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || server.is_empty() {
        return None;
    }
    Some(Record { client: parse_client(client)?, unix: unix.parse().ok()?, server, text })
}

/// Reads what penlogd gets, `+ client server text`, with or without its newline; `None` if it is
/// something else, or the server has no address: then no web server can be the one that is meant.
pub fn parse_datagram(line: &[u8]) -> Option<(ClientAddr, IpAddr, &[u8])> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (client, rest) = word(line.strip_prefix(b"+ ")?)?;
    let (server, text) = word(rest)?;
    Some((parse_client(client)?, server.parse::<IpAddr>().ok()?.to_canonical(), text))
}

/// The bytes before the next blank, and those after it.
#[inline(always)]
fn word(line: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr(b' ', line)?;
    Some((std::str::from_utf8(&line[..end]).ok()?, &line[end + 1..]))
}

fn parse_client(text: &str) -> Option<ClientAddr> {
    match text {
        "" | "-" => Some(ClientAddr::Unix),
        ip => ip.parse::<IpAddr>().ok().map(|ip| ClientAddr::Inet(ip.to_canonical())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Endpoint;
    use std::path::PathBuf;

    fn client(text: &str) -> ClientAddr {
        Endpoint::inet(format!("{text}:1").parse().unwrap()).client()
    }

    fn records(chunk: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        let count = write_records(&mut out, client("127.0.0.2"), 1_795_369_321, &"127.0.0.1", chunk);
        let lines: Vec<String> = String::from_utf8(out).unwrap().split_inclusive('\n').map(String::from).collect();
        assert_eq!(lines.len(), count);
        lines
    }

    #[test]
    fn a_chunk_is_one_line_with_its_first_line_as_text() {
        let long = "x".repeat(200);
        let table: [(&[u8], &str); 14] = [
            (b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a HTTP/1.1"),
            (b"EHLO foo\r\n", "EHLO foo"),
            (b"DATA\n", "DATA"),
            (b"0123", "0123"),
            (b"one\rtwo", "one"),
            (b"\n", ""),
            (b"\r\nQUIT\r\n", ""),
            (b"\r\n\r\nGET /b HTTP/1.0\r\n\r\n", "GET /b HTTP/1.0"),
            (b"\nGET /b HTTP/1.0\n\n", "GET /b HTTP/1.0"),
            (b" leading blank", " leading blank"),
            (b"a\tb\x00c\x1b[31m\x7f", "a.b.c.[31m."),
            (b"GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n", "GET /caf.. HTTP/1.1"),
            (long.as_bytes(), &long[..100]),
            (b"\x80\xff", ".."),
        ];
        for (chunk, text) in table {
            assert_eq!(records(chunk), [format!("127.0.0.2 1795369321 127.0.0.1 {text}\n")], "{chunk:?}");
        }
        assert!(records(b"").is_empty());
    }

    #[test]
    fn the_text_is_cut_at_exactly_a_hundred_bytes() {
        for length in 98..=103usize {
            for end in ["", "\n", "\r\n"] {
                let chunk = format!("{}{end}", "y".repeat(length));
                let text = "y".repeat(length.min(100));
                assert_eq!(records(chunk.as_bytes()), [format!("127.0.0.2 1795369321 127.0.0.1 {text}\n")]);
            }
        }
    }

    #[test]
    fn each_further_request_in_a_chunk_has_a_line_of_its_own() {
        let chunk = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\r\nGET /3 HTTP/1.1\r\n\r\n";
        let start = "127.0.0.2 1795369321 127.0.0.1";
        let lines = [
            format!("{start} GET /1 HTTP/1.1\n"),
            format!("{start} POST /2 HTTP/1.1\n"),
            format!("{start} GET /3 HTTP/1.1\n"),
        ];
        assert_eq!(records(chunk), lines);
    }

    #[test]
    fn client_and_server_are_one_word_each_and_never_empty() {
        let long = format!("/{}", "s".repeat(400));
        let table = [
            (ClientAddr::Unix, "10.0.0.1", "- 7 10.0.0.1 x\n"),
            (client("[::1]"), "::1", "::1 7 ::1 x\n"),
            (client("[::ffff:192.0.2.1]"), "2001:db8::1", "192.0.2.1 7 2001:db8::1 x\n"),
            (client("10.0.0.2"), "/run/my server.sock", "10.0.0.2 7 /run/my.server.sock x\n"),
            (client("10.0.0.2"), "/run/\u{e9}\n\u{1b}[1m", "10.0.0.2 7 /run/....[1m x\n"),
            (client("10.0.0.2"), "", "10.0.0.2 7 - x\n"),
            (client("10.0.0.2"), &long, &format!("10.0.0.2 7 {} x\n", &long[..SERVER_MAX])),
        ];
        for (client, server, line) in table {
            let mut out = Vec::new();
            assert_eq!(write_records(&mut out, client, 7, &server, b"x"), 1);
            assert_eq!(String::from_utf8(out).unwrap(), line);
        }
        let mut out = Vec::new();
        write_records(&mut out, ClientAddr::Unix, 7, &Endpoint::Unix(PathBuf::new()).host(), b"x");
        assert_eq!(out, b"- 7 - x\n");
    }

    #[test]
    fn lines_are_appended_to_what_is_there() {
        let mut out = b"before\n".to_vec();
        write_records(&mut out, ClientAddr::Unix, 1, &"::1", b"x");
        write_datagrams(&mut out, ClientAddr::Unix, &"::1", b"y");
        assert_eq!(out, b"before\n- 1 ::1 x\n+ - ::1 y\n");
    }

    #[test]
    fn datagrams_have_the_form_and_the_length_that_penlogd_takes() {
        let mut out = Vec::new();
        let chunk = b"GET /a HTTP/1.1\r\n\r\nGET /\xe9\x1b HTTP/1.1\r\n\r\n";
        assert_eq!(write_datagrams(&mut out, client("127.0.0.9"), &"127.0.0.1", chunk), 2);
        assert_eq!(out, b"+ 127.0.0.9 127.0.0.1 GET /a HTTP/1.1\n+ 127.0.0.9 127.0.0.1 GET /.. HTTP/1.1\n");
        out.clear();
        let longest = client("[1111:2222:3333:4444:5555:6666:7777:8888]");
        write_datagrams(&mut out, longest, &"s".repeat(5000), &[b'z'; 5000]);
        assert!(out.len() <= DATAGRAM_MAX);
    }

    #[test]
    fn what_was_written_reads_back_the_same() {
        let clients = [ClientAddr::Unix, client("192.0.2.7"), client("[2001:db8::7]")];
        let texts: [&[u8]; 6] = [b"GET / HTTP/1.1", b"", b" two  blanks ", b"-", b"+ - x", b"EHLO foo"];
        for client in clients {
            for unix in [0, 1_795_369_321, u64::MAX] {
                for text in texts {
                    let chunk = [text, b"\r\n"].concat();
                    let mut line = Vec::new();
                    write_records(&mut line, client, unix, &"10.0.0.1", &chunk);
                    assert_eq!(parse(&line), Some(Record { client, unix, server: "10.0.0.1", text }));
                }
            }
        }
    }

    #[test]
    fn records_of_other_hands_are_read() {
        let text: &[u8] = b"GET /a HTTP/1.1";
        let record = |client, server| Some(Record { client, unix: 9, server, text });
        let table: [(&[u8], _); 6] = [
            (b"127.0.0.2 9 127.0.0.1 GET /a HTTP/1.1", record(client("127.0.0.2"), "127.0.0.1")),
            (b"127.0.0.2 9 127.0.0.1 GET /a HTTP/1.1\r\n", record(client("127.0.0.2"), "127.0.0.1")),
            (b" 9 127.0.0.1 GET /a HTTP/1.1\n", record(ClientAddr::Unix, "127.0.0.1")),
            (b"::ffff:127.0.0.5 9 ::1 GET /a HTTP/1.1\n", record(client("127.0.0.5"), "::1")),
            (b"::1 009 /run/x GET /a HTTP/1.1\n", record(client("[::1]"), "/run/x")),
            (b"- 9 host GET /a HTTP/1.1\n", record(ClientAddr::Unix, "host")),
        ];
        for (line, record) in table {
            assert_eq!(parse(line), record, "{:?}", String::from_utf8_lossy(line));
        }
        assert_eq!(parse(b"- 9 h a\xff\x00b\n").map(|record| record.text), Some(&b"a\xff\x00b"[..]));
    }

    #[test]
    fn datagrams_read_back_the_same_and_others_are_refused() {
        let mut out = Vec::new();
        write_datagrams(&mut out, client("192.0.2.7"), &"10.0.0.1", b"GET /a HTTP/1.1\r\n\r\n");
        let server: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(parse_datagram(&out), Some((client("192.0.2.7"), server, &b"GET /a HTTP/1.1"[..])));
        let mapped = b"+ ::1 ::ffff:10.0.0.1 \r\n";
        assert_eq!(parse_datagram(mapped), Some((client("[::1]"), server, &b""[..])));
        let table: [&[u8]; 8] = [
            b"",
            b"+",
            b"+ ",
            b"+ 1.2.3.4",
            b"+ 1.2.3.4 5.6.7.8",
            b"+ 1.2.3.4 host x",
            b"+ x 5.6.7.8 x",
            b"1.2.3.4 5.6.7.8 x",
        ];
        for line in table {
            assert_eq!(parse_datagram(line), None, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_line_that_is_no_record_is_refused() {
        let table: [&[u8]; 11] = [
            b"",
            b"\n",
            b"127.0.0.2",
            b"127.0.0.2 9",
            b"127.0.0.2 9 127.0.0.1",
            b"127.0.0.2 9  text",
            b"client 9 127.0.0.1 text",
            b"127.0.0.2 -9 127.0.0.1 text",
            b"127.0.0.2 +9 127.0.0.1 text",
            b"127.0.0.2 99999999999999999999 127.0.0.1 text",
            b"127.0.0.2 9 \xff text",
        ];
        for line in table {
            assert_eq!(parse(line), None, "{:?}", String::from_utf8_lossy(line));
        }
    }
}
