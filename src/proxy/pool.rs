//! Rings and pipes for flows that are stuck, and how many are lent.

use std::io::ErrorKind;

use super::ring::Ring;
use crate::net::{Net, Pipe, Stream};

/// Spare rings that are kept for the next flow that gets stuck; more are given back to the system.
const SPARE_MAX: usize = 16;

/// Spare pipes that are kept. One serves all flows, one after the other, as long as none is stuck.
const SPARE_PIPES_MAX: usize = 2;

/// Lends rings and pipes.
#[derive(Debug)]
pub struct Pool<P> {
    spare: Vec<Ring>,
    lent: usize,
    /// One was lent since nobody was connected.
    was_lent: bool,
    spare_pipes: Vec<P>,
    lent_pipes: usize,
    /// There are none in this world.
    has_no_pipes: bool,
}

impl<P> Default for Pool<P> {
    fn default() -> Pool<P> {
        let (spare, spare_pipes) = (Vec::new(), Vec::new());
        Pool { spare, lent: 0, was_lent: false, spare_pipes, lent_pipes: 0, has_no_pipes: false }
    }
}

impl<P: Pipe> Pool<P> {
    /// Lends an empty pipe, if there is one to be had.
    pub fn take_pipe<N: Net>(&mut self, net: &mut N) -> Option<P>
    where
        N::Stream: Stream<Pipe = P>,
    {
        let pipe = match self.spare_pipes.pop() {
            Some(pipe) => pipe,
            None if self.has_no_pipes => return None,
            None => match net.pipe(self.lent_pipes) {
                Ok(pipe) => pipe,
                Err(error) => {
                    self.has_no_pipes = error.kind() == ErrorKind::Unsupported;
                    return None;
                }
            },
        };
        self.lent_pipes += 1;
        Some(pipe)
    }

    /// Takes a pipe back. What is still in it is lost, and the pipe with it.
    pub fn give_pipe_back(&mut self, pipe: P) {
        self.lent_pipes -= 1;
        if pipe.is_empty() && self.spare_pipes.len() < SPARE_PIPES_MAX {
            self.spare_pipes.push(pipe);
        }
    }

    /// Nobody is connected any more: gives back to the system what nobody has borrowed. A ring that was
    /// never lent stays: none of its memory was touched, and connections that come one at a time need
    /// not ask for it each time.
    pub fn drop_spare(&mut self) {
        if std::mem::take(&mut self.was_lent) {
            self.spare = Vec::new();
        }
        self.spare_pipes = Vec::new();
    }

    /// What must hold between turns: little is spare, and nothing that was used when nobody is connected.
    pub fn check(&self, is_at_rest: bool) {
        let most = if is_at_rest { [1, 0] } else { [SPARE_MAX, SPARE_PIPES_MAX] };
        assert!(!is_at_rest || self.spare.iter().all(Ring::is_untouched), "a spare ring was used");
        assert!(self.spare.len() <= most[0], "{} spare rings", self.spare.len());
        assert!(self.spare_pipes.len() <= most[1], "{} spare pipes", self.spare_pipes.len());
    }

    /// Pipes that are out: as many as there are flows whose bytes wait in one.
    pub fn lent_pipes(&self) -> usize {
        self.lent_pipes
    }

    /// True if [`Pool::take`] can lend a ring.
    pub fn is_ready(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Makes a ring to lend. False if there is no memory for it.
    pub fn grow(&mut self) -> bool {
        let Ok(ring) = Ring::new() else { return false };
        if self.spare.try_reserve(1).is_err() {
            return false;
        }
        self.spare.push(ring);
        true
    }

    /// Lends an empty ring; the pool must be ready.
    pub fn take(&mut self) -> Ring {
        self.lent += 1;
        self.was_lent = true;
        self.spare.pop().expect("bytes are read only when there is a ring for them")
    }

    /// Lends what holds these few bytes where there is no ring to be had.
    pub fn hold(&mut self, bytes: &[u8]) -> Ring {
        self.lent += 1;
        Ring::holding(bytes)
    }

    /// Takes a ring back, with whatever it still holds.
    pub fn give_back(&mut self, mut ring: Ring) {
        self.lent -= 1;
        if self.spare.len() < SPARE_MAX && ring.is_full_size() {
            ring.clear();
            self.spare.push(ring);
        }
    }

    /// Rings that are out: as many as there are flows that hold bytes.
    pub fn lent(&self) -> usize {
        self.lent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::NoPipe;

    #[test]
    fn rings_come_back_empty_and_few_are_kept() {
        let mut pool = Pool::<NoPipe>::default();
        let mut rings = Vec::new();
        for _ in 0..SPARE_MAX + 4 {
            assert!(!pool.is_ready() && pool.grow() && pool.is_ready());
            rings.push(pool.take());
        }
        assert_eq!(pool.lent(), SPARE_MAX + 4);
        for ring in &mut rings {
            ring.push(b"left over");
        }
        rings.into_iter().for_each(|ring| pool.give_back(ring));
        assert_eq!((pool.lent(), pool.spare.len()), (0, SPARE_MAX));
        assert!(pool.take().is_empty());
    }

    #[test]
    fn at_rest_there_is_a_ring_that_was_never_used_or_none() {
        let mut pool = Pool::<NoPipe>::default();
        assert!(pool.grow());
        pool.drop_spare();
        pool.check(true);
        assert!(pool.is_ready(), "it need not be asked for again");
        let ring = pool.take();
        assert!(pool.grow());
        pool.give_back(ring);
        pool.drop_spare();
        pool.check(true);
        assert!(!pool.is_ready(), "memory was touched");
    }
}
