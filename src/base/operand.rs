//! The operands of pen's command line: where to listen, and the servers.
//!
//! Text in, values out; names of hosts are not looked up here, names of services only in the
//! table that is passed in.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::addr::{UNIX_PATH_MAX, fits_unix_socket};
use super::bytes::escaped;

/// Service names and their ports, from /etc/services (services(5)): those of TCP, and those of UDP
/// for names that TCP has not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Services {
    /// Lines of a name, a blank and its port. Hundreds, kept for life and hardly ever asked: in one piece.
    lines: String,
}

impl Services {
    /// Reads the text of a services(5) file: entries and their aliases; lines that are not
    /// entries are passed over.
    pub fn parse(text: &str) -> Services {
        let (mut lines, mut others) = (String::new(), String::new());
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or("").split_whitespace();
            let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
            let Some((port, transport)) = port.split_once('/') else { continue };
            let Ok(_) = port.parse::<u16>() else { continue };
            let lines = match transport {
                "tcp" => &mut lines,
                "udp" => &mut others,
                _ => continue,
            };
            for name in std::iter::once(name).chain(words) {
                lines.extend([name, " ", port, "\n"]);
            }
        }
        lines.push_str(&others);
        lines.shrink_to_fit();
        Services { lines }
    }

    /// The port of a service; the first entry of a name counts.
    pub fn port(&self, name: &str) -> Option<u16> {
        let port = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        self.lines.lines().find_map(port)
    }
}

/// A host as somebody wrote it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// A numeric address.
    Addr(IpAddr),
    /// A name that is still to be looked up. Well formed.
    Name(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Addr(ip) => ip.fmt(f),
            Host::Name(name) => f.write_str(name),
            Host::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Why an operand is not one. Reads as the end of a sentence that begins with the operand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OperandError {
    /// There is no host where one must be.
    NoHost,
    /// There is no port where one must be.
    NoPort,
    /// A name with characters that no host name has, or too long (RFC 1123 section 2.1).
    BadName(String),
    /// `[` without `]`, or something between `]` and `:`.
    BadBrackets,
    /// An IPv6 address with a colon after it that could be a part of it.
    BareIpv6,
    /// Neither a number nor the name of a TCP service.
    UnknownPort(String),
    /// A port outside 1 to 65535.
    PortOutOfRange(String),
    /// A number that is not one, or is too large; says which of the parts it is.
    BadNumber(&'static str, String),
    /// More parts than there are.
    TooManyParts,
    /// A path that does not fit into a socket address.
    LongPath,
}

impl fmt::Display for OperandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperandError::NoHost => f.write_str("no address before the port"),
            OperandError::NoPort => f.write_str("no port"),
            OperandError::BadName(name) => write!(f, "'{name}' is not a host name"),
            OperandError::BadBrackets => f.write_str("brackets do not match"),
            OperandError::BareIpv6 => f.write_str("write an IPv6 address in brackets, as [::1]:80"),
            OperandError::UnknownPort(port) => write!(f, "'{port}' is not a port or TCP service"),
            OperandError::PortOutOfRange(port) => write!(f, "port {port} is not within 1 to 65535"),
            OperandError::BadNumber(part, text) => write!(f, "{part} '{text}' is not a number"),
            OperandError::TooManyParts => f.write_str("more than host:port:max:hard:weight:prio"),
            OperandError::LongPath => write!(f, "a path has at most {UNIX_PATH_MAX} bytes"),
        }
    }
}

impl std::error::Error for OperandError {}

/// Where to listen: `port`, `host:port`, `[v6]:port`, `v6:port` or a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenSpec {
    /// The host; for a bare port `0.0.0.0`.
    pub host: Host,
    /// The port; 0 means "any that is free", and stands for nothing with a path.
    pub port: u16,
}

impl ListenSpec {
    /// Parses the operand. A bare port listens on all IPv4 addresses; everything after the last
    /// colon is the port; anything with a slash is a path. Port 0 needs an address before it.
    pub fn parse(text: &str, services: &Services) -> Result<ListenSpec, OperandError> {
        if text.contains('/') {
            return Ok(ListenSpec { host: unix(text)?, port: 0 });
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            let port = parse_port(text, services)?;
            return Ok(ListenSpec { host: Host::Addr(IpAddr::from([0, 0, 0, 0])), port });
        };
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(OperandError::BadBrackets)?,
            None => host,
        };
        let host = match bare.parse::<Ipv6Addr>() {
            Ok(ip) => Host::Addr(IpAddr::V6(ip).to_canonical()),
            Err(_) => name_or_ipv4(bare)?,
        };
        let port = if port == "0" { 0 } else { parse_port(port, services)? };
        Ok(ListenSpec { host, port })
    }
}

/// A server: `host[:port[:max[:hard[:weight[:prio]]]]]`. An empty part is one left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerSpec {
    /// The host.
    pub host: Host,
    /// The port; `None` stands for the listening port.
    pub port: Option<u16>,
    /// Soft limit of connections, 0 for none.
    pub max: u32,
    /// Hard limit, for clients that come back to this server.
    pub hard: u32,
    /// Weight; 0 is "not set" and counts as 1.
    pub weight: u32,
    /// Priority, the lowest first.
    pub prio: i32,
}

impl ServerSpec {
    /// Parses the operand.
    pub fn parse(text: &str, services: &Services) -> Result<ServerSpec, OperandError> {
        let (host, rest) = split_host(text)?;
        let mut parts = rest.unwrap_or("").split(':');
        let port = match parts.next().unwrap_or("") {
            "" => None,
            port => Some(parse_port(port, services)?),
        };
        let max = parse_number("max", parts.next())?;
        let hard = parse_number("hard", parts.next())?;
        let weight = parse_number("weight", parts.next())?;
        let prio = parse_number("prio", parts.next())?;
        match parts.next() {
            None => Ok(ServerSpec { host, port, max, hard, weight, prio }),
            Some(_) => Err(OperandError::TooManyParts),
        }
    }
}

/// Parses the host of a server alone, as `server N address` takes it: brackets optional.
pub fn parse_host(text: &str) -> Result<Host, OperandError> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Host::Addr(ip.to_canonical()));
    }
    match split_host(text)? {
        (host, None) => Ok(host),
        (_, Some(_)) => Err(OperandError::BadName(shown(text))),
    }
}

/// Parses a port: a number from 1 to 65535 or the name of a TCP service.
pub fn parse_port(text: &str, services: &Services) -> Result<u16, OperandError> {
    if text.is_empty() {
        return Err(OperandError::NoPort);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.is_empty() {
        return services.port(text).ok_or_else(|| OperandError::UnknownPort(shown(text)));
    }
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(OperandError::PortOutOfRange(shown(text))),
    }
}

fn split_host(text: &str) -> Result<(Host, Option<&str>), OperandError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(OperandError::BadBrackets)?;
        let host = match inside.parse::<IpAddr>() {
            Ok(ip) => Host::Addr(ip.to_canonical()),
            Err(_) => name_or_ipv4(inside)?,
        };
        return match after.strip_prefix(':') {
            Some(rest) => Ok((host, Some(rest))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(OperandError::BadBrackets),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(OperandError::BareIpv6);
    }
    let (host, rest) = match text.split_once(':') {
        Some((host, rest)) => (host, Some(rest)),
        None => (text, None),
    };
    let host = if host.contains('/') { unix(host)? } else { name_or_ipv4(host)? };
    Ok((host, rest))
}

fn unix(path: &str) -> Result<Host, OperandError> {
    let path = PathBuf::from(path);
    if fits_unix_socket(&path) { Ok(Host::Unix(path)) } else { Err(OperandError::LongPath) }
}

fn name_or_ipv4(text: &str) -> Result<Host, OperandError> {
    if text.is_empty() {
        return Err(OperandError::NoHost);
    }
    if let Ok(ip) = text.parse() {
        return Ok(Host::Addr(IpAddr::V4(ip)));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() <= 253 && name.split('.').all(is_label) {
        Ok(Host::Name(String::from(text)))
    } else {
        Err(OperandError::BadName(shown(text)))
    }
}

fn parse_number<T: std::str::FromStr + Default>(part: &'static str, text: Option<&str>) -> Result<T, OperandError> {
    match text.unwrap_or("") {
        "" => Ok(T::default()),
        // Rust takes a plus sign, and nobody else here does.
        text if text.starts_with('+') => Err(OperandError::BadNumber(part, shown(text))),
        text => text.parse().map_err(|_| OperandError::BadNumber(part, shown(text))),
    }
}

/// A text as an error shows it: on one line, and not for ever.
fn shown(text: &str) -> String {
    escaped(text).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> Services {
        Services::parse("# comment\npop3\t110/tcp pop-3 # mail\nsyslog 514/udp\nhttp 80/tcp www\n")
    }

    fn addr(text: &str) -> Host {
        Host::Addr(text.parse().unwrap())
    }

    fn name(text: &str) -> Host {
        Host::Name(String::from(text))
    }

    #[test]
    fn services_are_names_and_aliases_of_tcp_and_then_of_udp() {
        let services = services();
        assert_eq!(services.port("pop3"), Some(110));
        assert_eq!(services.port("pop-3"), Some(110));
        assert_eq!(services.port("www"), Some(80));
        assert_eq!(services.port("syslog"), Some(514));
        assert_eq!(services.port("comment"), None);
    }

    #[test]
    fn b30_every_form_of_listening_address_is_understood() {
        let table = [
            ("21000", addr("0.0.0.0"), 21000),
            ("pop3", addr("0.0.0.0"), 110),
            ("127.0.0.1:21000", addr("127.0.0.1"), 21000),
            ("127.0.0.1:0", addr("127.0.0.1"), 0),
            ("lbhost:80", name("lbhost"), 80),
            ("lbhost:www", name("lbhost"), 80),
            (":::80", addr("::"), 80),
            ("::1:80", addr("::1"), 80),
            ("[::1]:80", addr("::1"), 80),
            ("::ffff:127.0.0.1:80", addr("127.0.0.1"), 80),
            ("/run/pen.sock", Host::Unix("/run/pen.sock".into()), 0),
            ("./pen.sock", Host::Unix("./pen.sock".into()), 0),
        ];
        for (text, host, port) in table {
            assert_eq!(ListenSpec::parse(text, &services()), Ok(ListenSpec { host, port }), "{text}");
        }
    }

    #[test]
    fn a_bad_listening_address_names_what_is_wrong() {
        let long = format!("/{}", "x".repeat(107));
        let table = [
            ("", "no port"),
            ("0", "port 0 is not within 1 to 65535"),
            ("-1", "port -1 is not within 1 to 65535"),
            ("65536", "port 65536 is not within 1 to 65535"),
            ("99999999999", "port 99999999999 is not within 1 to 65535"),
            ("nosuch", "'nosuch' is not a port or TCP service"),
            ("127.0.0.1:", "no port"),
            (":80", "no address before the port"),
            ("*:80", "'*' is not a host name"),
            ("no such host:80", "'no such host' is not a host name"),
            ("[::1:80", "brackets do not match"),
            (&long, "a path has at most 107 bytes"),
        ];
        for (text, message) in table {
            let error = ListenSpec::parse(text, &services()).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }

    #[test]
    fn every_form_of_server_is_understood() {
        let spec = |host, port, max, hard, weight, prio| ServerSpec { host, port, max, hard, weight, prio };
        let table = [
            ("127.0.0.1", spec(addr("127.0.0.1"), None, 0, 0, 0, 0)),
            ("127.0.0.1:80", spec(addr("127.0.0.1"), Some(80), 0, 0, 0, 0)),
            ("host1:80:5:7:2:3", spec(name("host1"), Some(80), 5, 7, 2, 3)),
            ("host1:80:5:7:2:-3", spec(name("host1"), Some(80), 5, 7, 2, -3)),
            ("127.0.0.1:", spec(addr("127.0.0.1"), None, 0, 0, 0, 0)),
            ("127.0.0.1::5", spec(addr("127.0.0.1"), None, 5, 0, 0, 0)),
            ("127.0.0.1:80::7", spec(addr("127.0.0.1"), Some(80), 0, 7, 0, 0)),
            ("otherhost:pop3", spec(name("otherhost"), Some(110), 0, 0, 0, 0)),
            ("127.1:80", spec(name("127.1"), Some(80), 0, 0, 0, 0)),
            ("[::1]", spec(addr("::1"), None, 0, 0, 0, 0)),
            ("[::1]:pop3:4", spec(addr("::1"), Some(110), 4, 0, 0, 0)),
            ("[127.0.0.1]:80:5", spec(addr("127.0.0.1"), Some(80), 5, 0, 0, 0)),
            ("[localhost]:80", spec(name("localhost"), Some(80), 0, 0, 0, 0)),
            ("/tmp/sock", spec(Host::Unix("/tmp/sock".into()), None, 0, 0, 0, 0)),
            ("/tmp/sock:80:5", spec(Host::Unix("/tmp/sock".into()), Some(80), 5, 0, 0, 0)),
        ];
        for (text, spec) in table {
            assert_eq!(ServerSpec::parse(text, &services()), Ok(spec), "{text}");
        }
    }

    #[test]
    fn a_bad_server_names_what_is_wrong() {
        let table = [
            ("", "no address before the port"),
            (":80", "no address before the port"),
            ("::1", "write an IPv6 address in brackets, as [::1]:80"),
            ("[::1", "brackets do not match"),
            ("[::1]80", "brackets do not match"),
            ("h:70000", "port 70000 is not within 1 to 65535"),
            ("h:0", "port 0 is not within 1 to 65535"),
            ("h:80x", "'80x' is not a port or TCP service"),
            ("h:80\n81", "'80\\n81' is not a port or TCP service"),
            ("h:80:x", "max 'x' is not a number"),
            ("h:80:+5", "max '+5' is not a number"),
            ("h:+80", "'+80' is not a port or TCP service"),
            ("h:80:\t5", "max '\\t5' is not a number"),
            ("h:80:-5", "max '-5' is not a number"),
            ("h:80:1:2:3:x", "prio 'x' is not a number"),
            ("h:80:1:2:3:4:5", "more than host:port:max:hard:weight:prio"),
            ("no such host:80", "'no such host' is not a host name"),
            ("-h:80", "'-h' is not a host name"),
            ("a..b:80", "'a..b' is not a host name"),
            ("\u{1b}[31m:80", "'\\u{1b}[31m' is not a host name"),
        ];
        for (text, message) in table {
            let error = ServerSpec::parse(text, &services()).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }

    #[test]
    fn a_host_alone_may_be_an_ipv6_address() {
        assert_eq!(parse_host("::1"), Ok(addr("::1")));
        assert_eq!(parse_host("[::1]"), Ok(addr("::1")));
        assert_eq!(parse_host("host1"), Ok(name("host1")));
        assert_eq!(parse_host("/run/x"), Ok(Host::Unix("/run/x".into())));
        assert!(parse_host("host1:80").is_err());
    }
}
