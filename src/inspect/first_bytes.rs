//! What the first bytes of a client tell: TLS with a name and protocols, HTTP with a host, SSH, or
//! something else. Only looked at: whoever gets the client gets all of them.

use memchr::memchr;

use super::client_hello::{Hello, Read, host, read_hello};
use super::http::head::{HEAD_MAX, Refusal, field, is_token_byte, request_line};

/// The most bytes that are looked at: those of a head of HTTP.
pub const LOOK_MAX: usize = HEAD_MAX;

/// What a client speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Spoken {
    /// TLS, with what its first message says.
    Tls(Hello),
    /// HTTP, with the host that the first request is for.
    Http(Option<String>),
    /// SSH.
    Ssh,
    /// Something else.
    Other,
}

/// What a client speaks; `None` if more bytes can tell. `whole_head` wants the host if it is HTTP.
pub fn look(bytes: &[u8], whole_head: bool) -> Option<Spoken> {
    match *bytes {
        [] => None,
        [0x16, ..] => match read_hello(bytes) {
            Read::Partial => None,
            Read::Hello(hello) => Some(Spoken::Tls(hello)),
            Read::Other => Some(Spoken::Other),
        },
        _ if begins(bytes, b"SSH-") => {
            if bytes.len() < 4 {
                None
            } else {
                Some(Spoken::Ssh)
            }
        }
        _ => look_for_http(bytes, whole_head),
    }
}

fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(byte, with)| byte == with)
}

fn look_for_http(bytes: &[u8], whole_head: bool) -> Option<Spoken> {
    let within = &bytes[..bytes.len().min(LOOK_MAX)];
    let is_all = within.len() == LOOK_MAX;
    let Some(end) = memchr(b'\n', within) else {
        // A method, and then a target: nothing that is no text.
        let method = memchr(b' ', within).unwrap_or(within.len());
        let may_be = method > 0
            && within[..method].iter().all(|&byte| is_token_byte(byte))
            && within[method..].iter().all(|&byte| byte >= b' ' || byte == b'\r');
        return if may_be && !is_all { None } else { Some(Spoken::Other) };
    };
    let line = within[..end].strip_suffix(b"\r").unwrap_or(&within[..end]);
    match request_line(line) {
        Ok(_) => {}
        // HTTP/2 without TLS begins so (RFC 9113 section 3.4).
        Err(Refusal::Version) => return Some(Spoken::Http(None)),
        Err(_) => return Some(Spoken::Other),
    }
    if !whole_head {
        return Some(Spoken::Http(None));
    }
    // The target counts before the field (RFC 9112 section 3.2.2).
    if let Some(authority) = authority_of_target(line) {
        return Some(Spoken::Http(host_of_authority(authority)));
    }
    let mut rest = &within[end + 1..];
    loop {
        let Some(end) = memchr(b'\n', rest) else {
            return if is_all { Some(Spoken::Http(None)) } else { None };
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if line.is_empty() {
            return Some(Spoken::Http(None));
        }
        if let Ok((name, value)) = field(line)
            && name.eq_ignore_ascii_case(b"host")
        {
            return Some(Spoken::Http(host_of_authority(value)));
        }
        rest = &rest[end + 1..];
    }
}

fn authority_of_target(line: &[u8]) -> Option<&[u8]> {
    let target = line.split(|&byte| byte == b' ').nth(1)?;
    let (scheme, rest) = target.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"http://") {
        return None;
    }
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The host of `host:port` (RFC 3986 section 3.2), an IPv6 address without its brackets.
fn host_of_authority(authority: &[u8]) -> Option<String> {
    let start = authority.iter().rposition(|&byte| byte == b'@').map_or(0, |at| at + 1);
    let authority = &authority[start..];
    match authority.strip_prefix(b"[") {
        Some(rest) => host(&rest[..memchr(b']', rest)?]),
        None => host(&authority[..memchr(b':', authority).unwrap_or(authority.len())]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_hello::tests::{alpn, records, sni};
    use super::*;

    #[test]
    fn each_protocol_is_known_by_its_first_bytes_and_not_before() {
        let http = |host: Option<&str>| Spoken::Http(host.map(String::from));
        let hello = Hello { server_name: Some(String::from("a.example")), protocols: vec![b"h2".to_vec()] };
        let table: [(&[u8], usize, Spoken); 13] = [
            (b"SSH-2.0-OpenSSH\r\n", 4, Spoken::Ssh),
            (b"GET / HTTP/1.1\r\nA: b\r\nHOST: A.Example:80\r\n\r\n", 42, http(Some("a.example"))),
            (b"GET / HTTP/1.1\nHost: [::1]:8080\n", 32, http(Some("::1"))),
            (b"GET / HTTP/1.0\r\n\r\n", 18, http(None)),
            (b"GET HTTP://u@B.example:81/x HTTP/1.1\r\n", 38, http(Some("b.example"))),
            (b"PRI * HTTP/2.0\r\n", 16, http(None)),
            (b"EHLO example.org\r\n", 18, Spoken::Other),
            (b"\r\n", 1, Spoken::Other),
            (b"\0\0", 1, Spoken::Other),
            (b"*1\r\n$4\r\n", 3, Spoken::Other),
            (b"\x16\x02", 2, Spoken::Other),
            (b"GET / HTTP/1.1\r\nHost: a b\r\n", 27, http(None)),
            (
                &records(&[sni("a.example"), alpn(&["h2"])], 9),
                records(&[sni("a.example"), alpn(&["h2"])], 9).len(),
                Spoken::Tls(hello),
            ),
        ];
        for (bytes, needed, spoken) in table {
            for count in 0..needed {
                assert_eq!(look(&bytes[..count], true), None, "{} {count}", bytes.escape_ascii());
            }
            assert_eq!(look(&bytes[..needed], true), Some(spoken.clone()), "{}", bytes.escape_ascii());
            assert_eq!(look(bytes, true), Some(spoken), "{}", bytes.escape_ascii());
        }
        assert_eq!(look(b"GET / HTTP/1.1\r\n", false), Some(http(None)));
    }

    #[test]
    fn nobody_is_waited_for_beyond_a_bound() {
        let line = [b"GET /".as_slice(), &vec![b'a'; LOOK_MAX]].concat();
        assert_eq!(look(&line[..LOOK_MAX - 1], true), None);
        assert_eq!(look(&line, true), Some(Spoken::Other));
        let head = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'a'; LOOK_MAX]].concat();
        assert_eq!(look(&head[..LOOK_MAX - 1], true), None);
        assert_eq!(look(&head, true), Some(Spoken::Http(None)));
    }
}
