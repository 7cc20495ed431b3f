//! Whose word counts on whom a client is.

use std::fmt;

use super::acl::{Acls, Subnet, v4_mask};
use super::canonical;
use crate::base::addr::ClientAddr;

/// Those who are trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trusted {
    /// Those in a subnet.
    Net(Subnet),
    /// Those whom the access list of this index permits. An empty one trusts nobody.
    List(usize),
}

impl Acls {
    /// Whether somebody is trusted. Who comes by a Unix socket is on this machine, and trusted if
    /// anybody is.
    pub fn trusts(&self, trusted: Option<Trusted>, from: ClientAddr) -> bool {
        match (trusted, canonical(from)) {
            (None, _) => false,
            (Some(Trusted::Net(_)), ClientAddr::Unix) => true,
            (Some(Trusted::Net(net)), ClientAddr::Inet(ip)) => net.matches(ip),
            (Some(Trusted::List(list)), from) => !self.entries(list).is_empty() && self.check(list, from),
        }
    }
}

impl fmt::Display for Subnet {
    /// An address and the length of its prefix, or its mask where that is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Subnet::V4(ip, mask) => match mask.to_bits().leading_ones() {
                length if v4_mask(length as u8) == mask => write!(f, "{ip}/{length}"),
                _ => write!(f, "{ip} {mask}"),
            },
            Subnet::V6(ip, length) => write!(f, "{ip}/{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::acl::Entry;

    #[test]
    fn nobody_is_trusted_who_was_not_named() {
        let mut acls = Acls::default();
        let client = |text: &str| ClientAddr::Inet(text.parse().unwrap());
        let net = Some(Trusted::Net(Subnet::parse("10.0.0.0/8", None).unwrap()));
        for (from, is_trusted) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.1.2.3", false), ("fd00::1", false)]
        {
            assert_eq!(acls.trusts(net, client(from)), is_trusted, "{from}");
            assert!(!acls.trusts(None, client(from)));
            assert!(!acls.trusts(Some(Trusted::List(3)), client(from)), "an empty list is nobody");
        }
        assert!(acls.trusts(net, ClientAddr::Unix) && !acls.trusts(None, ClientAddr::Unix));
        acls.add(3, Entry::parse(&["permit", "fd00::/8"]).unwrap()).unwrap();
        assert!(acls.trusts(Some(Trusted::List(3)), client("fd00::1")));
        assert!(!acls.trusts(Some(Trusted::List(3)), client("10.1.2.3")));
    }
}
