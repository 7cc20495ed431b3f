#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/first_bytes.rs"]
mod first_bytes;

fuzz_target!(|bytes: &[u8]| first_bytes::check(bytes));
