//! What is written to a capture: the connections on both sides of pen, as packets.
//!
//! Unix sockets have no addresses that a packet could have; documentation addresses (RFC 5737)
//! stand in for them: 192.0.2.1 for clients, 192.0.2.4 for servers, 192.0.2.2 and 192.0.2.3 for pen
//! on these sides. A connect that fails within the call has no address here: 192.0.2.3 or 2001:db8::3
//! stands in for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::pcapng::write_head;
use super::segments::{Link, Sender, Side};
use crate::base::addr::Endpoint;
use crate::base::beside::Beside;

/// The links of each connection that is known, by its number: the client's and the server's.
#[derive(Default, Debug)]
pub struct Recorder {
    links: Beside<[Option<Link>; 2]>,
    /// Connections so far; the ports of stand-ins follow from it.
    serial: u16,
}

/// The addresses of a connection: its peer's and pen's.
pub type Addresses = (Endpoint, Endpoint);

impl Recorder {
    /// What a file begins with.
    pub fn head() -> Vec<u8> {
        let mut out = Vec::new();
        write_head(&mut out);
        out
    }

    /// A connection is there, on one side; it begins now, or began before the capture. What cannot
    /// be told of its addresses is made up.
    pub fn open(
        &mut self,
        out: &mut Vec<u8>,
        at: u64,
        connection: usize,
        side: Side,
        addresses: Option<&Addresses>,
        is_fresh: bool,
    ) {
        let (peer, pen) = match addresses {
            Some((Endpoint::Inet(peer), Endpoint::Inet(pen))) if peer.is_ipv4() == pen.is_ipv4() => (*peer, *pen),
            Some(_) | None => self.stand_ins(side),
        };
        let mut link = Link::new(side, peer, pen);
        if is_fresh {
            link.begin(out, at);
        }
        if !self.links.contains(connection) {
            self.links.insert(connection, [None, None]);
        }
        if let Some(links) = self.links.of_mut(connection) {
            links[side as usize] = Some(link);
        }
    }

    /// A connect to a server has failed. What cannot be told of its addresses is made up.
    pub fn attempt(
        &mut self,
        out: &mut Vec<u8>,
        at: u64,
        peer: Option<SocketAddr>,
        pen: Option<SocketAddr>,
        is_refused: bool,
    ) {
        let (stand_in_peer, stand_in) = self.stand_ins(Side::Server);
        let peer = peer.unwrap_or(stand_in_peer);
        let stand_in = match peer {
            SocketAddr::V4(_) => stand_in,
            SocketAddr::V6(_) => {
                SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3).into(), stand_in.port())
            }
        };
        let pen = pen.filter(|pen| pen.is_ipv4() == peer.is_ipv4()).unwrap_or(stand_in);
        Link::new(Side::Server, peer, pen).fail(out, at, is_refused);
    }

    /// True if a side of a connection is known.
    pub fn knows(&self, connection: usize, side: Side) -> bool {
        self.links.of(connection).is_some_and(|links| links[side as usize].is_some())
    }

    /// Bytes were sent on one side.
    pub fn send(&mut self, out: &mut Vec<u8>, at: u64, connection: usize, side: Side, sender: Sender, bytes: &[u8]) {
        if let Some(link) = self.link(connection, side) {
            link.send(out, at, sender, bytes);
        }
    }

    /// One has said all on this side.
    pub fn end(&mut self, out: &mut Vec<u8>, at: u64, connection: usize, side: Side, sender: Sender) {
        if let Some(link) = self.link(connection, side) {
            link.end(out, at, sender);
        }
    }

    /// One has reset the connection on this side.
    pub fn reset(&mut self, out: &mut Vec<u8>, at: u64, connection: usize, side: Side, sender: Sender) {
        if let Some(link) = self.link(connection, side) {
            link.reset(out, at, sender);
        }
    }

    /// The connection on one side is no more, and the next with this number is another one.
    pub fn forget_side(&mut self, connection: usize, side: Side) {
        if let Some(links) = self.links.of_mut(connection) {
            links[side as usize] = None;
        }
    }

    /// The connection is no more.
    pub fn forget(&mut self, connection: usize) {
        self.links.remove(connection);
    }

    fn link(&mut self, connection: usize, side: Side) -> Option<&mut Link> {
        self.links.of_mut(connection)?[side as usize].as_mut()
    }

    fn stand_ins(&mut self, side: Side) -> (SocketAddr, SocketAddr) {
        let address = |last, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), port);
        self.serial = (self.serial + 1) % 60_000;
        let port = 1024 + self.serial;
        match side {
            Side::Client => (address(1, port), address(2, 1)),
            Side::Server => (address(4, 1), address(3, port)),
        }
    }
}
