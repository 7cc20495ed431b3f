//! The program splitwr: see `man/splitwr.1`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(pen::tools::splitwr::run(std::env::args_os(), &mut std::io::stderr()))
}
