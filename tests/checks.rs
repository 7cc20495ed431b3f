//! Active checks of real servers, and what those write into their logs: nothing that is a complaint.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "webresolve/bind.rs"]
mod bind;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use bind::Bind;
use support::lab::Lab;
use support::pen::Pen;
use support::process::Process;
use support::report::{is_installed, not_tested_here};
use support::scratch::Scratch;
use support::wait;

/// How many checks each server stands.
const TIMES: usize = 4;

/// Waits until this check was passed so often, and none was failed.
#[track_caller]
fn wait_for_checks(what: &str, said: impl Fn() -> String) {
    wait::until_true(&format!("{what} is checked"), || {
        let said = said();
        assert!(!said.contains("has failed check"), "{said}");
        said.matches(&format!("has passed check {what}\n")).count() >= TIMES
    });
}

#[test]
fn servers_of_the_howto_are_checked_and_have_nothing_to_complain_of() {
    let needs = ["nginx", "apache2", "postfix", "dovecot", "/usr/lib/dovecot/imap-login", "slapd", "vsftpd"];
    let needs: Vec<&str> = needs.into_iter().filter(|program| !std::path::Path::new(program).is_file()).collect();
    let Some(lab) = Lab::up("checks of real servers", &needs) else { return };
    let _servers = [
        lab.nginx("host1", &["80"]),
        lab.apache("lbhost"),
        lab.postfix("host1"),
        lab.dovecot_with_imap("host1", 110, 143),
        lab.vsftpd("host1"),
        lab.slapd(389, "o=Qbranch,c=SE"),
    ];
    let checks = [
        ("http / -", "host1", 80),
        ("http /index.html www.test 200", "lbhost", 8080),
        ("smtp", "host1", 25),
        ("pop3", "host1", 110),
        ("imap", "host1", 143),
        ("ftp", "host1", 21),
        ("ldap", "localhost", 389),
        ("tcp", "host1", 80),
    ];
    let mut lines = String::from("listen 127.0.0.1:9000\n");
    for (number, (check, host, port)) in checks.into_iter().enumerate() {
        lines += &format!(
            "listener l{number} 127.0.0.1:{}\ncheck_interval 1\ncheck {check}\nserver 0 address {host} port {port}\n",
            9001 + number
        );
    }
    lab.scratch().write("checks.cfg", &lines);
    let mut pen = lab.pen_in_foreground("pen -d -f -F checks.cfg", 9000);
    for (check, ..) in checks {
        wait_for_checks(check.trim_end_matches(" -"), || pen.stderr());
    }
    assert!(pen.stop("TERM").status.success());
    let log = |path: &str| fs::read_to_string(lab.scratch().file(path)).unwrap_or_default();
    assert_eq!(log("host1-nginx/error.log"), "", "nginx");
    let pages = log("host1-nginx/access.log");
    // Those by TCP alone ask for nothing, and are not even in the log.
    assert!(pages.lines().all(|line| line.contains("\"GET / HTTP/1.1\" 200")) && !pages.is_empty(), "{pages}");
    let errors = log("lbhost-apache/error.log");
    assert!(!errors.contains(":error]") && !errors.contains(":warn]"), "{errors}");
    let mail = log("host1-postfix/mail.log");
    assert!(mail.contains("quit=1 commands=1"), "{mail}");
    assert!(!mail.contains("lost connection") && !mail.contains("warning:"), "{mail}");
    let mail = log("host1-dovecot/dovecot.log");
    assert!(!["Error:", "Warning:", "Fatal:"].iter().any(|word| mail.contains(word)), "{mail}");
    let slapd = log("slapd-389.err");
    assert!(slapd.matches("do_unbind").count() >= TIMES, "{}", &slapd[slapd.len().saturating_sub(2000)..]);
    let ftp = log("host1-vsftpd.err") + &log("host1-vsftpd.out");
    assert_eq!(ftp, "");
}

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|one| one.local_addr()).expect("there is a free port")
}

/// A pen that checks one server.
fn checking(check: &str, server: SocketAddr) -> Pen {
    let check = format!("check {check}");
    Pen::start(&["-d", "-O", &check, "-O", "check_interval 1"], &[server])
}

#[test]
fn bind_is_checked_by_a_question() {
    let directory = Scratch::new();
    let zone = ("test", String::from("ns A 127.0.0.1\nwww A 192.0.2.1\n"));
    let Some(named) = Bind::start("checks by DNS", &directory, &[zone], "") else { return };
    for check in ["dns www.test", "dns nosuch.test"] {
        let pen = checking(check, named.at);
        wait_for_checks(check, || pen.stderr());
    }
    let log = named.log();
    // What it was built with is before that.
    let (_, log) = log.split_once(" running\n").expect("it runs");
    assert!(!log.contains("error"), "{log}");
}

#[test]
fn redis_is_checked_by_a_ping() {
    if !is_installed("redis-server") {
        return not_tested_here("checks of Redis", "not installed: redis-server");
    }
    let (directory, at) = (Scratch::new(), free_port());
    for password in ["", "secret"] {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &at.port().to_string(), "--save", "", "--daemonize", "no"]);
        command.args(["--loglevel", "verbose"]).current_dir(directory.path());
        if !password.is_empty() {
            command.args(["--requirepass", password]);
        }
        let mut redis = Process::start(command, &directory, "redis");
        wait::until_true("redis listens", || redis.listens_on().contains(&at));
        let pen = checking("redis", at);
        wait_for_checks("redis", || pen.stderr());
        redis.stop("TERM");
        let log = fs::read_to_string(directory.file("redis.out")).unwrap_or_default();
        assert!(!log.contains("Error") && !log.contains("SECURITY"), "{log}");
    }
}

/// What MariaDB answers to a statement of root.
fn sql(directory: &Scratch, statement: &str) -> Option<String> {
    let socket = directory.file("socket").display().to_string();
    let said =
        Command::new("mariadb").args(["--no-defaults", "-N", "-u", "root", "-S", &socket, "-e", statement]).output();
    said.ok().filter(|said| said.status.success()).map(|said| String::from_utf8_lossy(&said.stdout).into_owned())
}

#[test]
fn mariadb_counts_no_error_for_a_check_with_a_user() {
    for program in ["mariadbd", "mariadb", "mariadb-install-db"] {
        if !is_installed(program) {
            return not_tested_here("checks of MySQL", &format!("not installed: {program}"));
        }
    }
    let (directory, at) = (Scratch::new(), free_port());
    let home = directory.path().display().to_string();
    let made = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={home}/db"))
        .output()
        .expect("it is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = Command::new("mariadbd");
    let user = if support::report::is_root() { "--user=root" } else { "--skip-name-resolve" };
    command.args(["--no-defaults", user, "--bind-address=127.0.0.1", "--log-warnings=9", "--performance-schema=ON"]);
    command.args([format!("--port={}", at.port()), format!("--datadir={home}/db"), format!("--socket={home}/socket")]);
    command.arg(format!("--pid-file={home}/pid"));
    let server = Process::start(command, &directory, "mariadbd");
    wait::until_true("MariaDB answers", || sql(&directory, "select 1").is_some());
    sql(&directory, "create user 'pen'@'127.0.0.1'; create user 'pen'@'localhost'").expect("root may");
    let counted = || {
        sql(&directory, "show global status where Variable_name in ('Aborted_connects', 'Aborted_clients')").unwrap()
            + &sql(&directory, "select sum(count_handshake_errors) from performance_schema.host_cache").unwrap()
    };
    let before = (counted(), server.stderr());
    let pen = checking("mysql", at);
    wait_for_checks("mysql pen", || pen.stderr());
    assert_eq!((counted(), server.stderr()), before, "nothing is counted, and nothing is in the log");
    drop(pen);
    // One whom it does not know is told of in its log, but does not count against this machine.
    let pen = checking("mysql nobody", at);
    wait_for_checks("mysql nobody", || pen.stderr());
    assert!(server.stderr().contains("Access denied for user 'nobody'"));
    let errors = sql(&directory, "select sum(count_handshake_errors) from performance_schema.host_cache").unwrap();
    assert!(["NULL\n", "0\n"].contains(&errors.as_str()), "{errors}");
}
