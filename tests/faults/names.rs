//! Of the questions to a real name server, and of its answers, some are lost on the way.

use std::fmt::Write as _;
use std::process::Command;

use crate::alone::is_alone;
use crate::bind::Bind;
use crate::packets::Fault;
use crate::support::process::Process;
use crate::support::scratch::Scratch;

/// Of how many clients the log has lines. Each datagram that is lost costs a second, and few are under way at a time
/// where many are lost.
const ADDRESSES: u32 = 300;

/// A program of the package that asks this name server alone.
#[track_caller]
fn resolve(program: &str, directory: &Scratch, bind: &Bind, tries: u32) -> String {
    let mut command = Command::new(program);
    command.args(["-H", "/dev/null", "-R", "/dev/null", "-f", "-t", "1", "-r", &tries.to_string(), "-n"]);
    command.arg(bind.at.to_string()).arg("log").current_dir(directory.path());
    let ended = Process::start(command, directory, "tool").wait();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}{}", ended.status, ended.stderr);
    ended.stdout
}

#[test]
fn names_are_found_though_a_fifth_of_all_datagrams_is_lost() {
    if !is_alone("names::names_are_found_though_a_fifth_of_all_datagrams_is_lost", &["nft", "named"]) {
        return;
    }
    let directory = Scratch::new();
    let (mut reverse, mut forward, mut log, mut expected) =
        (String::new(), String::new(), String::new(), String::new());
    for n in 0..ADDRESSES {
        let (high, low) = (n / 250, n % 250);
        writeln!(reverse, "{low}.{high} PTR host-{n}.example.test.").unwrap();
        writeln!(forward, "host-{n} A 198.18.{high}.{low}").unwrap();
        writeln!(log, "198.18.{high}.{low} - {n}").unwrap();
        writeln!(expected, "host-{n}.example.test - {n}").unwrap();
    }
    directory.write("log", &log);
    let zones = [("18.198.in-addr.arpa", reverse), ("example.test", forward)];
    let Some(bind) = Bind::start("names over a bad line", &directory, &zones, "") else { return };
    for program in [env!("CARGO_BIN_EXE_webresolve"), env!("CARGO_BIN_EXE_splitwr")] {
        let fault = Fault::Datagrams(20).begin(&[bind.at.port()]);
        // A third of all questions goes without an answer: that none of the twenty has one does not happen.
        let found = resolve(program, &directory, &bind, 20);
        let lost = fault.heal();
        assert!(found == expected, "{program}: {} lines are not as expected", differing(&found, &expected));
        assert!(lost > u64::from(ADDRESSES) / 4, "hardly a datagram was lost: {lost}");
    }
    assert!(!bind.log().contains("assertion"), "{}", bind.log());
}

fn differing(found: &str, expected: &str) -> usize {
    let lines = found.lines().zip(expected.lines()).filter(|(found, expected)| found != expected).count();
    lines + found.lines().count().abs_diff(expected.lines().count())
}
