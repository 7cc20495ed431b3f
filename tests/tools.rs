//! The log tools as programs: mergelogs, penlog, penlogd.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "tools/generated.rs"]
mod generated;
#[path = "tools/live.rs"]
mod live;
#[path = "tools/merge.rs"]
mod merge;
#[path = "tools/real.rs"]
mod real;

use std::process::Command;

use support::scratch::Scratch;

const MERGELOGS: &str = env!("CARGO_BIN_EXE_mergelogs");
const PENLOG: &str = env!("CARGO_BIN_EXE_penlog");
const PENLOGD: &str = env!("CARGO_BIN_EXE_penlogd");

/// A command line of a tool, in a directory.
fn command(program: &str, directory: &Scratch, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory.path()).args(words);
    command
}
