//! The PROXY protocol, versions 1 and 2: before all else on a connection one proxy tells the next
//! whom it is from. Headers as bytes, both ways; what is done with them is not decided here.
//!
//! Source: "The PROXY protocol, versions 1 & 2", by HAProxy's author.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use memchr::memchr;

use crate::base::addr::Endpoint;
use crate::base::proxy_version::ProxyVersion;

/// What a header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header of version 1 begins with.
const WORD: &[u8; 6] = b"PROXY ";

/// The longest header of version 1, with its CR LF.
const LINE_MAX: usize = 107;

/// The fixed part of a header of version 2.
const FIXED: usize = 16;

/// The longest header that is taken, in bytes: one of version 2 may have anything behind the
/// addresses, but who sends more than this is not a proxy.
pub const HEADER_MAX: usize = 4096;

/// The length of a path in a header of version 2.
const PATH_LEN: usize = 108;

/// What carries the bytes that a header is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A connection.
    Stream,
    /// Datagrams: version 2 only.
    Datagram,
}

/// The two ends of a connection, as its client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The client.
    pub from: Endpoint,
    /// What it connected to.
    pub to: Endpoint,
}

/// What the first bytes are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decoded {
    /// The beginning of a header: more must come.
    Partial,
    /// A header of this many bytes, and whom the rest is from; `None` if the one who sent it speaks
    /// for itself, or does not know.
    Header(usize, Option<Route>),
    /// Something else: why, as the end of a sentence.
    Bad(&'static str),
}

/// Reads the header that these bytes must begin with.
pub fn decode(bytes: &[u8], transport: Transport) -> Decoded {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, with)| byte == with);
    if begins(SIGNATURE) {
        if bytes.len() < FIXED { Decoded::Partial } else { decode_v2(bytes, transport) }
    } else if begins(WORD) && transport == Transport::Stream {
        if bytes.len() < WORD.len() { Decoded::Partial } else { decode_v1(bytes) }
    } else {
        Decoded::Bad("it does not begin with a header")
    }
}

fn decode_v1(bytes: &[u8]) -> Decoded {
    let within = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = memchr(b'\n', within) else {
        let is_long = bytes.len() >= LINE_MAX;
        return if is_long { Decoded::Bad("its header is too long") } else { Decoded::Partial };
    };
    let line = within[WORD.len()..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let Some(line) = line else { return Decoded::Bad("its header is not a line of text") };
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Decoded::Header(end + 1, None);
    }
    match route_of_line(line) {
        Some(route) => Decoded::Header(end + 1, Some(route)),
        None => Decoded::Bad("its header names no addresses"),
    }
}

/// `TCP4 SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT`, or TCP6.
fn route_of_line(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split(' ').collect();
    let [family, from, to, from_port, to_port] = words[..] else { return None };
    let address = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let at = |ip, port| Some(Endpoint::inet(SocketAddr::new(address(ip)?, port_of(port)?)));
    Some(Route { from: at(from, from_port)?, to: at(to, to_port)? })
}

/// A port in decimal digits, without a zero before others.
fn port_of(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if is_plain { word.parse().ok() } else { None }
}

/// A header whose fixed part is there.
fn decode_v2(bytes: &[u8], transport: Transport) -> Decoded {
    let (version, command) = (bytes[12] >> 4, bytes[12] & 0x0f);
    let length = FIXED + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if version != 2 || command > 1 {
        return Decoded::Bad("its header is of an unknown version or has an unknown command");
    }
    if length > HEADER_MAX {
        return Decoded::Bad("its header is too long");
    }
    let Some(addresses) = bytes.get(FIXED..length) else { return Decoded::Partial };
    // LOCAL: whatever else it says does not count.
    if command == 0 {
        return Decoded::Header(length, None);
    }
    let (family, protocol) = (bytes[13] >> 4, bytes[13] & 0x0f);
    let expected = if transport == Transport::Stream { 1 } else { 2 };
    let route = match (family, protocol) {
        (0, 0..=2) => return Decoded::Header(length, None),
        (1..=3, protocol) if protocol != expected => None,
        (1, _) => inet_route(addresses, |ip: [u8; 4]| IpAddr::V4(ip.into())),
        (2, _) => inet_route(addresses, |ip: [u8; 16]| IpAddr::V6(ip.into())),
        (3, _) => unix_route(addresses),
        _ => None,
    };
    match route {
        Some(route) => Decoded::Header(length, Some(route)),
        None => Decoded::Bad("its header names no addresses"),
    }
}

/// Two addresses and two ports.
fn inet_route<const LEN: usize>(bytes: &[u8], ip: impl Fn([u8; LEN]) -> IpAddr) -> Option<Route> {
    let (from, rest) = bytes.split_first_chunk::<LEN>()?;
    let (to, rest) = rest.split_first_chunk::<LEN>()?;
    let (from_port, rest) = rest.split_first_chunk()?;
    let to_port = rest.first_chunk()?;
    let at = |address, port| Endpoint::inet(SocketAddr::new(ip(address), u16::from_be_bytes(port)));
    Some(Route { from: at(*from, *from_port), to: at(*to, *to_port) })
}

/// Two paths, each filled up with NULs.
fn unix_route(bytes: &[u8]) -> Option<Route> {
    let (from, rest) = bytes.split_first_chunk::<PATH_LEN>()?;
    let to = rest.first_chunk::<PATH_LEN>()?;
    let at = |path: &[u8]| {
        let path = &path[..memchr(0, path).unwrap_or(path.len())];
        Endpoint::Unix(Path::new(OsStr::from_bytes(path)).to_path_buf())
    };
    Some(Route { from: at(from), to: at(to) })
}

/// The header for a connection from somebody else; where that cannot be told, the one that says so.
pub fn encode(version: ProxyVersion, transport: Transport, route: &Route) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => encode_v1(route),
        ProxyVersion::V2 => encode_v2(transport, route),
    }
}

/// The header for what is not from anybody else: a check.
pub fn encode_own(version: ProxyVersion) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        ProxyVersion::V2 => [SIGNATURE, &[0x20, 0, 0, 0][..]].concat(),
    }
}

fn encode_v1(route: &Route) -> Vec<u8> {
    let (Endpoint::Inet(from), Endpoint::Inet(to)) = (&route.from, &route.to) else {
        return encode_own(ProxyVersion::V1);
    };
    let (family, from_ip, to_ip) = same_family(from.ip(), to.ip());
    format!("PROXY TCP{family} {from_ip} {to_ip} {} {}\r\n", from.port(), to.port()).into_bytes()
}

fn encode_v2(transport: Transport, route: &Route) -> Vec<u8> {
    let mut addresses = Vec::new();
    let family = match (&route.from, &route.to) {
        (Endpoint::Inet(from), Endpoint::Inet(to)) => {
            let (_, from_ip, to_ip) = same_family(from.ip(), to.ip());
            for ip in [from_ip, to_ip] {
                match ip {
                    IpAddr::V4(ip) => addresses.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => addresses.extend_from_slice(&ip.octets()),
                }
            }
            addresses.extend_from_slice(&from.port().to_be_bytes());
            addresses.extend_from_slice(&to.port().to_be_bytes());
            if from_ip.is_ipv4() { 1 } else { 2 }
        }
        (Endpoint::Unix(from), Endpoint::Unix(to)) => {
            for path in [from, to] {
                let path = path.as_os_str().as_bytes();
                let end = addresses.len() + PATH_LEN;
                addresses.extend_from_slice(&path[..path.len().min(PATH_LEN)]);
                addresses.resize(end, 0);
            }
            3
        }
        (Endpoint::Inet(_), Endpoint::Unix(_)) | (Endpoint::Unix(_), Endpoint::Inet(_)) => 0,
    };
    let protocol = match (family, transport) {
        (0, _) => 0,
        (_, Transport::Stream) => 1,
        (_, Transport::Datagram) => 2,
    };
    let length = u16::try_from(addresses.len()).expect("two paths at most");
    let [high, low] = length.to_be_bytes();
    [SIGNATURE, &[0x21, family << 4 | protocol, high, low][..], &addresses].concat()
}

/// Both addresses in one family: if they are of two, the IPv4 one is mapped (RFC 4291 section
/// 2.5.5.2). The number of the family comes first.
fn same_family(from: IpAddr, to: IpAddr) -> (u8, IpAddr, IpAddr) {
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        IpAddr::V6(_) => ip,
    };
    match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (4, from, to),
        _ => (6, mapped(from), mapped(to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().map_or_else(|_| Endpoint::Unix(text.into()), Endpoint::inet)
    }

    fn route(from: &str, to: &str) -> Route {
        Route { from: endpoint(from), to: endpoint(to) }
    }

    fn header(length: usize, from: &str, to: &str) -> Decoded {
        Decoded::Header(length, Some(route(from, to)))
    }

    fn stream(bytes: &[u8]) -> Decoded {
        decode(bytes, Transport::Stream)
    }

    #[test]
    fn a_line_names_both_ends() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(stream(line), header(45, "192.0.2.1:56324", "198.51.100.2:443"));
        let line = b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.9 1 65535\r\n";
        assert_eq!(stream(line), header(49, "[2001:db8::1]:1", "192.0.2.9:65535"));
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN whatever it is, up to the end\r\n"] {
            assert_eq!(stream(line.as_bytes()), Decoded::Header(line.len(), None));
        }
    }

    #[test]
    fn a_line_that_is_not_exactly_so_is_bad() {
        let lines = [
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 056 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +56 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2  443\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.1 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.1 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY TCP4 \u{e9}\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.1 1 2\r\n",
            "PROXY\tTCP4",
            "GET / HTTP/1.1\r\n",
            "\r\n\r\n\r\n",
        ];
        for line in lines {
            assert!(matches!(stream(line.as_bytes()), Decoded::Bad(_)), "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX));
        assert_eq!(stream(long.as_bytes()), Decoded::Bad("its header is too long"));
        let just = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX - 16));
        assert_eq!(stream(just.as_bytes()), Decoded::Header(LINE_MAX, None));
    }

    #[test]
    fn what_is_sent_is_read_back() {
        let routes = [
            ("192.0.2.1:1", "198.51.100.2:443"),
            ("[2001:db8::1]:9", "[2001:db8::2]:80"),
            ("/client", "/run/pen.sock"),
            ("", "/run/pen.sock"),
        ];
        for (from, to) in routes {
            let route = route(from, to);
            for (version, transport) in [
                (ProxyVersion::V1, Transport::Stream),
                (ProxyVersion::V2, Transport::Stream),
                (ProxyVersion::V2, Transport::Datagram),
            ] {
                let bytes = encode(version, transport, &route);
                let told = Some(route.clone()).filter(|_| version == ProxyVersion::V2 || from.contains(':'));
                assert_eq!(decode(&bytes, transport), Decoded::Header(bytes.len(), told), "{from} {version:?}");
                for cut in 0..bytes.len() {
                    assert_eq!(decode(&bytes[..cut], transport), Decoded::Partial, "{from} {version:?} {cut}");
                }
            }
        }
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let bytes = encode_own(version);
            assert_eq!(stream(&bytes), Decoded::Header(bytes.len(), None));
        }
    }

    #[test]
    fn headers_are_as_the_specification_has_them() {
        let told = route("192.0.2.1:56324", "198.51.100.2:443");
        let line = encode(ProxyVersion::V1, Transport::Stream, &told);
        assert_eq!(line, b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
        let bytes = encode(ProxyVersion::V2, Transport::Stream, &told);
        let expected = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A\x21\x11\x00\x0C\
            \xC0\x00\x02\x01\xC6\x33\x64\x02\xDC\x04\x01\xBB";
        assert_eq!(bytes, expected);
        assert_eq!(encode(ProxyVersion::V2, Transport::Datagram, &told)[13], 0x12);
        // Of two families both are IPv6.
        let mixed = route("192.0.2.1:1", "[2001:db8::1]:2");
        let line = encode(ProxyVersion::V1, Transport::Stream, &mixed);
        assert_eq!(line, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
        assert_eq!(encode(ProxyVersion::V2, Transport::Stream, &mixed)[13], 0x21);
        // What has no common form is not told.
        let odd = route("192.0.2.1:1", "/run/pen.sock");
        assert_eq!(encode(ProxyVersion::V1, Transport::Stream, &odd), b"PROXY UNKNOWN\r\n");
        assert_eq!(encode(ProxyVersion::V2, Transport::Stream, &odd)[12..], [0x21, 0, 0, 0]);
    }

    #[test]
    fn binary_headers_of_any_kind_are_read_or_refused() {
        let build = |command: u8, family: u8, rest: &[u8]| {
            let [high, low] = (rest.len() as u16).to_be_bytes();
            [SIGNATURE, &[command, family, high, low][..], rest].concat()
        };
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2];
        let with_more = [&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(stream(&build(0x21, 0x11, &with_more)), header(35, "192.0.2.1:1", "192.0.2.2:2"));
        // LOCAL and unknown families are about nobody, whatever follows.
        assert_eq!(stream(&build(0x20, 0xff, &v4)), Decoded::Header(28, None));
        assert_eq!(stream(&build(0x21, 0x00, &v4)), Decoded::Header(28, None));
        for (command, family, rest) in [
            (0x22, 0x11, &v4[..]),
            (0x11, 0x11, &v4),
            (0x31, 0x11, &v4),
            (0x21, 0x11, &v4[..11]),
            (0x21, 0x21, &v4),
            (0x21, 0x31, &v4),
            (0x21, 0x12, &v4),
            (0x21, 0x10, &v4),
            (0x21, 0x41, &v4),
            (0x21, 0x03, &v4),
        ] {
            assert!(matches!(stream(&build(command, family, rest)), Decoded::Bad(_)), "{command:x} {family:x}");
        }
        let long = build(0x20, 0, &[0; HEADER_MAX]);
        assert_eq!(stream(&long[..FIXED]), Decoded::Bad("its header is too long"));
        // Datagrams have no lines, and name datagrams.
        assert!(matches!(decode(b"PROXY UNKNOWN\r\n", Transport::Datagram), Decoded::Bad(_)));
        assert!(matches!(decode(&build(0x21, 0x11, &v4), Transport::Datagram), Decoded::Bad(_)));
    }
}
