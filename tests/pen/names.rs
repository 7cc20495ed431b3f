//! Names at the start: those that do not exist, and a name service that does not answer.

use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::support::pen::program;
use crate::support::process::{Process, is_alive, send};
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
    wait::until_true("the child ends", || !is_alive(child));
}

/// A pen with a control socket in this directory, and such files for the name service, in the foreground.
fn start_with_control(directory: &Scratch, dns: bool, resolv_conf: &str, options: &[&str]) -> Process {
    let control = directory.file("control").display().to_string();
    let words = ["-f", "-u", "root", "-C", &control, "127.0.0.1:0", "127.0.0.8:9", "127.0.0.9:9"];
    let command = pen_with(directory, dns, &[options, &words].concat());
    directory.write("resolv.conf", resolv_conf);
    let pen = Process::start(command, directory, "pen");
    wait::until_true("pen takes commands", || UnixStream::connect(directory.file("control")).is_ok());
    pen
}

/// The reply to a command.
fn obey(directory: &Scratch, command: &str) -> String {
    let mut penctl = Command::new(env!("CARGO_BIN_EXE_penctl"));
    penctl.arg(directory.file("control")).arg(command);
    let ended = Process::run(penctl);
    assert!(ended.status.success(), "{command}: {ended:?}");
    ended.stdout
}

/// Whether a server has this address.
fn has_address(directory: &Scratch, server: usize, address: &str) -> bool {
    let start = format!("{server} addr {address} ");
    obey(directory, "servers").lines().any(|line| line.starts_with(&start))
}

#[test]
fn a_name_that_hangs_delays_no_other() {
    if cannot("a_name_that_hangs_delays_no_other") {
        return;
    }
    let directory = Scratch::new();
    // A name server that takes questions and never answers.
    let silent = UdpSocket::bind("127.86.1.1:53").expect("nobody else has this address");
    silent.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let resolv_conf = "nameserver 127.86.1.1\noptions timeout:30 attempts:1\n";
    let mut pen = start_with_control(&directory, true, resolv_conf, &[]);
    obey(&directory, "server 0 address away.example");
    silent.recv(&mut [0; 512]).expect("pen asks");
    obey(&directory, "server 1 address known");
    wait::until_true("the other has its address", || has_address(&directory, 1, "127.0.0.1"));
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", pen.pid())).unwrap();
    let child = children.trim();
    let hanging = std::fs::read_to_string(format!("/proc/{child}/task/{child}/children")).unwrap();
    assert_eq!(hanging.split_whitespace().count(), 1, "one name still hangs");
    assert_eq!(pen.stop("TERM").status.code(), Some(0));
    wait::until_true("nothing is left", || !is_alive(hanging.trim().parse().unwrap()));
}

#[test]
fn in_a_jail_names_are_those_of_the_system_though_who_looks_them_up_dies() {
    if cannot("in_a_jail_names_are_those_of_the_system_though_who_looks_them_up_dies") {
        return;
    }
    let (directory, jail) = (Scratch::new(), Scratch::new());
    let options = ["-j", &jail.path().display().to_string()];
    let mut pen = start_with_control(&directory, false, "", &options);
    obey(&directory, "server 0 address known");
    wait::until_true("the name is known", || has_address(&directory, 0, "127.0.0.1"));
    let children = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let keeper = children(&pen.pid().to_string()).trim().to_string();
    let child: u32 = children(&keeper).trim().parse().expect("one child that looks names up");
    send(child, "KILL");
    wait::until_true("it has died", || !is_alive(child));
    // What is asked before its keeper has seen that is not answered.
    wait::until_true("another one looks names up", || {
        obey(&directory, "server 1 address known");
        wait::within(Duration::from_secs(1), || has_address(&directory, 1, "127.0.0.1").then_some(())).is_some()
    });
    assert_eq!(pen.stop("TERM").status.code(), Some(0));
    wait::until_true("nothing is left", || !is_alive(keeper.parse().unwrap()));
}
