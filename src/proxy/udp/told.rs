//! Whom datagrams are from: what a proxy before pen says of each, and what servers are told.
//!
//! There is no first datagram that is sure to come first, or at all, so each has a header of its own.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::super::Proxy;
use crate::base::addr::{ClientAddr, Endpoint};
use crate::base::proxy_version::ProxyVersion;
use crate::inspect::proxy_protocol::{Decoded, Route, Transport, decode, encode, encode_own};
use crate::net::{Net, Way};

/// A client of whom a proxy tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Told {
    /// The client.
    pub from: SocketAddr,
    /// What it asked.
    pub to: SocketAddr,
}

/// What a datagram is, behind its header: a proxy's word, and the length of that.
type Heard = Result<(Option<Told>, usize), &'static str>;

/// Reads the header of a datagram that must have one.
fn hear(bytes: &[u8]) -> Heard {
    match decode(bytes, Transport::Datagram) {
        Decoded::Header(length, None) => Ok((None, length)),
        Decoded::Header(length, Some(Route { from: Endpoint::Inet(from), to: Endpoint::Inet(to) })) => {
            Ok((Some(Told { from, to }), length))
        }
        Decoded::Header(..) => Err("its header names no addresses"),
        Decoded::Partial => Err("its header is cut off"),
        Decoded::Bad(why) => Err(why),
    }
}

impl<N: Net> Proxy<N> {
    /// Whom a datagram is from if that is a proxy's word, and what is in it. One of a proxy that has
    /// no good header is dropped, and counted.
    pub(super) fn open_letter<'a>(
        &mut self,
        place: usize,
        way: &Way,
        bytes: &'a [u8],
    ) -> Option<(Option<Told>, &'a [u8])> {
        let at = self.listening.datagrams(place)?.listener;
        let balancer = &self.listeners[at].balancer;
        if !balancer.acls.trusts(balancer.settings.proxy_accept, ClientAddr::Inet(way.client.ip())) {
            return Some((None, bytes));
        }
        match hear(bytes) {
            Ok((told, length)) => Some((told, &bytes[length..])),
            Err(why) => {
                self.listeners[at].dropped.bad_header += 1;
                self.tell_refused(at, "proxy", &Endpoint::inet(way.client), why);
                None
            }
        }
    }

    /// A datagram as its server is to get it: behind a header if it wants to be told whom it is from.
    pub(super) fn letter_for<'a>(&mut self, key: usize, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let one = &self.udp.all[key];
        let balancer = &self.listeners[one.listener].balancer;
        let server = balancer.servers.server(one.server.id);
        let version = server.and_then(|server| server.proxy_protocol).unwrap_or(balancer.settings.proxy_protocol);
        // Version 1 has no word for datagrams, and is not let through to here.
        if version.is_none() {
            return Cow::Borrowed(bytes);
        }
        let header = match self.told_of(key) {
            Some(Told { from, to }) => {
                let route = Route { from: Endpoint::inet(from), to: Endpoint::inet(to) };
                encode(ProxyVersion::V2, Transport::Datagram, &route)
            }
            None => encode_own(ProxyVersion::V2),
        };
        Cow::Owned([&header, bytes].concat())
    }

    /// Whom the datagrams of an association are from, and what that client asked.
    fn told_of(&mut self, key: usize) -> Option<Told> {
        let one = &mut self.udp.all[key];
        if one.told.is_none() && one.entry.is_none() {
            let arriving = self.listening.datagrams(one.place)?;
            if let Ok(Endpoint::Inet(bound)) = self.net.local(&arriving.socket) {
                one.entry = Some(SocketAddr::new(one.way.local.unwrap_or(bound.ip()), bound.port()));
            }
        }
        let own = one.entry.map(|to| Told { from: one.way.client, to });
        one.told.or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(from: &str, to: &str) -> Vec<u8> {
        let end = |text: &str| text.parse().map_or_else(|_| Endpoint::Unix(text.into()), Endpoint::inet);
        encode(ProxyVersion::V2, Transport::Datagram, &Route { from: end(from), to: end(to) })
    }

    #[test]
    fn a_header_tells_whom_a_datagram_is_from_or_is_refused() {
        for (from, to) in [("192.0.2.1:5000", "198.51.100.2:53"), ("[2001:db8::1]:5000", "[2001:db8::2]:53")] {
            let header = header(from, to);
            let told = Told { from: from.parse().unwrap(), to: to.parse().unwrap() };
            for rest in [&b""[..], b"question"] {
                assert_eq!(hear(&[&header, rest].concat()), Ok((Some(told), header.len())));
            }
            for cut in 0..header.len() {
                assert_eq!(hear(&header[..cut]), Err("its header is cut off"), "{cut}");
            }
        }
        let own = encode_own(ProxyVersion::V2);
        assert_eq!(hear(&own), Ok((None, own.len())), "the proxy speaks for itself");
        assert_eq!(hear(&header("/client", "/server")), Err("its header names no addresses"));
        assert_eq!(hear(b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"), Err("it does not begin with a header"));
    }
}
