#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/acl.rs"]
mod acl;

fuzz_target!(|bytes: &[u8]| acl::check(bytes));
