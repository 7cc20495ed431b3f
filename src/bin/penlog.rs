//! penlog, which sends the lines of a web server's log to penlogd.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(pen::tools::penlog::run(
        std::env::args_os(),
        pen::tools::input::Lines::new("standard input", std::io::stdin()),
        &mut std::io::stdout(),
        &mut std::io::stderr(),
    ))
}
