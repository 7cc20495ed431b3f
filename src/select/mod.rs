//! The ways to choose a server: one file each, one row each in [`SELECTORS`].
//!
//! Selectors see the servers only as [`Candidates`]; what a server is, and who may use it, is the
//! balancer's. A selector is asked again after a failure, with the servers that were tried closed
//! to it, so that fail-over follows the same rule as the first choice.

pub mod hash;
pub mod least;
pub mod p2c;
pub mod prio;
pub mod round_robin;
pub mod search;
pub mod siphash;
#[cfg(test)]
pub(crate) mod testing;
pub mod tracked;
pub mod weight;

use std::ops::Range;

use hash::Hash;
use least::Least;
use p2c::TwoChoices;
use prio::Prio;
use round_robin::RoundRobin;
pub use search::{Search, Stage};
use tracked::Tracked;
use weight::Weight;

/// The servers, as one search sees them. Indexes are those of the server table; where there is no
/// server, the numbers mean nothing.
pub trait Candidates {
    /// One more than the largest index.
    fn count(&self) -> usize;
    /// Whether this one may be chosen. False where there is no server.
    fn is_open(&self, index: usize) -> bool;
    /// Places in use.
    fn connections(&self, index: usize) -> u32;
    /// Weight; 0 is "not set" and counts as 1.
    fn weight(&self, index: usize) -> u32;
    /// Priority, the lowest first.
    fn prio(&self, index: usize) -> i32;
    /// False if all have their full share.
    fn some_warm_up(&self) -> bool;
    /// How much of what it could have it is to get at this moment, 1 to [`FULL_SHARE`]: a server
    /// that has come back warms up.
    fn share(&self, index: usize) -> u32;
}

/// The share of a server that does not warm up.
pub const FULL_SHARE: u32 = 1_000;

/// A way to choose.
pub trait Selector {
    /// The index of the choice among the open candidates; `None` if none is open.
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize>;
}

/// Names a selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// See [`tracked`].
    Tracked,
    /// See [`round_robin`].
    RoundRobin,
    /// See [`hash`]; the second form hashes the client's port as well.
    Hash {
        /// Hash the port too, so that one client's connections spread.
        with_port: bool,
    },
    /// See [`weight`].
    Weight,
    /// See [`prio`].
    Prio,
    /// See [`least`].
    Least,
    /// See [`p2c`].
    TwoChoices,
}

/// What is said of a selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The selector.
    pub kind: Kind,
    /// Its name, which is also the command that switches it on, where there is one.
    pub name: &'static str,
    /// The letter of its option.
    pub option: Option<char>,
    /// What it does, in one sentence.
    pub what: &'static str,
}

/// All selectors, the one of highest precedence first.
pub const SELECTORS: [Row; 7] = [
    Row {
        kind: Kind::Tracked,
        name: "tracked",
        option: None,
        what: "A client goes back to the server that it had before; in force unless roundrobin or hash is on.",
    },
    Row {
        kind: Kind::Prio,
        name: "prio",
        option: None,
        what: "The available server of the lowest priority number is taken.",
    },
    Row {
        kind: Kind::Weight,
        name: "weight",
        option: Some('W'),
        what: "The available server with the fewest connections for its weight is taken.",
    },
    Row {
        kind: Kind::Least,
        name: "least",
        option: None,
        what: "The available server with the fewest connections is taken; of equals they take turns.",
    },
    Row {
        kind: Kind::TwoChoices,
        name: "p2c",
        option: None,
        what: "Of two available servers at random the one with fewer connections for its weight is taken.",
    },
    Row {
        kind: Kind::Hash { with_port: false },
        name: "hash",
        option: Some('h'),
        what: "The client's address decides, and a dead server's clients are spread over the others.",
    },
    Row { kind: Kind::RoundRobin, name: "roundrobin", option: Some('r'), what: "Available servers take turns." },
];

/// The selectors, with the memory of those that have one.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    round_robin: RoundRobin,
    least: Least,
    two_choices: TwoChoices,
}

impl Selectors {
    /// Lets the random choices follow from a seed.
    pub fn seed(&mut self, seed: u64) {
        self.two_choices = TwoChoices::new(seed);
    }

    /// Lets one selector choose for a search; `None` if no candidate is open to it.
    pub fn pick<C: Candidates>(&mut self, kind: Kind, search: &Search, candidates: &C) -> Option<usize> {
        match kind {
            Kind::Tracked => Tracked::new(search.tracked()).pick(candidates),
            Kind::RoundRobin => self.round_robin.pick(candidates),
            Kind::Hash { with_port } => Hash::new(search.from(), with_port.then(|| search.port())).pick(candidates),
            Kind::Weight => Weight.pick(candidates),
            Kind::Prio => Prio.pick(candidates),
            Kind::Least => self.least.pick(candidates),
            Kind::TwoChoices => self.two_choices.pick(candidates),
        }
    }
}

/// The open candidate whose `key` comes before all others, as `before` tells; of equal ones the
/// first in the order of `indexes`. Whether one is open is asked only of those that may win, because
/// it costs more. None comes before one that is `first`.
// Nothing of this may be a call for each of a thousand servers, whatever pen is built for.
#[inline(always)]
fn first_by<C: Candidates, K: Copy>(
    candidates: &C,
    indexes: [Range<usize>; 2],
    key: impl Fn(usize) -> K,
    before: impl Fn(K, K) -> bool,
    first: impl Fn(K) -> bool,
) -> Option<usize> {
    let mut best: Option<(usize, K)> = None;
    // One range after the other: a chain of both would be asked at each step which one it is in.
    for range in indexes {
        for index in range {
            let key = key(index);
            if best.is_none_or(|(_, least)| before(key, least)) && candidates.is_open(index) {
                if first(key) {
                    return Some(index);
                }
                best = Some((index, key));
            }
        }
    }
    best.map(|(index, _)| index)
}

/// All of them, in order.
fn all<C: Candidates>(candidates: &C) -> [Range<usize>; 2] {
    [0..candidates.count(), 0..0]
}

#[cfg(test)]
mod tests {
    use super::testing::{PLAIN, Stand};
    use super::*;
    use crate::base::addr::ClientAddr;

    #[test]
    fn every_selector_is_described_once() {
        for (at, row) in SELECTORS.iter().enumerate() {
            assert!(row.what.ends_with('.') && !row.name.is_empty());
            for other in &SELECTORS[..at] {
                assert_ne!(row.name, other.name);
                assert!(row.option.is_none() || row.option != other.option, "-{:?} twice", row.option);
            }
        }
    }

    #[test]
    fn no_selector_chooses_a_closed_server_and_each_finds_the_only_open_one() {
        let search = Search::new(ClientAddr::Unix, 0, Some(3), Stage::First);
        for row in SELECTORS {
            let mut servers = vec![Stand { open: false, ..PLAIN }; 5];
            assert_eq!(Selectors::default().pick(row.kind, &search, &servers), None, "{}", row.name);
            assert_eq!(Selectors::default().pick(row.kind, &search, &Vec::new()), None, "{}", row.name);
            servers[3].open = true;
            assert_eq!(Selectors::default().pick(row.kind, &search, &servers), Some(3), "{}", row.name);
        }
    }
}
