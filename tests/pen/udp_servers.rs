//! Datagrams with real servers: BIND asked by dig, rsyslogd told by logger, dnsdist on both sides.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;

use super::bind::Bind;
use crate::support::datagrams::{client, receive};
use crate::support::pen::Pen;
use crate::support::process::Process;
use crate::support::report::{is_installed, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::wait;

/// A name server whose name is the answer to `who.test`; `big.test` has 60 addresses.
fn name_server(test: &str, directory: &Scratch, name: &str) -> Option<Bind> {
    let big: String = (1..=60).map(|last| format!("big A 192.0.2.{last}\n")).collect();
    Bind::start(test, directory, &[("test", format!("ns A 127.0.0.1\nwho TXT {name}\n{big}"))], "")
}

/// What dig says.
#[track_caller]
fn dig(at: SocketAddr, words: &str) -> String {
    let mut command = Command::new("dig");
    command.arg(format!("@{}", at.ip())).args(["-p", &at.port().to_string(), "+time=10", "+tries=1", "+noidnin"]);
    let ended = Process::run({
        command.args(words.split(' '));
        command
    });
    assert!(ended.status.success(), "dig {words}: {ended:?}");
    ended.stdout
}

/// A question of DNS (RFC 1035 section 4.1) for the TXT records of `who.test`.
fn question(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend(b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03who\x04test\x00\x00\x10\x00\x01");
    bytes
}

#[test]
fn dig_is_answered_by_both_name_servers_and_none_of_ten_thousand_questions_is_lost_when_one_has_died() {
    let test = "DNS by UDP";
    if !is_installed("dig") {
        return not_tested_here(test, "not installed: dig");
    }
    let directories = [Scratch::new(), Scratch::new()];
    let Some(first) = name_server(test, &directories[0], "one") else { return };
    let Some(second) = name_server(test, &directories[1], "two") else { return };
    let flags = ["-U", "-r", "-t", "2", "-O", "udp_requests 1", "-O", "udp_responses 1"];
    let pen = Pen::start_with_control(&flags, &[first.at, second.at]);
    let at = pen.address();
    // By TCP as well, for answers that are too long for a datagram.
    let servers: String = [first.at, second.at]
        .iter()
        .enumerate()
        .map(|(number, at)| format!("server {number} address {} port {}\n", at.ip(), at.port()))
        .collect();
    let lines = pen.directory().write("tcp.cfg", &format!("listener tcp {at}\nroundrobin\n{servers}"));
    pen.obey(&format!("include {}", lines.display()));
    for words in ["+short who.test TXT", "+short +tcp who.test TXT"] {
        let said: Vec<String> = (0..6).map(|_| dig(at, words)).collect();
        let count = |name: &str| said.iter().filter(|said| **said == format!("\"{name}\"\n")).count();
        assert_eq!((count("one"), count("two")), (3, 3), "{words}: {said:?}");
    }
    // 60 addresses fit into 4096 bytes, and not into 512: then dig asks again by TCP.
    for words in ["+bufsize=4096 big.test A", "+noedns +ignore big.test A", "+noedns big.test A"] {
        let is_cut = words.contains("+ignore");
        let said = dig(at, words);
        assert_eq!(said.matches("\tA\t192.0.2.").count() < 60, is_cut, "{words}: {said}");
    }
    drop(first);
    let clients: Vec<UdpSocket> = (0..100).map(|_| client(at)).collect();
    for round in 0..100_u16 {
        for (number, client) in (0..).zip(&clients) {
            client.send(&question(100 * round + number)).unwrap();
        }
        for (number, client) in (0..).zip(&clients) {
            let answer = receive(client);
            assert_eq!(answer[..2], (100 * round + number).to_be_bytes(), "each its own answer");
            assert!(answer.windows(3).any(|bytes| bytes == b"two"));
        }
    }
    assert!(pen.obey("listeners").starts_with("main conn 0 "), "{}", pen.obey("listeners"));
    let log = second.log();
    let (_, log) = log.split_once(" running\n").expect("it ran");
    assert!(!log.contains("error"), "{log}");
}

/// rsyslogd on a port, which writes what comes to `messages`.
fn syslog(directory: &Scratch, at: SocketAddr) -> Process {
    let home = directory.path().display();
    let conf = format!(
        "global(workDirectory=\"{home}\")\nmodule(load=\"imudp\")\n\
         input(type=\"imudp\" address=\"{}\" port=\"{}\")\n\
         template(name=\"plain\" type=\"string\" string=\"%msg%\\n\")\n\
         action(type=\"omfile\" file=\"{home}/messages\" template=\"plain\" asyncWriting=\"off\")\n",
        at.ip(),
        at.port()
    );
    let conf = directory.write("rsyslog.conf", &conf).display().to_string();
    let mut command = Command::new("rsyslogd");
    let pid = directory.file("pid").display().to_string();
    command.args(["-n", "-f", &conf, "-i", &pid]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let process = Process::start(command, directory, "rsyslogd");
    wait::until_true("rsyslogd listens", || process.listens_on().contains(&at));
    process
}

fn messages(directory: &Scratch) -> Vec<String> {
    fs::read_to_string(directory.file("messages")).unwrap_or_default().lines().map(str::to_string).collect()
}

fn free_port() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("there is a free port")
}

#[test]
fn syslog_messages_of_one_sender_reach_both_servers_and_all_of_them_the_one_that_is_left() {
    let test = "syslog by UDP";
    for program in ["rsyslogd", "logger"] {
        if !is_installed(program) {
            return not_tested_here(test, &format!("not installed: {program}"));
        }
    }
    let directories = [Scratch::new(), Scratch::new()];
    let addresses = [free_port(), free_port()];
    let mut first = syslog(&directories[0], addresses[0]);
    let _second = syslog(&directories[1], addresses[1]);
    let flags = ["-U", "-r", "-O", "udp_requests 1", "-O", "udp_responses 0"];
    let pen = Pen::start(&flags, &addresses);
    let text: String = (0..100).map(|number| format!("message {number}\n")).collect();
    let file = pen.directory().write("messages", &text);
    let at = pen.address();
    let log = || {
        let port = at.port().to_string();
        let mut command = Command::new("logger");
        command.args(["-n", "127.0.0.1", "-P", &port, "-d", "-t", "test", "-f"]).arg(&file);
        let ended = Process::run(command);
        assert!(ended.status.success(), "{ended:?}");
    };
    let count = |number: usize| messages(&directories[number]).len();
    log();
    wait::until_true("each has half of them", || (count(0), count(1)) == (50, 50));
    assert!(messages(&directories[0])[0].contains("message "));
    first.stop("TERM");
    log();
    wait::until_true("the other one has all of the next", || count(1) == 150);
    assert_eq!(count(0), 50);
}

/// dnsdist at a free port, with these lines of its own.
fn dnsdist(directory: &Scratch, name: &str, lines: &str) -> (Process, SocketAddr) {
    loop {
        let at = free_port();
        let conf = directory.write(name, &format!("setLocal('{at}')\nsetACL('0.0.0.0/0')\n{lines}"));
        let mut command = Command::new("dnsdist");
        command.arg("-C").arg(conf).args(["--supervised", "--disable-syslog"]);
        let mut process = Process::start(command, directory, name);
        let listens = |process: &Process| process.listens_on().iter().filter(|one| **one == at).count() == 2;
        wait::until_true("dnsdist listens by TCP and UDP, or ends", || listens(&process) || process.has_ended());
        // Somebody else may have taken one of its ports meanwhile.
        if !process.has_ended() {
            return (process, at);
        }
        assert!(process.stdout().contains("in use") || process.stderr().contains("in use"), "{:?}", process.wait());
    }
}

#[test]
fn dnsdist_is_understood_and_understands_whom_each_question_is_from() {
    let test = "the PROXY protocol with dnsdist by UDP";
    let missing: Vec<&str> = ["dnsdist", "dig"].into_iter().filter(|program| !is_installed(program)).collect();
    if !missing.is_empty() {
        return not_tested_here(test, &format!("not installed: {}", missing.join(", ")));
    }
    let directory = Scratch::new();
    // It answers whom it sees a question from, as the header has it.
    let tell = "setProxyProtocolACL('127.0.0.1/32')\n\
        addAction(AllRule(), LuaAction(function(dq) return DNSAction.Spoof, dq.remoteaddr:toString() end))\n";
    let (_behind, behind) = dnsdist(&directory, "behind", tell);
    let options = ["-U", "-O", "proxy_accept 127.0.0.1", "-O", "proxy_protocol v2", "-O", "udp_timeout 0"];
    let pen = Pen::start_with_control(&options, &[behind]);
    let ask = |at: SocketAddr, from: &str| dig(at, &format!("-b {from} +short who.test A"));
    assert_eq!(ask(pen.address(), "127.0.0.7"), "127.0.0.7\n", "pen tells of its own clients");
    let relay =
        format!("newServer{{address='{}', useProxyProtocol=true, healthCheckMode='up'}}:setUp()\n", pen.address());
    let (_before, before) = dnsdist(&directory, "before", &relay);
    for _ in 0..3 {
        for from in ["127.0.0.8", "127.0.0.9"] {
            assert_eq!(ask(before, from), format!("{from}\n"), "and of those of a proxy");
        }
    }
    let recent = pen.obey("recent");
    assert!(["127.0.0.7 ", "127.0.0.8 ", "127.0.0.9 "].iter().all(|client| recent.contains(client)), "{recent}");
    assert_eq!(pen.stderr(), "");
}
