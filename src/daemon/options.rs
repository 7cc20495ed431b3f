//! The command line: one table of flags, and what reads it.
//!
//! The parser, `--help` and the test of the manual read the same rows. Nothing is looked up,
//! opened or changed here.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::balance::clients::CLIENTS_MAX;
use crate::base::bytes::veiled;
use crate::base::error::Error;
use crate::control::command::{CONN_MAX, SECONDS_MAX};

/// One flag.
#[derive(Debug)]
pub struct Flag {
    /// The letter after one dash.
    pub short: Option<char>,
    /// The word after two dashes.
    pub long: Option<&'static str>,
    /// What it takes.
    pub value: Value,
    /// What it does, as `--help` says it.
    pub help: &'static str,
    /// What counts without it, as `--help` says it; empty for "off" or "none".
    pub default: &'static str,
    /// Which one it is.
    pub id: Id,
}

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// Nothing.
    None,
    /// A text, with the name that `--help` gives it.
    Text(&'static str),
    /// A whole number with its name, the least and the greatest that is taken.
    Number(&'static str, u32, u32),
}

/// Which flag it is: what it sets, or where it stands in the story of the options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the table says what each is")]
pub enum Id {
    Ascii,
    Blacklist,
    Clients,
    Debug,
    Emergency,
    Foreground,
    Hash,
    Http,
    Chroot,
    Log,
    MultiAccept,
    PidFile,
    Backlog,
    RoundRobin,
    Status,
    Stubborn,
    Timeout,
    User,
    Connections,
    Abuse,
    Control,
    Config,
    Check,
    ControlDir,
    ControlMode,
    WebStats,
    Udp,
    Command,
    Tracking,
    Weight,
    AllowExit,
    ShowSecrets,
    Demo,
    Help,
    Version,
    /// Taken without a word, and without effect.
    Accepted,
    /// Taken with a note, and without effect.
    Obsolete,
    /// Refused: what it stands for is not there.
    Refused,
}

/// The most of what is counted per turn, or left to the kernel.
const COUNT_MAX: u32 = 1_000_000;

const fn seconds(least: u32) -> Value {
    Value::Number("SECONDS", least, SECONDS_MAX)
}

const fn count(most: u32) -> Value {
    Value::Number("N", 1, most)
}

const fn flag(
    short: char,
    long: &'static str,
    value: Value,
    help: &'static str,
    default: &'static str,
    id: Id,
) -> Flag {
    Flag { short: Some(short), long: Some(long), value, help, default, id }
}

const fn long(long: &'static str, help: &'static str, id: Id) -> Flag {
    Flag { short: None, long: Some(long), value: Value::None, help, default: "", id }
}

const fn text(long: &'static str, value: &'static str, help: &'static str, id: Id) -> Flag {
    Flag { short: None, long: Some(long), value: Value::Text(value), help, default: "", id }
}

const fn short(short: char, value: Value, help: &'static str, id: Id) -> Flag {
    Flag { short: Some(short), long: None, value, help, default: "", id }
}

/// All flags, in the order of `--help`.
pub const FLAGS: &[Flag] = &[
    flag('a', "ascii", Value::None, "dump everything as text", "", Id::Ascii),
    flag('b', "blacklist", seconds(0), "leave a failed server out for so long", "30", Id::Blacklist),
    flag('B', "abuse", Value::Text("SERVER"), "server for clients that client_acl refuses", "", Id::Abuse),
    flag('c', "clients", count(CLIENTS_MAX as u32), "remember so many clients", "2048", Id::Clients),
    flag('C', "control", Value::Text("ADDRESS"), "listen there for penctl: [host:]port or a path", "", Id::Control),
    text("control-dir", "DIR", "let users of the control port have files there", Id::ControlDir),
    text("control-mode", "MODE", "permissions of a Unix control socket [600]", Id::ControlMode),
    flag('d', "debug", Value::None, "tell events; twice: dump all bytes as well", "", Id::Debug),
    flag('e', "emergency", Value::Text("SERVER"), "server for when no other can be used", "", Id::Emergency),
    flag('f', "foreground", Value::None, "stay in the foreground", "", Id::Foreground),
    flag('F', "config", Value::Text("FILE"), "obey the commands in a file", "", Id::Config),
    flag('h', "hash", Value::None, "choose by a hash of the client's address", "", Id::Hash),
    flag('H', "http", Value::None, "tell HTTP servers in each request whom it is from", "", Id::Http),
    flag('j', "chroot", Value::Text("DIR"), "make it the root directory", "", Id::Chroot),
    flag('l', "log", Value::Text("LOG"), "log requests to a file, or to host:port", "", Id::Log),
    flag('m', "multi-accept", count(COUNT_MAX), "accept at most so many clients at once", "100", Id::MultiAccept),
    flag('n', "check", Value::None, "only check everything, and tell", "", Id::Check),
    flag('O', "command", Value::Text("COMMAND"), "obey a command of penctl's language", "", Id::Command),
    short('o', Value::Text("COMMAND"), "as -O", Id::Command),
    flag('p', "pid-file", Value::Text("FILE"), "write the process id there", "", Id::PidFile),
    flag('P', "poll", Value::None, "no effect: the best way is always used", "", Id::Accepted),
    flag('q', "backlog", count(COUNT_MAX), "so many clients may wait in the kernel", "500", Id::Backlog),
    flag('r', "round-robin", Value::None, "do not send clients back where they were", "", Id::RoundRobin),
    flag('s', "stubborn", Value::None, "no fail-over: close the client instead", "", Id::Stubborn),
    flag('S', "status", Value::Text("PORT"), "show by HTTP there how it is doing: [addr:]port", "", Id::Status),
    flag('t', "timeout", seconds(1), "a server must accept within that time", "5", Id::Timeout),
    flag('T', "tracking", seconds(0), "forget a client after that time; 0: never", "0", Id::Tracking),
    flag('u', "user", Value::Text("USER"), "run as that user", "", Id::User),
    flag('U', "udp", Value::None, "carry datagrams: UDP in place of TCP", "", Id::Udp),
    flag('w', "web-stats", Value::Text("FILE"), "write the status page there at USR1", "", Id::WebStats),
    flag('W', "weight", Value::None, "choose by weight", "", Id::Weight),
    flag('x', "connections", count(CONN_MAX), "serve at most so many clients at once", "500", Id::Connections),
    flag('X', "allow-exit", Value::None, "allow the command exit", "", Id::AllowExit),
    long("show-secrets", "show passwords and the like in dumps and captures", Id::ShowSecrets),
    long("demo", "show what pen does, with servers of its own", Id::Demo),
    long("help", "print this", Id::Help),
    long("version", "print the version", Id::Version),
    short('D', Value::None, "", Id::Obsolete),
    short('Q', Value::None, "", Id::Obsolete),
    short('A', Value::None, "TLS", Id::Refused),
    short('E', Value::None, "TLS", Id::Refused),
    short('G', Value::None, "TLS", Id::Refused),
    short('i', Value::None, "Windows services", Id::Refused),
    short('K', Value::None, "TLS", Id::Refused),
    short('L', Value::None, "TLS", Id::Refused),
    short('N', Value::None, "never did anything", Id::Refused),
    short('R', Value::None, "TLS", Id::Refused),
    short('Z', Value::None, "TLS", Id::Refused),
];

/// What somebody wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// pen is to run.
    Run(Box<Options>),
    /// The options on standard output.
    Help,
    /// The version on standard output.
    Version,
}

/// A command line that is in order as far as it can be read without looking anything up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Settings and commands, in the order in which they were given.
    pub steps: Vec<Step>,
    /// Where to listen, and the servers.
    pub operands: Vec<String>,
    /// `-f`.
    pub foreground: bool,
    /// `--demo`.
    pub demo: bool,
    /// `-B`, the abuse server.
    pub abuse: Option<String>,
    /// `-C`, where to listen for commands.
    pub control: Option<String>,
    /// `-e`, the emergency server.
    pub emergency: Option<String>,
    /// `-F`, the file of commands.
    pub config: Option<PathBuf>,
    /// `-n`, only check.
    pub check: bool,
    /// `--control-dir`, where users of the control port may have files.
    pub control_dirs: Vec<PathBuf>,
    /// `--control-mode`, the permissions of a Unix control socket.
    pub control_mode: Option<u32>,
    /// `-j`, the jail.
    pub chroot: Option<PathBuf>,
    /// `-u`, the user.
    pub user: Option<String>,
    /// One line each for what is obsolete.
    pub notes: Vec<String>,
}

/// A setting or a command: the later one counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A flag without value or with a number, which is then not 0.
    Set(Id, u32),
    /// `-l`.
    Log(String),
    /// `-S`.
    Status(String),
    /// `-p`.
    PidFile(PathBuf),
    /// `-w`.
    WebStats(PathBuf),
    /// `-O` or `-o`.
    Command(String),
}

/// Reads a command line without its first word. Every mistake names its culprit.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Wish, Error> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut options = Options::default();
    loop {
        let (given, found) = match parser.next().map_err(sentence)? {
            None => return Ok(Wish::Run(Box::new(options))),
            Some(lexopt::Arg::Value(operand)) => {
                options.operands.push(utf8("an operand", operand)?);
                continue;
            }
            Some(lexopt::Arg::Short(letter)) => {
                (format!("-{letter}"), FLAGS.iter().find(|flag| flag.short == Some(letter)))
            }
            Some(lexopt::Arg::Long(word)) => (format!("--{word}"), FLAGS.iter().find(|flag| flag.long == Some(word))),
        };
        let flag =
            found.ok_or_else(|| Error::usage(format!("unknown option {}; try 'pen --help'", printable(&given))))?;
        match flag.id {
            Id::Help => return Ok(Wish::Help),
            Id::Version => return Ok(Wish::Version),
            Id::Refused => return Err(refusal(flag, &given)),
            _ => {}
        }
        let value = match flag.value {
            Value::None => String::new(),
            Value::Text(_) | Value::Number(..) => {
                utf8(&format!("the value of option {given}"), parser.value().map_err(sentence)?)?
            }
        };
        options.take(flag, &given, value)?;
    }
}

impl Options {
    fn take(&mut self, flag: &Flag, given: &str, value: String) -> Result<(), Error> {
        match flag.id {
            Id::Abuse => self.abuse = Some(value),
            Id::Control => self.control = Some(value),
            Id::Emergency => self.emergency = Some(value),
            Id::Config => self.config = Some(PathBuf::from(value)),
            Id::Check => self.check = true,
            Id::ControlDir => self.control_dirs.push(PathBuf::from(value)),
            Id::ControlMode => self.control_mode = Some(mode(given, &value)?),
            Id::WebStats => self.steps.push(Step::WebStats(PathBuf::from(value))),
            Id::Chroot => self.chroot = Some(PathBuf::from(value)),
            Id::User => self.user = Some(value),
            Id::Foreground => self.foreground = true,
            Id::Demo => self.demo = true,
            Id::Log => self.steps.push(Step::Log(value)),
            Id::Status => self.steps.push(Step::Status(value)),
            Id::PidFile => self.steps.push(Step::PidFile(PathBuf::from(value))),
            Id::Command => self.steps.push(Step::Command(value)),
            Id::Obsolete => self.notes.push(format!("option {given} is obsolete and does nothing")),
            Id::Accepted | Id::Help | Id::Version | Id::Refused => {}
            id => {
                let number = match flag.value {
                    Value::Number(_, least, most) => number(given, &value, least, most)?,
                    Value::None | Value::Text(_) => 0,
                };
                self.steps.push(Step::Set(id, number));
            }
        }
        Ok(())
    }
}

fn refusal(flag: &Flag, given: &str) -> Error {
    let what = flag.help;
    match flag.short {
        Some('i' | 'N') => Error::usage(format!("option {given} ({what}) is not in this pen")),
        _ => Error::usage(format!("option {given} ({what}) is not in this pen yet")),
    }
}

fn number(given: &str, value: &str, least: u32, most: u32) -> Result<u32, Error> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(number) if is_number && (least..=most).contains(&number) => Ok(number),
        _ => {
            let value = printable(value);
            Err(Error::usage(format!("option {given} takes a number from {least} to {most}, not '{value}'")))
        }
    }
}

/// Permissions in octal, of which nobody may be without those of pen's own user.
fn mode(given: &str, value: &str) -> Result<u32, Error> {
    let is_octal = value.len() <= 4 && value.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(value, 8) {
        Ok(mode) if is_octal && mode <= 0o777 && mode & 0o600 == 0o600 => Ok(mode),
        _ => {
            let value = printable(value);
            Err(Error::usage(format!("option {given} takes permissions from 600 to 777, not '{value}'")))
        }
    }
}

fn utf8(what: &str, value: OsString) -> Result<String, Error> {
    value
        .into_string()
        .map_err(|raw| Error::usage(format!("{what} is not UTF-8: '{}'", printable(&raw.to_string_lossy()))))
}

/// What somebody typed, as it may be shown: nothing hidden, and not too long.
pub fn printable(text: &str) -> String {
    text.chars().take(200).map(veiled).collect()
}

fn sentence(error: lexopt::Error) -> Error {
    match error {
        lexopt::Error::MissingValue { option: Some(option) } => {
            Error::usage(format!("option {} needs a value", printable(&option)))
        }
        lexopt::Error::UnexpectedValue { option, value } => {
            let (option, value) = (printable(&option), printable(&value.to_string_lossy()));
            Error::usage(format!("option {option} takes no value, not '{value}'"))
        }
        other => Error::usage(printable(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::help::help;
    use super::*;
    use crate::balance::settings::{Common, DumpForm, Settings};

    fn wish(words: &[&str]) -> Result<Wish, Error> {
        parse(words.iter().map(OsString::from))
    }

    fn options(words: &[&str]) -> Options {
        match wish(words) {
            Ok(Wish::Run(options)) => *options,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn settings(words: &[&str]) -> (Common, Settings) {
        let (mut common, mut settings) = (Common::default(), Settings::default());
        options(words).steps.iter().for_each(|step| step.apply(&mut common, &mut settings));
        (common, settings)
    }

    #[test]
    fn flags_bundle_and_stand_anywhere() {
        let table: [&[&str]; 7] = [
            &["-d", "-d", "-h", "-b", "5", "80", "a", "b"],
            &["-ddhb5", "80", "a", "b"],
            &["-hddb", "5", "80", "a", "b"],
            &["80", "-dd", "a", "-hb5", "b"],
            &["80", "a", "b", "-b5", "-hdd"],
            &["-dd", "--hash", "--blacklist=5", "--", "80", "a", "b"],
            &["--debug", "--debug", "--blacklist", "5", "-h", "80", "--", "a", "b"],
        ];
        for words in table {
            assert_eq!(options(words).operands, ["80", "a", "b"], "{words:?}");
            let (common, settings) = settings(words);
            assert_eq!((common.debug, settings.modes.hash), (2, true), "{words:?}");
            assert_eq!(settings.blacklist, Duration::from_secs(5), "{words:?}");
        }
    }

    #[test]
    fn after_two_dashes_everything_is_an_operand() {
        assert_eq!(options(&["--", "80", "-d", "--help"]).operands, ["80", "-d", "--help"]);
    }

    #[test]
    fn every_setting_is_set() {
        let seconds = Duration::from_secs;
        let defaults = (Common::default(), Settings::default());
        let common = |common: Common| (common, Settings::default());
        let own = |settings: Settings| (Common::default(), settings);
        let (alike, default) = (Common::default(), Settings::default());
        let table: [(&[&str], (Common, Settings)); 17] = [
            (&["-a"], common(Common { dump_form: DumpForm::Ascii, ..alike.clone() })),
            (&["-b0"], own(Settings { blacklist: seconds(0), ..default.clone() })),
            (&["-c", "1"], own(Settings { clients_max: 1, ..default.clone() })),
            (&["-l", "pen.log"], common(Common { log: Some(String::from("pen.log")), ..alike.clone() })),
            (&["-m7"], common(Common { multi_accept: 7, ..alike.clone() })),
            (&["-p", "x.pid"], common(Common { pid_file: Some(PathBuf::from("x.pid")), ..alike.clone() })),
            (&["-w", "x.html"], common(Common { web_stats: Some(PathBuf::from("x.html")), ..alike.clone() })),
            (&["-q", "8"], common(Common { backlog: 8, ..alike.clone() })),
            (&["-t1"], own(Settings { connect_timeout: seconds(1), ..default.clone() })),
            (&["-T9"], own(Settings { tracking: seconds(9), ..default.clone() })),
            (&["-x20"], common(Common { conn_max: 20, ..alike.clone() })),
            (&["-X"], common(Common { may_exit: true, ..alike.clone() })),
            (&["-P"], defaults.clone()),
            (&["--poll"], defaults.clone()),
            (&["-b1", "-b2"], own(Settings { blacklist: seconds(2), ..default.clone() })),
            (&["--timeout", "8"], own(Settings { connect_timeout: seconds(8), ..default.clone() })),
            (&[], defaults.clone()),
        ];
        for (words, expected) in table {
            assert_eq!(settings(words), expected, "{words:?}");
        }
        let modes = settings(&["-rsWh"]).1.modes;
        assert!(modes.hash && modes.roundrobin && modes.stubborn && modes.weight && !modes.prio);
    }

    #[test]
    fn what_is_not_a_setting_is_kept() {
        let options = options(&[
            "-f",
            "-Chost:81",
            "-e",
            "e:1",
            "-B",
            "b",
            "-F",
            "pen.cfg",
            "-j/jail",
            "-u",
            "nobody",
            "-O",
            "acl 1",
            "-o",
            "poll",
            "-b",
            "5",
            "-n",
            "--control-dir",
            "/a",
            "--control-dir=/b",
            "--control-mode=0660",
        ]);
        assert!(options.check && options.control_mode == Some(0o660));
        assert_eq!(options.control_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert!(options.foreground && !options.demo);
        assert_eq!(options.control.as_deref(), Some("host:81"));
        assert_eq!(options.emergency.as_deref(), Some("e:1"));
        assert_eq!(options.abuse.as_deref(), Some("b"));
        assert_eq!(options.config, Some(PathBuf::from("pen.cfg")));
        assert_eq!(options.chroot, Some(PathBuf::from("/jail")));
        assert_eq!(options.user.as_deref(), Some("nobody"));
        let command = |text: &str| Step::Command(String::from(text));
        assert_eq!(options.steps, [command("acl 1"), command("poll"), Step::Set(Id::Blacklist, 5)]);
    }

    #[test]
    fn obsolete_flags_are_noted_one_line_each() {
        let options = options(&["-DQ", "80"]);
        let note = |letter: &str| format!("option -{letter} is obsolete and does nothing");
        assert_eq!(options.notes, ["D", "Q"].map(note));
        assert_eq!(options.operands, ["80"]);
    }

    #[test]
    fn every_mistake_names_its_culprit() {
        let table: [(&[&str], &str); 25] = [
            (&["--control-mode", "599"], "option --control-mode takes permissions from 600 to 777, not '599'"),
            (&["--control-mode", "066"], "option --control-mode takes permissions from 600 to 777, not '066'"),
            (&["--control-mode=01666"], "option --control-mode takes permissions from 600 to 777, not '01666'"),
            (&["--control-mode", ""], "option --control-mode takes permissions from 600 to 777, not ''"),
            (&["-y"], "unknown option -y; try 'pen --help'"),
            (&["-fy"], "unknown option -y; try 'pen --help'"),
            (&["--nosuch=3"], "unknown option --nosuch; try 'pen --help'"),
            (&["--no\u{1b}[m"], "unknown option --no.[m; try 'pen --help'"),
            (&["-t"], "option -t needs a value"),
            (&["--timeout"], "option --timeout needs a value"),
            (&["--hash=5"], "option --hash takes no value, not '5'"),
            (&["-t0"], "option -t takes a number from 1 to 2147483647, not '0'"),
            (&["--timeout=0"], "option --timeout takes a number from 1 to 2147483647, not '0'"),
            (&["-x", "0"], "option -x takes a number from 1 to 1000000, not '0'"),
            (&["-x", "-5"], "option -x takes a number from 1 to 1000000, not '-5'"),
            (&["-c0"], "option -c takes a number from 1 to 16777216, not '0'"),
            (&["-m0"], "option -m takes a number from 1 to 1000000, not '0'"),
            (&["-q0"], "option -q takes a number from 1 to 1000000, not '0'"),
            (&["-b-1"], "option -b takes a number from 0 to 2147483647, not '-1'"),
            (&["-b", "+5"], "option -b takes a number from 0 to 2147483647, not '+5'"),
            (&["-b", "abc"], "option -b takes a number from 0 to 2147483647, not 'abc'"),
            (&["-fb5r"], "option -b takes a number from 0 to 2147483647, not '5r'"),
            (&["-T", ""], "option -T takes a number from 0 to 2147483647, not ''"),
            (&["-b4294967296"], "option -b takes a number from 0 to 2147483647, not '4294967296'"),
            (&["-i", "x"], "option -i (Windows services) is not in this pen"),
        ];
        for (words, message) in table {
            let error = wish(words).unwrap_err();
            assert_eq!(error.to_string(), message, "{words:?}");
            assert_eq!(error.exit_status(), 64, "{words:?}");
        }
        for letter in "AEGKLRZ".chars() {
            let error = wish(&[&format!("-{letter}"), "x"]).unwrap_err();
            assert_eq!(error.to_string(), format!("option -{letter} (TLS) is not in this pen yet"));
        }
    }

    #[test]
    fn the_table_has_each_name_once_and_says_what_each_does() {
        for (at, flag) in FLAGS.iter().enumerate() {
            for other in &FLAGS[at + 1..] {
                assert!(flag.short.is_none() || flag.short != other.short, "{flag:?}");
                assert!(flag.long.is_none() || flag.long != other.long, "{flag:?}");
            }
            assert_eq!(flag.help.is_empty(), flag.id == Id::Obsolete, "{flag:?}");
        }
    }

    #[test]
    fn the_defaults_that_help_prints_are_those_that_count() {
        for flag in FLAGS {
            if let (Value::Number(..), Some(letter)) = (flag.value, flag.short) {
                let words = [format!("-{letter}{}", flag.default)];
                assert_eq!(settings(&[&words[0]]), (Common::default(), Settings::default()), "{flag:?}");
            }
        }
    }

    #[test]
    fn help_and_version_are_wishes() {
        assert_eq!(wish(&["--help"]), Ok(Wish::Help));
        assert_eq!(wish(&["-f", "--version", "-t"]), Ok(Wish::Version));
        let help = help();
        assert!(help.contains("  -b, --blacklist SECONDS     leave a failed server out for so long [30]\n"), "{help}");
        assert!(help.lines().all(|line| line.len() <= 80), "{help}");
    }
}
