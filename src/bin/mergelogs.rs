//! mergelogs, which puts the clients' addresses back into web servers' logs.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(pen::tools::mergelogs::run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr()))
}
