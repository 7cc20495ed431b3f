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
        // Each step can be undone, so keys that differ stay different whatever the secret is; a product moves
        // differences up, a shift moves them down, and the constants spread what a secret such as 1 leaves as it is.
        let mut mixed = (self.folded ^ key ^ self.secret.rotate_left(32)).wrapping_mul(self.secret);
        mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.folded = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 4096 keys that differ in twelve bits beside each other: how many places of a table of 4096 they take, and
    /// how many values their top seven bits have, which a table compares first.
    fn spread(secret: u64, shift: u32) -> (u32, u32) {
        let folding = Folding { secret };
        let (mut places, mut tops) = ([0u64; 64], 0u128);
        for key in 0..4096u64 {
            let hash = folding.hash_one(key << shift);
            places[(hash % 4096 / 64) as usize] |= 1 << (hash % 64);
            tops |= 1 << (hash >> 57);
        }
        (places.iter().map(|word| word.count_ones()).sum(), tops.count_ones())
    }

    /// Secrets that a multiplication does little with: few bits, all but few bits, simple fractions of all.
    fn weak_secrets() -> Vec<u64> {
        let powers = (0..64).map(|bit| 1u64 << bit);
        let near = powers.flat_map(|power| [power, power.wrapping_sub(3), power.wrapping_add(3), !power]);
        let fractions = (1..32).map(|part| u64::MAX / part);
        let constants = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93u64];
        let all = near.chain(fractions).chain(constants);
        all.flat_map(|secret| [secret | 1, secret.wrapping_neg() | 1]).collect()
    }

    #[test]
    fn keys_that_agree_in_most_bits_are_spread() {
        const SHIFTS: [u32; 7] = [0, 8, 12, 20, 32, 44, 52];
        let weak = weak_secrets().into_iter().flat_map(|secret| SHIFTS.map(|shift| (secret, shift)));
        let mut last = 0u64;
        let many = (0..20_000).map(|count| {
            last = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (last ^ (last >> 31) | 1, SHIFTS[count % SHIFTS.len()])
        });
        for (secret, shift) in weak.chain(many) {
            // Chance alone gives 2589 places and every one of the 128 values.
            let (places, tops) = spread(secret, shift);
            assert!(places > 2300 && tops > 120, "secret {secret:#x} shift {shift}: {places} {tops}");
        }
    }

    #[test]
    fn tables_have_secrets_of_their_own() {
        assert_ne!(Folding::default().hash_one(1), Folding::default().hash_one(1));
    }
}
