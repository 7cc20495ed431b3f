//! The order in which associations were used: whoever has a number has a place in it.
//!
//! A list within an array, so that to be used costs the same with many as with few.

const NONE: u32 = u32::MAX;

/// Neighbours of one number.
#[derive(Clone, Copy, Debug)]
struct Links {
    newer: u32,
    older: u32,
}

/// The order of use.
#[derive(Debug)]
pub struct Order {
    links: Vec<Links>,
    newest: u32,
    oldest: u32,
}

impl Default for Order {
    fn default() -> Order {
        Order { links: Vec::new(), newest: NONE, oldest: NONE }
    }
}

impl Order {
    /// The number that was not used for the longest time.
    pub fn oldest(&self) -> Option<usize> {
        (self.oldest != NONE).then_some(self.oldest as usize)
    }

    /// A number that is not in the order is used for the first time.
    pub fn add(&mut self, number: usize) {
        if self.links.len() <= number {
            self.links.resize(number + 1, Links { newer: NONE, older: NONE });
        }
        let number = u32::try_from(number).expect("there are fewer than that");
        self.links[number as usize] = Links { newer: NONE, older: self.newest };
        match self.newest {
            NONE => self.oldest = number,
            newest => self.links[newest as usize].newer = number,
        }
        self.newest = number;
    }

    /// A number of the order is used.
    pub fn touch(&mut self, number: usize) {
        if self.newest as usize != number {
            self.remove(number);
            self.add(number);
        }
    }

    /// Takes a number out of the order.
    pub fn remove(&mut self, number: usize) {
        let Links { newer, older } = self.links[number];
        match newer {
            NONE => self.newest = older,
            newer => self.links[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.links[older as usize].newer = newer,
        }
    }

    /// Gives the memory back; there is nobody in it.
    pub fn shrink(&mut self) {
        debug_assert!(self.oldest().is_none(), "nobody is in it");
        self.links = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::Random;

    #[test]
    fn it_is_the_order_of_a_plain_list() {
        let mut random = Random::new(7);
        let (mut order, mut list) = (Order::default(), Vec::<usize>::new());
        for _ in 0..20_000 {
            let number = random.below(12) as usize;
            let is_there = list.contains(&number);
            list.retain(|other| *other != number);
            match (is_there, random.one_in(3)) {
                (true, true) => order.remove(number),
                (true, false) => order.touch(number),
                (false, _) => order.add(number),
            }
            if order.newest as usize == number {
                list.push(number);
            }
            assert_eq!(order.oldest(), list.first().copied());
        }
        while let Some(number) = order.oldest() {
            assert_eq!(number, list.remove(0));
            order.remove(number);
        }
        assert!(list.is_empty());
        order.shrink();
    }
}
