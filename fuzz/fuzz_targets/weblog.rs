#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/weblog.rs"]
mod weblog;

fuzz_target!(|bytes: &[u8]| weblog::check(bytes));
