#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/proxy_protocol.rs"]
mod proxy_protocol;

fuzz_target!(|bytes: &[u8]| proxy_protocol::check(bytes));
