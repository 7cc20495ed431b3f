//! Reads the logs side by side, a window of them at a time, and writes the one log.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::net::IpAddr;

use super::sources::{Held, PenLog, RecordReader, WebLog, open};
use super::survey::{self, Scout};
use super::{Options, PROGRAM};
use crate::base::addr::ClientAddr;
use crate::base::error::Error;
use crate::logs::matching::Matcher;
use crate::logs::weblog::write_utc;
use crate::tools::output::{Output, Stop};
use crate::tools::progress::{Progress, grouped};

/// For ever, with room for sums. Milliseconds.
const EVER: i64 = i64::MAX / 16;
/// The least that is held, in milliseconds: order is restored within it even for `-j 0`.
const WINDOW_MIN: i64 = 10_000;
/// A clock that changes may have been so much otherwise when a line was read, in milliseconds.
const CHANGE: i64 = 5_000;

/// All logs, open.
pub(super) struct Merge {
    pen: PenLog,
    webs: Vec<WebLog>,
    servers: Vec<String>,
    matcher: Matcher,
    /// How far apart a request may be in both logs, in milliseconds.
    jitter: i64,
    /// How long a line is held, in milliseconds of its log.
    window: i64,
    is_utc: bool,
    /// Bytes of all files that are read, as far as it is known.
    size: u64,
    /// The line that is written.
    line: Vec<u8>,
}

impl Merge {
    /// Opens all logs, and compares their clocks.
    pub(super) fn open(options: &Options) -> Result<Merge, Error> {
        let mut servers: Vec<String> = Vec::new();
        let mut numbers = Vec::new();
        for log in &options.logs {
            let known = servers.iter().position(|server| *server == log.server);
            numbers.push(known.unwrap_or(servers.len()));
            if known.is_none() {
                servers.push(log.server.clone());
            }
        }
        let (start, lines) = open(&options.penlog)?;
        let mut scouts = vec![(options.penlog.clone(), start)];
        let pen = PenLog::new(lines, RecordReader::new(&servers, options.shift));
        let mut webs = Vec::new();
        for (number, log) in options.logs.iter().enumerate() {
            let (start, lines) = open(&log.path)?;
            scouts.push((log.path.clone(), start));
            webs.push(WebLog::new(lines, number, numbers[number]));
        }
        let jitter = options.jitter.map_or(EVER, |seconds| seconds * 1000 + 999);
        let mut matcher = Matcher::new(jitter, &numbers);
        let scouts = scouts.into_iter().map(|(path, start)| Scout::new(&path, start)).collect::<Result<_, _>>()?;
        let found = survey::compare(scouts, RecordReader::new(&servers, options.shift), &numbers, jitter)?;
        for (log, estimate) in found.iter().enumerate() {
            matcher.set_offset(log, estimate.map_or(0, |estimate| estimate.offset));
        }
        let paths = options.logs.iter().map(|log| &log.path).chain([&options.penlog]);
        let size = paths.filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum();
        let window = jitter.max(WINDOW_MIN);
        Ok(Merge { pen, webs, servers, matcher, jitter, window, is_utc: options.is_utc, size, line: Vec::new() })
    }

    /// Reads everything and writes everything. `terminal` is told how far it has come.
    pub(super) fn run(&mut self, out: &mut Output<impl Write>, terminal: Option<impl Write>) -> Result<(), Stop> {
        let mut progress = Progress::new(terminal, PROGRAM);
        let result = self.run_with(out, &mut progress);
        progress.end();
        result
    }

    fn run_with(&mut self, out: &mut Output<impl Write>, progress: &mut Progress<impl Write>) -> Result<(), Stop> {
        loop {
            // The log that is farthest behind goes on, so that all stay side by side.
            let behind = self.webs.iter_mut().filter(|web| !web.has_ended).min_by_key(|web| web.front);
            let Some(web) = behind else { break };
            web.read()?;
            self.pen.read_to(self.seen_front(), &mut self.matcher)?;
            self.webs.iter_mut().for_each(|web| web.hold(&mut self.matcher));
            let front = self.webs.iter().filter(|web| !web.has_ended).map(|web| web.front).min();
            self.write_until(front.map_or(EVER, |front| front.saturating_sub(self.window)), out)?;
            self.forget();
            progress.tell(|| self.describe());
        }
        self.pen.read_to(EVER, &mut self.matcher)?;
        self.write_until(i64::MAX, out)?;
        out.flush()
    }

    /// How far pen's log is needed, by pen's clock.
    fn seen_front(&self) -> i64 {
        let needed = self.webs.iter().enumerate().map(|(log, web)| {
            let front = if web.has_ended { web.latest } else { web.front };
            front.saturating_sub(self.matcher.offset(log)).saturating_add(self.window)
        });
        needed.max().unwrap_or(EVER)
    }

    /// Writes all lines before this time: the oldest first, of equal ones those of the first log.
    fn write_until(&mut self, limit: i64, out: &mut Output<impl Write>) -> Result<(), Stop> {
        loop {
            let first = |web: &WebLog| web.held.front().map(|held| held.order);
            let Some((order, log)) =
                self.webs.iter().enumerate().filter_map(|(log, web)| Some((first(web)?, log))).min()
            else {
                return Ok(());
            };
            if order >= limit {
                return Ok(());
            }
            // As long as nothing else is older, the same log goes on.
            while self.webs[log].held.front().is_some_and(|held| held.order <= order) {
                let Some(held) = self.webs[log].held.pop_front() else { break };
                self.write(log, &held, limit == i64::MAX, out)?;
            }
        }
    }

    fn write(&mut self, log: usize, held: &Held, is_all_read: bool, out: &mut Output<impl Write>) -> Result<(), Stop> {
        let Some((parts, id)) = &held.parts else {
            out.write(&held.line)?;
            return out.write(b"\n");
        };
        let read = if is_all_read { EVER } else { self.matcher.time_of(*id).saturating_add(self.window) };
        let client = self.matcher.decide(*id, read);
        self.webs[log].total.named += u64::from(client.is_some());
        self.line.clear();
        match client {
            Some(client) => write_client(&mut self.line, client),
            None => {
                let server = &self.servers[self.webs[log].server];
                self.line.extend_from_slice(server.as_bytes());
            }
        }
        if self.is_utc {
            self.line.extend_from_slice(&held.line[parts.client_end..parts.time.0]);
            write_utc(&mut self.line, parts.at);
            self.line.extend_from_slice(&held.line[parts.time.1..]);
        } else {
            self.line.extend_from_slice(&held.line[parts.client_end..]);
        }
        self.line.push(b'\n');
        out.write(&self.line)
    }

    /// Lets go of what pen saw and no line can ask for any more.
    fn forget(&mut self) {
        let mut needed = EVER;
        for (log, web) in self.webs.iter().enumerate() {
            let offset = self.matcher.offset(log);
            if !web.has_ended {
                needed = needed.min(web.front.saturating_sub(self.window).saturating_sub(offset));
            }
            if let Some(held) = web.held.front() {
                needed = needed.min(held.order.saturating_sub(offset));
            }
        }
        self.matcher.forget(needed.saturating_sub(self.jitter).saturating_sub(CHANGE));
    }

    /// How far it has come.
    fn describe(&self) -> String {
        let lines: u64 = self.webs.iter().map(|web| web.total.lines).sum();
        let read = self.pen.lines.bytes_read() + self.webs.iter().map(|web| web.lines.bytes_read()).sum::<u64>();
        match (read * 100).checked_div(self.size) {
            Some(percent) if percent <= 100 => format!("{percent} %, {} lines", grouped(lines)),
            _ => format!("{} lines", grouped(lines)),
        }
    }

    /// What is said at the end: lines that were strange, and all the rest with `-d`.
    pub(super) fn report(&self, options: &Options) -> String {
        let mut text = String::new();
        let mut say = |line: String| writeln!(text, "{PROGRAM}: {line}").expect("writing into a string does not fail");
        for (number, web) in self.webs.iter().enumerate() {
            let total = web.total;
            if options.is_told {
                let offset = self.matcher.offset(number) as f64 / 1000.0;
                let (name, server) = (web.lines.name(), &self.servers[web.server]);
                say(format!(
                    "{name}: {} lines, {} of them with a client; the clock of {server} is {offset:+.1} s off",
                    total.lines, total.named
                ));
            }
            if total.strange > 0 {
                let lines = if total.strange == 1 { "line is" } else { "lines are" };
                say(format!("{}: {} {lines} not understood and left as found", web.lines.name(), total.strange));
            }
        }
        if self.pen.strange() > 0 {
            let lines = if self.pen.strange() == 1 { "line is no record" } else { "lines are no records" };
            say(format!("{}: {} {lines}", self.pen.lines.name(), self.pen.strange()));
        }
        text
    }
}

/// Appends a client's address. IPv4 addresses, of which there are many, without the formatter, which
/// does more than digits for each.
fn write_client(line: &mut Vec<u8>, client: ClientAddr) {
    let ClientAddr::Inet(IpAddr::V4(ip)) = client else {
        return write!(line, "{client}").expect("writing to memory does not fail");
    };
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            line.push(b'.');
        }
        if octet >= 100 {
            line.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            line.push(b'0' + octet / 10 % 10);
        }
        line.push(b'0' + octet % 10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_formatter_has_them() {
        let every = (0..=255).flat_map(|octet: u8| [[octet, 9, 10, 99], [100, 0, 255, octet]]);
        let clients = every.map(|octets| ClientAddr::Inet(IpAddr::from(octets)));
        let others = [ClientAddr::Unix, ClientAddr::Inet("2001:db8::7".parse().unwrap())];
        for client in clients.chain(others) {
            let mut line = b"before ".to_vec();
            write_client(&mut line, client);
            assert_eq!(line, format!("before {client}").into_bytes());
        }
    }
}
