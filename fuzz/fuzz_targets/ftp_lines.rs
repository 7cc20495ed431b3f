#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/ftp_lines.rs"]
mod ftp_lines;

fuzz_target!(|bytes: &[u8]| ftp_lines::check(bytes));
