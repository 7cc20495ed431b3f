//! A fixed-size ring buffer: what a stuck flow still owes to its sink.
//!
//! It never grows. Memory is reserved on creation and touched only as it is filled.

/// Bytes that a ring holds: as much as one read brings, so that what could not be written of
/// it always fits.
pub const RING_SIZE: usize = 64 * 1024;

/// A ring buffer of [`RING_SIZE`] bytes.
#[derive(Debug)]
pub struct Ring {
    bytes: Box<[u8; RING_SIZE]>,
    head: usize,
    len: usize,
}

impl Ring {
    /// An empty ring.
    pub fn new() -> Ring {
        // Zeroed memory comes from the kernel page by page, when it is first written.
        let bytes = vec![0; RING_SIZE].into_boxed_slice().try_into().expect("the slice has the array's length");
        Ring { bytes, head: 0, len: 0 }
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `bytes`; they must fit.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= RING_SIZE - self.len, "a ring takes what one read brings");
        let start = (self.head + self.len) % RING_SIZE;
        let first = bytes.len().min(RING_SIZE - start);
        let (before, after) = bytes.split_at(first);
        self.bytes[start..start + first].copy_from_slice(before);
        self.bytes[..after.len()].copy_from_slice(after);
        self.len += bytes.len();
    }

    /// The oldest bytes that lie in one piece; empty only if the ring is.
    pub fn front(&self) -> &[u8] {
        let end = (self.head + self.len).min(RING_SIZE);
        &self.bytes[self.head..end]
    }

    /// Takes `count` of the oldest bytes away; there must be as many.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len, "only what is held can be taken");
        self.len -= count;
        self.head = if self.len == 0 { 0 } else { (self.head + count) % RING_SIZE };
    }

    /// Empties the ring.
    pub fn clear(&mut self) {
        self.head = 0;
        self.len = 0;
    }
}

impl Default for Ring {
    fn default() -> Ring {
        Ring::new()
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
        let (mut ring, mut queue) = (Ring::new(), VecDeque::new());
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
        let mut ring = Ring::new();
        ring.push(&[1; RING_SIZE]);
        ring.push(&[2]);
    }
}
