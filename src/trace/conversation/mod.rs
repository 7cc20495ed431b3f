//! What is said on one connection, told in words: one decoder, once it is known which.
//!
//! Whatever it keeps of a connection is bounded. It veils what is secret in the bytes that it is
//! given, so that whoever shows them afterwards shows no secret either.
//!
//! Without the decoders, which can be left out, nothing is told, and only what shows to be secret in
//! a line by itself is veiled.

use super::dns::Dns;
use super::dump::Direction;
use super::ftp::Ftp;
use super::http::{self, Http};
use super::imap::Imap;
use super::ldap::Ldap;
use super::lines::{Line, is_one_of, word, word_start};
use super::pop3::Pop3;
use super::protocol::{OPENING_MAX, Protocol, Verdict, judge};
use super::smtp::Smtp;
use super::tls::Tls;
use super::told::Told;
use crate::base::features::DECODERS;

/// What is said on a connection.
#[derive(Debug)]
pub struct Conversation {
    port: Option<u16>,
    /// Nothing was said before.
    is_fresh: bool,
    decoder: Decoder,
    /// Lines of what is not known, up and down, for secrets that show all the same.
    lines: [Line; 2],
}

#[derive(Debug)]
enum Decoder {
    /// Not known yet: what was said so far, up and down, and who began.
    Open {
        said: [Vec<u8>; 2],
        first: Direction,
    },
    Ftp(Ftp),
    Smtp(Smtp),
    Pop3(Pop3),
    Imap(Imap),
    Http(Box<Http>),
    Ldap(Box<Ldap>),
    Tls(Tls),
    Dns(Dns),
    /// None that is known.
    None,
}

impl Decoder {
    fn new(protocol: Protocol, is_fresh: bool) -> Decoder {
        match protocol {
            Protocol::Ftp => Decoder::Ftp(Ftp::new(is_fresh)),
            Protocol::Smtp => Decoder::Smtp(Smtp::new(is_fresh)),
            Protocol::Pop3 => Decoder::Pop3(Pop3::new(is_fresh)),
            Protocol::Imap => Decoder::Imap(Imap::new(is_fresh)),
            Protocol::Http => Decoder::Http(Box::default()),
            Protocol::Ldap => Decoder::Ldap(Box::default()),
            Protocol::Tls => Decoder::Tls(Tls::default()),
            Protocol::Dns => Decoder::Dns(Dns::default()),
        }
    }

    fn protocol(&self) -> Option<Protocol> {
        Some(match self {
            Decoder::Open { .. } | Decoder::None => return None,
            Decoder::Ftp(_) => Protocol::Ftp,
            Decoder::Smtp(_) => Protocol::Smtp,
            Decoder::Pop3(_) => Protocol::Pop3,
            Decoder::Imap(_) => Protocol::Imap,
            Decoder::Http(_) => Protocol::Http,
            Decoder::Ldap(_) => Protocol::Ldap,
            Decoder::Tls(_) => Protocol::Tls,
            Decoder::Dns(_) => Protocol::Dns,
        })
    }

    /// Takes a chunk; how much of it is of this protocol, if TLS begins.
    fn take(&mut self, direction: Direction, chunk: &mut [u8], told: &mut Told<'_>) -> Option<usize> {
        match self {
            Decoder::Open { .. } | Decoder::None => {}
            Decoder::Ftp(ftp) => return ftp.take(direction, chunk, told),
            Decoder::Smtp(smtp) => return smtp.take(direction, chunk, told),
            Decoder::Pop3(pop3) => return pop3.take(direction, chunk, told),
            Decoder::Imap(imap) => return imap.take(direction, chunk, told),
            Decoder::Ldap(ldap) => return ldap.take(direction, chunk, told),
            Decoder::Http(http) => http.take(direction, chunk, told),
            Decoder::Tls(tls) => tls.take(direction, chunk, told),
            Decoder::Dns(dns) => dns.take(direction, chunk, told),
        }
        None
    }
}

impl Conversation {
    /// One with a server at this port. It is fresh if nothing was said before.
    pub fn new(port: Option<u16>, is_fresh: bool) -> Conversation {
        let decoder = Decoder::Open { said: [Vec::new(), Vec::new()], first: Direction::Up };
        Conversation { port, is_fresh, decoder, lines: [Line::default(), Line::default()] }
    }

    /// The protocol, once it is known.
    pub fn protocol(&self) -> Option<Protocol> {
        self.decoder.protocol()
    }

    /// Takes a chunk that was not shown yet: veils what is secret in it, and appends what it says
    /// to `lines`, a line for each message.
    pub fn take(&mut self, direction: Direction, chunk: &mut [u8], lines: &mut Vec<u8>, shows_secrets: bool) {
        let mut told = Told::new(lines, shows_secrets);
        self.settle(direction, chunk, &mut told);
        let Some(protocol) = self.decoder.protocol().filter(|_| DECODERS.is_there()) else {
            self.veil_lines(direction, chunk, &told);
            return;
        };
        told.begin(protocol.name());
        if let Some(used) = self.decoder.take(direction, chunk, &mut told) {
            self.decoder = Decoder::new(Protocol::Tls, true);
            told.begin(Protocol::Tls.name());
            self.decoder.take(direction, &mut chunk[used..], &mut told);
        }
        told.end();
    }

    /// Finds out which protocol it is, with what this chunk adds, and then goes through all that
    /// was said before it.
    fn settle(&mut self, direction: Direction, chunk: &[u8], told: &mut Told<'_>) {
        if !DECODERS.is_there() {
            self.decoder = Decoder::None;
        }
        let Decoder::Open { said, first } = &mut self.decoder else { return };
        if said.iter().all(Vec::is_empty) {
            *first = direction;
        }
        let own = &mut said[direction as usize];
        let before = own.len();
        own.extend_from_slice(&chunk[..chunk.len().min(OPENING_MAX)]);
        let mut verdict = judge(self.port, &said[Direction::Up as usize], &said[Direction::Down as usize]);
        if verdict == Verdict::Open && !self.is_fresh {
            // The beginning of any chunk may be that of a message.
            verdict = match direction {
                Direction::Up => judge(None, chunk, b""),
                Direction::Down => judge(None, b"", chunk),
            };
            if matches!(verdict, Verdict::Is(_)) {
                said.iter_mut().for_each(Vec::clear);
            }
        }
        match verdict {
            Verdict::Open => {}
            Verdict::None if self.is_fresh => self.decoder = Decoder::None,
            // Of one that was missed the beginning of any chunk may be that of a message.
            Verdict::None => said.iter_mut().for_each(Vec::clear),
            Verdict::Is(protocol) => {
                said[direction as usize].truncate(before);
                let (mut said, first) = (std::mem::take(said), *first);
                let second = if first == Direction::Up { Direction::Down } else { Direction::Up };
                self.decoder = Decoder::new(protocol, self.is_fresh);
                told.begin(protocol.name());
                for direction in [first, second] {
                    self.decoder.take(direction, &mut said[direction as usize], told);
                }
            }
        }
    }

    /// Veils what is a secret in whichever protocol that has lines.
    fn veil_lines(&mut self, direction: Direction, chunk: &mut [u8], told: &Told<'_>) {
        let line = &mut self.lines[direction as usize];
        let mut used = 0;
        while used < chunk.len() {
            let (count, is_whole) = line.take(&mut chunk[used..], told, secret_of_any);
            used += count;
            if is_whole {
                line.clear();
            }
        }
    }
}

fn secret_of_any(line: &[u8]) -> Option<usize> {
    let verb = word(line, 0);
    if is_one_of(verb, &["PASS", "ACCT", "ADAT"]) {
        return word_start(line, 1);
    }
    if is_one_of(verb, &["AUTH", "APOP"]) {
        return word_start(line, 2);
    }
    if is_one_of(word(line, 1), &["LOGIN", "AUTHENTICATE"]) {
        return word_start(line, 3);
    }
    http::secret_from(line)
}

#[cfg(test)]
mod tests;
