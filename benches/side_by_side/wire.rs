//! What travels between our clients and our servers, so that every byte can be told right from wrong.
//!
//! A connection carries units, one after the other. A unit begins with a head that says how many
//! bytes follow it, how many the server sends at once, and how many when it has everything. The
//! bytes themselves are a known sequence, which begins anew with each unit.
//!
//! Who compares every byte of bulk work costs more than what is measured. So in the rounds for the
//! processor's time only some pieces are compared, which finds what is lost or shifted, and the rest is
//! taken from the kernel without being copied (`MSG_TRUNC`, tcp(7)); another round compares all.

use std::io;
use std::mem::MaybeUninit;

use mio::net::TcpStream;

/// Bytes of a head.
pub const HEAD: usize = 32;

/// The most bytes that are written or read at once. Large, so that the generator is not what is measured.
pub const CHUNK: usize = 256 * 1024;

/// Length of the sequence before it repeats; a prime, so that no buffer's size hides a shift.
const PERIOD: usize = 65_521;

const MAGIC: u64 = 0x7065_6e20_756e_6974;

/// Added to it: the server closes behind the unit.
const LAST: u64 = 1;

/// Added to it: not all of the unit is compared.
const SKIMMED: u64 = 2;

/// Of so many bytes of a unit that is skimmed, one chunk is compared.
const SKIM: u64 = 16 * CHUNK as u64;

/// What one unit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unit {
    /// Bytes that follow the head.
    pub up: u64,
    /// Bytes that come back as soon as the head is there.
    pub early: u64,
    /// Bytes that come back once everything is there.
    pub late: u64,
    /// The server closes the connection behind its answer.
    pub is_last: bool,
    /// Not all of it is compared.
    pub is_skimmed: bool,
}

impl Unit {
    /// A request of so many bytes, the head among them, and its answer.
    pub const fn exchange(request: u64, reply: u64) -> Unit {
        Unit { up: request - HEAD as u64, early: 0, late: reply, is_last: false, is_skimmed: false }
    }

    /// The same, and the server closes behind its answer.
    pub const fn last(self) -> Unit {
        Unit { is_last: true, ..self }
    }

    /// Bytes from the client, the head among them.
    pub fn sent(&self) -> u64 {
        HEAD as u64 + self.up
    }

    /// Bytes from the server.
    pub fn received(&self) -> u64 {
        self.early + self.late
    }

    /// The head as it travels.
    pub fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        let magic = MAGIC + u64::from(self.is_last) * LAST + u64::from(self.is_skimmed) * SKIMMED;
        for (place, number) in head.chunks_exact_mut(8).zip([magic, self.up, self.early, self.late]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        head
    }

    /// Reads a head.
    pub fn parse(head: &[u8; HEAD]) -> io::Result<Unit> {
        let number = |at: usize| head[8 * at..8 * at + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let flags = number(0).wrapping_sub(MAGIC);
        if flags > LAST | SKIMMED {
            return Err(wrong("a unit begins with something else than a head"));
        }
        let (is_last, is_skimmed) = (flags & LAST != 0, flags & SKIMMED != 0);
        Ok(Unit { up: number(1), early: number(2), late: number(3), is_last, is_skimmed })
    }
}

/// The bytes of a unit, from any place on.
#[derive(Debug)]
pub struct Sequence(Vec<u8>);

impl Sequence {
    /// The sequence.
    pub fn new() -> Sequence {
        let byte = |n: usize| (n % PERIOD).wrapping_mul(0x9e37_79b1).to_le_bytes()[2];
        Sequence((0..PERIOD + CHUNK).map(byte).collect())
    }

    /// What stands at `place`, and at most `count` bytes of it.
    pub fn at(&self, place: u64, count: u64) -> &[u8] {
        let from = (place % PERIOD as u64) as usize;
        &self.0[from..from + usize::try_from(count).unwrap_or(CHUNK).min(CHUNK)]
    }

    /// Fails if these are not the bytes at `place`.
    pub fn verify(&self, place: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes == self.at(place, bytes.len() as u64) {
            return Ok(());
        }
        Err(wrong("other bytes arrive than were sent"))
    }
}

/// How many of the bytes from this place on, up to `end`, are not compared; 0 if those that come next are.
pub fn skipped(place: u64, end: u64) -> usize {
    let place_of_next = place % SKIM;
    if !cfg!(target_os = "linux") || place_of_next < CHUNK as u64 {
        return 0;
    }
    usize::try_from((SKIM - place_of_next).min(end - place)).unwrap_or(CHUNK).min(CHUNK)
}

/// Takes at most so many bytes from the kernel without looking at them.
#[cfg(target_os = "linux")]
pub fn skip(stream: &TcpStream, count: usize) -> io::Result<usize> {
    // TCP writes nothing to it then (tcp(7)).
    let mut nothing = [MaybeUninit::<u8>::uninit(); CHUNK];
    socket2::SockRef::from(stream).recv_with_flags(&mut nothing[..count], libc::MSG_TRUNC)
}

/// Only Linux has this.
#[cfg(not(target_os = "linux"))]
pub fn skip(_: &TcpStream, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The error of a transfer that went wrong.
pub fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
