//! Hashing of keys that are hashes themselves, for the table of requests.
//!
//! The keys are SipHash's, but anybody can work them out beforehand and so send requests whose keys
//! agree in many bits. A secret number for each table, multiplied in, spreads these as well.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes one number of 64 bits, differently in each table.
#[derive(Clone, Debug)]
pub(super) struct Folding {
    secret: u64,
}

impl Default for Folding {
    fn default() -> Folding {
        // std's random numbers are those for this purpose. Odd, so that no key becomes none.
        Folding { secret: RandomState::new().hash_one(0) | 1 }
    }
}

impl BuildHasher for Folding {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { secret: self.secret, folded: 0 }
    }
}

/// What [`Folding`] makes of a key.
pub(super) struct Folded {
    secret: u64,
    folded: u64,
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, key: u64) {
        let product = u128::from(self.folded ^ key ^ self.secret.rotate_left(32)) * u128::from(self.secret);
        // The upper half hangs on all bits below it, the lower half on those of the key.
        self.folded = (product as u64) ^ ((product >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_agree_in_most_bits_are_spread() {
        for shift in [0, 20, 44, 52] {
            let folding = Folding::default();
            let hashes: Vec<u64> = (0..4096u64).map(|key| folding.hash_one(key << shift)).collect();
            // A table takes its place from the low bits, and compares the top seven first.
            let distinct = |of: &dyn Fn(u64) -> u64| {
                let mut found: Vec<u64> = hashes.iter().map(|hash| of(*hash)).collect();
                found.sort_unstable();
                found.dedup();
                found.len()
            };
            assert!(distinct(&|hash| hash % 4096) > 1000, "{shift} {folding:?}");
            assert!(distinct(&|hash| hash >> 57) > 60, "{shift} {folding:?}");
        }
    }

    #[test]
    fn tables_have_secrets_of_their_own() {
        assert_ne!(Folding::default().hash_one(1), Folding::default().hash_one(1));
    }
}
