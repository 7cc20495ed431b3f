//! Every pen command line of the load-balancing HOWTO (2002), word for word, on the machines that it names, with real
//! servers and real clients.  Needs root (network namespaces) and the servers' packages: `tests/all` installs them.
//!
//! `PEN_UNDER_TEST=/usr/bin/pen cargo test --test howto` shows what another pen makes of them.

mod support;

#[path = "howto/ftp.rs"]
mod ftp;
#[path = "howto/hash.rs"]
mod hash;
#[path = "howto/ldap.rs"]
mod ldap;
#[cfg(feature = "tools")]
#[path = "howto/logs.rs"]
mod logs;
#[path = "howto/mail.rs"]
mod mail;
#[path = "howto/watch.rs"]
mod watch;
#[path = "howto/web.rs"]
mod web;

use support::dumps;
use support::lab::{Lab, client_address};

/// What client `number` gets from `url`; the request must succeed.
#[track_caller]
fn fetch(lab: &Lab, number: usize, options: &str, url: &str) -> String {
    lab.output("client", &curl(number, options, url))
}

/// The curl command line of client `number`.
fn curl(number: usize, options: &str, url: &str) -> String {
    format!("curl -sS --max-time 20 --interface {} {options} {url}", client_address(number))
}

/// Asserts that each of these answers came up at least once, and no other.
#[track_caller]
fn assert_all_used(answers: &[String], expected: &[&str]) {
    let mut seen: Vec<&str> = answers.iter().map(String::as_str).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, expected, "of {answers:?}");
}

/// The fields of a line of the request log.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    client: String,
    time: u64,
    server: String,
    text: String,
}

/// The request log so far.
#[track_caller]
fn records(lab: &Lab, file: &str) -> Vec<Record> {
    let log = lab.scratch().read(file);
    assert!(log.is_empty() || log.ends_with('\n'), "{file} ends within a line: {log:?}");
    log.lines()
        .map(|line| {
            let fields: Vec<&str> = line.splitn(4, ' ').collect();
            let &[client, time, server, text] = fields.as_slice() else { panic!("{file}: {line:?}") };
            let time = time.parse().unwrap_or_else(|e| panic!("{file}: {line:?}: {e}"));
            Record { client: client.into(), time, server: server.into(), text: text.into() }
        })
        .collect()
}

/// Now, in seconds since 1970.
fn unix_now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs()
}

#[test]
fn only_the_exact_form_of_a_dump_is_taken_for_one() {
    for (output, dumps) in [
        ("", 0),
        ("2002-01-09 00:27:50: accepted\n", 0),
        ("copy_up(0)\n5: QUIT\n\n", 1),
        ("copy_up(0)\n6: QUIT\r\n\ncopy_down(12)\n3: 221\n", 2),
        ("copy_up(0)\n2: \n00000000  30 0c                                             |0.|\n", 1),
    ] {
        assert_eq!(dumps::parse(output.as_bytes()).map(|(dumps, _)| dumps.len()), Ok(dumps), "{output:?}");
    }
    for output in [
        "accepted\n",
        "copy_up\n5: QUIT\n\n",
        "copy_up(0)\n5: QUIT\n",
        "copy_up(0)\n4: QUIT\n\n",
        "copy_up(0)\n5:QUIT\n\n",
        "2002-01-09 00:27:50: copy_up(0)\n5: QUIT\n\n",
        "copy_up(0)\n2002-01-09 00:27:50: accepted\n5: QUIT\n\n",
        "copy_up(0)\n2: \n00000000  30 0c 02                                          |0..|\n",
        "copy_up(0)\n2: \n00000010  30 0c                                             |0.|\n",
    ] {
        assert!(dumps::parse(output.as_bytes()).is_err(), "{output:?}");
    }
}
