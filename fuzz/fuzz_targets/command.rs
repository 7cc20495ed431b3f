#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/command.rs"]
mod command;

fuzz_target!(|bytes: &[u8]| command::check(bytes));
