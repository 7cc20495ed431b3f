//! penctl on a pen that runs: commands from standard input, health, and the live table.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::support::client::read_to_end;
use crate::support::pen::Pen;
use crate::support::process::{Ended, Process};
use crate::support::report::{is_installed, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{Refusing, Server, echo, greet};
use crate::support::wait;

/// Runs `penctl PEN WORDS` with this at its standard input.
#[track_caller]
fn penctl_with_input(pen: &Pen, words: &[&str], input: &str) -> Ended {
    let files = Scratch::new();
    let mut command = Command::new("sh");
    command.args(["-c", r#"file=$0; exec "$@" <"$file""#]).arg(files.write("input", input));
    command.arg(env!("CARGO_BIN_EXE_penctl")).arg(pen.directory().file("control")).args(words);
    Process::run(command)
}

#[test]
fn commands_come_from_standard_input_and_the_first_failure_is_the_exit_status() {
    let server = Server::start(greet("one"));
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let ended = penctl_with_input(&pen, &["-"], "# a comment\n\nblacklist 7\r\nblacklist\nmode");
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    let modes = pen.obey("mode");
    assert_eq!(ended.stdout, format!("7\n7\n{modes}"));
    let ended = penctl_with_input(&pen, &["-"], "close 3\nfrob\nblacklist 8\n");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "8\n", "what follows a refusal is still obeyed");
    let said: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!((said[0].starts_with("penctl: line 1: "), said[1]), (true, "penctl: line 2: unknown command 'frob'"));
    assert_eq!(penctl_with_input(&pen, &["-"], "frob\nclose 3\n").status.code(), Some(64));
    assert_eq!(penctl_with_input(&pen, &["-"], "").status.code(), Some(0));
    let long = "x".repeat(5_000);
    let ended = penctl_with_input(&pen, &["-"], &format!("{long}\npid\n"));
    assert_eq!((ended.status.code(), ended.stdout), (Some(64), format!("{}\n", pen.pid())));
    assert_eq!(ended.stderr, "penctl: line 1: the line is longer than 4096 bytes\n");
}

#[test]
fn a_listener_in_standard_input_counts_for_the_lines_below_it() {
    let server = Server::start(greet("one"));
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let input = "listener web 127.0.0.1:0\nblacklist 3\nconn_max\nno hash\npid\nlistener\nblacklist 4\n";
    let ended = penctl_with_input(&pen, &["-"], input);
    // A command for the process below another listener is refused as in a file.
    assert_eq!(ended.status.code(), Some(64), "{ended:?}");
    let refused = "penctl: line 3: conn_max: it is for all of pen, and not for listener web\n\
                   penctl: line 5: pid: it is for all of pen, and not for listener web\n";
    assert_eq!(ended.stderr, refused);
    assert_eq!(pen.obey("on web blacklist"), "3\n");
    assert_eq!(pen.obey("blacklist"), "4\n");
}

#[test]
fn without_a_pen_nothing_more_is_read() {
    let pen = {
        let server = Server::start(echo);
        let mut pen = Pen::start_with_control(&[], &[server.address()]);
        pen.stop();
        pen
    };
    let ended = penctl_with_input(&pen, &["-"], "pid\npid\n");
    assert_eq!((ended.status.code(), ended.stderr.lines().count()), (Some(69), 1), "{ended:?}");
    let ended = pen.penctl(&["health"]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(69), ""));
}

#[test]
fn a_pen_is_healthy_while_every_listener_has_a_server_and_lets_clients_in() {
    let server = Server::start(echo);
    let mut pen = Pen::start_with_control(&[], &[server.address()]);
    let health = |pen: &Pen| {
        let ended = pen.penctl(&["health"]);
        (ended.status.code(), ended.stdout)
    };
    assert_eq!(health(&pen), (Some(0), String::new()));
    pen.obey("server 0 disable");
    assert_eq!(health(&pen), (Some(1), String::from("listener main has no server that can be used\n")));
    pen.obey("server 0 enable");
    assert_eq!(health(&pen), (Some(0), String::new()));
    pen.obey("listener web 127.0.0.1:0");
    assert_eq!(health(&pen), (Some(1), String::from("listener web has no server that can be used\n")));
    pen.obey("no listener web");
    let mut client = pen.connect();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    pen.process().signal("QUIT");
    let drains = (Some(1), String::from("pen drains, and lets nobody in any more\n"));
    wait::until_true("it is told that pen drains", || health(&pen) == drains);
    drop(client);
}

#[test]
fn a_pen_that_does_not_answer_is_given_up_in_time() {
    // Nobody takes from its queue.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let pen = silent.local_addr().unwrap().to_string();
    for words in [
        &["--timeout", "0.2", &pen, "health"][..],
        &[&pen, "health", "--timeout", "0.2"],
        &["--timeout", "0.2", &pen, "pid"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_penctl"));
        command.args(words);
        let ended = Process::run(command);
        let said = format!("penctl: no reply from {pen} within 0.2 seconds\n");
        assert_eq!((ended.status.code(), ended.stderr), (Some(69), said), "{words:?}");
    }
}

#[test]
fn tables_are_printed_for_scripts() {
    let (dead, server) = (Refusing::new(), Server::start(greet("one")));
    let pen = Pen::start_with_control(&["-r"], &[dead.address(), server.address()]);
    for _ in 0..4 {
        assert_eq!(read_to_end(&pen.connect()).0, b"one");
    }
    let once = pen.penctl(&["top", "--once"]);
    assert!(once.status.success(), "{once:?}");
    let lines: Vec<Vec<&str>> = once.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 4, "{once:?}");
    assert_eq!(lines[1], ["LISTENER", "SERVER", "ADDRESS", "STATE", "CONN", "CONN/S", "UP/S", "DOWN/S", "FAILED"]);
    let (dead, alive) = (dead.address().to_string(), server.address().to_string());
    assert_eq!(lines[2], ["main", "0", &dead, "blacklisted", "0", "-", "-", "-", "1"]);
    assert_eq!(lines[3], ["main", "1", &alive, "up", "0", "-", "-", "-", "0"]);
    let sorted = pen.penctl(&["top", "-n", "2", "--sort", "failures"]);
    assert!(sorted.status.success(), "{sorted:?}");
    let tables: Vec<&str> = sorted.stdout.split("\n\n").collect();
    assert_eq!(tables.len(), 2, "{sorted:?}");
    assert!(!tables[1].contains(" - "), "the second has rates: {sorted:?}");
    let live = pen.penctl(&["top"]);
    let refused = "penctl: top needs a terminal; --once or -n prints tables anywhere\n";
    assert_eq!((live.status.code(), live.stderr.as_str()), (Some(64), refused));
}

/// What `penctl top` shows on a terminal while these keys are pressed, each once the screen has what stands
/// before it.
#[test]
fn the_live_table_takes_the_screen_obeys_keys_and_gives_everything_back() {
    if !is_installed("script") {
        return not_tested_here("the_live_table_takes_the_screen_obeys_keys_and_gives_everything_back", "no script(1)");
    }
    let server = Server::start(greet("one"));
    let pen = Pen::start_with_control(&[], &[server.address()]);
    for quit in ["q", "\x03"] {
        let directory = Scratch::new();
        let control = pen.directory().file("control").display().to_string();
        let inner = format!("stty rows 10 cols 60; stty -g; {} {control} top; stty -g", env!("CARGO_BIN_EXE_penctl"));
        let mut command = Command::new("script");
        command.args(["-qefc", &inner, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
        command.current_dir(directory.path());
        let mut script = command.spawn().unwrap();
        let mut keys = script.stdin.take().unwrap();
        let mut screen = script.stdout.take().unwrap();
        let mut seen = String::new();
        let mut until = |what: &str| {
            let mut chunk = [0; 4096];
            while !seen.contains(what) {
                let count = screen.read(&mut chunk).unwrap();
                assert!(count > 0, "no {what:?} in {seen:?}");
                seen.push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
        };
        until("s server*");
        until("serving");
        keys.write_all(b"b").unwrap();
        until("b bytes*");
        keys.write_all(quit.as_bytes()).unwrap();
        until("\x1b[?1049l");
        let mut rest = String::new();
        screen.read_to_string(&mut rest).unwrap();
        seen.push_str(&rest);
        assert!(script.wait().unwrap().success());
        let (before, table) = seen.split_once("\x1b[?1049h\x1b[?25l").expect("the screen is taken");
        let (table, after) = table.split_once("\x1b[?25h\x1b[?1049l").expect("the screen is given back");
        assert_eq!(before.trim(), after.trim(), "the terminal is as it was");
        let shown = ["\x1b[H", "\x1b[J", "\x1b[7m", "\x1b[0m", "\r", "\n"]
            .iter()
            .fold(String::from(table), |text, code| text.replace(code, ""));
        let widest = shown.split("\x1b[K").map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 60), "lines are cut: {table:?}");
    }
}
