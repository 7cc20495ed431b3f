//! penlogd: makes one log of what pen and the web servers send, as it happens.
//!
//! pen sends `+ client server request`, the web servers' penlogs send their lines. A line waits
//! a moment for what pen has to say about it, then it is written with its client's address.

mod requests;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::requests::{HOLD, Requests};
use crate::base::diag::Severity;
use crate::base::error::{Error, reason};
use crate::net::Signal;
use crate::sys::clock::Stopwatch;
use crate::sys::console::Console;
use crate::sys::datagram::{DATAGRAM_MAX, Receiver, wait_for_either};
use crate::sys::pid_file::PidFile;
use crate::sys::process::{self, Background, Identity, Readiness};
use crate::sys::signal::Signals;
use crate::tools::flags::{Flag, Word, Words, number, text, wrong};
use crate::tools::output::{Stop, end, print};

const PROGRAM: &str = "penlogd";
const USAGE: &str = "penlogd [-bdf] [-j dir] [-l file] [-n requests] [-p pidfile] [-u user] [address:]port";

/// How many of pen's requests are remembered, if nothing else is said.
const REQUESTS: i64 = 1000;
/// The most that can be remembered.
const REQUESTS_MAX: i64 = 10_000_000;
/// Datagrams that are taken before lines are written and signals obeyed.
const TURN: usize = 1024;

/// The flags, as `--help` and the manual have them.
pub const FLAGS: [Flag; 8] = [
    Flag { letter: 'b', argument: "", what: "writes each line at once" },
    Flag { letter: 'd', argument: "", what: "says more" },
    Flag { letter: 'f', argument: "", what: "stays in the foreground" },
    Flag { letter: 'j', argument: "dir", what: "goes into this directory for good (chroot)" },
    Flag { letter: 'l', argument: "file", what: "the log; standard output without it" },
    Flag { letter: 'n', argument: "requests", what: "how many of pen's requests are remembered (1000)" },
    Flag { letter: 'p', argument: "pidfile", what: "where its process number is written" },
    Flag { letter: 'u', argument: "user", what: "becomes this user" },
];

/// Runs penlogd to its end and returns the exit status: 0 after TERM, 1 if something cannot be
/// opened, 64 for an error of usage, 78 for a user that does not exist.
pub fn run(args: impl IntoIterator<Item = OsString>, out: &mut impl Write, err: &mut impl Write) -> u8 {
    let result = parse(args).map_err(Stop::from).and_then(|plan| match plan {
        Plan::Print(text) => print(&text, out).map(|()| 0),
        Plan::Run(options) => start(&options).map_err(Stop::from),
    });
    match result {
        Ok(status) => status,
        Err(stop) => end(PROGRAM, Err(stop), err),
    }
}

enum Plan {
    Print(String),
    Run(Options),
}

/// What the command line says.
#[derive(Debug)]
struct Options {
    at: Option<IpAddr>,
    port: u16,
    is_unbuffered: bool,
    debug: u32,
    is_foreground: bool,
    jail: Option<PathBuf>,
    log: Option<PathBuf>,
    requests: usize,
    pid_file: Option<PathBuf>,
    user: Option<String>,
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Plan, Error> {
    let mut words = Words::new(PROGRAM, USAGE, &FLAGS, args);
    let mut options = Options {
        at: None,
        port: 0,
        is_unbuffered: false,
        debug: 0,
        is_foreground: false,
        jail: None,
        log: None,
        requests: REQUESTS as usize,
        pid_file: None,
        user: None,
    };
    let mut operand = None;
    while let Some(word) = words.word()? {
        match word {
            Word::Set('b') => options.is_unbuffered = true,
            Word::Set('d') => options.debug += 1,
            Word::Set(_) => options.is_foreground = true,
            Word::Value('j', value) => options.jail = Some(value.into()),
            Word::Value('l', value) => options.log = Some(value.into()),
            Word::Value('n', value) => {
                let requests = number('n', value, 1, REQUESTS_MAX)?;
                options.requests = usize::try_from(requests).unwrap_or(usize::MAX);
            }
            Word::Value('p', value) => options.pid_file = Some(value.into()),
            Word::Value(_, value) => options.user = Some(text('u', value)?),
            Word::Operand(word) if operand.is_none() => operand = Some(word),
            Word::Operand(_) => return Err(wrong(PROGRAM, "more than one port")),
            Word::Print(text) => return Ok(Plan::Print(text)),
        }
    }
    let Some(operand) = operand else { return Err(wrong(PROGRAM, "no port")) };
    let operand = operand.to_string_lossy();
    let (at, port) = match operand.rsplit_once(':') {
        Some((ip, port)) => (Some(ip.trim_start_matches('[').trim_end_matches(']')), port),
        None => (None, &*operand),
    };
    let bad = || wrong(PROGRAM, format!("'{}' is not a port or address:port", operand.escape_debug()));
    options.at = at.map(str::parse).transpose().map_err(|_| bad())?;
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    options.port = port.parse().ok().filter(|port| is_number && *port > 0).ok_or_else(bad)?;
    Ok(Plan::Run(options))
}

/// Opens everything, in the order that privileges need, and runs to the end.
fn start(options: &Options) -> Result<u8, Error> {
    let readiness = if options.is_foreground {
        Readiness::foreground()
    } else {
        match process::background().map_err(|error| failed("go to the background", &error))? {
            Background::Here(readiness) => readiness,
            Background::Ended(status) => return Ok(status),
        }
    };
    let identity = options.user.as_deref().map(find_user).transpose()?;
    let signals = Signals::install().map_err(|error| failed("catch signals", &error))?;
    let (receiver, there) = match options.at.map(|ip| SocketAddr::new(ip, options.port)) {
        Some(at) => (Receiver::at(at), at.to_string()),
        None => (Receiver::any(options.port), options.port.to_string()),
    };
    let receiver = receiver.map_err(|error| failed(&format!("listen on UDP port {there}"), &error))?;
    // What it writes to stays open, also when the terminal is let go.
    let console = if options.is_foreground { Console::stderr() } else { Console::syslog() };
    let out = if options.log.is_none() {
        let out = io::stdout().as_fd().try_clone_to_owned();
        Some(File::from(out.map_err(|error| failed("write to standard output", &error))?))
    } else {
        None
    };
    if let Some(jail) = &options.jail {
        process::jail(jail).map_err(|error| failed(&format!("chroot to {}", jail.display()), &error))?;
    }
    if let Some(identity) = &identity {
        identity.assume().map_err(|error| failed(&format!("become user {}", identity.name), &error))?;
    }
    let out = match (&options.log, out) {
        (Some(path), _) => open_log(path)?,
        (None, Some(out)) => out,
        (None, None) => return Err(Error::system("there is no standard output")),
    };
    let fail = |path: &Path, error| failed(&format!("write the pid file {}", path.display()), &error);
    let pid_file =
        options.pid_file.as_ref().map(|path| PidFile::create(path).map_err(|error| fail(path, error))).transpose()?;
    readiness.tell().map_err(|error| failed("go to the background", &error))?;
    let mut daemon = Daemon::new(options, receiver, console, out);
    daemon.run(signals);
    drop(pid_file);
    Ok(0)
}

fn failed(what: &str, error: &io::Error) -> Error {
    Error::system(format!("cannot {what}: {}", reason(error)))
}

fn find_user(name: &str) -> Result<Identity, Error> {
    match Identity::find(name) {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => Err(Error::config(format!("there is no user '{}'", name.escape_debug()))),
        Err(error) => Err(failed("look the user up", &error)),
    }
}

fn open_log(path: &Path) -> Result<File, Error> {
    let log = File::options().append(true).create(true).open(path);
    log.map_err(|error| failed(&format!("open the log {}", path.display()), &error))
}

/// penlogd at work.
struct Daemon<'a> {
    options: &'a Options,
    receiver: Receiver,
    console: Console,
    out: File,
    watch: Stopwatch,
    requests: Requests,
    /// What is to be written.
    pending: Vec<u8>,
    counts: Counts,
    told: Counts,
}

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Counts {
    /// Datagrams that came too fast.
    dropped: u32,
    /// What pen's datagrams should be and were not.
    strange: u64,
    /// Web lines in which there is no request.
    unknown: u64,
    /// Bytes that could not be written.
    unwritten: u64,
}

impl<'a> Daemon<'a> {
    fn new(options: &'a Options, receiver: Receiver, console: Console, out: File) -> Daemon<'a> {
        Daemon {
            options,
            receiver,
            console,
            out,
            watch: Stopwatch::started(),
            requests: Requests::new(options.requests),
            pending: Vec::new(),
            counts: Counts::default(),
            told: Counts::default(),
        }
    }

    /// Works until TERM or INT.
    fn run(&mut self, mut signals: Signals) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            let limit = self.requests.next_due().map(|due| due - self.now());
            let limit = limit.map(|limit| Duration::from_millis(u64::try_from(limit).unwrap_or(0)));
            wait_for_either(&self.receiver, &signals, limit);
            self.take(&mut buffer);
            self.requests.write_until(self.now() - HOLD, &mut self.pending);
            self.flush();
            for signal in signals.take() {
                match signal {
                    Signal::Terminate => {
                        self.take(&mut buffer);
                        self.write_all();
                        return;
                    }
                    Signal::Hangup => self.reopen(),
                    Signal::Quit | Signal::Statistics | Signal::Upgrade => {}
                }
            }
        }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.watch.time().as_millis()).unwrap_or(i64::MAX)
    }

    /// Takes what has come in.
    fn take(&mut self, buffer: &mut [u8]) {
        for _ in 0..TURN {
            let (length, from) = match self.receiver.receive(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let now = self.now();
            for line in buffer[..length].split_inclusive(|byte| *byte == b'\n') {
                self.take_line(line.strip_suffix(b"\n").unwrap_or(line), from, now);
            }
            if self.options.is_unbuffered {
                self.flush();
            }
        }
        self.counts.dropped = self.receiver.dropped();
    }

    fn take_line(&mut self, line: &[u8], from: IpAddr, now: i64) {
        if line.starts_with(b"+") {
            if !self.requests.seen(line, now) {
                self.counts.strange += 1;
                self.debug(|| format!("not what pen sends: {}", line.escape_ascii()));
            }
        } else if !self.requests.logged(line, from, now) {
            self.counts.unknown += 1;
            self.debug(|| format!("no request in the line: {}", line.escape_ascii()));
        }
    }

    fn debug(&mut self, text: impl FnOnce() -> String) {
        if self.options.debug > 0 {
            self.console.say(Severity::Debug, &text());
        }
    }

    /// Writes all lines that wait, and says what was lost.
    fn write_all(&mut self) {
        self.requests.write_until(i64::MAX, &mut self.pending);
        self.flush();
        self.tell();
        self.console.finish(Duration::from_secs(1));
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if let Err(error) = self.out.write_all(&self.pending) {
            if self.counts.unwritten == 0 {
                self.console.say(Severity::Error, &format!("cannot write the log: {}", reason(&error)));
            }
            self.counts.unwritten += self.pending.len() as u64;
        }
        self.pending.clear();
    }

    /// Ends the old log and begins the new one; without a new one the old one goes on.
    fn reopen(&mut self) {
        self.write_all();
        let Some(path) = &self.options.log else { return };
        match open_log(path) {
            Ok(log) => {
                self.out = log;
                self.counts.unwritten = 0;
                self.told.unwritten = 0;
            }
            Err(error) => self.console.say(Severity::Error, &error.to_string()),
        }
    }

    /// Says what was lost since it was last said.
    fn tell(&mut self) {
        let (now, told) = (self.counts, self.told);
        self.told = now;
        let losses = [
            (u64::from(now.dropped.wrapping_sub(told.dropped)), "datagrams came too fast and are lost"),
            (now.strange - told.strange, "datagrams were not what pen sends, and are left out"),
            (now.unknown - told.unknown, "lines had no request, and are in the log as they came"),
            (now.unwritten - told.unwritten, "bytes could not be written to the log"),
        ];
        for (count, what) in losses.into_iter().filter(|(count, _)| *count > 0) {
            self.console.say(Severity::Warning, &format!("{count} {what}"));
        }
    }
}
