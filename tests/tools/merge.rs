//! mergelogs: its command line, and what it makes of logs in files, pipes and archives.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::process::{Ended, Process};
use crate::support::scratch::Scratch;
use crate::support::wait;
use crate::{MERGELOGS, command};

/// A directory with the golden inputs.
fn golden() -> Scratch {
    let directory = Scratch::new();
    for name in ["pen.log", "host1", "host2", "host3"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name), directory.file(name)).unwrap();
    }
    directory
}

#[track_caller]
fn run(directory: &Scratch, words: &[&str]) -> Ended {
    Process::run(command(MERGELOGS, directory, words))
}

const ALL: [&str; 5] = ["-p", "pen.log", "10.0.0.1:host1", "10.0.0.2:host2", "[2001:db8::1]:host3"];

/// Compares with a golden file; `BLESS=1` writes it.
#[track_caller]
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap(), "{name}");
}

const STRANGE: &str =
    "mergelogs: host1: 2 lines are not understood and left as found\nmergelogs: pen.log: 2 lines are no records\n";

#[test]
fn the_golden_logs_become_the_golden_log() {
    let directory = golden();
    let ended = run(&directory, &ALL);
    assert_golden("merged", &ended.stdout);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), STRANGE));
    let ended = run(&directory, &[&["-u"], &ALL[..]].concat());
    assert_golden("merged-utc", &ended.stdout);
    // The window is small, or there is none: these logs are the same.
    for option in [&["-j", "2"][..], &["-c"], &["-t", "-3"]] {
        assert_eq!(run(&directory, &[option, &ALL].concat()).stdout, run(&directory, &ALL).stdout, "{option:?}");
    }
}

#[test]
fn what_was_found_is_told_when_asked() {
    let ended = run(&golden(), &["-d", "-p", "pen.log", "10.0.0.2:host2"]);
    let told = "mergelogs: host2: 4 lines, 3 of them with a client; the clock of 10.0.0.2 is +0.0 s off\n";
    assert!(ended.stderr.starts_with(told), "{}", ended.stderr);
}

#[test]
fn requests_farther_apart_than_j_are_not_one() {
    let directory = Scratch::new();
    directory.write("pen.log", "192.0.2.1 1010536070 10.0.0.1 GET /a HTTP/1.0\n");
    let rest = "- - [09/Jan/2002:00:29:30 +0000] \"GET /a HTTP/1.0\" 200 1\n";
    directory.write("log", &format!("x {rest}"));
    for (option, client) in [
        (&["-j", "100"][..], "192.0.2.1"),
        (&["-j", "98"], "10.0.0.1"),
        (&["-j", "0"], "10.0.0.1"),
        (&["-c"], "192.0.2.1"),
    ] {
        let ended = run(&directory, &[option, &["-p", "pen.log", "10.0.0.1:log"]].concat());
        assert_eq!(ended.stdout, format!("{client} {rest}"), "{option:?}");
    }
}

#[test]
fn archives_and_pipes_are_as_good_as_files() {
    let directory = golden();
    let expected = run(&directory, &ALL).stdout;
    for name in ["pen.log", "host1", "host2"] {
        let status = Command::new("gzip").arg("-k").arg(directory.file(name)).status().expect("gzip is there");
        assert!(status.success());
    }
    let words = ["-p", "pen.log.gz", "10.0.0.1:host1.gz", "10.0.0.2:host2.gz", "[2001:db8::1]:host3"];
    assert_eq!(run(&directory, &words).stdout, expected);

    for from in [["-p", "-", "10.0.0.1:host1", "pen.log"], ["-p", "pen.log", "10.0.0.1:-", "host1"]] {
        let words = [&from[..3], &["10.0.0.2:host2", "[2001:db8::1]:host3"]].concat();
        let mut command = command(MERGELOGS, &directory, &words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut pipe = child.stdin.take().expect("it is piped");
        pipe.write_all(&fs::read(directory.file(from[3])).unwrap()).unwrap();
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{from:?}");
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let directory = Scratch::new();
    directory.write("pen.log", "");
    let line = "x - - [09/Jan/2002:00:29:30 +0000] \"GET /a HTTP/1.0\" 200 1\n";
    directory.write("log", &line.repeat(100_000));
    let mut command = command(MERGELOGS, &directory, &["-p", "pen.log", "10.0.0.1:log"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().expect("it is piped").read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_long_run_says_on_a_terminal_how_far_it_has_come() {
    let directory = Scratch::new();
    directory.write("pen.log", "");
    // script(1), which Debian always has, gives it a terminal, and shows what appears there.
    let words = format!("{MERGELOGS} -p pen.log 10.0.0.1:- <fifo >merged");
    let mut make = Command::new("mkfifo");
    assert!(make.arg(directory.file("fifo")).status().unwrap().success());
    let mut script = Command::new("script");
    script.current_dir(directory.path()).args(["-qefc", &words, "/dev/null"]).env("SHELL", "/bin/sh");
    let mut script = Process::start(script, &directory, "script");
    let mut log = fs::File::options().write(true).open(directory.file("fifo")).unwrap();
    let line = "x - - [09/Jan/2002:00:29:30 +0000] \"GET /a HTTP/1.0\" 200 1\n".repeat(1_000);
    let mut lines = 0;
    wait::until_true("the run has become a long one", || {
        log.write_all(line.as_bytes()).unwrap();
        lines += 1_000;
        script.stdout().contains(" lines\u{1b}[K")
    });
    drop(log);
    let ended = script.wait();
    assert!(ended.status.success(), "{ended:?}");
    let told = ended.stdout.split("\rmergelogs: ").nth(1).unwrap_or_default();
    assert!(told.starts_with(|first: char| first.is_ascii_digit()), "{ended:?}");
    assert!(ended.stdout.ends_with("\r\u{1b}[K"), "the line is taken away: {ended:?}");
    assert_eq!(directory.read("merged").lines().count(), lines);
}

#[test]
fn mistakes_are_one_line_and_nothing_else() {
    let directory = golden();
    let help = "; try 'mergelogs --help'";
    let table: [(&[&str], i32, &str); 14] = [
        (&[], 64, &format!("no log of pen (-p){help}")),
        (&["-p", "pen.log"], 64, &format!("no server's log (server:logfile){help}")),
        (&["10.0.0.1:host1"], 64, &format!("no log of pen (-p){help}")),
        (&["-x"], 64, &format!("invalid option '-x'{help}")),
        (&["-p", "pen.log", "host1"], 64, "'host1': not of the form server:logfile"),
        (&["-p", "pen.log", "10.0.0.1:"], 64, "'10.0.0.1:': no log file after the ':'"),
        (&["-p", "pen.log", "::1:host1"], 64, "'::1:host1': no server before the ':' (an IPv6 address needs brackets)"),
        (&["-p", "pen.log", "[::1]host1"], 64, "'[::1]host1': no ':' before the log file"),
        (&["-p", "pen.log", "[x]:host1"], 64, "'[x]:host1': no IPv6 address between the brackets"),
        (&["-j", "-1", "-p", "pen.log", "10.0.0.1:host1"], 64, "-j: '-1' is not a number"),
        (&["-p", "-", "10.0.0.1:-"], 64, "only one log can be standard input"),
        (&["-p", "nosuch", "10.0.0.1:host1"], 1, "cannot open nosuch: no such file or directory"),
        (&["-p", "pen.log", "10.0.0.1:nosuch"], 1, "cannot open nosuch: no such file or directory"),
        (&["-p", "pen.log", "10.0.0.1:."], 1, "cannot open .: is a directory"),
    ];
    for (words, status, message) in table {
        let ended = run(&directory, words);
        assert_eq!(ended.status.code(), Some(status), "{words:?}");
        assert_eq!((ended.stdout.as_str(), ended.stderr), ("", format!("mergelogs: {message}\n")), "{words:?}");
    }
    let full = Process::run({
        let mut command = Command::new("sh");
        command
            .current_dir(directory.path())
            .args(["-c", "\"$0\" -p pen.log 10.0.0.1:host1 >/dev/full"])
            .arg(MERGELOGS);
        command
    });
    assert_eq!(full.status.code(), Some(1));
    assert_eq!(full.stderr, "mergelogs: cannot write the output: no space left on device\n");
}

#[test]
fn help_and_version_are_printed() {
    let directory = Scratch::new();
    let help = run(&directory, &["--help"]);
    assert!(help.status.success() && help.stdout.starts_with("usage: mergelogs -p penlog "), "{help:?}");
    let version = run(&directory, &["--version"]).stdout;
    assert_eq!(version, format!("mergelogs {}\n", env!("CARGO_PKG_VERSION")));
}
