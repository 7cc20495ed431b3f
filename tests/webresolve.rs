//! The built webresolve and splitwr on loopback, against BIND's name server (Debian's bind9) and against name servers
//! of the test's own that lose, forge, are late or dead.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "webresolve/bind.rs"]
mod bind;
#[path = "webresolve/fake.rs"]
mod fake;
#[path = "webresolve/filter.rs"]
mod filter;
#[path = "webresolve/network.rs"]
mod network;
#[path = "webresolve/zones.rs"]
mod zones;

use std::ffi::OsStr;
use std::fs::File;
use std::process::{Command, Stdio};

use support::process::{Ended, Process};
use support::scratch::Scratch;

/// A program of the package that reads neither the hosts nor the name servers of this machine.
fn tool(program: &str, directory: &Scratch) -> Command {
    let path = match program {
        "webresolve" => env!("CARGO_BIN_EXE_webresolve"),
        _ => env!("CARGO_BIN_EXE_splitwr"),
    };
    let mut command = Command::new(path);
    command.args(["-H", "/dev/null", "-R", "/dev/null"]).current_dir(directory.path()).env("LC_ALL", "C");
    command
}

/// What a tool makes of a log in a file, with these options in words.
#[track_caller]
fn run(program: &str, directory: &Scratch, options: &str, log: &str) -> Ended {
    directory.write("log", log);
    let mut command = tool(program, directory);
    command.args(options.split_whitespace()).arg("log");
    Process::start(command, directory, "tool").wait()
}

/// The same, which must succeed and say nothing: its output.
#[track_caller]
fn output(program: &str, directory: &Scratch, options: &str, log: &str) -> String {
    let ended = run(program, directory, options, log);
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    ended.stdout
}

/// webresolve with a pipe at both ends.
fn piped(directory: &Scratch, options: &[&str]) -> std::process::Child {
    let error = File::create(directory.file("piped.err")).expect("the directory is ours");
    tool("webresolve", directory)
        .args(options.iter().map(OsStr::new))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(error)
        .spawn()
        .expect("the program is there")
}
