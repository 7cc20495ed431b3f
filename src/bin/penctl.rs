//! penctl, which passes commands to a running pen.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let status = pen::tools::penctl::run(
        std::env::args_os(),
        &mut io::BufReader::new(io::stdin()),
        &mut io::stdout(),
        &mut io::stderr(),
    );
    ExitCode::from(status)
}
