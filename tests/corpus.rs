//! What the fuzzers have found, and what they begin with: every file of `fuzz/corpus` is judged by the very function
//! that the fuzz target calls, so that nothing that was ever found comes back unnoticed.  The simulation's files are
//! judged in `tests/sim.rs`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

#[path = "../fuzz/checks/acl.rs"]
mod acl;
#[path = "../fuzz/checks/answer.rs"]
mod answer;
#[path = "../fuzz/checks/command.rs"]
mod command;
#[path = "../fuzz/checks/config.rs"]
mod config;
#[path = "../fuzz/checks/conversation.rs"]
mod conversation;
#[cfg(feature = "tools")]
#[path = "../fuzz/checks/datagram.rs"]
mod datagram;
#[cfg(feature = "tools")]
#[path = "../fuzz/checks/dns.rs"]
mod dns;
#[path = "../fuzz/checks/dump.rs"]
mod dump;
#[path = "../fuzz/checks/http_head.rs"]
mod http_head;
#[path = "../fuzz/checks/inherited.rs"]
mod inherited;
#[path = "../fuzz/checks/operand.rs"]
mod operand;
#[path = "../fuzz/checks/record.rs"]
mod record;
#[path = "../fuzz/checks/ring.rs"]
mod ring;
#[cfg(feature = "tools")]
#[path = "../fuzz/checks/weblog.rs"]
mod weblog;

/// Judges every file of a target's corpus.
#[track_caller]
fn judge(target: &str, check: impl Fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", directory.display());
    for path in paths {
        let bytes = fs::read(&path).unwrap();
        if let Err(failure) = catch_unwind(AssertUnwindSafe(|| check(&bytes))) {
            println!("{} fails", path.display());
            resume_unwind(failure);
        }
    }
}

#[test]
fn access_lists_stand_what_was_found() {
    judge("acl", acl::check);
}

#[test]
fn answers_of_the_name_service_stand_what_was_found() {
    judge("answer", answer::check);
}

#[test]
fn commands_stand_what_was_found() {
    judge("command", command::check);
}

#[test]
fn files_of_commands_stand_what_was_found() {
    judge("config", config::check);
}

#[cfg(feature = "tools")]
#[test]
fn answers_of_name_servers_stand_what_was_found() {
    judge("dns", dns::check);
}

#[test]
fn dumps_stand_what_was_found() {
    judge("dump", dump::check);
}

#[test]
fn http_connections_stand_what_was_found() {
    judge("http_head", http_head::check);
}

#[test]
fn what_a_successor_inherits_stands_what_was_found() {
    judge("inherited", inherited::check);
}

#[test]
fn operands_stand_what_was_found() {
    judge("operand", operand::check);
}

#[test]
fn records_stand_what_was_found() {
    judge("record", record::check);
}

#[test]
fn the_ring_stands_what_was_found() {
    judge("ring", ring::check);
}

#[test]
#[cfg(feature = "tools")]
fn lines_of_web_logs_stand_what_was_found() {
    judge("weblog", weblog::check);
}

#[test]
#[cfg(feature = "tools")]
fn datagrams_to_penlogd_stand_what_was_found() {
    judge("datagram", datagram::check);
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let names = |directory: &str| -> Vec<String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory);
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> =
            paths.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("corpus"), names("fuzz_targets"));
}

#[test]
fn decoders_stand_what_was_found() {
    judge("said_dns", conversation::dns);
    judge("said_http", conversation::http);
    judge("said_ldap", conversation::ldap);
    judge("said_lines", conversation::lines);
    judge("said_tls", conversation::tls);
}
