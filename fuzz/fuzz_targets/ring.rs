#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/ring.rs"]
mod ring;

fuzz_target!(|bytes: &[u8]| ring::check(bytes));
