//! The command line, and what is wrong with it: one line that names the culprit, and a status.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::support::pen::{Pen, program, run};
use crate::support::process::Process;
use crate::support::report::not_tested_here;
use crate::support::scratch::Scratch;
use crate::support::{servers, wait};

/// Runs pen with these words, in the foreground and in the background: both must end with this
/// status and say this line and no other.
#[track_caller]
fn assert_refused(words: &[&str], status: i32, line: &str) {
    for front in [&["-f"][..], &[]] {
        let ended = run(&[front, words].concat());
        assert_eq!(ended.stderr, format!("pen: {line}\n"), "{front:?} {words:?}");
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(status), ""), "{front:?} {words:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (words, text) in [(["--help"], "usage: pen [options]"), (["--version"], "pen ")] {
        let ended = run(&words);
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
        assert!(ended.stdout.starts_with(text), "{ended:?}");
    }
}

// B27: pen 0.34.1 ends with 0 after such mistakes, or takes garbage for numbers.
#[test]
fn mistakes_on_the_command_line_end_with_64() {
    let table: [(&[&str], &str); 8] = [
        (&[], "no listening address; try 'pen --help'"),
        (&["-h"], "no listening address; try 'pen --help'"),
        (&["-y", "80"], "unknown option -y; try 'pen --help'"),
        (&["80", "-t"], "option -t needs a value"),
        (&["-x", "abc", "80"], "option -x takes a number from 1 to 1000000, not 'abc'"),
        (&["-t0", "80"], "option -t takes a number from 1 to 2147483647, not '0'"),
        (&["65536"], "listening address '65536': port 65536 is not within 1 to 65535"),
        (&["-E", "cert.pem", "443"], "option -E (TLS) is not in this pen yet"),
    ];
    for (words, line) in table {
        assert_refused(words, 64, line);
    }
}

#[test]
fn mistakes_in_the_configuration_end_with_78() {
    let directory = Scratch::new();
    let bad = directory.write("bad.cfg", "mode\n\nblacklist x\n");
    let (bad, missing) = (bad.display().to_string(), directory.file("missing.cfg").display().to_string());
    let latin = directory.file("latin.cfg").display().to_string();
    fs::write(&latin, b"hash\n# caf\xe9\n").unwrap();
    let table: [(&[&str], String); 7] = [
        (&["127.0.0.1:0", "h:80x"], String::from("server 'h:80x': '80x' is not a port or TCP service")),
        (&["127.0.0.1:0", "::1"], String::from("server '::1': write an IPv6 address in brackets, as [::1]:80")),
        (&["-O", "nosuch", "127.0.0.1:0"], String::from("option -O: unknown command 'nosuch'")),
        (&["-u", "no-such-user", "127.0.0.1:0"], String::from("there is no user 'no-such-user'")),
        (&["-F", &bad, "127.0.0.1:0"], format!("{bad}:3: blacklist: 'x' is not a number")),
        (&["-F", &missing, "127.0.0.1:0"], format!("cannot read {missing}: no such file or directory")),
        (&["-F", &latin, "127.0.0.1:0"], format!("cannot read {latin}: line 2 is not UTF-8 text")),
    ];
    for (words, line) in &table {
        assert_refused(words, 78, line);
    }
}

// pen 0.34.1 skips what it does not know and takes what is no number for 0.
#[test]
fn a_slip_in_a_file_of_commands_is_no_start() {
    let directory = Scratch::new();
    let table = [
        ("server 0 adress 127.0.0.1", "server: unknown key 'adress'"),
        ("srver 0 address 127.0.0.1", "unknown command 'srver'"),
        ("blacklist abc", "blacklist: 'abc' is not a number"),
        ("blacklist 5x", "blacklist: '5x' is not a number"),
        ("timeout -3", "timeout: -3 is not within 1 to 2147483647"),
        ("roundrobin yes", "roundrobin: unexpected word 'yes'"),
    ];
    for (line, message) in table {
        let file = directory.write("pen.cfg", &format!("roundrobin\n{line}\n")).display().to_string();
        assert_refused(&["-F", &file, "127.0.0.1:0"], 78, &format!("{file}:2: {message}"));
    }
}

#[test]
fn what_the_system_refuses_ends_with_1() {
    let directory = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    fs::create_dir(directory.file("dir")).unwrap();
    symlink(directory.write("precious", "precious"), directory.file("link")).unwrap();
    let name = |name: &str| directory.file(name).display().to_string();
    let (dir, link, nowhere) = (name("dir"), name("link"), name("no/such/place"));
    // TEST-NET-1 (RFC 5737) is nobody's, so it is no address of this machine.
    let table: [(&[&str], String); 9] = [
        (&["--control-dir", &link, "127.0.0.1:0"], format!("cannot find the directory {link}: not a directory")),
        (
            &["--control-dir", &nowhere, "127.0.0.1:0"],
            format!("cannot find the directory {nowhere}: no such file or directory"),
        ),
        (&[&taken], format!("cannot listen on {taken}: address already in use")),
        (&["192.0.2.1:80"], String::from("cannot listen on 192.0.2.1:80: cannot assign requested address")),
        (&["-l", &dir, "127.0.0.1:0"], format!("cannot open the log {dir}: is a directory")),
        (&["-l", &nowhere, "127.0.0.1:0"], format!("cannot open the log {nowhere}: no such file or directory")),
        (&["-p", &nowhere, "127.0.0.1:0"], format!("cannot write the pid file {nowhere}: no such file or directory")),
        (&["-p", &dir, "127.0.0.1:0"], format!("cannot write the pid file {dir}: it is not a regular file")),
        (&["-p", &link, "127.0.0.1:0"], format!("cannot write the pid file {link}: it is a symbolic link")),
    ];
    for (words, line) in &table {
        assert_refused(words, 1, line);
    }
    assert_eq!(directory.read("precious"), "precious");
}

// B24: pen 0.34.1 shares the port with the first without a word.
#[test]
fn b24_a_second_pen_on_the_same_address_is_refused() {
    let mut first = Pen::start(&[], &[] as &[&str]);
    let address = first.address().to_string();
    assert_refused(&[&address], 1, &format!("cannot listen on {address}: address already in use"));
    first.stop();
}

// B31: pen 0.34.1 says two lines at each start.
#[test]
fn a_start_without_a_mistake_is_silent_and_the_end_is_clean() {
    for signal in ["TERM", "INT"] {
        let mut pen = Pen::start(&["-p", "pen.pid"], &[] as &[&str]);
        let pid = pen.process().pid().to_string();
        wait::until_true("the pid file is written", || pen.directory().read("pen.pid") == pid);
        let ended = pen.process().stop(signal);
        assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""), "{signal}");
        assert!(!pen.directory().file("pen.pid").exists(), "{signal}: the pid file is left");
    }
}

#[test]
fn obsolete_options_are_noted_and_pen_goes_on() {
    let server = servers::Server::start(servers::greet("here"));
    let mut pen = Pen::start(&["-D", "-Q", "-P", "-O", "epoll"], &[server.address()]);
    let (text, _) = crate::support::client::read_to_end(&pen.connect());
    assert!(String::from_utf8_lossy(&text).contains("here"));
    let lines = ["D", "Q"].map(|letter| format!("pen: option -{letter} is obsolete and does nothing\n"));
    assert_eq!(pen.stop().stderr, lines.concat());
}

#[test]
fn a_free_port_is_told_by_the_first_event() {
    let directory = Scratch::new();
    let mut command = Command::new(program());
    command.args(["-df", "127.0.0.1:0", "127.0.0.1:9"]);
    let mut pen = Process::start(command, &directory, "pen");
    let address = wait::until("pen listens", || pen.listens_on().first().copied());
    let first = wait::until("it says so", || pen.stderr().lines().next().map(String::from));
    assert!(first.ends_with(&format!(": pen {} listens on {address}", env!("CARGO_PKG_VERSION"))), "{first}");
    assert_eq!(pen.stop("TERM").status.code(), Some(0));
}

#[test]
fn a_file_of_commands_can_say_everything() {
    let directory = Scratch::new();
    let server = servers::Server::start(servers::greet("by file"));
    let port = server.address().port();
    let file = directory.write("pen.cfg", &format!("listen 127.0.0.1:0\nserver 0 address 127.0.0.1 port {port}\n"));
    let mut command = Command::new(program());
    command.args(["-f", "-F"]).arg(file).args(["-O", "mode"]);
    let mut pen = Process::start(command, &directory, "pen");
    let address = wait::until("pen listens", || pen.listens_on().first().copied());
    let (text, _) = crate::support::client::read_to_end(&crate::support::client::connect(address));
    assert!(String::from_utf8_lossy(&text).contains("by file"));
    let ended = pen.stop("TERM");
    assert_eq!(ended.stdout, "no hash no roundrobin no stubborn no weight no prio\n");
    assert_eq!(ended.stderr, "");
}

// B22: pen 0.34.1 deletes whatever is at the path. B31: it leaves its socket behind.
#[test]
fn a_path_is_taken_only_from_a_socket_that_nobody_listens_on() {
    let directory = Scratch::new();
    let path = |name: &str| directory.file(name).display().to_string();
    let _live = UnixListener::bind(path("live")).unwrap();
    drop(UnixListener::bind(path("stale")).unwrap());
    directory.write("file", "precious");
    assert_refused(&[&path("live")], 1, &format!("cannot listen on {}: address in use", path("live")));
    let message = format!("cannot listen on {}: it exists and is not a socket", path("file"));
    assert_refused(&[&path("file")], 1, &message);
    assert_eq!(directory.read("file"), "precious");

    let server = servers::Server::start(servers::greet("over a path"));
    for name in ["stale", "new"] {
        let mut command = Command::new(program());
        command.args(["-f", &path(name), &server.address().to_string()]);
        let mut pen = Process::start(command, &directory, "pen");
        let stream = wait::until("pen listens", || std::os::unix::net::UnixStream::connect(path(name)).ok());
        let text = std::io::read_to_string(stream).unwrap();
        assert!(text.contains("over a path"), "{text:?}");
        assert_eq!(pen.stop("TERM").status.code(), Some(0));
        assert!(!directory.file(name).exists(), "the socket is left");
    }
}

#[test]
fn the_limit_of_open_files_follows_the_connections_or_they_follow_it() {
    let directory = Scratch::new();
    let mut command = Command::new("sh");
    let words = r#"ulimit -n 100; exec "$0" -f -x 500 127.0.0.1:0"#;
    command.args(["-c", words]).arg(program());
    let mut pen = Process::start(command, &directory, "pen");
    wait::until("pen listens", || pen.listens_on().first().copied());
    let limits = fs::read_to_string(format!("/proc/{}/limits", pen.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let limit: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    let said = pen.stop("TERM").stderr;
    match limit {
        // Who may raise it (root, unless that was taken away) has room for all.
        1068.. => assert_eq!(said, ""),
        _ => assert_eq!(said, "pen: only 16 of 500 connections fit into the limit of 100 open files\n"),
    }
}

#[test]
fn what_took_the_place_of_its_socket_is_left_alone() {
    let directory = Scratch::new();
    let path = directory.file("socket");
    let mut command = Command::new(program());
    command.arg("-df").arg(&path);
    let mut pen = Process::start(command, &directory, "pen");
    // The file is there a moment before pen has seen which one is its own.
    pen.wait_for_stderr(" listens on ");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_eq!(pen.stop("TERM").status.code(), Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_standard_error_that_takes_nothing_changes_nothing() {
    if !std::path::Path::new("/dev/full").exists() {
        return not_tested_here("a_standard_error_that_takes_nothing_changes_nothing", "there is no /dev/full");
    }
    let directory = Scratch::new();
    let deaf = |words: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$0\" {words} 2>/dev/full")]).arg(program());
        Process::start(command, &directory, "pen")
    };
    assert_eq!(deaf("-y").wait().status.code(), Some(64));
    let mut pen = deaf("-f -D 127.0.0.1:0");
    wait::until("pen listens", || pen.listens_on().first().copied());
    assert_eq!(pen.stop("TERM").status.code(), Some(0));
}
