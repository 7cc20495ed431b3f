#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/config.rs"]
mod config;

fuzz_target!(|bytes: &[u8]| config::check(bytes));
