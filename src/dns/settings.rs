//! How to ask: what resolv.conf(5) says, which the programs' options override.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use resolv_conf::{Config, ScopedIp};

/// The port of name servers.
pub const PORT: u16 = 53;

/// More name servers than that are not asked.
pub const SERVERS_MAX: usize = 8;

/// What the resolver needs to know.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Policy {
    /// How many name servers there are.
    pub servers: usize,
    /// How many lookups may be under way.
    pub at_once: usize,
    /// How long an attempt lasts, which is one question to one server.
    pub timeout: Duration,
    /// How often each server is asked.
    pub tries: u32,
    /// Begin with the next server each time, and not with the first.
    pub rotate: bool,
    /// Take only names that lead back to the address.
    pub verify: bool,
}

/// What the system's configuration says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct System {
    /// The name servers, each with the zone of its address, if it has one (RFC 4007).
    pub servers: Vec<(IpAddr, Option<String>)>,
    /// `timeout`.
    pub timeout: Duration,
    /// `attempts`.
    pub tries: u32,
    /// `rotate`.
    pub rotate: bool,
}

/// Reads the text of resolv.conf(5), with the defaults and limits of glibc; what it does not know or
/// understand is passed over, as there. Without a name server it is the one on this machine.
pub fn read_resolv_conf(text: &[u8]) -> System {
    let (config, _) = Config::parse_with_errors(text);
    let mut servers: Vec<(IpAddr, Option<String>)> = config.nameservers.into_iter().map(scoped).collect();
    servers.truncate(SERVERS_MAX);
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST.into(), None));
    }
    System {
        servers,
        timeout: Duration::from_secs(u64::from(config.timeout.clamp(1, 30))),
        tries: config.attempts.clamp(1, 5),
        rotate: config.rotate,
    }
}

fn scoped(server: ScopedIp) -> (IpAddr, Option<String>) {
    match server {
        ScopedIp::V4(ip) => (ip.into(), None),
        ScopedIp::V6(ip, scope) => (ip.into(), scope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_glibc_reads_it() {
        let system = |servers: &[&str], seconds, tries, rotate| System {
            servers: servers.iter().map(|server| (server.parse().unwrap(), None)).collect(),
            timeout: Duration::from_secs(seconds),
            tries,
            rotate,
        };
        let table = [
            ("", system(&["127.0.0.1"], 5, 2, false)),
            ("# nameserver 192.0.2.1\nsearch example.com\n", system(&["127.0.0.1"], 5, 2, false)),
            (
                "nameserver 192.0.2.1\nnameserver 2001:db8::1\noptions rotate timeout:2 attempts:3\n",
                system(&["192.0.2.1", "2001:db8::1"], 2, 3, true),
            ),
            ("nameserver 192.0.2.1 # ours\noptions timeout:99 attempts:99\n", system(&["192.0.2.1"], 30, 5, false)),
            ("nonsense\nnameserver nonsense\nnameserver 192.0.2.1\n", system(&["192.0.2.1"], 5, 2, false)),
            ("options timeout:0 attempts:0 trust-ad whatever\n", system(&["127.0.0.1"], 1, 1, false)),
        ];
        for (text, expected) in table {
            assert_eq!(read_resolv_conf(text.as_bytes()), expected, "{text:?}");
        }
        let scope = read_resolv_conf(b"nameserver fe80::1%eth0\n").servers;
        assert_eq!(scope, [("fe80::1".parse().unwrap(), Some(String::from("eth0")))]);
        assert_eq!(read_resolv_conf(&b"nameserver 192.0.2.1\n".repeat(99)).servers.len(), SERVERS_MAX);
    }
}
