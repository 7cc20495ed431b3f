//! Every address that was seen, and what is known of it, for as long as that holds.
//!
//! An address has one entry, so it is asked once however often it comes. The entry stays while lines
//! wait for it; of the others the oldest are forgotten when there are too many.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use slab::Slab;

use super::lookup::Outcome;
use crate::base::time::Moment;

/// What an answer holds at least and at most within a run, in seconds. Less would ask for the same
/// address again and again; more than a day is nobody's intention.
const TTL_LEAST: u32 = 60;
const TTL_MOST: u32 = 86_400;

/// After so many seconds an address is asked again that nobody answered for (RFC 9520 section 3.2).
const UNANSWERED_TTL: u32 = 300;

/// The end of what holds without DNS, such as hosts(5).
pub const FOR_EVER: Moment = Moment::from_nanos(u64::MAX);

/// What is known of an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known {
    /// Not yet: it is being asked.
    Open,
    /// Its name.
    Name(Box<str>),
    /// It has none that counts.
    Nameless,
    /// Nobody answered.
    Unanswered,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    known: Known,
    until: Moment,
    /// Lines that wait for it.
    waiting: u32,
}

/// All addresses.
#[derive(Debug)]
pub struct Book {
    entries: Slab<Entry>,
    index: HashMap<IpAddr, usize>,
    /// All entries, the oldest first.
    order: VecDeque<usize>,
    most: usize,
}

impl Book {
    /// At most `most` entries, or as many more as lines wait for.
    pub fn new(most: usize) -> Book {
        Book { entries: Slab::new(), index: HashMap::new(), order: VecDeque::new(), most }
    }

    /// How many addresses it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of an address, which is made if there is none; true with it if the address has to be
    /// asked now, because nothing is known or no longer.
    pub fn look(&mut self, address: IpAddr, now: Moment) -> (usize, bool) {
        if let Some(&at) = self.index.get(&address) {
            let entry = &mut self.entries[at];
            let is_over = entry.known != Known::Open && entry.until <= now;
            if is_over {
                entry.known = Known::Open;
            }
            return (at, is_over);
        }
        (self.insert(address, Known::Open, now), true)
    }

    /// Enters what is known from elsewhere, unless the address is there already.
    pub fn enter(&mut self, address: IpAddr, known: Known, until: Moment) {
        if !self.index.contains_key(&address) && self.entries.len() < self.most {
            self.insert(address, known, until);
        }
    }

    /// Notes what became of asking.
    pub fn answered(&mut self, at: usize, outcome: &Outcome, now: Moment) {
        let entry = &mut self.entries[at];
        let (known, ttl) = match outcome {
            Outcome::Name(name, ttl) => (Known::Name(name.as_str().into()), *ttl),
            Outcome::Nameless(ttl) | Outcome::Unfit(ttl) | Outcome::Unverified(ttl) => (Known::Nameless, *ttl),
            Outcome::Unanswered => (Known::Unanswered, UNANSWERED_TTL),
        };
        entry.known = known;
        entry.until = now + Duration::from_secs(u64::from(ttl.clamp(TTL_LEAST, TTL_MOST)));
    }

    /// What is known.
    pub fn known(&self, at: usize) -> &Known {
        &self.entries[at].known
    }

    /// What is known of an address, also if that is over.
    pub fn find(&self, address: IpAddr) -> Option<&Known> {
        self.index.get(&address).map(|at| &self.entries[*at].known)
    }

    /// One more line waits for the entry.
    pub fn hold(&mut self, at: usize) {
        self.entries[at].waiting += 1;
    }

    /// One line less waits for it.
    pub fn release(&mut self, at: usize) {
        self.entries[at].waiting -= 1;
    }

    /// What DNS has said and does not end before `now`, the oldest first, with its end. That nobody
    /// answered is not worth keeping.
    pub fn kept(&self, now: Moment) -> impl Iterator<Item = (IpAddr, Option<&str>, Moment)> {
        let entries = self
            .order
            .iter()
            .map(|at| &self.entries[*at])
            .filter(move |entry| entry.until > now && entry.until < FOR_EVER);
        entries.filter_map(|entry| match &entry.known {
            Known::Name(name) => Some((entry.address, Some(&**name), entry.until)),
            Known::Nameless => Some((entry.address, None, entry.until)),
            Known::Open | Known::Unanswered => None,
        })
    }

    fn insert(&mut self, address: IpAddr, known: Known, until: Moment) -> usize {
        if self.entries.len() >= self.most {
            self.forget_one();
        }
        let at = self.entries.insert(Entry { address, known, until, waiting: 0 });
        self.index.insert(address, at);
        self.order.push_back(at);
        at
    }

    /// Forgets the oldest that nobody waits for, if it is among the first few.
    fn forget_one(&mut self) {
        for _ in 0..8 {
            let Some(at) = self.order.pop_front() else { return };
            let entry = &self.entries[at];
            if entry.waiting > 0 || entry.known == Known::Open || entry.until == FOR_EVER {
                self.order.push_back(at);
                continue;
            }
            self.index.remove(&entry.address);
            self.entries.remove(at);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_nanos(1_000_000_000_000);

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn after(seconds: u64) -> Moment {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_is_asked_once_until_its_answer_is_over() {
        let table = [
            (Outcome::Name(String::from("a.b"), 1000), 1000, Known::Name("a.b".into())),
            (Outcome::Name(String::from("a.b"), 0), 60, Known::Name("a.b".into())),
            (Outcome::Nameless(u32::MAX), 86_400, Known::Nameless),
            (Outcome::Unfit(100), 100, Known::Nameless),
            (Outcome::Unverified(100), 100, Known::Nameless),
            (Outcome::Unanswered, 300, Known::Unanswered),
        ];
        for (outcome, seconds, known) in table {
            let mut book = Book::new(9);
            let (at, is_new) = book.look(address(1), NOW);
            assert!(is_new);
            assert_eq!(book.look(address(1), after(999_999)), (at, false), "it is being asked");
            book.answered(at, &outcome, NOW);
            assert_eq!(book.look(address(1), after(seconds - 1)), (at, false), "{outcome:?}");
            assert_eq!(*book.known(at), known);
            assert_eq!(book.look(address(1), after(seconds)), (at, true), "{outcome:?}");
            assert_eq!(*book.known(at), Known::Open);
        }
    }

    #[test]
    fn the_oldest_are_forgotten_but_not_those_that_lines_wait_for() {
        let mut book = Book::new(3);
        for n in 0..3 {
            let (at, _) = book.look(address(n), NOW);
            book.answered(at, &Outcome::Nameless(100), NOW);
        }
        let (held, _) = book.look(address(0), NOW);
        book.hold(held);
        book.look(address(3), NOW);
        assert_eq!(book.len(), 3);
        assert!(book.find(address(0)).is_some() && book.find(address(1)).is_none());
        book.release(held);
        for n in 2..9 {
            let (at, _) = book.look(address(n), NOW);
            book.hold(at);
        }
        assert!((2..9).all(|n| book.find(address(n)).is_some()));
    }
}
