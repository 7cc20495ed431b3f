//! What users of the control port may do: files, words, permissions; and what is told of a configuration.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::pen::{Pen, run};
use crate::support::report::is_root;
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, echo, greet};
use crate::support::wait;

/// A pen with a control port at a TCP address, and what that is.
#[track_caller]
fn start_by_tcp(options: &[&str], servers: &[impl ToString]) -> (Pen, String) {
    let user: &[&str] = if is_root() { &["-u", "root"] } else { &[] };
    let mut pen = Pen::start(&[&["-C", "127.0.0.1:0"], user, options].concat(), servers);
    let clients = pen.address();
    let control = wait::until("the control port is open", || {
        pen.process().listens_on().into_iter().find(|address| *address != clients)
    });
    (pen, control.to_string())
}

fn talk(mut stream: impl Read + Write, line: &str) -> String {
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[track_caller]
fn by_tcp(at: &str, line: &str) -> String {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    talk(stream, line)
}

#[track_caller]
fn by_path(pen: &Pen, line: &str) -> String {
    let stream = UnixStream::connect(pen.directory().file("control")).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    talk(stream, line)
}

const NOT_YOURS: &str = "is in no directory of --control-dir; others are for pen's own user at a Unix socket\n";

// B21: pen 0.34.1 reads and writes any file for whoever reaches its control port.
#[test]
fn b21_files_are_for_those_who_could_have_them_anyway() {
    let (pen, at) = start_by_tcp(&[], &[] as &[&str]);
    let victim = pen.directory().file("victim").display().to_string();
    fs::write(&victim, "precious\n").unwrap();
    for line in ["log", "web_stats", "write", "include", "control_token", "acl 1 file", "acl office file"] {
        let reply = by_tcp(&at, &format!("{line} {victim}"));
        assert_eq!(reply, format!("error: {victim} {NOT_YOURS}"), "{line}");
    }
    assert_eq!(by_tcp(&at, "no control_token"), "error: only for pen's own user at a Unix socket\n");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    assert_eq!(by_tcp(&at, "blacklist 7"), "7\n", "what names no file is obeyed");
    assert_eq!(by_tcp(&at, "log 127.0.0.1:9"), "127.0.0.1:9\n", "an address is no file");
    let pen = Pen::start_with_control(&[], &[] as &[&str]);
    let path = |name: &str| pen.directory().file(name).display().to_string();
    fs::write(path("list"), "10.0.0.0/8\n").unwrap();
    for line in [format!("log {}", path("pen.log")), format!("acl 1 file {}", path("list"))] {
        assert!(!by_path(&pen, &line).starts_with("error"), "{line}");
    }
    assert_eq!(by_path(&pen, &format!("write {}", path("written"))), "");
    assert!(fs::read_to_string(path("written")).unwrap().contains(&format!("\nacl 1 file {}\n", path("list"))));
}

#[test]
fn a_directory_may_be_allowed_and_no_way_leads_out_of_it() {
    let allowed = Scratch::new();
    let inside = |name: &str| allowed.file(name).display().to_string();
    let (pen, at) = start_by_tcp(&["--control-dir", &allowed.path().display().to_string()], &[] as &[&str]);
    let secret = pen.directory().file("secret").display().to_string();
    fs::write(&secret, "blacklist 9\n").unwrap();
    symlink(&secret, inside("link")).unwrap();
    symlink(pen.directory().path(), inside("way")).unwrap();
    for path in [&secret, &inside("link"), &inside("way/secret"), &inside("../secret"), "relative"] {
        let reply = by_tcp(&at, &format!("include {path}"));
        assert!(reply.starts_with("error: "), "{path}: {reply}");
    }
    assert_eq!(by_tcp(&at, "blacklist"), "30\n");
    fs::write(inside("good"), "blacklist 8\n").unwrap();
    assert_eq!(by_tcp(&at, &format!("include {}", inside("good"))), "8\n");
    fs::write(inside("sly"), format!("blacklist 7\nlog {secret}\n")).unwrap();
    let reply = by_tcp(&at, &format!("include {}", inside("sly")));
    assert_eq!(reply, format!("error: {}:2: {secret} {NOT_YOURS}", inside("sly")));
    assert_eq!(by_tcp(&at, "blacklist"), "8\n");
    let beside = pen.directory().file("socket").display().to_string();
    for command in ["listen", "listener other", "status_listen", "server 0 address"] {
        assert_eq!(by_tcp(&at, &format!("{command} {beside}")), format!("error: {beside} {NOT_YOURS}"), "{command}");
    }
    assert!(!Path::new(&beside).exists());
    assert!(!by_tcp(&at, &format!("listener other {}", inside("socket"))).starts_with("error"));
    assert_eq!(by_tcp(&at, "no listener other"), "");
    assert_eq!(by_tcp(&at, &format!("write {}", inside("written"))), "");
    assert!(fs::read_to_string(inside("written")).unwrap().contains("\nblacklist 8\n"));
}

#[test]
fn users_by_tcp_must_know_the_word_if_there_is_one() {
    let scratch = Scratch::new();
    let file = scratch.file("token").display().to_string();
    fs::write(&file, "correct-horse\n").unwrap();
    let (_pen, at) = start_by_tcp(&["-O", &format!("control_token {file}")], &[] as &[&str]);
    let refused = "error: the word of control_token is wrong or missing\n";
    for line in ["pid", "token pid", "token wrong-horse pid", "token correct-hors pid", "token correct-horse1 pid", ""]
    {
        assert_eq!(by_tcp(&at, line), refused, "{line}");
    }
    assert_eq!(by_tcp(&at, "token correct-horse blacklist 5"), "5\n");
    let penctl = crate::support::pen::program().with_file_name("penctl");
    let ask = |words: &[&str]| std::process::Command::new(&penctl).args(words).output().unwrap();
    let told = ask(&["--token", &file, &at, "blacklist"]);
    assert_eq!(String::from_utf8_lossy(&told.stdout), "5\n");
    assert_eq!(ask(&[&at, "blacklist"]).status.code(), Some(1));
}

#[test]
fn the_permissions_of_the_control_socket_can_be_chosen() {
    for (options, mode) in [(&[][..], 0o600), (&["--control-mode", "660"][..], 0o660)] {
        let pen = Pen::start_with_control(options, &[] as &[&str]);
        let about = fs::metadata(pen.directory().file("control")).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, mode, "{options:?}");
    }
}

#[test]
fn the_status_page_is_told_and_written() {
    let server = Server::start(greet("one"));
    let mut pen = Pen::start_with_control(&["-w", "{dir}/page.html"], &[server.address()]);
    let path = pen.directory().file("page.html");
    let page = by_path(&pen, "status");
    assert!(page.starts_with("<html>\n<head>\n<title>Pen status page</title>\n"), "{page}");
    assert_eq!(fs::read_to_string(&path).unwrap(), page);
    let before = fs::metadata(&path).unwrap().ino();
    pen.process().signal("USR1");
    wait::until_true("another page", || fs::metadata(&path).is_ok_and(|about| about.ino() != before));
    assert_eq!(by_path(&pen, "web_stats"), format!("{}\n", path.display()));
    by_path(&pen, "no web_stats");
    assert!(by_path(&pen, "status").starts_with("<html>"), "a file is not needed");
}

#[test]
fn a_place_where_no_page_can_be_is_refused_when_it_is_set() {
    let server = Server::start(greet("one"));
    let files = Scratch::new();
    let (here, config) = (files.path().display(), files.write("pen.conf", "blacklist 7\n"));
    let pen = Pen::start_with_control(&["-F", &config.display().to_string()], &[server.address()]);
    let good = format!("{here}/page.html");
    assert_eq!(by_path(&pen, &format!("web_stats {good}")), format!("{good}\n"), "it need not be there");
    for (path, why) in [
        (format!("{here}"), "it exists and is not a file"),
        (format!("{here}/none/page.html"), "no such file or directory"),
        (String::from("/proc/page.html"), "no such file or directory"),
    ] {
        let line = format!("web_stats {path}");
        assert_eq!(by_path(&pen, &line), format!("error: web_stats: cannot write {path}: {why}\n"));
        files.write("pen.conf", &format!("blacklist 8\n{line}\n"));
        let refused = format!("error: {}:2: web_stats: cannot write {path}: {why}\n", config.display());
        for command in ["reload", &format!("include {}", config.display())] {
            assert_eq!(by_path(&pen, command), refused);
        }
        let ended = run(&["-f", "-w", &path, "127.0.0.1:0", "127.0.0.1:1"]);
        let message = format!("pen: cannot write the status page {path}: {why}\n");
        assert_eq!((ended.status.code(), ended.stderr), (Some(1), message));
    }
    assert_eq!((by_path(&pen, "web_stats"), by_path(&pen, "blacklist")), (format!("{good}\n"), String::from("7\n")));
    let left: Vec<_> = fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["pen.conf"], "to ask leaves nothing");
}

#[test]
fn what_is_written_starts_a_pen_that_writes_the_same() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&["-h", "-b", "7", "-e", "127.0.0.1:9"], &[server.address()]);
    for line in [
        "acl office permit 10.0.0.0/8",
        "client_acl office",
        "client_rate 5 per 10",
        "server 0 name web weight 3 drain",
        "server spare address 127.0.0.1 port 9 disable",
        "idle_timeout 11",
        "least",
    ] {
        assert!(!by_path(&pen, line).starts_with("error"), "{line}");
    }
    let file = pen.directory().file("written").display().to_string();
    assert_eq!(by_path(&pen, &format!("write {file}")), "");
    let text = fs::read_to_string(&file).unwrap();
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("listen "));
        lines.map(String::from).collect()
    };
    // The operand in place of the address that the first pen has.
    let again = Pen::start_with_control(&["-F", &file], &[] as &[&str]);
    assert_eq!(
        by_path(&again, "write {dir}/again".replace("{dir}", &again.directory().path().display().to_string()).as_str()),
        ""
    );
    let second = fs::read_to_string(again.directory().file("again")).unwrap();
    assert_eq!(lines(&second), lines(&text));
}

#[test]
fn a_configuration_can_be_checked_without_being_run() {
    let scratch = Scratch::new();
    let file = |name: &str, text: &str| {
        scratch.write(name, text);
        scratch.file(name).display().to_string()
    };
    let good =
        file("good", "listen 127.0.0.1:1\nserver 0 address localhost port 80\nserver 1 address 127.0.0.1 port 81\n");
    let ended = run(&["-n", "-F", &good]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("listens on 127.0.0.1:1\nserver 0: localhost:80 ("), "{ended:?}");
    assert!(ended.stdout.ends_with("server 1: 127.0.0.1:81\nno mistakes found\n"), "{ended:?}");
    let bad = file("bad", "listen 127.0.0.1:1\n\nserver 0 address 127.0.0.1 port frob\n");
    let ended = run(&["-n", "-F", &bad]);
    let message = format!("pen: {bad}:3: server: 'frob': 'frob' is not a port or TCP service\n");
    assert_eq!((ended.status.code(), ended.stderr, ended.stdout), (Some(78), message, String::new()));
    let ended = run(&["--check", "127.0.0.1:1", "-b", "x"]);
    assert_eq!(ended.status.code(), Some(64), "{ended:?}");
}
