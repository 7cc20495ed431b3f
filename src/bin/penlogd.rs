//! penlogd, which makes one log of what pen and the web servers send.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(pen::tools::penlogd::run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr()))
}
