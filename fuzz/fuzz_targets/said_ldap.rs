#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target judges one part")]
#[path = "../checks/conversation.rs"]
mod conversation;

fuzz_target!(|bytes: &[u8]| conversation::ldap(bytes));
