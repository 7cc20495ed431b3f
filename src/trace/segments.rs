//! TCP segments as a capture shows them: made up, because pen sees bytes and no packets, but with the
//! right addresses, numbers and checksums (RFC 791, 8200, 9293).
//!
//! Every segment with bytes is acknowledged at once, so that no reader misses an acknowledgement or
//! takes a window for full.

use std::net::{IpAddr, SocketAddr};

use super::pcapng::write_packet;

/// Bytes of a segment at most: what an IPv4 packet holds.
const SEGMENT_MAX: usize = 65_535 - 40;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const WINDOW: u16 = u16::MAX;

/// On which side of pen a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// Who sends a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// The client or the server.
    Peer,
    /// pen.
    Pen,
}

impl Sender {
    fn other(self) -> Sender {
        match self {
            Sender::Peer => Sender::Pen,
            Sender::Pen => Sender::Peer,
        }
    }
}

/// One segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The interface.
    pub side: Side,
    from: SocketAddr,
    to: SocketAddr,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    bytes: &'a [u8],
}

impl Segment<'_> {
    /// Bytes of the packet, with its headers.
    pub fn packet_length(&self) -> usize {
        self.ip_header() + TCP_HEADER + self.bytes.len()
    }

    fn ip_header(&self) -> usize {
        if self.from.is_ipv4() { 20 } else { 40 }
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(TCP_HEADER + self.bytes.len()).expect("a segment is bounded");
        let mut pseudo = Sum(u32::from(TCP) + u32::from(length));
        let start = out.len();
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                out.extend([0x45, 0]);
                out.extend((length + 20).to_be_bytes());
                // It may not be fragmented.
                out.extend([0, 0, 0x40, 0, 64, TCP, 0, 0]);
                out.extend(from.octets());
                out.extend(to.octets());
                let mut sum = Sum(0);
                sum.add(&out[start..]);
                out[start + 10..start + 12].copy_from_slice(&sum.checksum());
                pseudo.add(&from.octets());
                pseudo.add(&to.octets());
            }
            (from, to) => {
                let six = |ip: IpAddr| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                out.extend([0x60, 0, 0, 0]);
                out.extend(length.to_be_bytes());
                out.extend([TCP, 64]);
                out.extend(six(from));
                out.extend(six(to));
                pseudo.add(&six(from));
                pseudo.add(&six(to));
            }
        }
        let tcp = out.len();
        out.extend(self.from.port().to_be_bytes());
        out.extend(self.to.port().to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.acknowledgement.to_be_bytes());
        out.extend([0x50, self.flags]);
        out.extend(WINDOW.to_be_bytes());
        out.extend([0; 4]);
        out.extend_from_slice(self.bytes);
        pseudo.add(&out[tcp..]);
        out[tcp + 16..tcp + 18].copy_from_slice(&pseudo.checksum());
    }
}

/// The sum of RFC 1071.
struct Sum(u32);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let pairs = bytes.chunks(2).map(|pair| u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
        let mut sum = u64::from(self.0) + pairs.sum::<u64>();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        self.0 = sum as u32;
    }

    fn checksum(&self) -> [u8; 2] {
        let folded = (self.0 & 0xffff) + (self.0 >> 16);
        (!(folded as u16)).to_be_bytes()
    }
}

/// One connection of a capture, between a peer and pen.
#[derive(Debug)]
pub struct Link {
    side: Side,
    /// The peer's, and pen's.
    addresses: [SocketAddr; 2],
    /// The number of the next byte of each.
    next: [u32; 2],
    has_ended: [bool; 2],
    is_over: bool,
}

impl Link {
    /// A connection that stands: between these two, both IPv4 or both IPv6.
    pub fn new(side: Side, peer: SocketAddr, pen: SocketAddr) -> Link {
        // Where it begins says nothing; not at zero, so that nobody takes it for relative.
        Link {
            side,
            addresses: [peer, pen],
            next: [1_000_000_000, 2_000_000_000],
            has_ended: [false; 2],
            is_over: false,
        }
    }

    /// Appends how it was made.
    pub fn begin(&mut self, out: &mut Vec<u8>, at: u64) {
        let first = match self.side {
            Side::Client => Sender::Peer,
            Side::Server => Sender::Pen,
        };
        self.put(out, at, first, SYN, &[]);
        self.put(out, at, first.other(), SYN | ACK, &[]);
        self.put(out, at, first, ACK, &[]);
    }

    /// Appends how pen tried to make it, and that it was refused unless nobody answered.
    pub fn fail(&mut self, out: &mut Vec<u8>, at: u64, is_refused: bool) {
        self.put(out, at, Sender::Pen, SYN, &[]);
        if is_refused {
            self.next[Sender::Peer as usize] = 0;
            self.put(out, at, Sender::Peer, RST | ACK, &[]);
        }
        self.is_over = true;
    }

    /// Appends bytes that were sent.
    pub fn send(&mut self, out: &mut Vec<u8>, at: u64, sender: Sender, bytes: &[u8]) {
        if self.is_over || self.has_ended[sender as usize] {
            return;
        }
        for part in bytes.chunks(SEGMENT_MAX) {
            self.put(out, at, sender, PSH | ACK, part);
            self.put(out, at, sender.other(), ACK, &[]);
        }
    }

    /// Appends the end of what one side sends, unless that is known already.
    pub fn end(&mut self, out: &mut Vec<u8>, at: u64, sender: Sender) {
        if self.is_over || std::mem::replace(&mut self.has_ended[sender as usize], true) {
            return;
        }
        self.put(out, at, sender, FIN | ACK, &[]);
        self.put(out, at, sender.other(), ACK, &[]);
        self.is_over = self.has_ended == [true; 2];
    }

    /// Appends a reset, unless it is over already.
    pub fn reset(&mut self, out: &mut Vec<u8>, at: u64, sender: Sender) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.put(out, at, sender, RST | ACK, &[]);
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, at: u64, sender: Sender, flags: u8, bytes: &[u8]) {
        let (own, other) = (sender as usize, sender.other() as usize);
        let acknowledgement = if flags & ACK == 0 { 0 } else { self.next[other] };
        let segment = Segment {
            side: self.side,
            from: self.addresses[own],
            to: self.addresses[other],
            sequence: self.next[own],
            acknowledgement,
            flags,
            bytes,
        };
        write_packet(out, at, &segment);
        let counted = bytes.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[own] = self.next[own].wrapping_add(counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(from: &str, to: &str, bytes: &[u8]) -> Vec<u8> {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let segment =
            Segment { side: Side::Client, from, to, sequence: 1, acknowledgement: 2, flags: PSH | ACK, bytes };
        let mut out = Vec::new();
        segment.write(&mut out);
        assert_eq!(out.len(), segment.packet_length());
        out
    }

    /// A sum over what has its checksum is all ones.
    fn is_right(parts: &[&[u8]]) -> bool {
        let mut sum = Sum(0);
        parts.iter().for_each(|part| sum.add(part));
        sum.checksum() == [0, 0]
    }

    #[test]
    fn checksums_are_right() {
        for length in [0, 1, 2, 1449, SEGMENT_MAX] {
            let bytes: Vec<u8> = (0..length).map(|place| (place * 7) as u8).collect();
            let four = packet("192.0.2.1:4000", "192.0.2.2:80", &bytes);
            assert!(is_right(&[&four[..20]]));
            let tcp = u16::try_from(20 + length).unwrap().to_be_bytes();
            assert!(is_right(&[&four[12..20], &[0, TCP], &tcp, &four[20..]]), "{length}");
            let six = packet("[2001:db8::1]:4000", "[2001:db8::2]:80", &bytes);
            assert!(is_right(&[&six[8..40], &[0, TCP], &tcp, &six[40..]]), "{length}");
        }
    }

    #[test]
    fn a_connection_has_its_numbers_in_order_and_ends_once() {
        let (mut out, peer, pen) = (Vec::new(), "192.0.2.1:4000".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
        let mut link = Link::new(Side::Client, peer, pen);
        link.begin(&mut out, 1);
        link.send(&mut out, 2, Sender::Peer, &vec![7; SEGMENT_MAX + 1]);
        assert_eq!(link.next, [1_000_000_001 + SEGMENT_MAX as u32 + 1, 2_000_000_001]);
        link.end(&mut out, 3, Sender::Peer);
        let length = out.len();
        link.end(&mut out, 4, Sender::Peer);
        link.send(&mut out, 4, Sender::Peer, b"late");
        assert_eq!(out.len(), length, "there is nothing after the end");
        link.send(&mut out, 5, Sender::Pen, b"answer");
        link.reset(&mut out, 6, Sender::Pen);
        let length = out.len();
        link.reset(&mut out, 6, Sender::Peer);
        link.end(&mut out, 7, Sender::Pen);
        assert_eq!(out.len(), length, "there is nothing after a reset");
    }
}
