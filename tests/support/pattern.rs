//! Bytes that tell when one of them is missing, doubled or at the wrong place, at the speed of memory.

use std::io::{self, Read, Write};
use std::time::Instant;

use super::wait::PATIENCE;

/// The sequence repeats after so many bytes: a prime, so that it never falls together with a buffer's size.
const PERIOD: usize = 65_521;

/// The longest chunk that is written or compared at once.
const CHUNK_MAX: usize = 65_536;

/// The sequence, long enough that each chunk of it is one slice.
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// `seed` makes different sequences for the two directions.
    pub fn new(seed: u64) -> Pattern {
        let mut state = seed;
        let mut next = || {
            // Knuth's generator, MMIX.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let mut bytes: Vec<u8> = (0..PERIOD).map(|_| next()).collect();
        bytes.extend_from_within(..);
        bytes.extend_from_within(..PERIOD);
        Pattern(bytes)
    }

    /// `length` bytes of the sequence from `offset` on; at most 64 KiB.
    pub fn at(&self, offset: usize, length: usize) -> &[u8] {
        &self.0[offset % PERIOD..][..length.min(CHUNK_MAX)]
    }

    /// The first `length` bytes.
    pub fn bytes(&self, length: usize) -> Vec<u8> {
        self.0.iter().copied().take(PERIOD).cycle().take(length).collect()
    }

    /// Writes the first `total` bytes; `wrote` hears how many there are after each write.
    pub fn write(&self, mut to: impl Write, total: usize, mut wrote: impl FnMut(usize)) -> io::Result<()> {
        let mut sent = 0;
        while sent < total {
            sent += again(|| to.write(self.at(sent, total - sent)))?;
            wrote(sent);
        }
        Ok(())
    }

    /// Reads to the end, at most `piece` bytes at once, and returns how many came.  The first byte that is wrong is
    /// an error.
    pub fn check(&self, mut from: impl Read, piece: usize) -> io::Result<usize> {
        let mut buffer = vec![0; piece.min(CHUNK_MAX)];
        let mut offset = 0;
        loop {
            let count = read(&mut from, &mut buffer)?;
            if count == 0 {
                return Ok(offset);
            }
            if buffer[..count] != *self.at(offset, count) {
                return Err(io::Error::other(format!("a wrong byte within {count} from {offset} on")));
            }
            offset += count;
        }
    }
}

/// Reads what there is, as [`again`] does it.
pub fn read(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    again(|| from.read(buffer))
}

/// Calls again what was interrupted. On Linux a read or write with a time-out is interrupted when its process is
/// stopped and goes on, or is frozen for a moment (signal(7)), and also when another thread starts a process; that is
/// nothing that the peer did. The time-out begins anew then, so there is one more.
pub fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + 3 * PATIENCE;
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && Instant::now() < end => {}
            outcome => return outcome,
        }
    }
}
