//! The programs at the far ends: scripted clients and servers.
//!
//! What one sends is a known sequence, so that every byte that arrives can be told right from
//! wrong by its place.

use std::io::ErrorKind;
use std::sync::OnceLock;
use std::time::Duration;

use super::choices::Choices;
use super::wire::{PEER, Wire};

/// One thing that a program does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Sends so many bytes.
    Send(u64),
    /// Sends a byte that is urgent; where it stands is kept.
    Urge,
    /// Sends back whatever came, until the end came.
    Echo,
    /// Waits until so many bytes came in all.
    Heard(u64),
    /// Waits for the end of what comes.
    End,
    /// Does nothing else for a while.
    Rest(Duration),
    /// Says that nothing more will be sent.
    Fin,
    /// Closes its socket, whatever there is to read.
    Close,
    /// Closes its socket with a reset.
    Abort,
}

/// How a program reads what comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// All, at once.
    Eager,
    /// So many bytes each time that a while has gone by.
    Slow(usize, Duration),
    /// Nothing for this time, then all.
    After(Duration),
    /// Nothing ever.
    Never,
}

/// How the stream that a program reads came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// As complete.
    Fin,
    /// As broken.
    Reset,
}

/// What a program says and expects before its script begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lead {
    pub says: Vec<u8>,
    pub expects: Vec<u8>,
    /// It says nothing before it has heard what it expects.
    pub answers: bool,
}

/// A program at the far end of a wire.
#[derive(Debug)]
pub struct Peer {
    steps: Vec<Step>,
    at: usize,
    sent_in_step: u64,
    reader: Reader,
    begun: u64,
    next_read: u64,
    rest_until: Option<u64>,
    /// A write has failed.
    is_alone: bool,
    out_key: u64,
    in_key: u64,
    /// What it sends and expects before its sequences.
    lead: Lead,
    /// Where a line ends in what it sends and expects: the place after.
    out_lines: Vec<u64>,
    in_lines: Vec<u64>,
    /// Bytes that its kernel took.
    pub sent: u64,
    /// Bytes that it read.
    pub received: u64,
    /// What it saw at the end.
    pub sight: Option<Sight>,
    /// When it closed its socket.
    pub ended_at: u64,
    /// So much it had sent when it said that this was all.
    pub said_all: Option<u64>,
    /// It has closed its socket.
    pub has_ended: bool,
}

impl Peer {
    /// A program that begins at `now`. Keys name the sequences that it sends and expects.
    pub fn new(steps: &[Step], reader: Reader, keys: (u64, u64), now: u64) -> Peer {
        Peer {
            steps: steps.to_vec(),
            at: 0,
            sent_in_step: 0,
            reader,
            begun: now,
            next_read: now,
            rest_until: None,
            is_alone: false,
            out_key: keys.0,
            in_key: keys.1,
            lead: Lead::default(),
            out_lines: Vec::new(),
            in_lines: Vec::new(),
            sent: 0,
            received: 0,
            sight: None,
            ended_at: 0,
            said_all: None,
            has_ended: false,
        }
    }

    /// The same, with lines that end before these places in what it sends and expects.
    pub fn with_lines(self, (out_lines, in_lines): (Vec<u64>, Vec<u64>)) -> Peer {
        Peer { out_lines, in_lines, ..self }
    }

    /// The same, with something that comes before all that it sends and expects.
    pub fn with_lead(self, lead: Lead) -> Peer {
        Peer { lead, ..self }
    }

    /// Does all that can be done now. Returns when to be called again though nothing happens on
    /// the wire.
    pub fn act(&mut self, wire: &mut Wire, choices: &mut Choices, now: u64) -> Option<u64> {
        if self.has_ended {
            return None;
        }
        let mut wake = self.read(wire, now);
        let mut rest = self.follow(wire, choices, now);
        if self.is_alone && !self.has_ended {
            // The error of a write is the only news of a reset.
            wake = self.read(wire, now);
            rest = self.follow(wire, choices, now);
        }
        if self.has_ended { None } else { wake.into_iter().chain(rest).min() }
    }

    fn read(&mut self, wire: &mut Wire, now: u64) -> Option<u64> {
        let limit = match self.reader {
            Reader::Eager => usize::MAX,
            Reader::Never => return None,
            Reader::After(time) => {
                let from = self.begun + nanos(time);
                if now < from {
                    return Some(from);
                }
                usize::MAX
            }
            Reader::Slow(count, _) => {
                if now < self.next_read {
                    return Some(self.next_read);
                }
                count
            }
        };
        let mut taken = 0;
        while self.sight.is_none() && taken < limit {
            let mut buffer = [0; 4096];
            let most = buffer.len().min(limit - taken);
            match wire.read(PEER, &mut buffer[..most]) {
                // After a failed write nobody takes the end for a good one.
                Ok(0) => self.sight = Some(if self.is_alone { Sight::Reset } else { Sight::Fin }),
                Ok(count) => {
                    let lead = self.lead.expects.len().min(count);
                    assert_eq!(self.lead.expects[..lead], buffer[..lead], "what comes before all else");
                    self.lead.expects.drain(..lead);
                    let bytes = &buffer[lead..count];
                    assert!(
                        is_sequence(self.in_key, &self.in_lines, self.received, bytes),
                        "what arrives is what was sent: wrong bytes at {} of sequence {}",
                        self.received,
                        self.in_key
                    );
                    self.received += bytes.len() as u64;
                    taken += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.sight = Some(Sight::Reset),
            }
        }
        let Reader::Slow(_, every) = self.reader else { return None };
        self.next_read = now + nanos(every);
        (self.sight.is_none() && taken > 0).then_some(self.next_read)
    }

    /// Follows the script as far as it goes now.
    fn follow(&mut self, wire: &mut Wire, choices: &mut Choices, now: u64) -> Option<u64> {
        if !self.send_lead(wire) {
            return None;
        }
        loop {
            let step = match self.steps.get(self.at) {
                // Whatever the script says: nobody listens, but there may be something to read.
                _ if self.is_alone && self.sight.is_none() && self.reader != Reader::Never => Step::End,
                Some(step) if !self.is_alone => *step,
                _ => Step::Close,
            };
            let is_done = match step {
                Step::Send(count) => self.send(wire, choices, count - self.sent_in_step),
                Step::Echo => {
                    self.send(wire, choices, self.received - self.sent);
                    self.is_alone || (self.sight.is_some() && self.sent == self.received)
                }
                Step::Urge => {
                    if self.sent_in_step == 0 {
                        wire.urge(PEER);
                    }
                    self.send(wire, choices, 1 - self.sent_in_step)
                }
                Step::Heard(count) => self.received >= count || self.sight.is_some(),
                Step::End => self.sight.is_some(),
                Step::Rest(time) => {
                    let until = *self.rest_until.get_or_insert(now + nanos(time));
                    if now < until {
                        return Some(until);
                    }
                    self.rest_until = None;
                    true
                }
                Step::Fin => {
                    if wire.shutdown_write(PEER).is_ok() {
                        self.said_all = Some(self.sent);
                    }
                    true
                }
                Step::Close | Step::Abort => {
                    self.leave(wire, choices, step == Step::Abort);
                    self.ended_at = now;
                    return None;
                }
            };
            if !is_done {
                return None;
            }
            self.at += 1;
            self.sent_in_step = 0;
        }
    }

    /// Sends what comes first, as far as the wire takes it; true once there is nothing left of it.
    fn send_lead(&mut self, wire: &mut Wire) -> bool {
        let waits = self.lead.answers && !self.lead.expects.is_empty() && self.sight.is_none();
        while !waits && !self.lead.says.is_empty() && !self.is_alone {
            match wire.write(PEER, &self.lead.says) {
                Ok(taken) => drop(self.lead.says.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => self.is_alone = true,
            }
        }
        !waits
    }

    /// Sends `count` bytes if the wire takes them; true once they are sent, or never will be.
    fn send(&mut self, wire: &mut Wire, choices: &mut Choices, mut count: u64) -> bool {
        while count > 0 {
            let mut buffer = [0; 4096];
            let most = usize::try_from(count).map_or(buffer.len(), |count| count.min(buffer.len()));
            let chunk = &mut buffer[..choices.part(most)];
            fill_sequence(self.out_key, &self.out_lines, self.sent, chunk);
            match wire.write(PEER, chunk) {
                Ok(taken) => {
                    self.sent += taken as u64;
                    self.sent_in_step += taken as u64;
                    count -= taken as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.is_alone = true;
                    return true;
                }
            }
        }
        true
    }

    fn leave(&mut self, wire: &mut Wire, choices: &mut Choices, abort: bool) {
        if abort {
            wire.reset_on_close(PEER);
        }
        let unsent = wire.halves[PEER].unsent();
        let kept = usize::try_from(choices.below(unsent as u64 + 1)).unwrap();
        wire.close(PEER, kept);
        if !wire.halves[PEER].is_reset {
            self.said_all = self.said_all.or(Some(self.sent));
        }
        self.has_ended = true;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// Length of the table that all sequences are cut from; a prime.
const TABLE_LENGTH: usize = 65_521;

/// The bytes of a sequence from a place on, as far as the table goes in one piece.
fn sequence(key: u64, place: u64) -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut choices = Choices::seed(1);
        (0..TABLE_LENGTH).map(|_| u8::try_from(choices.below(256)).unwrap()).collect()
    });
    &table[usize::try_from((key * 12_289 + place) % TABLE_LENGTH as u64).unwrap()..]
}

fn fill_sequence(key: u64, lines: &[u64], from: u64, bytes: &mut [u8]) {
    let mut done = 0;
    while done < bytes.len() {
        let piece = sequence(key, from + done as u64);
        let count = piece.len().min(bytes.len() - done);
        bytes[done..done + count].copy_from_slice(&piece[..count]);
        done += count;
    }
    for end in lines {
        if (from + 1..=from + bytes.len() as u64).contains(end) {
            bytes[usize::try_from(end - 1 - from).unwrap()] = b'\n';
        }
    }
}

fn is_sequence(key: u64, lines: &[u64], from: u64, bytes: &[u8]) -> bool {
    let mut expected = vec![0; bytes.len()];
    fill_sequence(key, lines, from, &mut expected);
    expected == bytes
}
