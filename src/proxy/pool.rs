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
    /// Lends an empty ring.
    pub fn take(&mut self) -> Ring {
        self.lent += 1;
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a ring back, with whatever it still holds.
    pub fn give_back(&mut self, mut ring: Ring) {
        self.lent -= 1;
        if self.spare.len() < SPARE_MAX {
            ring.clear();
            self.spare.push(ring);
        }
    }

    /// Rings that are out: as many as there are stuck flows.
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
        let mut rings: Vec<Ring> = (0..SPARE_MAX + 4).map(|_| pool.take()).collect();
        assert_eq!(pool.lent(), SPARE_MAX + 4);
        for ring in &mut rings {
            ring.push(b"left over");
        }
        rings.into_iter().for_each(|ring| pool.give_back(ring));
        assert_eq!((pool.lent(), pool.spare.len()), (0, SPARE_MAX));
        assert!(pool.take().is_empty());
    }
}
