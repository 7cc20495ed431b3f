//! One client's walk through the servers.

use crate::base::addr::ClientAddr;

/// How far a search is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The client was refused by the access list: only the abuse server may be offered.
    Refused,
    /// Nothing was offered yet.
    First,
    /// At least one regular server was offered.
    Walking,
    /// Nothing more will be offered.
    Ended,
}

/// One client's walk through the servers: who asks, and what was tried. Each server is offered at
/// most once.
#[derive(Clone, Debug)]
pub struct Search {
    tried: Tried,
    from: ClientAddr,
    port: u16,
    tracked: u16,
    stage: Stage,
}

/// A pair holds one of these for all its life.
const _: () = assert!(size_of::<Search>() <= 40);

const UNTRACKED: u16 = u16::MAX;

/// A set of indexes; it allocates only once it holds one beyond the first 64.
#[derive(Clone, Debug)]
enum Tried {
    Few(u64),
    Many(Box<[u64]>),
}

impl Search {
    /// A search of which nothing is known but who asks.
    pub fn begin(from: ClientAddr, port: u16) -> Search {
        Search::new(from, port, None, Stage::First)
    }

    /// A search for a client. `tracked` is the server that the client had before; indexes of
    /// servers are below 65,535.
    pub fn new(from: ClientAddr, port: u16, tracked: Option<usize>, stage: Stage) -> Search {
        let tracked = tracked.and_then(|index| u16::try_from(index).ok()).unwrap_or(UNTRACKED);
        Search { tried: Tried::Few(0), from, port, tracked, stage }
    }

    /// One to which nothing is offered.
    pub fn ended(from: ClientAddr, port: u16) -> Search {
        Search::new(from, port, None, Stage::Ended)
    }

    /// Who asks.
    pub fn from(&self) -> ClientAddr {
        self.from
    }

    /// The client's port, 0 for a client by a Unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server that the client had before.
    pub fn tracked(&self) -> Option<usize> {
        (self.tracked != UNTRACKED).then_some(usize::from(self.tracked))
    }

    /// How far the search is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Moves on to a later stage.
    pub fn enter(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Whether the server of this index was offered already.
    pub fn has_tried(&self, index: usize) -> bool {
        let (word, bit) = (index / 64, index % 64);
        let bits = match &self.tried {
            Tried::Few(bits) if word == 0 => *bits,
            Tried::Few(_) => 0,
            Tried::Many(words) => words.get(word).copied().unwrap_or(0),
        };
        bits >> bit & 1 == 1
    }

    /// Notes that the server of this index is offered.
    pub fn note_tried(&mut self, index: usize) {
        let (word, bit) = (index / 64, index % 64);
        if let Tried::Few(bits) = self.tried
            && word > 0
        {
            self.tried = Tried::Many(Box::new([bits]));
        }
        match &mut self.tried {
            Tried::Few(bits) => *bits |= 1 << bit,
            Tried::Many(words) => {
                if words.len() <= word {
                    // By as much again, so that a long search does not copy at every step.
                    let more = vec![0; (word + 1).max(2 * words.len())];
                    let before = std::mem::replace(words, more.into_boxed_slice());
                    words[..before.len()].copy_from_slice(&before);
                }
                words[word] |= 1 << bit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::testing::Random;
    use super::*;

    #[test]
    fn what_was_tried_is_a_set() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let largest = [1, 64, 65, 300, 65_535][random.below(5) as usize];
            let mut search = Search::new(ClientAddr::Unix, 0, None, Stage::First);
            let mut tried = BTreeSet::new();
            for _ in 0..200 {
                let index = random.below(largest) as usize;
                assert_eq!(search.has_tried(index), tried.contains(&index), "seed {seed}, {index}");
                if random.one_in(2) {
                    search.note_tried(index);
                    tried.insert(index);
                }
            }
            let all = (0..largest as usize).filter(|index| search.has_tried(*index));
            assert!(all.eq(tried), "seed {seed}");
        }
    }

    #[test]
    fn a_search_among_64_servers_does_not_allocate() {
        let mut search = Search::new(ClientAddr::Unix, 0, None, Stage::First);
        (0..64).for_each(|index| search.note_tried(index));
        assert!(matches!(search.tried, Tried::Few(u64::MAX)));
    }

    #[test]
    fn the_tracked_server_is_kept_up_to_the_largest_index() {
        for tracked in [None, Some(0), Some(65_534)] {
            assert_eq!(Search::new(ClientAddr::Unix, 0, tracked, Stage::First).tracked(), tracked);
        }
    }
}
