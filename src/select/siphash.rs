//! SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
//!
//! Own, because what std's hashers return may change from one version to the next, and the hash
//! selector must send a client to the same server for ever.

/// A key: two words of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key(pub u64, pub u64);

/// SipHash-2-4, the standard form.
pub fn siphash_2_4(key: Key, message: &[u8]) -> u64 {
    siphash::<2, 4>(key, message)
}

/// SipHash-1-3, the faster form for hash tables: enough against flooding where the hash itself is
/// never shown.
pub fn siphash_1_3(key: Key, message: &[u8]) -> u64 {
    siphash::<1, 3>(key, message)
}

struct State([u64; 4]);

impl State {
    fn new(key: Key) -> State {
        // The ASCII text "somepseudorandomlygeneratedbytes", section 2.2 of the paper.
        State([
            key.0 ^ 0x736f_6d65_7073_6575,
            key.1 ^ 0x646f_7261_6e64_6f6d,
            key.0 ^ 0x6c79_6765_6e65_7261,
            key.1 ^ 0x7465_6462_7974_6573,
        ])
    }

    fn rounds<const N: usize>(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.0;
        for _ in 0..N {
            v0 = v0.wrapping_add(v1);
            v2 = v2.wrapping_add(v3);
            v1 = v1.rotate_left(13) ^ v0;
            v3 = v3.rotate_left(16) ^ v2;
            v0 = v0.rotate_left(32);
            v2 = v2.wrapping_add(v1);
            v0 = v0.wrapping_add(v3);
            v1 = v1.rotate_left(17) ^ v2;
            v3 = v3.rotate_left(21) ^ v0;
            v2 = v2.rotate_left(32);
        }
        self.0 = [v0, v1, v2, v3];
    }

    fn absorb<const C: usize>(&mut self, word: u64) {
        self.0[3] ^= word;
        self.rounds::<C>();
        self.0[0] ^= word;
    }
}

fn siphash<const C: usize, const D: usize>(key: Key, message: &[u8]) -> u64 {
    let mut state = State::new(key);
    let (words, rest) = message.as_chunks::<8>();
    for word in words {
        state.absorb::<C>(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // Only the lowest byte of the length counts (section 2.2): the cast is the definition.
    last[7] = message.len() as u8;
    state.absorb::<C>(u64::from_le_bytes(last));
    state.0[2] ^= 0xff;
    state.rounds::<D>();
    state.0.into_iter().fold(0, |hash, word| hash ^ word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);

    #[test]
    fn siphash_2_4_gives_the_vectors_of_the_paper() {
        // Appendix A of the paper (15 bytes), and rows 0 to 3, 7, 8 and 63 of the authors' vectors.h.
        let table: [(usize, u64); 8] = [
            (15, 0xa129_ca61_49be_45e5),
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (2, 0x0d6c_8009_d9a9_4f5a),
            (3, 0x8567_6696_d7fb_7e2d),
            (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462),
            (63, 0x958a_324c_eb06_4572),
        ];
        let message: Vec<u8> = (0..64).collect();
        for (len, hash) in table {
            assert_eq!(siphash_2_4(KEY, &message[..len]), hash, "{len} bytes");
        }
    }
}
