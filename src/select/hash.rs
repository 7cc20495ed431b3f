//! The client's address decides: weighted rendezvous hashing.
//!
//! Each server gets a score from the client's address and the server's index; the highest open
//! score wins. So two pens with the same list agree, and a server that is down moves only its own
//! clients, spread over all others. Everything that enters is fixed for ever: a new version of
//! pen sends a client to the same server as the old one, on any machine.
//!
//! With weights, a server's score is its hash taken as a number u between 0 and 1, to the power of
//! one divided by its weight (Schindelhauer and Schomaker 2005, "Weighted distributed hash
//! tables"). Scores are compared by their logarithms, and those are computed only for servers of
//! different weight that may win.

use std::net::IpAddr;

use super::siphash::{Key, siphash_2_4};
use super::{Candidates, Selector};
use crate::base::addr::ClientAddr;

/// Any constant will do, as long as it never changes: the digits of pi after the point.
const KEY: Key = Key(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);

/// Chooses by the client's address.
#[derive(Clone, Copy, Debug)]
pub struct Hash {
    client: u64,
}

impl Hash {
    /// For a client, and its port if connections of one client are to be spread.
    ///
    /// An IPv4 client counts by its 4 bytes, an IPv6 client by its 16; all clients of a Unix
    /// socket are one. The port follows in network order.
    pub fn new(from: ClientAddr, port: Option<u16>) -> Hash {
        let mut message = [0; 18];
        let len = match from {
            ClientAddr::Inet(IpAddr::V4(ip)) => put(&mut message, 0, &ip.octets()),
            ClientAddr::Inet(IpAddr::V6(ip)) => put(&mut message, 0, &ip.octets()),
            ClientAddr::Unix => 0,
        };
        let len = port.map_or(len, |port| put(&mut message, len, &port.to_be_bytes()));
        Hash { client: siphash_2_4(KEY, &message[..len]) }
    }

    /// The hash of this client and the server of this index: the output of number `index` of the
    /// generator SplitMix64 (Steele, Lea and Flood 2014) that is seeded with the client's hash.
    fn server(self, index: usize) -> u64 {
        let seed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut z = self.client.wrapping_add(seed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn put(message: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    message[at..at + bytes.len()].copy_from_slice(bytes);
    at + bytes.len()
}

impl Selector for Hash {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        let mut best: Option<Leader> = None;
        for index in (0..candidates.count()).filter(|index| candidates.is_open(*index)) {
            let hash = self.server(index);
            let weight = candidates.weight(index).max(1);
            let wins = best.as_mut().is_none_or(|leader| leader.loses_to(hash, weight));
            if wins {
                best = Some(Leader { index, hash, weight, cost: None });
            }
        }
        best.map(|leader| leader.index)
    }
}

/// The best candidate so far.
struct Leader {
    index: usize,
    hash: u64,
    weight: u32,
    /// The negative logarithm of the score, once it was needed.
    cost: Option<f64>,
}

impl Leader {
    fn loses_to(&mut self, hash: u64, weight: u32) -> bool {
        if weight == self.weight {
            return hash > self.hash;
        }
        let own = f64::from(self.weight);
        let cost = *self.cost.get_or_insert_with(|| negative_ln(unit(self.hash)) / own);
        let u = unit(hash);
        let weight = f64::from(weight);
        // 1 - u is never above -ln(u): whoever is too dear by this bound needs no logarithm.
        (1.0 - u) / weight < cost && negative_ln(u) / weight < cost
    }
}

/// A hash as a number between 0 and 1, both excluded: its upper 52 bits and a half.
fn unit(hash: u64) -> f64 {
    ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// -ln(u) for u between 0 and 1, with only the operations that IEEE 754 defines to the last bit:
/// the logarithm of a C library may differ in its last bit from one machine to the next.
fn negative_ln(u: f64) -> f64 {
    let bits = u.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | 1023 << 52);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln(m) = 2 artanh(s), where |s| < 0.172: the term of s to the 21st is below the precision.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..10).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    -(f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * series)
}
