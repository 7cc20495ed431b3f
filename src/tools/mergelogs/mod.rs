//! mergelogs: puts the clients' addresses back into web servers' logs, and makes one log of them.
//!
//! The command line, and what is said at the end. `merge` reads and writes, `survey` compares the
//! clocks first; who sent what is decided in `logs::matching`.

mod merge;
mod sources;
mod survey;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use self::merge::Merge;
use crate::base::error::Error;
use crate::tools::flags::{Flag, Word, Words, number, wrong};
use crate::tools::output::{Output, Stop, end, print};

const PROGRAM: &str = "mergelogs";
const USAGE: &str = "mergelogs -p penlog [-cdu] [-j seconds] [-t seconds] server:logfile ...";

/// How far apart pen's record and the server's line may be, in seconds, if nothing else is said.
const JITTER: i64 = 600;
/// The most seconds that an option takes: a hundred years.
const SECONDS_MAX: i64 = 3_155_760_000;
/// More logs than a program can have open.
const LOGS_MAX: usize = 10_000;

/// The flags, as `--help` and the manual have them.
pub const FLAGS: [Flag; 6] = [
    Flag { letter: 'c', argument: "", what: "no limit in time: the logs are held in memory" },
    Flag { letter: 'd', argument: "", what: "says at the end what was found, on standard error" },
    Flag { letter: 'j', argument: "seconds", what: "how far apart a request may be in both logs (600)" },
    Flag { letter: 'p', argument: "penlog", what: "pen's log; - is standard input, .gz is decompressed" },
    Flag { letter: 't', argument: "seconds", what: "subtracted from pen's times" },
    Flag { letter: 'u', argument: "", what: "times in UTC, not in the zone of each line" },
];

/// Runs mergelogs and returns its exit status: 0, 1 for a log that cannot be read or an output
/// that cannot be written, 64 for an error of usage.
pub fn run(args: impl IntoIterator<Item = OsString>, out: &mut impl Write, err: &mut (impl Write + IsTerminal)) -> u8 {
    let result = parse(args).map_err(Stop::from).and_then(|plan| match plan {
        Plan::Print(text) => print(&text, out),
        Plan::Merge(options) => merge(&options, out, err),
    });
    end(PROGRAM, result, err)
}

fn merge(options: &Options, out: &mut impl Write, err: &mut (impl Write + IsTerminal)) -> Result<(), Stop> {
    let mut merge = Merge::open(options)?;
    let is_watched = err.is_terminal();
    merge.run(&mut Output::new(out), is_watched.then_some(&mut *err))?;
    // What is said here is a service; whether anybody can read it changes nothing.
    let _ = err.write_all(merge.report(options).as_bytes());
    Ok(())
}

/// What the command line asks for.
#[derive(Debug)]
enum Plan {
    Print(String),
    Merge(Options),
}

/// What to merge, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Options {
    penlog: OsString,
    logs: Vec<Log>,
    /// Seconds; `None` for no limit.
    jitter: Option<i64>,
    /// Seconds subtracted from pen's times.
    shift: i64,
    is_utc: bool,
    is_told: bool,
}

/// A web server's log.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Log {
    /// As pen's log has it.
    server: String,
    path: OsString,
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Plan, Error> {
    let mut words = Words::new(PROGRAM, USAGE, &FLAGS, args);
    let mut penlog = None;
    let (mut jitter, mut shift) = (Some(JITTER), 0);
    let (mut is_utc, mut is_told) = (false, false);
    let mut logs = Vec::new();
    while let Some(word) = words.word()? {
        match word {
            Word::Set('c') => jitter = None,
            Word::Set('d') => is_told = true,
            Word::Set(_) => is_utc = true,
            Word::Value('j', value) => {
                let seconds = number('j', value, 0, SECONDS_MAX)?;
                jitter = jitter.map(|_| seconds);
            }
            Word::Value('t', value) => shift = number('t', value, -SECONDS_MAX, SECONDS_MAX)?,
            Word::Value(_, value) => penlog = Some(value),
            Word::Operand(operand) => logs.push(parse_log(&operand)?),
            Word::Print(text) => return Ok(Plan::Print(text)),
        }
    }
    let Some(penlog) = penlog else { return Err(wrong(PROGRAM, "no log of pen (-p)")) };
    if logs.is_empty() {
        return Err(wrong(PROGRAM, "no server's log (server:logfile)"));
    }
    if logs.len() > LOGS_MAX {
        return Err(Error::usage(format!("more than {LOGS_MAX} logs")));
    }
    let inputs = logs.iter().map(|log| &log.path).chain([&penlog]);
    if inputs.filter(|path| *path == "-").count() > 1 {
        return Err(Error::usage("only one log can be standard input"));
    }
    Ok(Plan::Merge(Options { penlog, logs, jitter, shift, is_utc, is_told }))
}

/// Reads `10.0.0.1:access_log` or `[2001:db8::1]:access_log`.
fn parse_log(operand: &OsString) -> Result<Log, Error> {
    let fail = |what: &str| Error::usage(format!("'{}': {what}", operand.display().to_string().escape_debug()));
    let bytes = operand.as_bytes();
    let (server, path) = if let Some(inside) = bytes.strip_prefix(b"[") {
        let end = memchr::memchr(b']', inside).ok_or_else(|| fail("no ']' after the address"))?;
        let path = inside[end + 1..].strip_prefix(b":").ok_or_else(|| fail("no ':' before the log file"))?;
        (&inside[..end], path)
    } else {
        let end = memchr::memchr(b':', bytes).ok_or_else(|| fail("not of the form server:logfile"))?;
        (&bytes[..end], &bytes[end + 1..])
    };
    let server = std::str::from_utf8(server).map_err(|_| fail("the server is not UTF-8 text"))?;
    if server.is_empty() {
        return Err(fail("no server before the ':' (an IPv6 address needs brackets)"));
    }
    if path.is_empty() {
        return Err(fail("no log file after the ':'"));
    }
    if bytes.starts_with(b"[") && server.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(fail("no IPv6 address between the brackets"));
    }
    Ok(Log { server: canonical(server), path: OsString::from_vec(path.to_vec()) })
}

/// A server as pen's log has it: addresses in their usual form, anything else as it is.
fn canonical(server: &str) -> String {
    server.parse::<std::net::IpAddr>().map_or_else(|_| String::from(server), |ip| ip.to_canonical().to_string())
}
