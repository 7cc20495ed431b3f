//! hosts(5): names that this machine knows without asking.

use std::net::IpAddr;

use super::name::is_host_name;

/// The first name of each address in the text of hosts(5), in the order of its lines. The first line
/// of an address counts; lines that cannot be understood, or names that are not fit for a log, are
/// passed over.
pub fn read_hosts(text: &[u8]) -> Vec<(IpAddr, String)> {
    let mut names = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut words = line.split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        let Some(name) = words.next().map(str::to_ascii_lowercase).filter(|name| is_host_name(name)) else { continue };
        names.push((address.to_canonical(), name));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_gives_its_first_name() {
        let text = b"127.0.0.1\tLocalhost loopback\n# 192.0.2.1 no\n192.0.2.2 two#three\n\n192.0.2.3\n\
            ::1 ip6-localhost\n::ffff:192.0.2.4 four\n192.0.2.5 a\x1bb\n192.0.2.6 \xff\nx y\n192.0.2.7 10.0.0.1\n  192.0.2.8   eight";
        let table = [
            ("127.0.0.1", "localhost"),
            ("192.0.2.2", "two"),
            ("::1", "ip6-localhost"),
            ("192.0.2.4", "four"),
            ("192.0.2.8", "eight"),
        ];
        let expected: Vec<(IpAddr, String)> =
            table.iter().map(|(address, name)| (address.parse().unwrap(), String::from(*name))).collect();
        assert_eq!(read_hosts(text), expected);
    }
}
