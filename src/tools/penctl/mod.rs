//! penctl: passes commands to a running pen and prints its replies.
//!
//! Commands are checked against pen's own table before anything is sent, so that a typing error is
//! answered without a pen, too. `top` and `health` are penctl's own.

mod batch;
mod follow;
mod health;
mod metrics;
mod pen;
mod top;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;

use self::follow::follow;
use self::pen::Pen;
use self::top::Wanted;
use crate::base::error::{Error, reason};
use crate::base::operand::Services;
use crate::control::CommandError;
use crate::control::command::{COMMANDS, Command, parse};
use crate::control::subscription::Subscription;
use crate::control::token::token_of;

/// How long a pen has to answer, name look-up and connect included.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for `health`, which others wait for.
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);

/// The longest time to wait, in seconds.
const PATIENCE_MAX: f64 = 3_600.0;

const USAGE: &str = "\
usage: penctl [--token FILE] [--timeout SECONDS] host:port|/path/to/socket command ...
       penctl [--token FILE] [--timeout SECONDS] host:port|/path/to/socket -
       penctl [--token FILE] host:port|/path/to/socket top [--once | -n N] [--every SECONDS] [--sort KEY]
       penctl [--token FILE] [--timeout SECONDS] host:port|/path/to/socket health";

/// Runs penctl and returns its exit status: 0, 1 if pen refuses a command or is not healthy, 64 for an
/// error of usage, 69 if pen does not answer, or not to the end.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    input: &mut impl BufRead,
    out: &mut impl Write,
    err: &mut impl Write,
) -> u8 {
    let services =
        std::fs::read_to_string("/etc/services").map_or_else(|_| Services::default(), |text| Services::parse(&text));
    let result = plan(args, &services).and_then(|plan| carry_out(plan, &services, input, out, err));
    result.unwrap_or_else(|error| tell(err, &error))
}

/// Says what went wrong, and returns the exit status for it.
fn tell(err: &mut impl Write, error: &Error) -> u8 {
    // There is nobody else to be told.
    let _ = writeln!(err, "penctl: {error}");
    error.exit_status()
}

fn carry_out(
    plan: Plan,
    services: &Services,
    input: &mut impl BufRead,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    let Plan::Ask { pen, token, patience, what } = plan else {
        let Plan::Print(text) = plan else { unreachable!("there are two plans") };
        return print(out, text.as_bytes()).map(|_| 0);
    };
    let usual = patience.unwrap_or(PATIENCE);
    let asked = match what {
        What::Command(line) => ask(&pen, &format!("{token}{line}"), usual, out),
        What::Follow(line, wanted) => follow(&pen, &format!("{token}{line}"), &wanted, usual, out),
        What::Input => return batch::obey(&batch::Asked { pen, token, patience: usual, services }, input, out, err),
        What::Top(wanted) => top::top(&pen, &token, &wanted, out),
        What::Health => {
            let Some(why) = health::ailment(&pen, &token, patience.unwrap_or(HEALTH_PATIENCE))? else { return Ok(0) };
            return print(out, format!("{why}\n").as_bytes()).map(|_| 1);
        }
    };
    asked.map(|()| 0)
}

/// Sends a command and prints the reply.
fn ask(pen: &Pen, line: &str, patience: Duration, out: &mut impl Write) -> Result<(), Error> {
    let reply = pen.ask(line, patience).whole()?;
    obeyed(&reply)?;
    print(out, &reply).map(|_| ())
}

/// A refusal is an error.
fn obeyed(reply: &[u8]) -> Result<(), Error> {
    match reply.strip_prefix(b"error: ") {
        Some(refusal) => Err(Error::system(String::from_utf8_lossy(refusal).trim_end())),
        None => Ok(()),
    }
}

/// Prints; false if whoever reads has seen enough.
fn print(out: &mut impl Write, text: &[u8]) -> Result<bool, Error> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::system(format!("cannot print the reply: {}", reason(&error)))),
    }
}

/// What the command line asks for.
#[derive(Debug)]
enum Plan {
    Print(String),
    Ask { pen: Pen, token: String, patience: Option<Duration>, what: What },
}

/// What is to be done with a pen.
#[derive(Debug)]
enum What {
    /// A command.
    Command(String),
    /// A command whose reply goes on, and how far.
    Follow(String, Subscription),
    /// The commands at standard input.
    Input,
    Top(Wanted),
    Health,
}

fn plan(args: impl IntoIterator<Item = OsString>, services: &Services) -> Result<Plan, Error> {
    let mut parser = lexopt::Parser::from_iter(args);
    let (mut token, mut patience) = (String::new(), None);
    let operand = loop {
        match parser.next().map_err(wrong)? {
            Some(Arg::Long("help")) => return Ok(Plan::Print(help())),
            Some(Arg::Long("version")) => return Ok(Plan::Print(format!("penctl {}\n", env!("CARGO_PKG_VERSION")))),
            Some(Arg::Long("token")) => token = token_in(parser.value().map_err(wrong)?.into())?,
            Some(Arg::Long("timeout")) => patience = Some(seconds(parser.value().map_err(wrong)?)?),
            Some(option @ (Arg::Long(_) | Arg::Short(_))) => return Err(wrong(option.unexpected())),
            Some(Arg::Value(operand)) => break text(operand)?,
            None => return Err(Error::usage("no address of a pen; try 'penctl --help'")),
        }
    };
    let pen = Pen::parse(&operand, services)?;
    let own = parser.raw_args().map_err(wrong)?.next_if(|word| word == "top" || word == "health" || word == "-");
    let what = match own.as_ref().and_then(|word| word.to_str()) {
        Some("top") => What::Top(wanted(&mut parser)?),
        Some(own) => {
            match parser.next().map_err(wrong)? {
                Some(Arg::Long("timeout")) if own == "health" => {
                    patience = Some(seconds(parser.value().map_err(wrong)?)?);
                }
                Some(extra) => return Err(wrong(extra.unexpected())),
                None => {}
            }
            if let Some(extra) = parser.next().map_err(wrong)? {
                return Err(wrong(extra.unexpected()));
            }
            if own == "health" { What::Health } else { What::Input }
        }
        None => command(&mut parser, services)?,
    };
    Ok(Plan::Ask { pen, token, patience, what })
}

fn wrong(error: lexopt::Error) -> Error {
    Error::usage(format!("{error}; try 'penctl --help'"))
}

/// From here on every word is the command's, also one with a minus sign.
fn command(parser: &mut lexopt::Parser, services: &Services) -> Result<What, Error> {
    let words = parser.raw_args().map_err(wrong)?.map(text).collect::<Result<Vec<_>, _>>()?;
    let line = words.join(" ");
    match checked(parse(&line, services)) {
        Ok(Some(Some(wanted))) => Ok(What::Follow(line, wanted)),
        Ok(Some(None)) => Ok(What::Command(line)),
        Ok(None) => Err(Error::usage("no command; try 'penctl --help'")),
        Err(error) => Err(Error::usage(error.to_string())),
    }
}

/// Whether the reply to a line goes on, and how far; nothing if it is blank.
fn checked(read: Result<Option<Command>, CommandError>) -> Result<Option<Option<Subscription>>, CommandError> {
    let goes_on = |command| if let Command::Subscribe(wanted) = command { Some(wanted) } else { None };
    match read {
        Ok(command) => Ok(command.map(goes_on)),
        // Names of services are pen's to know.
        Err(error) if error.lacks_service() => Ok(Some(None)),
        Err(error) => Err(error),
    }
}

/// The options of `top`.
fn wanted(parser: &mut lexopt::Parser) -> Result<Wanted, Error> {
    let mut wanted = Wanted::default();
    while let Some(arg) = parser.next().map_err(wrong)? {
        match arg {
            Arg::Long("once") => wanted.tables = Some(1),
            Arg::Short('n') => wanted.tables = Some(number(parser, "-n", top::TABLES_MAX)?),
            Arg::Long("every") => wanted.every = number(parser, "--every", top::EVERY_MAX)?,
            Arg::Long("sort") => {
                wanted.key = text(parser.value().map_err(wrong)?)?;
                if !top::keys().any(|key| key == wanted.key) {
                    let keys = top::keys().collect::<Vec<_>>().join(", ");
                    return Err(Error::usage(format!("--sort: '{}' is not one of {keys}", wanted.key.escape_debug())));
                }
            }
            other => return Err(wrong(other.unexpected())),
        }
    }
    Ok(wanted)
}

fn number(parser: &mut lexopt::Parser, option: &str, most: u32) -> Result<u32, Error> {
    let word = text(parser.value().map_err(wrong)?)?;
    let number = word.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| Error::usage(format!("{option}: '{}' is not within 1 to {most}", word.escape_debug())))
}

/// A time in seconds, with a fraction if need be.
fn seconds(word: OsString) -> Result<Duration, Error> {
    let word = text(word)?;
    let time = word.parse().ok().filter(|time: &f64| (0.01..=PATIENCE_MAX).contains(time));
    let fail = || Error::usage(format!("--timeout: '{}' is not within 0.01 to {PATIENCE_MAX}", word.escape_debug()));
    time.map(Duration::from_secs_f64).ok_or_else(fail)
}

/// The beginning of a line for a pen that wants a word: the one in this file.
fn token_in(path: PathBuf) -> Result<String, Error> {
    let fail = |why: &str| Error::config(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| fail(&reason(&error)))?;
    let word = token_of(&text).map_err(|why| fail(&why))?;
    Ok(format!("token {} ", String::from_utf8_lossy(&word)))
}

fn text(word: OsString) -> Result<String, Error> {
    word.into_string().map_err(|word| Error::usage(format!("{word:?} is not UTF-8 text")))
}

fn help() -> String {
    let mut text = format!("{USAGE}\n\ncommands:\n");
    for row in COMMANDS.iter().filter(|row| row.exists()) {
        let synopsis = format!("{} {}", row.name, row.arguments);
        writeln!(text, "  {}\n        {}", synopsis.trim_end(), row.what).expect("writing into a string does not fail");
    }
    text.push_str(
        "\npenctl's own:\n  -         takes commands from standard input, one a line\n  \
         health    ends with 0 if pen serves, and else says why not\n  \
         top       shows a live table of servers; q ends it\n\noptions:\n  \
         --help             prints this\n  --timeout SECONDS  how long pen has to answer\n  \
         --token FILE       has the word that pen wants\n  --version          prints the version\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// Runs penctl: exit status, standard output, standard error.
    fn penctl(args: &[&str]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = std::iter::once("penctl").chain(args.iter().copied()).map(OsString::from);
        let status = run(args, &mut io::empty(), &mut out, &mut err);
        (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    /// A pen that gives one reply, and returns the command.
    fn answer(mut stream: impl Read + Write, reply: &str) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') && stream.read(&mut byte).unwrap() == 1 {
            line.push(byte[0]);
        }
        stream.write_all(reply.as_bytes()).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn the_words_become_a_line_and_the_reply_is_printed() {
        let table = [
            ("127.0.0.1", &["blacklist", "5"][..], "blacklist 5\n", "5\n", (0, "5\n", "")),
            ("127.0.0.1", &["server", "0", "prio", "-3"], "server 0 prio -3\n", "", (0, "", "")),
            ("localhost", &["blacklist 6"], "blacklist 6\n", "6\n", (0, "6\n", "")),
            ("127.0.0.1", &["no", "acl", "1"], "no acl 1\n", "error: no\n", (1, "", "penctl: no\n")),
            ("127.0.0.1", &["server", "0", "port", "frob"], "server 0 port frob\n", "", (0, "", "")),
        ];
        for (host, words, line, reply, (status, out, err)) in table {
            let listener = TcpListener::bind((host, 0)).unwrap();
            let pen = format!("{host}:{}", listener.local_addr().unwrap().port());
            let asked = thread::spawn(move || answer(listener.accept().unwrap().0, reply));
            let args: Vec<&str> = std::iter::once(pen.as_str()).chain(words.iter().copied()).collect();
            assert_eq!(penctl(&args), (status, String::from(out), String::from(err)), "{words:?}");
            assert_eq!(asked.join().unwrap(), line);
        }
    }

    #[test]
    fn a_pen_may_be_at_an_ipv6_address_or_a_path() {
        if let Ok(listener) = TcpListener::bind("[::1]:0") {
            let port = listener.local_addr().unwrap().port();
            let asked = thread::spawn(move || {
                for _ in 0..2 {
                    answer(listener.accept().unwrap().0, "7\n");
                }
            });
            assert_eq!(penctl(&[&format!("[::1]:{port}"), "pid"]).0, 0);
            assert_eq!(penctl(&[&format!("::1:{port}"), "pid"]).0, 0);
            asked.join().unwrap();
        } else {
            println!("cannot test IPv6 here: no address ::1");
        }
        let path = std::env::temp_dir().join(format!("penctl-test-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let asked = thread::spawn(move || answer(listener.accept().unwrap().0, "7\n"));
        assert_eq!(penctl(&[path.to_str().unwrap(), "pid"]), (0, String::from("7\n"), String::new()));
        asked.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn errors_of_usage_end_with_64_before_anything_is_sent() {
        let table: [(&[&str], &str); 23] = [
            (&[], "no address of a pen; try 'penctl --help'"),
            (&["-x"], "invalid option '-x'; try 'penctl --help'"),
            (&["127.0.0.1", "servers"], "'127.0.0.1': no port"),
            (&["127.0.0.1:", "servers"], "'127.0.0.1:': no port"),
            (&["127.0.0.1:0", "servers"], "'127.0.0.1:0': port 0 is not within 1 to 65535"),
            (&["127.0.0.1:frob", "servers"], "'127.0.0.1:frob': 'frob' is not a port or TCP service"),
            (&["no such host:1", "pid"], "'no such host:1': 'no such host' is not a host name"),
            (&["127.0.0.1:9"], "no command; try 'penctl --help'"),
            (&["127.0.0.1:9", ""], "no command; try 'penctl --help'"),
            (&["127.0.0.1:9", "#"], "no command; try 'penctl --help'"),
            (&["127.0.0.1:9", "frob"], "unknown command 'frob'"),
            (&["127.0.0.1:9", "blacklist", "x"], "blacklist: 'x' is not a number"),
            (&["127.0.0.1:9", "-", "x"], "unexpected argument \"x\"; try 'penctl --help'"),
            (&["127.0.0.1:9", "health", "x"], "unexpected argument \"x\"; try 'penctl --help'"),
            (&["127.0.0.1:9", "health", "--timeout", "0"], "--timeout: '0' is not within 0.01 to 3600"),
            (&["--timeout", "x", "127.0.0.1:9", "pid"], "--timeout: 'x' is not within 0.01 to 3600"),
            (&["--timeout", "NaN", "127.0.0.1:9", "pid"], "--timeout: 'NaN' is not within 0.01 to 3600"),
            (&["127.0.0.1:9", "top", "x"], "unexpected argument \"x\"; try 'penctl --help'"),
            (&["127.0.0.1:9", "top", "-n", "0"], "-n: '0' is not within 1 to 1000000"),
            (&["127.0.0.1:9", "top", "--every", "x"], "--every: 'x' is not within 1 to 3600"),
            (
                &["127.0.0.1:9", "top", "--sort", "x"],
                "--sort: 'x' is not one of server, connections, rate, bytes, failures",
            ),
            (&["127.0.0.1:9", "top", "-x"], "invalid option '-x'; try 'penctl --help'"),
            (&["127.0.0.1:9", "health", "--timeout"], "missing argument for option '--timeout'; try 'penctl --help'"),
        ];
        for (args, message) in table {
            assert_eq!(penctl(args), (64, String::new(), format!("penctl: {message}\n")), "{args:?}");
        }
    }

    #[test]
    fn the_word_of_a_file_stands_before_the_command() {
        let path = std::env::temp_dir().join(format!("penctl-test-{}.token", std::process::id()));
        std::fs::write(&path, "s3cret-word\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pen = listener.local_addr().unwrap().to_string();
        let asked = thread::spawn(move || answer(listener.accept().unwrap().0, "7\n"));
        let token = path.to_str().unwrap();
        assert_eq!(penctl(&["--token", token, &pen, "pid"]), (0, String::from("7\n"), String::new()));
        assert_eq!(asked.join().unwrap(), "token s3cret-word pid\n");
        std::fs::write(&path, "short\n").unwrap();
        let message = format!("penctl: {token}: its first line is not a word of 8 to 256 printable characters\n");
        assert_eq!(penctl(&["--token", token, &pen, "pid"]), (78, String::new(), message));
        std::fs::remove_file(&path).unwrap();
        let message = format!("penctl: {token}: no such file or directory\n");
        assert_eq!(penctl(&["--token", token, &pen, "pid"]), (78, String::new(), message));
    }

    #[test]
    fn a_pen_that_is_not_there_is_exit_status_69() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pen = listener.local_addr().unwrap().to_string();
        drop(listener);
        let message = format!("penctl: cannot connect to {pen}: connection refused\n");
        assert_eq!(penctl(&[&pen, "pid"]), (69, String::new(), message));
        let message = String::from("penctl: cannot connect to /nosuch/sock: no such file or directory\n");
        assert_eq!(penctl(&["/nosuch/sock", "pid"]), (69, String::new(), message));
    }

    #[test]
    fn help_lists_every_command_that_there_is() {
        let (status, help, _) = penctl(&["--help"]);
        assert_eq!(status, 0);
        assert!(help.starts_with(USAGE));
        for row in COMMANDS {
            let is_listed = help.lines().any(|line| line.starts_with(&format!("  {}", row.name)));
            assert_eq!(is_listed, row.exists(), "{}", row.name);
        }
        assert_eq!(penctl(&["--version"]), (0, format!("penctl {}\n", env!("CARGO_PKG_VERSION")), String::new()));
    }
}
