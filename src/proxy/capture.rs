//! A capture: what passes is written to files as packets, at the end of each turn.
//!
//! A disk that is full or slow never holds up a pair: packets that it does not take are dropped,
//! whole ones, and counted, and that is said once. What belongs to one chunk is never parted by a
//! limit, nor by the step to the next file.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::balance::settings::CaptureSpec;
use crate::base::error::reason;
use crate::base::time::{Moment, Now};
use crate::net::{Net, Stream};
use crate::trace::pcapng::{MAGIC, block_length, is_packet};
use crate::trace::recorder::{Addresses, Recorder};

/// Bytes that may wait for a disk that does not take them.
const WAITING_MAX: usize = 4 * 1024 * 1024;

/// How long to wait before writing again to what was not ready.
const PAUSE: Duration = Duration::from_millis(200);

/// A capture that is going on.
#[derive(Debug)]
pub struct Capture<L> {
    spec: CaptureSpec,
    log: L,
    /// The connections that are in it.
    pub(super) recorder: Recorder,
    /// What one thing that happened comes to, before it is taken.
    pub(super) unit: Vec<u8>,
    /// Blocks that are to be written, the first perhaps without its beginning.
    waiting: Vec<u8>,
    /// Bytes of that first one that are left.
    torn: usize,
    /// Bytes of this file, with those that wait.
    size: u64,
    /// Which of its files it is at, from 1.
    number: u32,
    /// When this file has its time.
    until: Option<Moment>,
    packets_lost: u64,
    is_failing: bool,
    /// What has been found when a file was ended.
    unsaid: Vec<Found>,
    /// It takes nothing more, and why.
    over: Option<String>,
}

/// What is worth saying of a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Packets are lost from now on.
    Failing(String),
    /// Packets are written again; so many were lost.
    Working(u64),
}

/// The file of this number.
fn path_of(spec: &CaptureSpec, number: u32) -> PathBuf {
    match spec.rotate {
        None => spec.path.clone(),
        Some(_) => {
            let mut name = spec.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        }
    }
}

/// Opens the first file of a capture. If it `continues` the one of a process before, that is kept.
pub fn open<N: Net>(net: &mut N, spec: CaptureSpec, continues: bool) -> Result<Capture<N::Log>, String> {
    let log = open_file(net, &spec, 1, continues)?;
    Ok(Capture::on(spec, log))
}

fn open_file<N: Net>(net: &mut N, spec: &CaptureSpec, number: u32, continues: bool) -> Result<N::Log, String> {
    let path = path_of(spec, number);
    net.open_anew(&path, &MAGIC, continues)
        .map_err(|error| format!("cannot open the capture {}: {}", path.display(), reason(&error)))
}

impl<L: Write> Capture<L> {
    /// A capture at the beginning of its first file.
    fn on(spec: CaptureSpec, log: L) -> Capture<L> {
        let mut capture = Capture {
            log,
            recorder: Recorder::default(),
            unit: Vec::new(),
            waiting: Vec::new(),
            torn: 0,
            size: 0,
            number: 1,
            until: None,
            packets_lost: 0,
            is_failing: false,
            unsaid: Vec::new(),
            over: None,
            spec,
        };
        capture.begin_file();
        capture
    }

    fn begin_file(&mut self) {
        let head = Recorder::head();
        self.size = head.len() as u64;
        self.waiting.extend(head);
        self.until = None;
    }

    /// Begins to count the time of the file, unless that is done.
    pub fn tick(&mut self, now: Moment) {
        let time = self.spec.seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        self.until = self.until.or(time.map(|time| now + time));
    }

    /// What was asked for.
    pub fn spec(&self) -> &CaptureSpec {
        &self.spec
    }

    /// Why it takes nothing more, if it does not.
    pub fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// Packets that were lost and not told yet.
    pub fn lost(&self) -> u64 {
        self.packets_lost
    }

    /// When to look at it again without an event.
    pub fn next_due(&self, now: Moment) -> Option<Moment> {
        let retry = (!self.waiting.is_empty()).then(|| now + PAUSE);
        retry.into_iter().chain(self.until).min()
    }

    /// Takes what is in the unit; into the next file, if this one has its size or its time.
    pub fn take<N: Net<Log = L>>(&mut self, net: &mut N, now: Moment) {
        if self.unit.is_empty() || self.over.is_some() {
            return self.unit.clear();
        }
        let is_full = self.spec.size.is_some_and(|most| self.size + self.unit.len() as u64 > most);
        let has_packets = self.size > Recorder::head().len() as u64;
        if is_full && has_packets {
            self.end_file(net, "it has its size", now);
        }
        if self.over.is_none() {
            if self.waiting.len() + self.unit.len() > WAITING_MAX {
                self.packets_lost += count_blocks(&self.unit);
            } else {
                self.size += self.unit.len() as u64;
                self.waiting.extend_from_slice(&self.unit);
            }
        }
        self.unit.clear();
    }

    /// Ends the file if it has had its time.
    pub fn expire<N: Net<Log = L>>(&mut self, net: &mut N, now: Moment) {
        if self.over.is_none() && self.until.is_some_and(|until| until <= now) {
            self.end_file(net, "it has its time", now);
        }
    }

    /// Goes on in the next file, or ends.
    fn end_file<N: Net<Log = L>>(&mut self, net: &mut N, why: &str, now: Moment) {
        let found = self.flush();
        self.unsaid.extend(found);
        let Some(files) = self.spec.rotate else {
            self.over = Some(String::from(why));
            return;
        };
        let number = self.number % files + 1;
        match open_file(net, &self.spec, number, false) {
            Ok(log) => {
                // What the file before did not take is lost: it would make no sense in this one.
                let whole = &self.waiting[self.torn..];
                self.packets_lost += count_blocks(whole) + u64::from(self.torn > 0);
                self.waiting.clear();
                (self.log, self.torn, self.number) = (log, 0, number);
                self.begin_file();
                self.tick(now);
            }
            Err(why) => self.over = Some(why),
        }
    }

    /// Writes what waits, and tells what has been found since the last time.
    pub fn write_all(&mut self) -> Vec<Found> {
        let found = self.flush();
        let mut all = std::mem::take(&mut self.unsaid);
        all.extend(found);
        all
    }

    /// Writes what waits; drops what the disk refuses.
    fn flush(&mut self) -> Option<Found> {
        let (mut start, mut found) = (0, None);
        while start < self.waiting.len() {
            match self.log.write(&self.waiting[start..]) {
                Ok(count) if count > 0 => start += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                outcome => {
                    let why = outcome.err().map_or_else(|| String::from("nothing was written"), |error| reason(&error));
                    self.drop_whole_blocks(start);
                    if !std::mem::replace(&mut self.is_failing, true) {
                        found = Some(Found::Failing(why));
                    }
                    return found;
                }
            }
        }
        self.torn = torn_after(&self.waiting, self.torn, start);
        self.waiting.drain(..start);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(WAITING_MAX / 16);
            if start > 0 && std::mem::take(&mut self.is_failing) {
                found = Some(Found::Working(std::mem::take(&mut self.packets_lost)));
            }
        } else if self.packets_lost > 0 && !std::mem::replace(&mut self.is_failing, true) {
            found = Some(Found::Failing(String::from("it is too slow")));
        }
        found
    }

    /// So much was written. Of the rest only that stays which ends a block that was begun.
    fn drop_whole_blocks(&mut self, written: usize) {
        self.torn = torn_after(&self.waiting, self.torn, written);
        self.waiting.drain(..written);
        let lost = &self.waiting[self.torn..];
        // A file without its head is none: what is left of that is kept as well.
        let mut head = 0;
        while let Some(length) = block_length(&lost[head..]).filter(|_| !is_packet(&lost[head..])) {
            head += length;
        }
        self.packets_lost += count_blocks(&lost[head..]);
        self.size -= (lost.len() - head) as u64;
        self.waiting.truncate(self.torn + head);
    }
}

fn count_blocks(mut blocks: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(length) = block_length(blocks) {
        blocks = &blocks[length.min(blocks.len())..];
        count += 1;
    }
    count
}

/// How many bytes are left of a block that is written in part, once `written` bytes are; at first
/// `torn` are.
fn torn_after(blocks: &[u8], torn: usize, written: usize) -> usize {
    let mut end = torn;
    while end < written {
        let Some(length) = block_length(&blocks[end..]) else { break };
        end += length;
    }
    end - written
}

/// The time of day to the thousandth of a second.
pub(super) fn time_of<N: Net>(net: &N, now: Now) -> String {
    format!("{}.{:03}", net.local_time(now.unix), net.subsecond() / 1_000_000)
}

/// Nanoseconds since 1970.
pub(super) fn nanos<N: Net>(net: &N, now: Now) -> u64 {
    now.unix.saturating_mul(1_000_000_000).saturating_add(u64::from(net.subsecond()))
}

pub(super) fn addresses<S: Stream>(stream: &S) -> Option<Addresses> {
    Some((stream.peer().ok()?, stream.local().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fake::Disk;

    fn capture(room: usize) -> Capture<Disk> {
        let spec = CaptureSpec { path: PathBuf::from("x"), size: None, seconds: None, rotate: None };
        let log = Disk { written: Vec::new(), room, full: ErrorKind::StorageFull, refill: 0 };
        Capture::on(spec, log)
    }

    /// Two blocks of 20 bytes each.
    fn put(capture: &mut Capture<Disk>) {
        for _ in 0..2 {
            let block = [&6u32.to_le_bytes()[..], &20u32.to_le_bytes(), &[7; 8], &20u32.to_le_bytes()].concat();
            capture.waiting.extend_from_slice(&block);
            capture.size += block.len() as u64;
        }
    }

    /// What was written is a head and whole blocks.
    fn is_whole(written: &[u8]) -> bool {
        let mut rest = written;
        while let Some(length) = block_length(rest) {
            let Some(next) = rest.get(length..) else { return false };
            rest = next;
        }
        rest.is_empty() && written.starts_with(&Recorder::head())
    }

    #[test]
    fn wherever_a_disk_is_full_the_file_has_whole_blocks_in_the_end_and_losses_are_told_once() {
        let head = Recorder::head().len();
        for room in 0..head + 2 * 40 {
            let mut capture = capture(room);
            put(&mut capture);
            put(&mut capture);
            let mut failures = usize::from(matches!(capture.flush(), Some(Found::Failing(_))));
            for _ in 0..3 {
                put(&mut capture);
                failures += usize::from(capture.flush().is_some());
            }
            assert_eq!(failures, 1, "{room}");
            capture.log.room = 1_000_000;
            put(&mut capture);
            let Some(Found::Working(lost)) = capture.flush() else { panic!("{room}: it works again") };
            assert!(is_whole(&capture.log.written), "{room}");
            let blocks = (capture.log.written.len() - head) / 20;
            assert_eq!(blocks as u64 + lost, 12, "{room}");
            assert_eq!(capture.size, capture.log.written.len() as u64, "{room}");
        }
    }
}
