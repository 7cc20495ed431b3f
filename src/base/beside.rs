//! What is known of some of many that have small numbers, beside the table where all are.
//!
//! The numbers are those of slots, which are taken again from the lowest free one on: the place of
//! each number is there up to the highest that was used, and is eight bytes while nothing is known
//! of it.

/// Values by the numbers of slots.
#[derive(Debug)]
pub struct Beside<V> {
    places: Vec<Option<Box<V>>>,
    len: usize,
}

impl<V> Default for Beside<V> {
    fn default() -> Beside<V> {
        Beside { places: Vec::new(), len: 0 }
    }
}

impl<V> Beside<V> {
    /// Of so many something is known.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if nothing is known of any.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is known of one.
    #[inline]
    pub fn of(&self, number: usize) -> Option<&V> {
        self.places.get(number)?.as_deref()
    }

    /// The same, to be changed.
    #[inline]
    pub fn of_mut(&mut self, number: usize) -> Option<&mut V> {
        self.places.get_mut(number)?.as_deref_mut()
    }

    /// True if something is known of one.
    #[inline]
    pub fn contains(&self, number: usize) -> bool {
        self.of(number).is_some()
    }

    /// This is known of one now, and nothing else.
    pub fn insert(&mut self, number: usize, value: V) {
        if self.places.len() <= number {
            self.places.resize_with(number + 1, || None);
        }
        let before = self.places[number].replace(Box::new(value));
        self.len += usize::from(before.is_none());
    }

    /// Nothing is known of one any more. With the last, the memory of all goes.
    pub fn remove(&mut self, number: usize) -> Option<V> {
        let value = self.places.get_mut(number)?.take()?;
        self.len -= 1;
        if self.len == 0 {
            self.places = Vec::new();
        }
        Some(*value)
    }

    /// All, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &V)> {
        self.places.iter().enumerate().filter_map(|(number, place)| Some((number, place.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_knows_what_a_map_knows() {
        let (mut beside, mut map) = (Beside::default(), BTreeMap::new());
        let mut random = 7_u32;
        for step in 0..20_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (random >> 24) as usize % 50;
            match random >> 16 & 3 {
                0 => {
                    beside.insert(number, step);
                    map.insert(number, step);
                }
                1 => {
                    let (one, other) = (beside.of_mut(number), map.get_mut(&number));
                    assert_eq!(one, other);
                    for value in one.into_iter().chain(other) {
                        *value += 1;
                    }
                }
                _ => assert_eq!(beside.remove(number), map.remove(&number)),
            }
            assert_eq!((beside.len(), beside.is_empty()), (map.len(), map.is_empty()));
            assert_eq!((beside.of(number), beside.contains(number)), (map.get(&number), map.contains_key(&number)));
        }
        assert!(beside.iter().eq(map.iter().map(|(number, value)| (*number, value))));
        for number in 0..50 {
            beside.remove(number);
        }
        assert_eq!(beside.places.capacity(), 0);
    }
}
