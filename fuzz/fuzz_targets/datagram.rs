#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/datagram.rs"]
mod datagram;

fuzz_target!(|bytes: &[u8]| datagram::check(bytes));
