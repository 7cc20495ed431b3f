//! The logs that are read: pen's, and those of the web servers.
//!
//! Times in logs are whole seconds. What is logged within one is spread over it in its order, so
//! that order counts where requests are compared.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs;

use super::canonical;
use crate::base::addr::ClientAddr;
use crate::base::bytes::masked;
use crate::base::error::Error;
use crate::logs::matching::{Matcher, WebId};
use crate::logs::record::{self, TEXT_MAX};
use crate::logs::weblog::{LoggedTime, Reader, agent, as_recorded, key};
use crate::tools::input::{Lines, Start};

/// How much of a log that cannot be read twice is surveyed, in bytes.
const START_MAX: u64 = 4 * 1024 * 1024;
/// Web lines that are read at once.
const LINES: usize = 512;
/// A second has no more lines than this, as far as spreading goes.
const RUN_MAX: usize = 100_000;
/// When within their second the further ones were, in milliseconds: what comes in order stays so.
const LAST: i64 = 999;
/// A log's time is believed to have come to where so many lines in a row agree: a single one
/// from the future does not count.
const AGREEING: usize = 3;
/// Different servers of pen's log whose names are remembered.
const NAMES_MAX: usize = 10_000;

/// Opens a log, and its start if it is a pipe: files are just opened again.
pub(super) fn open(path: &OsString) -> Result<(Option<Start>, Lines), Error> {
    let is_file = path != "-" && fs::metadata(path).is_ok_and(|found| found.is_file());
    if is_file {
        return Ok((None, Lines::open(path)?));
    }
    Lines::open_with_start(path, START_MAX).map(|(start, lines)| (Some(start), lines))
}

/// What pen saw, as pen's log has it.
pub(super) struct Seen {
    pub(super) server: usize,
    pub(super) key: u64,
    pub(super) unix: i64,
    client: ClientAddr,
}

/// Reads records, and knows the servers by number.
pub(super) struct RecordReader {
    numbers: HashMap<String, Option<usize>>,
    shift: i64,
    text: Vec<u8>,
    /// Lines that are no records.
    pub(super) strange: u64,
}

/// What a line of pen's log is.
pub(super) enum PenLine {
    Record(Seen),
    /// A record of a server whose log is not merged, with its time.
    Other(i64),
    Strange,
}

impl RecordReader {
    /// `shift` seconds are subtracted from all times.
    pub(super) fn new(servers: &[String], shift: i64) -> RecordReader {
        let numbers = servers.iter().enumerate().map(|(number, server)| (server.clone(), Some(number)));
        RecordReader { numbers: numbers.collect(), shift, text: Vec::new(), strange: 0 }
    }

    pub(super) fn parse(&mut self, line: &[u8]) -> PenLine {
        let record = record::parse(line).and_then(|record| Some((i64::try_from(record.unix).ok()?, record)));
        let Some((unix, record)) = record.filter(|(unix, _)| *unix < i64::MAX / 2000) else {
            self.strange += 1;
            return PenLine::Strange;
        };
        let unix = unix - self.shift;
        let Some(server) = self.number(record.server) else { return PenLine::Other(unix) };
        self.text.clear();
        self.text.extend(record.text.iter().take(TEXT_MAX).map(|byte| masked(*byte)));
        PenLine::Record(Seen { server, key: key(server, &self.text), unix, client: record.client })
    }

    fn number(&mut self, server: &str) -> Option<usize> {
        if let Some(number) = self.numbers.get(server) {
            return *number;
        }
        let number = self.numbers.get(&canonical(server)).copied().flatten();
        if self.numbers.len() < NAMES_MAX {
            self.numbers.insert(String::from(server), number);
        }
        number
    }
}

/// pen's log, read as far as it is needed.
pub(super) struct PenLog {
    pub(super) lines: Lines,
    reader: RecordReader,
    /// The records of one second.
    run: Vec<Seen>,
    /// For each server, how many of them there are, and were passed on.
    counts: Vec<(usize, usize)>,
    unix: i64,
    /// The second of the last ones that were passed on.
    passed: i64,
    has_ended: bool,
}

impl PenLog {
    pub(super) fn new(lines: Lines, reader: RecordReader) -> PenLog {
        let never = i64::MIN / 2000;
        PenLog { lines, reader, run: Vec::new(), counts: Vec::new(), unix: never, passed: never, has_ended: false }
    }

    /// Tells the matcher all that pen saw up to this time, in milliseconds.
    pub(super) fn read_to(&mut self, until: i64, matcher: &mut Matcher) -> Result<(), Error> {
        while !self.has_ended && self.unix * 1000 <= until {
            let Some(line) = self.lines.next_line()? else {
                self.has_ended = true;
                break;
            };
            let (unix, seen) = match self.reader.parse(line) {
                PenLine::Record(seen) => (seen.unix, Some(seen)),
                PenLine::Other(unix) => (unix, None),
                PenLine::Strange => continue,
            };
            if unix != self.unix || self.run.len() >= RUN_MAX {
                self.pass_on(matcher);
                self.unix = unix;
            }
            self.run.extend(seen);
        }
        if self.has_ended {
            self.pass_on(matcher);
        }
        Ok(())
    }

    fn pass_on(&mut self, matcher: &mut Matcher) {
        let Some(unix) = self.run.first().map(|seen| seen.unix) else { return };
        let is_rest = std::mem::replace(&mut self.passed, unix) == unix;
        self.counts.iter_mut().for_each(|count| *count = (0, 0));
        for seen in &self.run {
            if self.counts.len() <= seen.server {
                self.counts.resize(seen.server + 1, (0, 0));
            }
            self.counts[seen.server].1 += 1;
        }
        for Seen { server, key, unix, client } in self.run.drain(..) {
            let (place, count) = &mut self.counts[server];
            let within = if is_rest { LAST } else { spread(*place, *count) };
            matcher.pen(key, server, unix * 1000 + within, client);
            *place += 1;
        }
    }

    /// Lines that were no records.
    pub(super) fn strange(&self) -> u64 {
        self.reader.strange
    }
}

/// When the request at this place of so many was made, in milliseconds of its second.
fn spread(place: usize, count: usize) -> i64 {
    let (place, count) = (place as i64, count as i64);
    (2 * place + 1) * 500 / count
}

/// A web server's log, read line by line and held until no earlier line can come.
pub(super) struct WebLog {
    pub(super) lines: Lines,
    number: usize,
    pub(super) server: usize,
    reader: Reader,
    text: Vec<u8>,
    /// What was read and is not held yet: the last second may go on.
    fresh: VecDeque<Fresh>,
    /// The time of the last line that is held.
    order: i64,
    /// The times of the last lines.
    last: [i64; AGREEING],
    /// Where the log has come to, in milliseconds by its own clock.
    pub(super) front: i64,
    /// The latest time of all lines.
    pub(super) latest: i64,
    pub(super) has_ended: bool,
    pub(super) held: VecDeque<Held>,
    pub(super) total: Total,
}

/// What a log came to.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Total {
    pub(super) lines: u64,
    /// Lines whose client was found.
    pub(super) named: u64,
    /// Lines that could not be parsed.
    pub(super) strange: u64,
}

struct Fresh {
    line: Box<[u8]>,
    parts: Option<(Parts, Request)>,
}

impl Fresh {
    fn millis(&self) -> Option<i64> {
        self.parts.as_ref().map(|parts| parts.0.at.millis)
    }
}

/// What the matcher compares.
struct Request {
    key: u64,
    agent: Option<u32>,
}

/// A line that waits for its turn.
pub(super) struct Held {
    /// Its place in the output: the time of the line, or of the one before that has a time.
    pub(super) order: i64,
    pub(super) line: Box<[u8]>,
    pub(super) parts: Option<(Parts, WebId)>,
}

/// Where in the line is what.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) client_end: usize,
    pub(super) time: (usize, usize),
    pub(super) at: LoggedTime,
}

impl WebLog {
    pub(super) fn new(lines: Lines, number: usize, server: usize) -> WebLog {
        WebLog {
            lines,
            number,
            server,
            reader: Reader::default(),
            text: Vec::new(),
            fresh: VecDeque::new(),
            order: i64::MIN / 4,
            last: [i64::MIN / 4; AGREEING],
            front: i64::MIN / 4,
            latest: i64::MIN / 4,
            has_ended: false,
            held: VecDeque::new(),
            total: Total::default(),
        }
    }

    /// Reads some lines.
    pub(super) fn read(&mut self) -> Result<(), Error> {
        for _ in 0..LINES {
            let Some(line) = self.lines.next_line()? else {
                self.has_ended = true;
                break;
            };
            self.total.lines += 1;
            let parts = self.reader.parse(line).map(|found| {
                let agent = agent(&line[found.request.end..]);
                let recorded = as_recorded(&line[found.request], &mut self.text);
                let parts =
                    Parts { client_end: found.client_end, time: (found.time.start, found.time.end), at: found.at };
                (parts, Request { key: key(self.server, recorded), agent })
            });
            match &parts {
                Some((parts, _)) => {
                    self.latest = self.latest.max(parts.at.millis);
                    self.last.rotate_left(1);
                    self.last[AGREEING - 1] = parts.at.millis;
                    let agreed = self.last.iter().fold(i64::MAX, |least, at| least.min(*at));
                    self.front = self.front.max(agreed);
                }
                None => self.total.strange += 1,
            }
            self.fresh.push_back(Fresh { line: Box::from(line), parts });
        }
        Ok(())
    }

    /// Tells the matcher of the lines that were read, and holds them.
    pub(super) fn hold(&mut self, matcher: &mut Matcher) {
        let mut fresh = std::mem::take(&mut self.fresh);
        loop {
            let run = first_second(&fresh);
            if run == 0 || (run == fresh.len() && run < RUN_MAX && !self.has_ended) {
                break;
            }
            let is_rest = fresh.front().and_then(Fresh::millis) == Some(self.order);
            for (place, one) in fresh.drain(..run).enumerate() {
                let within = if is_rest { LAST } else { spread(place, run) };
                self.hold_one(one, within, matcher);
            }
        }
        self.fresh = fresh;
    }

    fn hold_one(&mut self, Fresh { line, parts }: Fresh, within: i64, matcher: &mut Matcher) {
        let parts = parts.map(|(parts, request)| {
            self.order = parts.at.millis;
            let within = if parts.at.is_fine { 0 } else { within };
            let at = parts.at.millis + within;
            (parts, matcher.web(request.key, self.number, at, request.agent))
        });
        let order = self.order;
        let later = self.held.iter().rev().take_while(|held| held.order > order).count();
        self.held.insert(self.held.len() - later, Held { order, line, parts });
    }
}

/// How many lines at the start are of one second; those without a time go with the one before.
fn first_second(fresh: &VecDeque<Fresh>) -> usize {
    let second = |one: &Fresh| one.millis().map(|millis| millis.div_euclid(1000));
    let Some(first) = fresh.front() else { return 0 };
    let first = second(first);
    fresh.iter().take(RUN_MAX).take_while(|one| second(one).is_none_or(|second| Some(second) == first)).count().max(1)
}
