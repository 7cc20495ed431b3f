//! The request log: records are gathered during a turn and written at its end.
//!
//! A log that is full, slow or gone never holds up a pair: what it does not take is dropped and
//! counted, and said once.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use memchr::{memchr, memchr_iter};

use super::Proxy;
use crate::base::addr::{ClientAddr, Endpoint};
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::time::Moment;
use crate::control::event::OfProcess;
use crate::logs::record::{write_datagrams, write_records};
use crate::net::{LogTarget, Net};

/// Bytes that may wait for a log that does not take them.
const WAITING_MAX: usize = 256 * 1024;

/// How long to wait before writing again to a log that was not ready.
const PAUSE: Duration = Duration::from_millis(200);

/// The request log, and what waits for it.
#[derive(Debug)]
pub struct ReqLog<L> {
    log: Option<(LogTarget, L)>,
    waiting: Vec<u8>,
    lines_lost: u64,
    /// Those that the operator was told of.
    lines_told: u64,
    is_failing: bool,
    /// What was written last is not the end of a line.
    is_within_line: bool,
    /// The rest of that line is lost: what comes next begins on a line of its own.
    is_torn: bool,
    /// The operator was told that there is no penlogd.
    is_unheard: bool,
}

/// What a flush found worth saying.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Found {
    /// Lines are lost from now on.
    Failing(String),
    /// Lines are written again; so many were lost.
    Working(u64),
}

impl<L: Write> ReqLog<L> {
    /// A log that is open, or none.
    pub fn new(log: Option<(LogTarget, L)>) -> ReqLog<L> {
        let (is_failing, is_within_line, is_torn, is_unheard) = (false, false, false, false);
        ReqLog {
            log,
            waiting: Vec::new(),
            lines_lost: 0,
            lines_told: 0,
            is_failing,
            is_within_line,
            is_torn,
            is_unheard,
        }
    }

    /// True if records are wanted.
    pub fn is_open(&self) -> bool {
        self.log.is_some()
    }

    /// How many lines are lost since the start.
    pub fn lines_lost(&self) -> u64 {
        self.lines_told + self.lines_lost
    }

    /// Notes what a client sent.
    #[inline(never)]
    pub fn record(&mut self, client: ClientAddr, unix: u64, server: &Endpoint, chunk: &[u8]) {
        let Some((target, _)) = &self.log else { return };
        if self.waiting.len() >= WAITING_MAX {
            self.lines_lost += 1;
            return;
        }
        match target {
            LogTarget::File(_) => write_records(&mut self.waiting, client, unix, &server.host(), chunk),
            LogTarget::Udp(_) => write_datagrams(&mut self.waiting, client, &server.host(), chunk),
        };
    }

    /// When to write again what the log did not take: nothing else tells when it will.
    pub(super) fn next_due(&self, now: Moment) -> Option<Moment> {
        (self.log.is_some() && !self.waiting.is_empty()).then(|| now + PAUSE)
    }

    /// Writes what has been gathered; drops what the log refuses.
    fn flush(&mut self) -> Option<Found> {
        let (target, log) = self.log.as_mut()?;
        let mut start = 0;
        let mut found = None;
        if self.is_torn && !self.waiting.is_empty() {
            self.is_torn = false;
            self.waiting.insert(0, b'\n');
        }
        let mut refused_at = None;
        while start < self.waiting.len() {
            let rest = &self.waiting[start..];
            let part = match target {
                LogTarget::File(_) => rest,
                LogTarget::Udp(_) => &rest[..memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)],
            };
            match log.write(part) {
                Ok(count) if count > 0 => {
                    start += count;
                    self.is_within_line = self.waiting[start - 1] != b'\n';
                    // One that is merely slow has caught up only when it has taken all.
                    if start == self.waiting.len() && std::mem::take(&mut self.is_failing) {
                        let lost = std::mem::take(&mut self.lines_lost);
                        self.lines_told += lost;
                        found = Some(Found::Working(lost));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.waiting.len() >= WAITING_MAX && !std::mem::replace(&mut self.is_failing, true) {
                        found = Some(Found::Failing(String::from("it is too slow")));
                    }
                    break;
                }
                // This is about a datagram of before; the one at hand was not sent (udp(7)). It
                // comes for every other one, so it is said once.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused && refused_at != Some(start) => {
                    refused_at = Some(start);
                    if !std::mem::replace(&mut self.is_unheard, true) {
                        found = Some(Found::Failing(reason(&error)));
                    }
                }
                outcome => {
                    let why = outcome.err().map_or_else(|| String::from("nothing was written"), |error| reason(&error));
                    // A line of which the newline alone is missing is not lost: it comes before the next one.
                    let is_whole = part[0] == b'\n';
                    self.lines_lost += (memchr_iter(b'\n', part).count() - usize::from(is_whole)) as u64;
                    self.is_torn = self.is_within_line;
                    start += part.len();
                    if !std::mem::replace(&mut self.is_failing, true) {
                        found = Some(Found::Failing(why));
                    }
                }
            }
        }
        self.waiting.drain(..start);
        found
    }
}

impl<L: Write> ReqLog<L> {
    /// Takes another log, or the same one anew. Lines that the old one did not take go into the new one if that is of
    /// the same kind. Returns how many are lost, if that will not be told when lines are written again.
    fn switch(&mut self, log: Option<(LogTarget, L)>) -> u64 {
        // The old one has the beginning of a line: the rest is of no use to the new one.
        if self.is_within_line && !self.is_torn {
            let end = memchr(b'\n', &self.waiting).map_or(self.waiting.len(), |end| end + 1);
            self.waiting.drain(..end);
            // Without its newline alone it is not lost.
            self.lines_lost += u64::from(end > 1);
        }
        let is_file = |log: &Option<(LogTarget, L)>| matches!(log, Some((LogTarget::File(_), _)));
        if !(is_file(&self.log) && is_file(&log)) {
            self.lines_lost += memchr_iter(b'\n', &self.waiting).count() as u64;
            self.waiting.clear();
        }
        // The same file may be meant again, so the line is ended in the old one, or else in the new one.
        let is_within_line = std::mem::take(&mut self.is_within_line);
        let ended = self.log.as_mut().is_some_and(|(_, old)| is_within_line && matches!(old.write(b"\n"), Ok(1)));
        let is_same = matches!((&self.log, &log), (Some((old, _)), Some((new, _))) if old == new);
        self.is_torn = is_within_line && !ended && is_same;
        self.is_unheard = false;
        self.log = log;
        if self.is_failing {
            return 0;
        }
        let lost = std::mem::take(&mut self.lines_lost);
        self.lines_told += lost;
        lost
    }
}

impl<N: Net> Proxy<N> {
    /// Writes the records of this turn.
    pub(super) fn flush_log(&mut self) {
        match self.reqlog.flush() {
            None => {}
            Some(Found::Failing(why)) => {
                self.tell_process(OfProcess::LogFailing { why: &why });
            }
            Some(Found::Working(lost)) => {
                self.tell_process(OfProcess::LogWorking { lost });
            }
        }
    }

    /// Closes the log and opens it again by name, so that it can be rotated. If that fails, the
    /// one that is open stays.
    pub(super) fn reopen_log(&mut self) {
        let Some((target, _)) = &self.reqlog.log else { return };
        let target = target.clone();
        if let Err(why) = self.open_log(target).map(|opened| self.use_log(Some(opened))) {
            self.say(Severity::Error, &format!("{why}; the old log stays open"));
        }
    }

    /// Opens a log that is not used yet.
    pub(super) fn open_log(&mut self, target: LogTarget) -> Result<(LogTarget, N::Log), String> {
        match self.net.open_log(&target) {
            Ok(log) => Ok((target, log)),
            Err(error) => Err(format!("cannot open the log {target}: {}", reason(&error))),
        }
    }

    /// Switches to another log that was opened, or to none.
    pub(super) fn use_log(&mut self, opened: Option<(LogTarget, N::Log)>) {
        self.flush_log();
        let lost = self.reqlog.switch(opened);
        if lost > 0 {
            self.say(Severity::Warning, &format!("the old log did not take all; lines lost: {lost}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fake::Disk;

    fn reqlog(target: LogTarget, room: usize, full: ErrorKind) -> ReqLog<Disk> {
        ReqLog::new(Some((target, Disk { written: Vec::new(), room, full, refill: 0 })))
    }

    fn record(log: &mut ReqLog<Disk>, text: &str) {
        let server = Endpoint::inet("192.0.2.1:80".parse().unwrap());
        log.record(ClientAddr::Inet("192.0.2.9".parse().unwrap()), 7, &server, text.as_bytes());
    }

    fn disk(log: &mut ReqLog<Disk>) -> &mut Disk {
        &mut log.log.as_mut().unwrap().1
    }

    #[test]
    fn a_full_disk_loses_lines_counts_them_and_says_so_once() {
        let mut log = reqlog(LogTarget::File("x".into()), 0, ErrorKind::StorageFull);
        record(&mut log, "one\n");
        assert!(matches!(log.flush(), Some(Found::Failing(_))));
        record(&mut log, "two\n");
        record(&mut log, "three\n");
        assert_eq!(log.flush(), None);
        disk(&mut log).room = 1000;
        record(&mut log, "four\n");
        assert_eq!(log.flush(), Some(Found::Working(3)));
        assert_eq!(disk(&mut log).written, b"192.0.2.9 7 192.0.2.1 four\n");
    }

    #[test]
    fn a_line_that_is_torn_does_not_spoil_the_next() {
        let line = b"192.0.2.9 7 192.0.2.1 one\n";
        // Nothing but the newline is missing; the text is cut; the first of two lines fits.
        for (room, lost) in [(line.len() - 1, 1), (line.len() - 3, 2), (line.len(), 1)] {
            let mut log = reqlog(LogTarget::File("x".into()), room, ErrorKind::StorageFull);
            record(&mut log, "one\n");
            if room == line.len() {
                record(&mut log, "two\n");
                assert!(matches!(log.flush(), Some(Found::Failing(_))));
            } else {
                assert!(matches!(log.flush(), Some(Found::Failing(_))));
                record(&mut log, "two\n");
                assert_eq!(log.flush(), None);
            }
            disk(&mut log).room = 1000;
            record(&mut log, "three\n");
            assert_eq!(log.flush(), Some(Found::Working(lost)), "{room}");
            let (start, end) = disk(&mut log).written.split_at(room);
            assert_eq!(start, &line[..room]);
            let newline: &[u8] = if room == line.len() { b"" } else { b"\n" };
            assert_eq!(end, [newline, b"192.0.2.9 7 192.0.2.1 three\n"].concat());
        }
    }

    #[test]
    fn a_log_that_is_reopened_gets_what_the_old_one_did_not_take_and_no_torn_line() {
        const ONE: &[u8] = b"192.0.2.9 7 192.0.2.1 one\n";
        const TWO: &[u8] = b"192.0.2.9 7 192.0.2.1 two\n";
        const TORN: &[u8] = b"\n192.0.2.9 7 192.0.2.1 two\n";
        let (slow, full) = (ErrorKind::WouldBlock, ErrorKind::StorageFull);
        let file = |name: &str| LogTarget::File(name.into());
        // Room in the old one, how it refuses, what it has at the end; then the new one, what that has, what is lost.
        let table = [
            (1000, slow, [ONE, TWO].concat(), file("x"), &b""[..], 0),
            (0, slow, Vec::new(), file("x"), &[ONE, TWO].concat()[..], 0),
            (0, slow, Vec::new(), file("y"), &[ONE, TWO].concat()[..], 0),
            (10, slow, ONE[..10].to_vec(), file("x"), TORN, 1),
            (10, slow, ONE[..10].to_vec(), file("y"), TWO, 1),
            (ONE.len() - 1, slow, ONE[..ONE.len() - 1].to_vec(), file("x"), TORN, 0),
            (ONE.len() + 5, slow, [ONE, &TWO[..5]].concat(), file("y"), b"", 1),
            (0, slow, Vec::new(), LogTarget::Udp("192.0.2.5:514".parse().unwrap()), b"", 2),
            // What is lost before is told when lines are written again.
            (10, full, ONE[..10].to_vec(), file("x"), b"\n", 0),
        ];
        for (room, how, old, target, new, lost) in table {
            let mut log = reqlog(file("x"), room, how);
            record(&mut log, "one\n");
            record(&mut log, "two\n");
            log.flush();
            assert_eq!(disk(&mut log).written, old);
            let is_torn = new.starts_with(b"\n");
            let fresh = Disk { written: Vec::new(), room: 1000, full: how, refill: 0 };
            assert_eq!(log.switch(Some((target, fresh))), lost, "{room}");
            if is_torn && new.len() == 1 {
                record(&mut log, "two\n");
            }
            log.flush();
            let expected = if is_torn { TORN } else { new };
            assert_eq!(String::from_utf8_lossy(&disk(&mut log).written), String::from_utf8_lossy(expected), "{room}");
        }
        // Where the old one takes the newline after all, that is where it goes.
        let mut log = reqlog(file("x"), 10, full);
        record(&mut log, "one\n");
        log.flush();
        disk(&mut log).room = 1000;
        assert_eq!(log.switch(None), 0);
        assert!(!log.is_torn && log.log.is_none());
    }

    #[test]
    fn a_slow_log_gets_its_lines_later_and_in_order() {
        let mut log = reqlog(LogTarget::File("x".into()), 10, ErrorKind::WouldBlock);
        record(&mut log, "one\n");
        assert_eq!(log.flush(), None);
        record(&mut log, "two\n");
        disk(&mut log).room = 1000;
        assert_eq!(log.flush(), None);
        assert_eq!(disk(&mut log).written, b"192.0.2.9 7 192.0.2.1 one\n192.0.2.9 7 192.0.2.1 two\n");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut log = reqlog(LogTarget::File("x".into()), 0, ErrorKind::WouldBlock);
        for _ in 0..100_000 {
            record(&mut log, "GET / HTTP/1.0\n");
        }
        assert_eq!(log.flush(), Some(Found::Failing(String::from("it is too slow"))));
        assert!(log.waiting.len() < WAITING_MAX + 200);
        assert!(log.lines_lost > 90_000);
        assert_eq!(log.next_due(Moment::default()), Some(Moment::default() + PAUSE));
        disk(&mut log).room = usize::MAX;
        assert!(matches!(log.flush(), Some(Found::Working(lost)) if lost > 90_000));
        assert_eq!(log.next_due(Moment::default()), None);
    }

    #[test]
    fn a_penlogd_that_is_not_there_is_told_of_once() {
        let mut log = reqlog(LogTarget::Udp("192.0.2.5:514".parse().unwrap()), 0, ErrorKind::ConnectionRefused);
        let mut said = Vec::new();
        for _ in 0..10 {
            // As on loopback: every other send tells of the one before it.
            disk(&mut log).room = 27;
            record(&mut log, "one\n");
            record(&mut log, "two\n");
            disk(&mut log).refill = 27;
            said.extend(log.flush());
        }
        assert_eq!(said, [Found::Failing(String::from("connection refused"))]);
        assert_eq!(log.lines_lost, 0);
    }

    #[test]
    fn penlogd_gets_a_datagram_for_each_line() {
        let mut log = reqlog(LogTarget::Udp("192.0.2.5:514".parse().unwrap()), 1000, ErrorKind::WouldBlock);
        record(&mut log, "one\n");
        record(&mut log, "two\n");
        assert_eq!(log.flush(), None);
        assert_eq!(disk(&mut log).written, b"+ 192.0.2.9 192.0.2.1 one\n+ 192.0.2.9 192.0.2.1 two\n");
    }
}
