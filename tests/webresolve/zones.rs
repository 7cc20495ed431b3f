//! A real name server with real zones.

use std::fmt::Write as _;

use crate::bind::Bind;
use crate::support::process::Process;
use crate::support::scratch::Scratch;
use crate::{output, run};

const REST: &str = " - - [09/Jan/2002:00:27:50 +0100] \"GET / HTTP/1.0\" 200 1\n";

/// The zones of most tests.
fn zones() -> Vec<(&'static str, String)> {
    let mut reverse = String::from(
        "1 PTR one.example.test.\n\
         2 PTR Two.Example.Test.\n\
         3 PTR with_underscore.example.test.\n\
         4 CNAME 4.0-63.2.0.192.in-addr.arpa.\n\
         5 CNAME 5.outside.test.\n\
         6 PTR a\\010b.example.test.\n\
         7 PTR \\027[2J.example.test.\n\
         8 PTR 10.0.0.1.\n\
         9 PTR liar.example.test.\n\
         10 CNAME 11\n11 CNAME 10\n\
         12 PTR bad\\032space.test.\n12 PTR good.example.test.\n\
         13 PTR b.example.test.\n13 PTR a.example.test.\n13 PTR c.example.test.\n\
         4.0-63 PTR four.example.test.\n\
         20 TXT \"no name\"\n\
         lame NS nobody.test.\n",
    );
    // BIND takes a hundred of a kind.
    for n in 0..90 {
        writeln!(reverse, "14 PTR host-{n:03}.of.a.rather.long.domain.example.test.").unwrap();
    }
    let forward = "one A 192.0.2.1\none A 198.51.100.1\none AAAA 2001:db8::1\ntwo CNAME one\nfour A 192.0.2.4\n\
         liar A 198.51.100.9\na A 198.51.100.13\nb A 192.0.2.13\nsix AAAA 2001:db8::6\n";
    let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR one.example.test.\n\
         6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR six.example.test.\n";
    vec![
        ("2.0.192.in-addr.arpa", reverse),
        ("8.b.d.0.1.0.0.2.ip6.arpa", String::from(six)),
        ("example.test", String::from(forward)),
        ("outside.test", String::from("5 PTR five.example.test.\n")),
    ]
}

/// Addresses, their names, and whether these lead back; no name is what stays as it is.
const TABLE: [(&str, &str, bool); 20] = [
    ("192.0.2.1", "one.example.test", true),
    ("192.0.2.2", "two.example.test", false),
    ("192.0.2.3", "with_underscore.example.test", false),
    ("192.0.2.4", "four.example.test", true),
    ("192.0.2.5", "five.example.test", false),
    ("192.0.2.6", "", false),
    ("192.0.2.7", "", false),
    ("192.0.2.8", "", false),
    ("192.0.2.9", "liar.example.test", false),
    ("192.0.2.10", "", false),
    ("192.0.2.12", "good.example.test", false),
    ("192.0.2.14", "host-000.of.a.rather.long.domain.example.test", false),
    ("192.0.2.20", "", false),
    ("192.0.2.99", "", false),
    // Zones that this server does not have.
    ("203.0.113.1", "", false),
    ("2001:db8::1", "one.example.test", true),
    ("2001:0db8:0000::6", "six.example.test", true),
    ("2001:db8::7", "", false),
    ("::ffff:192.0.2.1", "one.example.test", true),
    ("host.example.test", "", false),
];

/// The table as a log and as what becomes of it.
fn logs(verify: bool) -> (String, String) {
    let (mut log, mut expected) = (String::new(), String::new());
    for (address, name, leads_back) in TABLE {
        let name = if name.is_empty() || (verify && !leads_back) { address } else { name };
        log += &format!("{address}{REST}");
        expected += &format!("{name}{REST}");
    }
    (log, expected)
}

#[test]
fn addresses_become_names_and_the_rest_stays_as_it_is() {
    let directory = Scratch::new();
    let Some(bind) = Bind::start("names of a real server", &directory, &zones(), "") else { return };
    for (verify, flags) in [(false, "-v"), (true, "-vf")] {
        let (log, expected) = logs(verify);
        for program in ["webresolve", "splitwr"] {
            let ended = run(program, &directory, &format!("{flags} -n {}", bind.at), &log);
            assert_eq!(ended.stdout, expected, "{program} {flags}: {}", ended.stderr);
            let said = match verify {
                false => "10 named, 3 without a name, 0 whose names do not lead back to them",
                true => "4 named, 3 without a name, 6 whose names do not lead back to them",
            };
            let trouble = "3 whose names are not fit for a log, 2 for which no name server had an answer";
            assert_eq!(ended.stderr, format!("{program}: addresses asked for: {said}, {trouble}\n"));
            assert!(ended.status.success());
        }
    }
    assert!(!bind.log().contains("assertion"), "{}", bind.log());
}

#[test]
fn an_address_with_several_names_has_the_same_one_each_time() {
    let directory = Scratch::new();
    let options = "rrset-order { order random; };";
    let Some(bind) = Bind::start("several names", &directory, &zones(), options) else { return };
    let log = format!("192.0.2.13{REST}");
    for _ in 0..5 {
        assert_eq!(output("webresolve", &directory, &format!("-n {}", bind.at), &log), format!("a.example.test{REST}"));
    }
    // Verified, it is the first that leads back.
    let verified = output("webresolve", &directory, &format!("-f -n {}", bind.at), &log);
    assert_eq!(verified, format!("b.example.test{REST}"));
}

#[test]
fn thousands_of_addresses_are_asked_once_each() {
    let directory = Scratch::new();
    let count = 20_000;
    let mut reverse = String::new();
    for n in 0..count {
        writeln!(reverse, "{}.{} PTR host-{n}.example.test.", n % 256, n / 256).unwrap();
    }
    let zones = [("18.198.in-addr.arpa", reverse)];
    // It logs each question.
    let log = "querylog yes;";
    let Some(bind) = Bind::start("thousands of addresses", &directory, &zones, log) else { return };
    let (mut log, mut expected) = (String::new(), String::new());
    for n in (0..count).chain((0..count).rev()) {
        writeln!(log, "198.18.{}.{} {n}", n / 256, n % 256).unwrap();
        writeln!(expected, "host-{n}.example.test {n}").unwrap();
    }
    for (at, program) in ["webresolve", "splitwr"].into_iter().enumerate() {
        let ended = run(program, &directory, &format!("-n {}", bind.at), &log);
        assert_eq!(ended.stderr, "");
        let found = ended.stdout;
        assert!(found == expected, "{program}: {} bytes, not {}", found.len(), expected.len());
        let asked = bind.log().matches(" IN PTR ").count();
        let most = (at + 1) * (count + count / 20);
        assert!((1..=most).contains(&asked), "{asked} questions for {} addresses", (at + 1) * count);
    }
}

#[test]
fn the_line_of_the_howto_works_word_for_word() {
    let directory = Scratch::new();
    let Some(bind) = Bind::start("the HOWTO's splitwr", &directory, &zones(), "") else { return };
    let (log, expected) = logs(false);
    directory.write("access_log", &log);
    // The name server that the machine's own configuration would name.
    directory.write(
        "bin/splitwr",
        &format!("#!/bin/sh\nexec {} -R /dev/null -H /dev/null -n {} \"$@\"\n", env!("CARGO_BIN_EXE_splitwr"), bind.at),
    );
    let script = "chmod 755 bin/splitwr; PATH=$PWD/bin:$PATH\nsplitwr access_log > access_log.resolved";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).current_dir(directory.path());
    let ended = Process::start(command, &directory, "sh").wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(directory.read("access_log.resolved"), expected);
}
