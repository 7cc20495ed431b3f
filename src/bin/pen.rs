//! pen, the balancer.

use std::process::ExitCode;

fn main() -> ExitCode {
    pen::daemon::main(std::env::args_os().skip(1))
}
