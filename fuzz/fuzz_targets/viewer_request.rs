#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/viewer_request.rs"]
mod viewer_request;

fuzz_target!(|bytes: &[u8]| viewer_request::check(bytes));
