//! penctl, which passes a command to a running pen.

use std::process::ExitCode;

fn main() -> ExitCode {
    let status = pen::tools::penctl::run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr());
    ExitCode::from(status)
}
