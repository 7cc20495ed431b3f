//! Compares the clocks before anything is written: reads as much of the logs' beginnings as it
//! takes to be certain.

use std::ffi::OsString;

use super::sources::{PenLine, RecordReader};
use crate::base::error::Error;
use crate::logs::matching::{Estimate, Survey};
use crate::logs::weblog::{Reader, as_recorded, key};
use crate::tools::input::{Lines, Start};

/// Lines of each log that are read in the first round; in each further one three times as many.
const ROUND: usize = 20_000;
/// Lines of each log after which it is left at that.
const LINES_MAX: usize = 2_000_000;

/// One log as the survey reads it.
pub(super) struct Scout {
    lines: Lines,
    has_ended: bool,
    count: usize,
    /// A pipe's beginning may be cut.
    is_start: bool,
}

impl Scout {
    /// Opens the log again, unless its start was put aside.
    pub(super) fn new(path: &OsString, start: Option<Start>) -> Result<Scout, Error> {
        let is_start = start.is_some();
        let lines = start.map_or_else(|| Lines::open(path), |start| Ok(start.lines()))?;
        Ok(Scout { lines, has_ended: false, count: 0, is_start })
    }

    /// Passes the next lines to `take`, until it has read so many in all.
    fn read(&mut self, until: usize, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        while !self.has_ended && self.count < until {
            match self.lines.next_line() {
                Ok(Some(line)) => take(line),
                Ok(None) => self.has_ended = true,
                Err(_) if self.is_start => self.has_ended = true,
                Err(error) => return Err(error),
            }
            self.count += 1;
        }
        Ok(())
    }
}

/// How far each web log's clock is ahead of pen's. The first scout is pen's log, the others are
/// the web logs, `servers` the numbers of their servers; `near` is what counts as hardly any, in
/// milliseconds.
pub(super) fn compare(
    mut scouts: Vec<Scout>,
    mut records: RecordReader,
    servers: &[usize],
    near: i64,
) -> Result<Vec<Option<Estimate>>, Error> {
    let count = servers.iter().max().map_or(0, |most| most + 1);
    let mut seen: Vec<Survey> = (0..count).map(|_| Survey::default()).collect();
    let mut logged: Vec<Survey> = servers.iter().map(|_| Survey::default()).collect();
    let mut text = Vec::new();
    let mut reader = Reader::default();
    let mut found: Vec<Option<Estimate>> = servers.iter().map(|_| None).collect();
    let mut until = ROUND;
    loop {
        scouts[0].read(until, |line| {
            if let PenLine::Record(record) = records.parse(line) {
                seen[record.server].add(record.key, record.unix * 1000);
            }
        })?;
        for (log, server) in servers.iter().enumerate() {
            if found[log].is_some_and(|estimate| estimate.is_certain) {
                continue;
            }
            scouts[log + 1].read(until, |line| {
                if let Some(found) = reader.parse(line) {
                    let recorded = as_recorded(&line[found.request], &mut text);
                    logged[log].add(key(*server, recorded), found.at.millis);
                }
            })?;
            found[log] = seen[*server].offset_of(&logged[log], near);
        }
        let are_certain = found.iter().all(|found| found.is_some_and(|estimate| estimate.is_certain));
        if are_certain || until >= LINES_MAX || scouts.iter().all(|scout| scout.has_ended) {
            return Ok(found);
        }
        until *= 3;
    }
}
