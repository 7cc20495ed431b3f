//! Rings for flows that are stuck, and how many are lent.

use super::ring::Ring;

/// Spare rings that are kept for the next flow that gets stuck; more are given back to the system.
const SPARE_MAX: usize = 16;

/// Lends rings.
#[derive(Debug, Default)]
pub struct Pool {
    spare: Vec<Ring>,
    lent: usize,
}

impl Pool {
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
        self.spare.pop().expect("bytes are read only when there is a ring for them")
    }

    /// Takes a ring back, with whatever it still holds.
    pub fn give_back(&mut self, mut ring: Ring) {
        self.lent -= 1;
        if self.spare.len() < SPARE_MAX {
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

    #[test]
    fn rings_come_back_empty_and_few_are_kept() {
        let mut pool = Pool::default();
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
}
