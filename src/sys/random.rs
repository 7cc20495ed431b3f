//! Random numbers that nobody can guess.

use std::fs::File;
use std::io::{self, Read};

/// So many bytes are taken from the system at once.
const BLOCK: usize = 4096;

/// A source of random numbers: the system's (random(4)).
#[derive(Debug)]
pub struct Random {
    source: File,
    block: Vec<u8>,
    used: usize,
}

impl Random {
    /// Opens it. Fails where there is no such device, as in a bare jail.
    pub fn open() -> io::Result<Random> {
        let mut random = Random { source: File::open("/dev/urandom")?, block: vec![0; BLOCK], used: 0 };
        random.source.read_exact(&mut random.block)?;
        Ok(random)
    }

    /// The next number.
    pub fn number(&mut self) -> u32 {
        if self.used == BLOCK {
            self.source.read_exact(&mut self.block).expect("the device has given bytes before");
            self.used = 0;
        }
        let number = self.block[self.used..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        self.used += size_of::<u32>();
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_repeat() {
        let mut random = Random::open().unwrap();
        let mut numbers: Vec<u32> = (0..BLOCK).map(|_| random.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        // By chance two of them are equal once in 500 times, five pairs never.
        assert!(numbers.len() > BLOCK - 5, "{}", numbers.len());
    }
}
