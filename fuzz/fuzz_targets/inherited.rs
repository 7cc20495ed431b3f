#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/inherited.rs"]
mod inherited;

fuzz_target!(|bytes: &[u8]| inherited::check(bytes));
