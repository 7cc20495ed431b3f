#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/dns.rs"]
mod dns;

fuzz_target!(|bytes: &[u8]| dns::check(bytes));
