//! Which question an answer belongs to: each question that is out has a lane and an id that no
//! other has.
//!
//! A lane is a socket with a port that the system chose at random; each server has several, and they
//! are changed in the course of work. To forge an answer one has to guess both (RFC 5452).

use std::collections::HashMap;

/// How many lanes lead to each server.
pub const LANES: usize = 32;

/// So many questions, and a lane is renewed as soon as nothing is out on it.
const USES_MAX: u32 = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    uses: u32,
    out: u32,
}

/// Where a question is out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The lane, counted over all servers.
    pub lane: usize,
    /// The id in the messages.
    pub id: u16,
}

/// All questions that are out.
#[derive(Debug)]
pub struct Flight {
    lanes: Vec<Lane>,
    questions: HashMap<Place, usize>,
}

impl Flight {
    /// None is out yet, and there are so many servers.
    pub fn new(servers: usize) -> Flight {
        Flight { lanes: vec![Lane::default(); servers * LANES], questions: HashMap::new() }
    }

    /// The server that a lane leads to.
    pub fn server_of(lane: usize) -> usize {
        lane / LANES
    }

    /// Finds a free place for a question to this server, at random. True with it if the lane has to
    /// be a new one.
    pub fn depart(&mut self, question: usize, server: usize, random: &mut impl FnMut() -> u32) -> (Place, bool) {
        let mut picks = 0;
        loop {
            let [low, high, pick, _] = random().to_le_bytes();
            let lane = server * LANES + usize::from(pick) % LANES;
            let place = Place { lane, id: u16::from_le_bytes([low, high]) };
            let Lane { uses, out } = self.lanes[lane];
            let is_used_up = uses >= USES_MAX;
            picks += 1;
            // One that is used up is left alone until nothing is out on it, if there are others.
            if self.questions.contains_key(&place) || (is_used_up && out > 0 && picks < LANES) {
                continue;
            }
            self.questions.insert(place, question);
            let is_new = is_used_up && out == 0;
            self.lanes[lane] = Lane { uses: if is_new { 1 } else { uses.saturating_add(1) }, out: out + 1 };
            return (place, is_new);
        }
    }

    /// The question that is out there.
    pub fn question_at(&self, place: Place) -> Option<usize> {
        self.questions.get(&place).copied()
    }

    /// Nothing is awaited there any more.
    pub fn arrive(&mut self, place: Place) {
        if self.questions.remove(&place).is_some() {
            self.lanes[place.lane].out -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_has_a_place_of_its_own_and_lanes_are_renewed() {
        let mut flight = Flight::new(2);
        let mut number = 0_u32;
        let mut random = || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            number.rotate_left(11)
        };
        let mut renewed = 0;
        let mut places = Vec::new();
        for n in 0..50_000 {
            let (place, is_new) = flight.depart(n, n % 2, &mut random);
            assert_eq!(Flight::server_of(place.lane), n % 2);
            assert_eq!(flight.question_at(place), Some(n));
            renewed += usize::from(is_new);
            places.push((place, n));
            if places.len() == 500 {
                for (place, n) in places.drain(..) {
                    assert_eq!(flight.question_at(place), Some(n));
                    flight.arrive(place);
                    flight.arrive(place);
                    assert_eq!(flight.question_at(place), None);
                }
            }
        }
        assert!(renewed > 50_000 / USES_MAX as usize / 2, "{renewed}");
        assert!(flight.lanes.iter().all(|lane| lane.out == 0));
    }
}
