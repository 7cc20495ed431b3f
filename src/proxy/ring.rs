//! A fixed-size ring buffer: what a stuck flow still owes to its sink.
//!
//! It never grows. Memory is reserved on creation, if there is any, and touched only as it is
//! filled.

use std::collections::TryReserveError;

/// Bytes that a ring holds: as much as one read brings, so that what could not be written of
/// it always fits.
pub const RING_SIZE: usize = 64 * 1024;

/// A ring buffer of [`RING_SIZE`] bytes.
#[derive(Debug)]
pub struct Ring {
    /// As long as what was ever filled.
    bytes: Vec<u8>,
    head: u32,
    len: u32,
}

impl Ring {
    /// An empty ring. Fails if there is no memory for it.
    pub fn new() -> Result<Ring, TryReserveError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(RING_SIZE)?;
        Ok(Ring { bytes, head: 0, len: 0 })
    }

    /// A ring that holds these bytes, no more than [`RING_SIZE`], and has no room for others.
    pub fn holding(bytes: &[u8]) -> Ring {
        assert!(bytes.len() <= RING_SIZE, "a ring takes what one read brings");
        Ring { bytes: bytes.to_vec(), head: 0, len: bytes.len() as u32 }
    }

    /// True if it can be lent again: it has room for as much as any ring.
    pub fn is_full_size(&self) -> bool {
        self.bytes.capacity() >= RING_SIZE
    }

    /// True if it has never held anything, and so has none of its memory.
    pub fn is_untouched(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `bytes`; they must fit.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= RING_SIZE - self.len(), "a ring takes what one read brings");
        let start = (self.head as usize + self.len()) % RING_SIZE;
        let (before, after) = bytes.split_at(bytes.len().min(RING_SIZE - start));
        // Within the capacity, so that this never asks for memory.
        let (over, behind) = before.split_at(before.len().min(self.bytes.len() - start));
        self.bytes[start..start + over.len()].copy_from_slice(over);
        self.bytes.extend_from_slice(behind);
        self.bytes[..after.len()].copy_from_slice(after);
        self.len += bytes.len() as u32;
    }

    /// The oldest bytes that lie in one piece; empty only if the ring is.
    pub fn front(&self) -> &[u8] {
        let start = self.head as usize;
        &self.bytes[start..(start + self.len()).min(RING_SIZE)]
    }

    /// Takes `count` of the oldest bytes away; there must be as many.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "only what is held can be taken");
        self.len -= count as u32;
        self.head = if self.len == 0 { 0 } else { (self.head + count as u32) % RING_SIZE as u32 };
    }

    /// Empties the ring.
    pub fn clear(&mut self) {
        self.head = 0;
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn a_ring_does_what_a_queue_does() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % (below as u64 + 1)).unwrap()
        };
        let (mut ring, mut queue) = (Ring::new().unwrap(), VecDeque::new());
        for round in 0..2_000_u32 {
            let room = RING_SIZE - ring.len();
            let bytes: Vec<u8> = (0..random(room.min(20_000))).map(|_| round.to_le_bytes()[0]).collect();
            ring.push(&bytes);
            queue.extend(&bytes);
            let count = random(ring.len());
            let mut left = count;
            while left > 0 {
                let part = ring.front().len().min(left);
                let expected: Vec<u8> = queue.drain(..part).collect();
                assert_eq!(&ring.front()[..part], &expected[..]);
                ring.consume(part);
                left -= part;
            }
            assert_eq!((ring.len(), ring.is_empty()), (queue.len(), queue.is_empty()));
        }
        ring.clear();
        assert!(ring.is_empty() && ring.front().is_empty());
    }

    #[test]
    #[should_panic(expected = "a ring takes what one read brings")]
    fn a_ring_never_overwrites() {
        let mut ring = Ring::new().unwrap();
        ring.push(&[1; RING_SIZE]);
        ring.push(&[2]);
    }
}
