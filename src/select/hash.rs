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
        for index in 0..candidates.count() {
            let hash = self.server(index);
            let weight = candidates.weight(index).max(1);
            // Whether one is open is asked only of those that may win, because it costs more.
            let wins = best.as_mut().is_none_or(|leader| leader.loses_to(hash, weight));
            if wins && candidates.is_open(index) {
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
        let cost = *self.cost.get_or_insert_with(|| negative_ln(unit(self.hash)) / f64::from(self.weight));
        let u = unit(hash);
        let enough = cost * f64::from(weight);
        // 1 - u is never above -ln(u): whoever is too dear by this bound needs no logarithm.
        1.0 - u < enough && negative_ln(u) < enough
    }
}

/// A hash as a number between 0 and 1, both excluded: its upper 52 bits and a half. Exact.
fn unit(hash: u64) -> f64 {
    let from_one_to_two = f64::from_bits(1023 << 52 | hash >> 12);
    from_one_to_two - 1.0 + f64::EPSILON / 2.0
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

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, Random, Stand};
    use super::*;

    fn client(text: &str) -> ClientAddr {
        ClientAddr::Inet(text.parse().unwrap())
    }

    fn pick(from: ClientAddr, servers: &Vec<Stand>) -> usize {
        Hash::new(from, None).pick(servers).unwrap()
    }

    fn counts(clients: impl Iterator<Item = ClientAddr>, servers: &Vec<Stand>) -> Vec<u32> {
        let mut counts = vec![0; servers.len()];
        clients.for_each(|from| counts[pick(from, servers)] += 1);
        counts
    }

    #[test]
    fn a_client_has_the_same_server_in_every_version_of_pen() {
        let weighted: Vec<Stand> = (1..=10).map(|weight| Stand { weight, ..PLAIN }).collect();
        // Computed by an independent implementation of the same definition.
        let table: [(&str, Option<u16>, usize, usize); 8] = [
            ("10.0.0.1", None, 4, 4),
            ("10.0.0.2", None, 3, 7),
            ("192.0.2.77", None, 2, 9),
            ("192.0.2.77", Some(40000), 3, 8),
            ("2001:db8::1", None, 9, 9),
            ("2001:db8::2", None, 8, 8),
            ("2001:db8::2", Some(1), 2, 2),
            ("unix", None, 8, 8),
        ];
        for (text, port, plain_pick, weighted_pick) in table {
            let from = if text == "unix" { ClientAddr::Unix } else { client(text) };
            let picks =
                (Hash::new(from, port).pick(&vec![PLAIN; 10]).unwrap(), Hash::new(from, port).pick(&weighted).unwrap());
            assert_eq!(picks, (plain_pick, weighted_pick), "{text} {port:?}");
        }
    }

    #[test]
    fn b28_neighbouring_addresses_are_spread_evenly() {
        for servers in [2, 4, 8] {
            let stands = vec![PLAIN; servers];
            for net in ["10.0.0", "10.0.1", "127.0.0", "192.168.178", "203.0.113"] {
                let fair = 256 / servers as u32;
                for (server, count) in
                    counts((0..256).map(|n| client(&format!("{net}.{n}"))), &stands).iter().enumerate()
                {
                    assert!(
                        count.abs_diff(fair) <= fair / 2,
                        "{net}.0/24: server {server} of {servers} has {count} of 256"
                    );
                }
            }
            for net in ["2001:db8::", "2001:db8:0:7::", "fe80::"] {
                let clients = (0..65_536).map(|n| client(&format!("{net}{n:x}")));
                let fair = 65_536 / servers as u32;
                for (server, count) in counts(clients, &stands).iter().enumerate() {
                    assert!(count.abs_diff(fair) <= fair / 20, "{net}: server {server} of {servers} has {count}");
                }
            }
        }
    }

    #[test]
    fn only_the_clients_of_a_dead_server_move_and_to_all_the_others() {
        let clients = || (0..4_000_u32).map(|n| ClientAddr::Inet(IpAddr::from((0x0a00_0000 + n).to_be_bytes())));
        for weights in [[0; 5], [3, 1, 4, 1, 5]] {
            let all: Vec<Stand> = weights.iter().map(|weight| Stand { weight: *weight, ..PLAIN }).collect();
            let mut one_dead = all.clone();
            one_dead[2].open = false;
            let mut moved_to = [0; 5];
            for from in clients() {
                let (before, after) = (pick(from, &all), pick(from, &one_dead));
                if before == 2 {
                    moved_to[after] += 1;
                } else {
                    assert_eq!(before, after, "{from} had a living server");
                }
            }
            assert_eq!(moved_to[2], 0);
            let (moved, weight): (u32, u32) =
                (moved_to.iter().sum(), weights.iter().map(|weight| *weight.max(&1)).sum());
            let rest = weight - weights[2].max(1);
            for server in [0, 1, 3, 4] {
                let fair = moved * weights[server].max(1) / rest;
                assert!(moved_to[server].abs_diff(fair) <= fair / 4, "{weights:?}: {moved_to:?}");
            }
        }
    }

    #[test]
    fn a_new_server_takes_only_its_own_share() {
        let (two, three) = (vec![PLAIN; 2], vec![PLAIN; 3]);
        for n in 0..1_000_u32 {
            let from = ClientAddr::Inet(IpAddr::from((0xc0a8_0000 + n).to_be_bytes()));
            let (before, after) = (pick(from, &two), pick(from, &three));
            assert!(after == before || after == 2, "{from} moved from {before} to {after}");
        }
    }

    #[test]
    fn clients_follow_the_weights() {
        let servers: Vec<Stand> = [1, 2, 3, 0].iter().map(|weight| Stand { weight: *weight, ..PLAIN }).collect();
        let clients = (0..70_000_u32).map(|n| ClientAddr::Inet(IpAddr::from(n.to_be_bytes())));
        for (count, fair) in counts(clients, &servers).iter().zip([10_000_u32, 20_000, 30_000, 10_000]) {
            assert!(count.abs_diff(fair) <= fair / 33, "{count} clients, not about {fair}");
        }
    }

    #[test]
    fn with_the_port_one_client_is_spread() {
        let servers = vec![PLAIN; 4];
        let mut counts = [0_u32; 4];
        for port in 1024..5120 {
            counts[Hash::new(client("10.0.0.1"), Some(port)).pick(&servers).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(1024) <= 100), "{counts:?}");
    }

    /// The twin: every score in full, by the logarithm of the C library.
    fn naive(hash: Hash, servers: &[Stand]) -> Option<usize> {
        let open = (0..servers.len()).filter(|index| servers[*index].open);
        let score = |index: usize| unit(hash.server(index)).ln() / f64::from(servers[index].weight.max(1));
        open.max_by(|a, b| score(*a).total_cmp(&score(*b)))
    }

    #[test]
    fn the_choice_is_that_of_the_naive_twin() {
        let mut random = Random::new(1);
        for round in 0..20_000 {
            let heaviest = [1, 2, 10, 1_000_000][random.below(4) as usize];
            let servers: Vec<Stand> = (0..random.below(20))
                .map(|_| Stand { open: !random.one_in(4), weight: random.below(heaviest) as u32, ..PLAIN })
                .collect();
            let hash = Hash { client: random.next() };
            assert_eq!({ hash }.pick(&servers), naive(hash, &servers), "round {round}: {servers:?}");
        }
    }

    #[test]
    fn the_logarithm_is_right_to_fifteen_digits() {
        let mut random = Random::new(2);
        let edges = [0, u64::MAX, 1 << 63, (1 << 63) - 1, u64::MAX / 3, 0xb504_f333_f9de_6484];
        let randoms = (0..100_000).map(|_| random.next() >> (random.next() % 50));
        for hash in edges.into_iter().chain(randoms.collect::<Vec<_>>()) {
            let u = unit(hash);
            assert!(0.0 < u && u < 1.0, "{hash:x}");
            let (own, libm) = (negative_ln(u), -u.ln());
            assert!((own - libm).abs() <= libm * 1e-15, "{hash:x}: {own} {libm}");
            assert!(own >= (1.0 - u) * (1.0 - 1e-15), "the bound holds at {hash:x}");
        }
    }
}
