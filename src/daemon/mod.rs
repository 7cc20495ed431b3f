//! pen put together: from the command line to the end of the process.
//!
//! `options` reads the command line, `plan` checks all that it says, `names` looks up what are
//! names, `activation` tells which sockets are there already, `start` opens everything and runs the loop. `check` stops before that. `demo` is pen with servers of its own.

mod activation;
pub mod check;
pub mod demo;
pub mod exchange;
#[cfg(test)]
mod fake;
pub mod help;
pub mod names;
pub mod options;
pub mod plan;
pub mod start;
mod step;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::base::error::Error;
use options::Wish;

/// pen, from its arguments without the first to its exit status. Says what is wrong in one line
/// on stderr.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(args) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

/// Says one line on stderr. Where nobody can hear it, pen goes on as if it had been heard.
fn complain(what: &impl Display) {
    let _ = writeln!(std::io::stderr(), "pen: {what}");
}

fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Error> {
    match options::parse(args)? {
        Wish::Help => print(&help::help()),
        Wish::Version => print(&format!("pen {}\n", env!("CARGO_PKG_VERSION"))),
        Wish::Run(options) if options.check => check::run(&options),
        Wish::Run(options) if options.demo => demo::run(&options),
        Wish::Run(options) => start::run(&options),
    }
}

fn print(text: &str) -> Result<u8, Error> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(0),
        Err(error) => Err(Error::system(format!("cannot write: {}", crate::base::error::reason(&error)))),
    }
}
