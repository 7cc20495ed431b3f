//! What the fuzzers have found, and what they begin with: every file of `fuzz/corpus` is judged by the very function
//! that the fuzz target calls, so that nothing that was ever found comes back unnoticed.  The simulation's files are
//! judged in `tests/sim.rs`.
//!
//! Each target is also fuzzed for a short while, from these files and always in the same way: `MUTATIONS=1000000` does
//! so for longer, and with `SEED=` in another way.

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
#[path = "../fuzz/checks/first_bytes.rs"]
mod first_bytes;
#[path = "../fuzz/checks/ftp_lines.rs"]
mod ftp_lines;
#[path = "../fuzz/checks/http_head.rs"]
mod http_head;
#[path = "../fuzz/checks/inherited.rs"]
mod inherited;
#[path = "../fuzz/checks/operand.rs"]
mod operand;
#[path = "../fuzz/checks/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "../fuzz/checks/record.rs"]
mod record;
#[path = "../fuzz/checks/ring.rs"]
mod ring;
#[path = "../fuzz/checks/viewer_request.rs"]
mod viewer_request;
#[cfg(feature = "tools")]
#[path = "../fuzz/checks/weblog.rs"]
mod weblog;

/// How many inputs are made from a corpus; fewer for the ring, whose judge is slow.
const MUTATIONS: usize = 1_000;

/// Judges every file of a target's corpus, and what becomes of them when they are changed at random.
#[track_caller]
fn judge(target: &str, check: impl Fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", directory.display());
    let judge_one = |path: &Path, bytes: &[u8], is_kept: bool| {
        let Err(failure) = catch_unwind(AssertUnwindSafe(|| check(bytes))) else { return };
        if !is_kept {
            fs::write(path, bytes).unwrap();
        }
        println!("{} fails", path.display());
        resume_unwind(failure);
    };
    let mut inputs = Vec::new();
    for path in paths {
        inputs.push(fs::read(&path).unwrap());
        judge_one(&path, inputs.last().unwrap(), true);
    }
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let mut random = Random(number("SEED").unwrap_or(1) | 1);
    let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("found-{target}"));
    let mutations = if target == "ring" { MUTATIONS / 20 } else { MUTATIONS };
    for _ in 0..number("MUTATIONS").map_or(mutations, |count| usize::try_from(count).unwrap()) {
        judge_one(&found, &random.changed(&inputs), false);
    }
}

/// Numbers that are always the same ones (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    /// A piece of one of the inputs.
    fn piece<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let start = self.below(input.len() + 1);
        let most = input.len() - start;
        let length = if self.below(2) == 0 { self.below(9).min(most) } else { self.below(most + 1) };
        &input[start..start + length]
    }

    /// One of the inputs with a few changes.
    fn changed(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let until = at + self.piece(&bytes[at..]).len();
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..until)),
                2 => drop(bytes.splice(at..at, bytes[at..until].to_vec())),
                3 => {
                    let other = self.below(inputs.len());
                    let piece = self.piece(&inputs[other]).to_vec();
                    bytes.splice(at..until, piece);
                }
                4 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => bytes.insert(at, *b"\0\xff\n \r0-9:/%\x7f\x80"[self.below(13)..].first().unwrap_or(&0)),
            }
        }
        // What libFuzzer makes is no longer either unless it is told so.
        bytes.truncate(1 << 12);
        bytes
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
fn first_bytes_stand_what_was_found() {
    judge("first_bytes", first_bytes::check);
}

#[test]
fn headers_of_the_proxy_protocol_stand_what_was_found() {
    judge("proxy_protocol", proxy_protocol::check);
}

#[test]
fn ftp_conversations_stand_what_was_found() {
    judge("ftp_lines", ftp_lines::check);
}

#[test]
fn http_connections_stand_what_was_found() {
    judge("http_head", http_head::check);
}

#[test]
fn requests_to_the_status_port_stand_what_was_found() {
    judge("viewer_request", viewer_request::check);
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
