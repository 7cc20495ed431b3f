//! How many lookups may be under way: as many as the name server keeps up with.
//!
//! A datagram that finds a full queue is lost, and costs its sender a time-out. So it begins with
//! few and doubles their number as long as nothing is lost; once an eighth of a round's questions had
//! to be repeated, it goes on with three quarters of them, and grows slowly from then on. Lookups that
//! nobody answers at all say nothing about the pace: there are always addresses that nobody knows.

/// Where it begins, and where it does not go below, unless less is allowed.
const FIRST: usize = 64;

/// The number of lookups that may be under way.
#[derive(Debug)]
pub struct Pace {
    allowed: usize,
    most: usize,
    /// Answers of this round, and those of them that came after the question was repeated.
    answers: usize,
    repeated: usize,
    was_slowed: bool,
}

impl Pace {
    /// Never more than `most`.
    pub fn new(most: usize) -> Pace {
        Pace { allowed: FIRST.min(most), most, answers: 0, repeated: 0, was_slowed: false }
    }

    /// How many may be under way.
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    /// An answer has come, to a question that was sent once or more often. A round is as many
    /// answers as may be under way.
    pub fn answered(&mut self, was_repeated: bool) {
        self.answers += 1;
        self.repeated += usize::from(was_repeated);
        if self.answers < self.allowed {
            return;
        }
        if self.repeated * 8 > self.answers {
            self.allowed = (self.allowed / 4 * 3).max(FIRST.min(self.most));
            self.was_slowed = true;
        } else {
            let more = if self.was_slowed { (self.allowed / 16).max(1) } else { self.allowed };
            self.allowed = (self.allowed + more).min(self.most);
        }
        (self.answers, self.repeated) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(pace: &mut Pace, lost: usize) {
        let count = pace.allowed();
        (0..count).for_each(|n| pace.answered(n < lost));
    }

    #[test]
    fn it_doubles_until_something_is_lost_and_then_grows_slowly() {
        let mut pace = Pace::new(1000);
        let mut allowed = vec![pace.allowed()];
        for lost in [0, 0, 20, 200, 0, 0] {
            round(&mut pace, lost);
            allowed.push(pace.allowed());
        }
        assert_eq!(allowed, [64, 128, 256, 512, 384, 408, 433]);
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let mut pace = Pace::new(100);
        round(&mut pace, 0);
        round(&mut pace, 0);
        assert_eq!(pace.allowed(), 100);
        for _ in 0..10 {
            round(&mut pace, 64);
        }
        assert_eq!(pace.allowed(), FIRST);
        let mut pace = Pace::new(3);
        round(&mut pace, 3);
        assert_eq!(pace.allowed(), 3);
    }
}
