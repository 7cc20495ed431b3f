#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/http_head.rs"]
mod http_head;

fuzz_target!(|bytes: &[u8]| http_head::check(bytes));
