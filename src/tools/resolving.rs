//! The resolver at work: what webresolve and splitwr share between their logs and the network.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::resolving_options::Options;
use crate::base::error::{Error, reason};
use crate::base::time::Moment;
use crate::dns::book::{Book, FOR_EVER, Known};
use crate::dns::flight::LANES;
use crate::dns::hosts::read_hosts;
use crate::dns::lookup::Outcome;
use crate::dns::resolver::{Action, Resolver};
use crate::dns::store::{read_book, write_book};
use crate::sys::dns::{Arrival, DnsNet};
use crate::sys::random::Random;

/// A file of hosts or a cache that is larger is something else.
const FILE_MAX: u64 = 1 << 30;

/// While it works, the cache is written so often.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// What became of the addresses that were asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tally {
    named: u64,
    nameless: u64,
    unfit: u64,
    unverified: u64,
    unanswered: u64,
}

/// The resolver with its sockets and its book.
pub struct Names {
    program: &'static str,
    net: DnsNet,
    resolver: Resolver<Box<dyn FnMut() -> u32>>,
    book: Book,
    tally: Tally,
    tell: bool,
    cache: Option<PathBuf>,
    save_at: Moment,
}

impl Names {
    /// Reads hosts and cache; `most` is how many addresses are remembered.
    pub fn open(options: &Options, most: usize) -> Result<Names, Error> {
        let system = |error: io::Error| Error::system(format!("cannot begin: {}", reason(&error)));
        let mut random = Random::open().map_err(system)?;
        let net = DnsNet::new(options.servers.clone(), LANES).map_err(system)?;
        let now = net.now();
        let mut book = Book::new(most);
        for (address, name) in read_hosts(&hosts_text(options.hosts.as_deref())?) {
            book.enter(address, Known::Name(name.into()), FOR_EVER);
        }
        if let Some(path) = &options.cache {
            if let Some(text) = read_file(path)? {
                read_book(&text, &mut book, now)
                    .map_err(|what| Error::config(format!("cannot use the cache {}: {what}", path.display())))?;
            }
            // Found out only at the end, all the answers would be lost.
            beside(path).and_then(|(_, _, new)| fs::remove_file(new)).map_err(|error| unwritable(path, &error))?;
        }
        Ok(Names {
            program: options.program,
            net,
            resolver: Resolver::new(options.policy, Box::new(move || random.number())),
            book,
            tally: Tally::default(),
            tell: options.tell,
            cache: options.cache.clone(),
            save_at: now.moment + SAVE_EVERY,
        })
    }

    /// The sockets, for whoever has something else to watch.
    pub fn net(&mut self) -> &mut DnsNet {
        &mut self.net
    }

    /// The entry of an address in the book; asks for its name if that is not known any more.
    pub fn look(&mut self, address: IpAddr) -> usize {
        let (at, is_unknown) = self.book.look(address, self.net.now().moment);
        if is_unknown {
            self.resolver.ask(at, address);
        }
        at
    }

    /// What is in the book.
    pub fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// What is known of the address of an entry.
    pub fn known(&self, at: usize) -> &Known {
        self.book.known(at)
    }

    /// How many addresses are being asked for.
    pub fn open_lookups(&self) -> usize {
        self.resolver.open()
    }

    /// One turn: waits until something has happened, at most for `timeout`, and sees to all lookups.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let fail = |error: io::Error| Error::system(format!("cannot wait for answers: {}", reason(&error)));
        self.act();
        let due = self.resolver.next_due().map(|due| due.since(self.net.now().moment));
        let timeout = match (timeout, due) {
            (Some(timeout), Some(due)) => Some(timeout.min(due)),
            (timeout, due) => timeout.or(due),
        };
        self.net.wait(timeout).map_err(fail)?;
        // What has come while this process did not run comes before its time-outs.
        let now = self.net.now().moment;
        let resolver = &mut self.resolver;
        self.net.arrivals(|arrival| match arrival {
            Arrival::Datagram(lane, bytes) => resolver.received(lane, bytes, now),
            Arrival::Unreachable(lane) => resolver.unreachable(lane, now),
            Arrival::Stream(stream, bytes) => resolver.stream_received(stream, bytes, now),
            Arrival::StreamFailed(stream) => resolver.stream_failed(stream, now),
        });
        self.act();
        if self.cache.is_some() && now >= self.save_at {
            self.save()?;
            self.save_at = now + SAVE_EVERY;
        }
        Ok(())
    }

    /// Begins and sends what is to be begun and sent, and notes what is over.
    fn act(&mut self) {
        let now = self.net.now().moment;
        self.resolver.turn(now);
        for action in self.resolver.actions() {
            match action {
                Action::Send { lane, message } => self.net.send(lane, &message),
                Action::Renew { lane } => self.net.renew(lane),
                Action::Connect { stream, server, message } => self.net.connect(stream, server, &message),
                Action::Disconnect { stream } => self.net.disconnect(stream),
            }
        }
        for (at, outcome) in self.resolver.outcomes() {
            self.tally.count(&outcome);
            self.book.answered(at, &outcome, now);
        }
    }

    /// Writes the cache, and says on `err` what has to be said.
    pub fn close(mut self, err: &mut impl Write) -> Result<(), Error> {
        self.save()?;
        if let Some(text) = self.tally.told(self.tell) {
            // Standard error may be closed; the log is out all the same.
            let _ = writeln!(err, "{}: {text}", self.program);
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), Error> {
        let Some(path) = &self.cache else { return Ok(()) };
        let text = write_book(&self.book, self.net.now());
        replace(path, text.as_bytes()).map_err(|error| unwritable(path, &error))
    }
}

fn unwritable(cache: &Path, error: &io::Error) -> Error {
    Error::system(format!("cannot write the cache {}: {}", cache.display(), reason(error)))
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        *match outcome {
            Outcome::Name(..) => &mut self.named,
            Outcome::Nameless(_) => &mut self.nameless,
            Outcome::Unfit(_) => &mut self.unfit,
            Outcome::Unverified(_) => &mut self.unverified,
            Outcome::Unanswered => &mut self.unanswered,
        } += 1;
    }

    /// All numbers if `all` is asked for, and otherwise those that somebody should know of.
    fn told(&self, all: bool) -> Option<String> {
        let parts = [
            (self.named, "named", false),
            (self.nameless, "without a name", false),
            (self.unverified, "whose names do not lead back to them", false),
            (self.unfit, "whose names are not fit for a log", true),
            (self.unanswered, "for which no name server had an answer", true),
        ];
        let mut text = String::new();
        for (count, what, is_trouble) in parts {
            if all || (is_trouble && count > 0) {
                let comma = if text.is_empty() { "addresses asked for: " } else { ", " };
                write!(text, "{comma}{count} {what}").expect("writing into a string does not fail");
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// The text of a file; nothing if there is none.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let fail = |error: io::Error| Error::config(format!("cannot read {}: {}", path.display(), reason(&error)));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let mut text = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut text).map_err(fail)?;
    if text.len() as u64 > FILE_MAX {
        return Err(fail(io::Error::other("it is too large")));
    }
    Ok(Some(text))
}

/// The file of hosts. A machine may have none, but not one that cannot be read; one that was asked for has
/// to be there.
fn hosts_text(asked_for: Option<&Path>) -> Result<Vec<u8>, Error> {
    let path = asked_for.unwrap_or(Path::new("/etc/hosts"));
    match (read_file(path)?, asked_for) {
        (Some(text), _) => Ok(text),
        (None, None) => Ok(Vec::new()),
        (None, Some(_)) => Err(Error::config(format!("cannot read {}: no such file or directory", path.display()))),
    }
}

/// Puts a file in place at one stroke: there is the old one or the new one, never a part.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let (mut file, path, new) = beside(path)?;
    let written = file.write_all(text).and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// A new file that may take the place of another one, where that is, and its own path.
fn beside(path: &Path) -> io::Result<(File, PathBuf, PathBuf)> {
    // Devices and pipes have no old and new.
    if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    // Of a symbolic link what it leads to is replaced, so that the link stays.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_os_string();
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    Ok((file, path, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_should_know_is_told() {
        let quiet = Tally { named: 3, nameless: 2, unverified: 1, ..Tally::default() };
        assert_eq!(quiet.told(false), None);
        let all = "addresses asked for: 3 named, 2 without a name, 1 whose names do not lead back to them, \
                   0 whose names are not fit for a log, 0 for which no name server had an answer";
        assert_eq!(quiet.told(true).as_deref(), Some(all));
        let trouble = Tally { unfit: 1, unanswered: 7, ..quiet };
        let some = "addresses asked for: 1 whose names are not fit for a log, 7 for which no name server had an answer";
        assert_eq!(trouble.told(false).as_deref(), Some(some));
    }
}
