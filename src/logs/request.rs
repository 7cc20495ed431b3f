//! Where HTTP requests begin within a chunk: what the request log must know of RFC 9112.
//!
//! It finds beginnings and judges nothing. What it is not sure of, it leaves out: a body of
//! unknown length ends the search, a request line that the chunk cuts before its version is
//! none. A chunk may begin in the middle of a head, whose end then counts as usual.

use memchr::memchr;

/// The longest method looked for. The longest registered one has 17 bytes.
const METHOD_MAX: usize = 32;

/// The chunk from its first request on, if it begins with one; empty lines before the request
/// do not count (RFC 9112 section 2.2).
pub(super) fn first_request(chunk: &[u8]) -> Option<&[u8]> {
    let start = chunk.iter().position(|&byte| byte != b'\r' && byte != b'\n')?;
    let rest = &chunk[start..];
    is_request(rest).then_some(rest)
}

/// The rest of the chunk from each further request on: those that follow the head, and the
/// body that it states, of the request before.
pub(super) fn further_requests(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(after_message(chunk).and_then(first_request), |request| {
        after_message(request).and_then(first_request)
    })
}

/// Whether a request line stands here: `METHOD SP target SP HTTP/1.` (RFC 9112 section 3).
fn is_request(bytes: &[u8]) -> bool {
    let Some(method) = memchr(b' ', &bytes[..bytes.len().min(METHOD_MAX + 1)]) else { return false };
    if method == 0 || !bytes[..method].iter().all(|&byte| is_method_byte(byte)) {
        return false;
    }
    let (line, _) = split_line(&bytes[method + 1..]);
    let version = b" HTTP/1.";
    let before_minor = line.split_last().map_or(line, |(_, before)| before);
    let target = line.strip_suffix(version).or_else(|| before_minor.strip_suffix(version));
    target.is_some_and(|target| !target.is_empty())
}

/// The bytes of a method: of all that RFC 9110 section 5.6.2 allows, those that methods have.
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'-' || byte == b'_'
}

/// The first line without its CR LF or LF, and what comes after it; nothing comes after a line
/// without LF.
fn split_line(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'\n', bytes) {
        Some(end) => (bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), Some(&bytes[end + 1..])),
        None => (bytes, None),
    }
}

/// How a message says where its body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Body {
    Length(u64),
    Chunked,
    Unknown,
}

/// What comes after the first head and its body, if both end within the bytes.
fn after_message(bytes: &[u8]) -> Option<&[u8]> {
    let mut body = Body::Length(0);
    let mut seen = false;
    let mut rest = bytes;
    loop {
        let (line, after) = split_line(rest);
        rest = after?;
        if line.is_empty() {
            break;
        }
        if let Some(stated) = stated_body(line) {
            let agrees = !seen || stated == body;
            body = if agrees { stated } else { Body::Unknown };
            seen = true;
        }
    }
    match body {
        Body::Length(length) => rest.get(usize::try_from(length).ok()?..),
        Body::Chunked => after_chunked(rest),
        Body::Unknown => None,
    }
}

/// What a line of a head says of the body; `None` if nothing.
fn stated_body(line: &[u8]) -> Option<Body> {
    let colon = memchr(b':', &line[..line.len().min("Transfer-Encoding:".len())])?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"content-length") {
        Some(number(value, 10).map_or(Body::Unknown, Body::Length))
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        Some(if value.eq_ignore_ascii_case(b"chunked") { Body::Chunked } else { Body::Unknown })
    } else {
        None
    }
}

/// What comes after a chunked body and its trailer section (RFC 9112 section 7.1).
fn after_chunked(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let (line, after) = split_line(rest);
        let size = memchr(b';', line).map_or(line, |end| &line[..end]).trim_ascii();
        let size = number(size, 16)?;
        rest = after?;
        if size == 0 {
            break;
        }
        let (line, after) = split_line(rest.get(usize::try_from(size).ok()?..)?);
        if !line.is_empty() {
            return None;
        }
        rest = after?;
    }
    loop {
        let (line, after) = split_line(rest);
        rest = after?;
        if line.is_empty() {
            return Some(rest);
        }
    }
}

/// A number of digits alone: no sign, no blanks.
fn number(text: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.starts_with('+') { None } else { u64::from_str_radix(text, radix).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(chunk: &[u8]) -> Vec<usize> {
        let first = first_request(chunk).unwrap_or(chunk);
        std::iter::once(first).chain(further_requests(first)).map(|rest| chunk.len() - rest.len()).collect()
    }

    #[test]
    fn request_lines_are_told_from_other_lines() {
        let yes: [&[u8]; 9] = [
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.0\n",
            b"GET / HTTP/1.1",
            b"GET / HTTP/1.",
            b"OPTIONS * HTTP/1.1\r\n",
            b"M-SEARCH * HTTP/1.1\r\n",
            b"CONNECT example.org:443 HTTP/1.1\r\n",
            b"GET http://example.org/ HTTP/1.1\r\n",
            b"GET /a b HTTP/1.1\r\n",
        ];
        let no: [&[u8]; 16] = [
            b"",
            b"\r\n",
            b"GET",
            b"GET /",
            b"GET / HTTP/1",
            b"GET / HTTP/2.0\r\n",
            b"GET  HTTP/1.1\r\n",
            b"GET HTTP/1.1\r\n",
            b" / HTTP/1.1\r\n",
            b"GET /\r\n HTTP/1.1\r\n",
            b"GET / HTTP/1.1x\r\n",
            b"GET / HTTP/1.1 \r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"(x) / HTTP/1.1\r\n",
            b"abcGET / HTTP/1.1\r\n",
            b"A-METHOD-OF-MORE-THAN-THIRTY-TWO-BYTES / HTTP/1.1\r\n",
        ];
        for line in yes {
            assert!(is_request(line), "{:?}", String::from_utf8_lossy(line));
        }
        for line in no {
            assert!(!is_request(line), "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_body_is_passed_over_only_as_far_as_its_length_is_known() {
        let get = "GET /2 HTTP/1.1\r\n\r\n";
        let table = [
            ("Host: x", "", true),
            ("Content-Length: 0", "", true),
            ("Content-Length: 5", "12345", true),
            ("content-length:5 ", "12345", true),
            ("CONTENT-LENGTH:\t5", "GET /", true),
            ("Content-Length: 5\r\nContent-Length: 5", "12345", true),
            ("Content-Length: 5", "123456", false),
            ("Content-Length: 99", "12345", false),
            ("Content-Length: 5\r\nContent-Length: 6", "12345", false),
            ("Content-Length: +5", "12345", false),
            ("Content-Length: 5x", "12345", false),
            ("Content-Length: 5, 5", "12345", false),
            ("Content-Length:", "", false),
            ("Content-Length: 18446744073709551615", "", false),
            ("Content-Length: 99999999999999999999", "", false),
            ("X-Content-Length: 5", "", true),
            ("Transfer-Encoding: chunked", "0\r\n\r\n", true),
            ("transfer-encoding: Chunked", "5\r\n12345\r\n00\r\n\r\n", true),
            ("Transfer-Encoding: chunked", "A;x=y\n0123456789\n0\nTrailer: z\n\n", true),
            ("Transfer-Encoding: chunked", "5\r\n123456\r\n0\r\n\r\n", false),
            ("Transfer-Encoding: chunked", "ffffffffffffffff\r\n", false),
            ("Transfer-Encoding: chunked", "+5\r\n12345\r\n0\r\n\r\n", false),
            ("Transfer-Encoding: chunked", "", false),
            ("Transfer-Encoding: gzip", "", false),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", false),
        ];
        for (field, body, found) in table {
            let start = format!("POST /1 HTTP/1.1\r\n{field}\r\n\r\n{body}");
            let expected = if found { vec![0, start.len()] } else { vec![0] };
            assert_eq!(starts(format!("{start}{get}").as_bytes()), expected, "{field:?} {body:?}");
        }
    }

    #[test]
    fn a_request_is_found_where_it_begins() {
        let table: [(&str, &[usize]); 12] = [
            ("GET / HTTP/1.1\n\nGET / HTTP/1.1\n\n", &[0, 16]),
            ("GET / HTTP/1.1\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[0, 20]),
            ("\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[2, 20]),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1", &[0, 18]),
            ("GET / HTTP/1.1\r\n\r\nGET / HTT", &[0]),
            ("GET / HTTP/1.1\r\n\r\nsomething else\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[0]),
            ("GET / HTTP/1.1\r\nGET / HTTP/1.1\r\n\r\n", &[0]),
            ("st: x\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[0, 9]),
            ("Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", &[0, 24]),
            ("GET / HTTP/1.1\r\n", &[0]),
            ("EHLO foo\r\nMAIL FROM:<a@b>\r\n", &[0]),
            ("\r\n", &[0]),
        ];
        for (chunk, expected) in table {
            assert_eq!(starts(chunk.as_bytes()), expected, "{chunk:?}");
        }
    }

    /// Requests again, a line at a time and without any thought of speed.
    fn naive(chunk: &str) -> Vec<usize> {
        let is_request = |text: &str| {
            let line = text.split('\n').next().unwrap().trim_end_matches('\r');
            let mut words = line.split(' ');
            let method = words.next().unwrap();
            let version = words.next_back().unwrap_or("");
            let is_method = !method.is_empty() && method.chars().all(|letter| letter.is_ascii_uppercase());
            is_method && line.len() > method.len() + version.len() + 2 && version == "HTTP/1.1"
        };
        let skip = |at: usize| at + chunk[at..].len() - chunk[at..].trim_start_matches(['\r', '\n']).len();
        let first = if is_request(&chunk[skip(0)..]) { skip(0) } else { 0 };
        let mut found = vec![first];
        'requests: loop {
            let mut at = *found.last().unwrap();
            let mut lengths = Vec::new();
            loop {
                let Some(line) = chunk[at..].split_inclusive('\n').next().filter(|line| line.ends_with('\n')) else {
                    break 'requests;
                };
                at += line.len();
                let line = line.trim_end_matches('\n');
                let line = line.strip_suffix('\r').unwrap_or(line);
                if line.is_empty() {
                    break;
                }
                lengths.extend(line.strip_prefix("Content-Length: ").map(|text| text.parse::<usize>().unwrap()));
            }
            lengths.dedup();
            let length = match lengths[..] {
                [] => 0,
                [length] => length,
                _ => break,
            };
            at += length;
            if at > chunk.len() || !is_request(&chunk[skip(at)..]) {
                break;
            }
            found.push(skip(at));
        }
        found
    }

    #[test]
    fn requests_agree_with_the_naive_search_on_random_chunks() {
        let pieces = [
            "GET /a HTTP/1.1\r\n",
            "POST /b HTTP/1.1\n",
            "X y z HTTP/1.1\r\n",
            "Host: x\r\n",
            "Content-Length: 3\r\n",
            "Content-Length: 17\n",
            "\r\n",
            "\r\n",
            "\n",
            "abc",
            "GET /a HTTP/1.1",
            "QUIT\r\n",
        ];
        let mut seed = 20_020_109u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        let mut several = 0;
        for _ in 0..50_000 {
            let length = random(14);
            let chunk: String = (0..length).map(|_| pieces[random(pieces.len())]).collect();
            let found = starts(chunk.as_bytes());
            several += usize::from(found.len() > 1);
            assert_eq!(found, naive(&chunk), "{chunk:?}");
        }
        assert!(several > 1_000, "only {several} chunks had more than one request");
    }
}
