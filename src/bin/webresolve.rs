//! The program webresolve: see `man/webresolve.1`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(pen::tools::webresolve::run(std::env::args_os(), &mut std::io::stderr()))
}
