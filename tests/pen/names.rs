//! Names at the start: those that do not exist, and a name service that does not answer.

use std::process::Command;

use crate::support::pen::program;
use crate::support::process::Process;
use crate::support::report::{is_root, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::{client, servers, wait};

/// pen with files of its own for the name service, in a mount namespace: `hosts` alone if `dns` is
/// false, and a name server that is not there otherwise.
fn pen_with(directory: &Scratch, dns: bool, words: &[&str]) -> Command {
    let switch = if dns { "hosts: files dns\n" } else { "hosts: files\n" };
    let here = directory.path().display().to_string();
    directory.write("nsswitch.conf", switch);
    directory.write("hosts", "127.0.0.1 localhost known\n");
    directory.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    let script = r#"
        ip link set lo up 2>/dev/null
        for file in nsswitch.conf hosts resolv.conf; do
            # What is a symbolic link here is bound where it leads to.
            mount --bind "$0/$file" "$(readlink -f /etc/$file)" || exit 99
        done
        exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, &here]).arg(program()).args(words);
    command
}

fn cannot(name: &str) -> bool {
    if !is_root() {
        not_tested_here(name, "only root can give pen a name service of its own");
    }
    !is_root()
}

#[test]
fn a_name_that_does_not_exist_is_a_mistake() {
    if cannot("a_name_that_does_not_exist_is_a_mistake") {
        return;
    }
    let directory = Scratch::new();
    let table: [(&[&str], &str); 4] = [
        (&["127.0.0.1:0", "known:80", "nosuch:80"], "server 'nosuch': no such host"),
        (&["-e", "nosuch:80", "127.0.0.1:0"], "server 'nosuch': no such host"),
        (&["nosuch:80"], "listening address 'nosuch': no such host"),
        (&["-l", "nosuch:99", "127.0.0.1:0"], "log host 'nosuch': no such host"),
    ];
    for (words, line) in table {
        for front in [&["-f"][..], &[]] {
            let ended = Process::run(pen_with(&directory, false, &[front, words].concat()));
            assert_eq!((ended.status.code(), ended.stderr), (Some(78), format!("pen: {line}\n")), "{words:?}");
        }
    }
}

// B29: pen 0.34.1 looks names up once, and gives up if nobody answers.
#[test]
fn a_name_service_that_does_not_answer_costs_one_server() {
    if cannot("a_name_service_that_does_not_answer_costs_one_server") {
        return;
    }
    let directory = Scratch::new();
    let server = servers::Server::start(servers::greet("known"));
    let known = format!("known:{}", server.address().port());
    let mut pen =
        Process::start(pen_with(&directory, true, &["-f", "known:0", "away.example:80", &known]), &directory, "pen");
    let address = wait::until("pen listens", || pen.listens_on().first().copied());
    let (text, _) = client::read_to_end(&client::connect(address));
    assert!(String::from_utf8_lossy(&text).contains("known"));
    let ended = pen.stop("TERM");
    let warning = "pen: server 0 is down until the name service answers for away.example\n";
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), warning));

    let ended = Process::run(pen_with(&directory, true, &["-f", "away.example:80"]));
    let line = "pen: listening address 'away.example': the name service does not answer\n";
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(1), line));
}

#[test]
fn the_child_that_looks_names_up_ends_with_pen() {
    let directory = Scratch::new();
    let mut command = Command::new(program());
    command.args(["-f", "127.0.0.1:0", "localhost:9"]);
    let mut pen = Process::start(command, &directory, "pen");
    wait::until("pen listens", || pen.listens_on().first().copied());
    let children = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let child: u32 = children(pen.pid()).trim().parse().expect("one child");
    assert!(children(child).is_empty());
    pen.stop("KILL");
    wait::until_true("the child ends", || !crate::support::process::is_alive(child));
}
