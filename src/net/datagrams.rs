//! Datagrams that clients send, and answers that go back to them: many at one call.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// The longest datagram there is (RFC 768: 16 bits for the length, of which headers take some).
pub const DATAGRAM_MAX: usize = 65_535;

/// Datagrams that one call moves at most.
pub const BATCH_MAX: usize = 32;

/// Bytes that an [`Outbox`] keeps room for from one turn to the next.
const KEPT: usize = 64 * 1024;

/// Between whom a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Way {
    /// The client, whose IPv4-mapped address is an IPv4 address.
    pub client: SocketAddr,
    /// Which of this machine's addresses the client asked, where the listener has more than one:
    /// the answer comes from there.
    pub local: Option<IpAddr>,
}

/// Datagrams that came in.
#[derive(Debug)]
pub struct Inbox {
    /// As many slots of [`DATAGRAM_MAX`] bytes as there may be datagrams.
    bytes: Box<[u8]>,
    letters: Vec<(Way, usize)>,
}

impl Inbox {
    /// Room for [`BATCH_MAX`] datagrams of any size. Only what is used takes memory.
    pub fn new() -> Inbox {
        let bytes = vec![0; BATCH_MAX * DATAGRAM_MAX].into_boxed_slice();
        Inbox { bytes, letters: Vec::with_capacity(BATCH_MAX) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// One of them.
    pub fn letter(&self, number: usize) -> (Way, &[u8]) {
        let (way, length) = self.letters[number];
        let start = number * DATAGRAM_MAX;
        (way, &self.bytes[start..start + length])
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.letters.clear();
    }

    /// The slots, for what comes next once all are forgotten.
    pub fn slots(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_exact_mut(DATAGRAM_MAX)
    }

    /// The next slot has a datagram of this length.
    pub fn push(&mut self, way: Way, length: usize) {
        assert!(self.len() < BATCH_MAX && length <= DATAGRAM_MAX, "a datagram fits into its slot");
        self.letters.push((way, length));
    }
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox::new()
    }
}

/// Answers that are to go to clients.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    letters: Vec<(Way, Range<usize>)>,
}

impl Outbox {
    /// Adds one.
    pub fn push(&mut self, way: Way, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.letters.push((way, start..self.bytes.len()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// True if it is time to send them.
    pub fn is_full(&self) -> bool {
        self.letters.len() >= BATCH_MAX || self.bytes.len() >= KEPT
    }

    /// Those from a number on, in their order.
    pub fn from(&self, number: usize) -> impl ExactSizeIterator<Item = (Way, &[u8])> {
        self.letters[number..].iter().map(|(way, range)| (*way, &self.bytes[range.clone()]))
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.letters.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(port: u16) -> Way {
        Way { client: SocketAddr::from(([192, 0, 2, 1], port)), local: None }
    }

    #[test]
    fn datagrams_keep_their_bounds_also_where_they_are_empty() {
        let mut inbox = Inbox::new();
        let texts: [&[u8]; 3] = [b"one", b"", &[7; DATAGRAM_MAX]];
        for (slot, text) in inbox.slots().zip(texts) {
            slot[..text.len()].copy_from_slice(text);
        }
        texts.iter().zip(1..).for_each(|(text, port)| inbox.push(way(port), text.len()));
        for (number, (text, port)) in texts.iter().zip(1..).enumerate() {
            assert_eq!(inbox.letter(number), (way(port), *text));
        }
        inbox.clear();
        assert!(inbox.is_empty());
        let mut outbox = Outbox::default();
        texts.iter().zip(1..).for_each(|(text, port)| outbox.push(way(port), text));
        assert!(outbox.is_full() && outbox.len() == 3);
        let rest: Vec<(Way, &[u8])> = outbox.from(1).collect();
        assert_eq!(rest, [(way(2), texts[1]), (way(3), texts[2])]);
        outbox.clear();
        assert!(outbox.is_empty() && !outbox.is_full() && outbox.bytes.capacity() <= KEPT);
    }
}
