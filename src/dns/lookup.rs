//! One address on its way to its name: the question that is open, and what its answer leads to.
//!
//! Which server is asked, and when again, is not decided here.

use std::net::IpAddr;

use super::message::{ALIASES_MAX, Question, Reply};

/// How many of an address's names are verified, in their order.
pub const VERIFIED_MAX: usize = 4;

/// What became of a lookup. Numbers are the seconds for which that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The name, fit for a log.
    Name(String, u32),
    /// It has no name.
    Nameless(u32),
    /// It has names, but none that is fit for a log.
    Unfit(u32),
    /// It has names, but none leads back to it.
    Unverified(u32),
    /// Nobody answered, or nobody who knew.
    Unanswered,
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask the question that is open now.
    Ask,
    /// It is over.
    Done(Outcome),
}

/// One address on its way.
#[derive(Debug)]
pub struct Lookup {
    address: IpAddr,
    question: Question,
    verify: bool,
    aliases: usize,
    /// Names that are still to be verified, the next one last; the question is about `candidate`.
    candidates: Vec<String>,
    candidate: Option<String>,
    ttl: u32,
}

impl Lookup {
    /// Begins with the question for the names of `address`; `verify` asks for the way back, too.
    pub fn new(address: IpAddr, verify: bool) -> Lookup {
        let question = Question::names_of(address);
        Lookup { address, question, verify, aliases: 0, candidates: Vec::new(), candidate: None, ttl: u32::MAX }
    }

    /// The question that is open.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Takes a reply to the open question, which holds for `ttl` seconds. A server's refusal or a
    /// truncated message is none.
    pub fn answered(&mut self, reply: Reply, ttl: u32) -> Step {
        self.ttl = self.ttl.min(ttl);
        match reply {
            Reply::Alias(name) => self.follow(name),
            Reply::Names(names, unfit) => self.named(names, unfit),
            Reply::Addresses(addresses) if addresses.contains(&self.address) => match self.candidate.take() {
                Some(name) => Step::Done(Outcome::Name(name, self.ttl)),
                None => Step::Done(Outcome::Unanswered),
            },
            Reply::Addresses(_) => self.verify_next(),
            Reply::Nothing if self.candidate.is_some() => self.verify_next(),
            Reply::Nothing => Step::Done(Outcome::Nameless(self.ttl)),
            Reply::Truncated | Reply::Refused => Step::Done(Outcome::Unanswered),
        }
    }

    /// Zones for less than 256 addresses are reached by aliases (RFC 2317).
    fn follow(&mut self, name: super::name::Name) -> Step {
        self.aliases += 1;
        if self.aliases > ALIASES_MAX {
            return if self.candidate.is_some() { self.verify_next() } else { Step::Done(Outcome::Unanswered) };
        }
        self.question.name = name;
        Step::Ask
    }

    fn named(&mut self, mut names: Vec<String>, unfit: usize) -> Step {
        if names.is_empty() {
            return Step::Done(if unfit > 0 { Outcome::Unfit(self.ttl) } else { Outcome::Nameless(self.ttl) });
        }
        if !self.verify {
            return Step::Done(Outcome::Name(names.swap_remove(0), self.ttl));
        }
        names.truncate(VERIFIED_MAX);
        names.reverse();
        self.candidates = names;
        self.verify_next()
    }

    fn verify_next(&mut self) -> Step {
        while let Some(name) = self.candidates.pop() {
            if let Some(question) = Question::addresses_of(&name, self.address) {
                self.question = question;
                self.candidate = Some(name);
                self.aliases = 0;
                return Step::Ask;
            }
        }
        Step::Done(Outcome::Unverified(self.ttl))
    }
}
