//! Access lists: no text makes the parser panic, an entry reads back as it is shown, and a list of any length decides
//! as a naive walk through it does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pen::balance::acl::{Acls, Action, Entry, Subnet};
use pen::base::addr::ClientAddr;

/// Bytes of one entry in its binary form: what it is, two bytes of address, three of mask.
const STEP: usize = 6;

/// The first byte tells whether lines of text follow, or entries in a binary form that makes long lists cheap.
pub fn check(input: &[u8]) {
    match input.split_first() {
        Some((first, rest)) if first % 2 == 1 => check_entries(rest),
        Some((_, rest)) => check_lines(&String::from_utf8_lossy(rest)),
        None => {}
    }
}

fn check_lines(text: &str) {
    let mut acls = Acls::default();
    for line in text.lines().take(300) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match Entry::parse(&words) {
            Ok(entry) => {
                let shown = entry.to_string();
                let again: Vec<&str> = shown.split(' ').collect();
                assert_eq!(Entry::parse(&again), Ok(entry), "{line:?}");
                let before = acls.entries(0).len();
                acls.add(0, entry).expect("there is a list 0");
                assert_eq!(acls.entries(0).len(), before + 1);
            }
            Err(error) => {
                let said = error.to_string();
                assert!(
                    (1..200).contains(&said.len()) && said.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                    "{said:?}"
                );
            }
        }
        let client = words.first().and_then(|word| word.parse::<IpAddr>().ok());
        acls.check(0, client.map_or(ClientAddr::Unix, ClientAddr::Inet));
    }
    assert!(acls.check(0, ClientAddr::Unix), "lists are about addresses");
    assert!(!acls.check(10, ClientAddr::Unix), "a list that does not exist lets nobody pass");
}

/// An entry in the plainest form: the action, an address and a mask, both as wide as IPv6.
struct Naive {
    permits: bool,
    is_v6: bool,
    address: u128,
    mask: u128,
}

fn check_entries(input: &[u8]) {
    let (mut acls, mut naive, mut asked) = (Acls::default(), Vec::new(), Vec::new());
    for step in input.chunks_exact(STEP).take(600) {
        // Few different bits, so that entries overlap and clients match.
        let low = u32::from(u16::from_be_bytes([step[1], step[2]]));
        let v4 = Ipv4Addr::from_bits(0x0a00_0000 | (low & 0xff00) << 8 | low & 0xff);
        let v6 = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(low) << 40 | u128::from(low & 3));
        let permits = step[0] & 1 > 0;
        let action = if permits { Action::Permit } else { Action::Deny };
        match step[0] >> 1 & 3 {
            0 => {
                let mask = Ipv4Addr::new(step[3], step[4], step[5], step[3] ^ step[4]);
                acls.add(0, Entry { action, net: Subnet::V4(v4, mask) }).expect("there is a list 0");
                let (address, mask) = (v4.to_bits().into(), mask.to_bits().into());
                naive.push(Naive { permits, is_v6: false, address, mask });
            }
            1 => {
                let len = step[3] % 129;
                acls.add(0, Entry { action, net: Subnet::V6(v6, len) }).expect("there is a list 0");
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                naive.push(Naive { permits, is_v6: true, address: v6.to_bits(), mask });
            }
            2 => asked.push(IpAddr::V4(v4)),
            _ => asked.push(IpAddr::V6(v6)),
        }
        if let Some(ip) = asked.last() {
            assert_eq!(acls.check(0, ClientAddr::Inet(*ip)), decide(&naive, *ip), "{ip} after {} entries", naive.len());
        }
    }
    for ip in asked {
        assert_eq!(acls.check(0, ClientAddr::Inet(ip)), decide(&naive, ip), "{ip} and {} entries", naive.len());
    }
}

/// The first that matches; the opposite of the last when none does; everybody when there is none.
fn decide(entries: &[Naive], ip: IpAddr) -> bool {
    let (is_v6, bits) = match ip {
        IpAddr::V4(ip) => (false, ip.to_bits().into()),
        IpAddr::V6(ip) => (true, ip.to_bits()),
    };
    let first = entries.iter().find(|entry| entry.is_v6 == is_v6 && (entry.address ^ bits) & entry.mask == 0);
    first.map_or_else(|| entries.last().is_none_or(|last| !last.permits), |entry| entry.permits)
}
