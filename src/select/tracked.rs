//! A client goes back to the server that it had before.

use super::{Candidates, Selector};

/// Chooses the server that the client table holds for the client, or nobody.
#[derive(Clone, Copy, Debug)]
pub struct Tracked(Option<usize>);

impl Tracked {
    /// The server, if the client is known and had one.
    pub fn new(server: Option<usize>) -> Tracked {
        Tracked(server)
    }
}

impl Selector for Tracked {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        self.0.filter(|index| *index < candidates.count() && candidates.is_open(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, Stand};
    use super::*;

    #[test]
    fn a_client_gets_the_server_it_had_or_none() {
        let servers = vec![PLAIN, Stand { open: false, ..PLAIN }, PLAIN];
        for (had, pick) in [(None, None), (Some(0), Some(0)), (Some(1), None), (Some(2), Some(2)), (Some(3), None)] {
            assert_eq!(Tracked::new(had).pick(&servers), pick, "{had:?}");
        }
    }
}
