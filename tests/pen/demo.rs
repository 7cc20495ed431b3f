//! The demonstration does what it says that it does.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::client;
use crate::support::pen::{program, run};
use crate::support::process::Process;
use crate::support::scratch::Scratch;
use crate::support::wait;

/// The number of the server that answers, after checking the whole of its answer.
#[track_caller]
fn ask(address: SocketAddr) -> usize {
    let stream = client::connect(address);
    let answer = client::ask(&stream, b"GET / HTTP/1.0\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head:?}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer:?}");
    let rest = body.strip_prefix("Hello from server ").unwrap_or_else(|| panic!("{body:?}"));
    rest.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn servers_take_turns_and_one_that_goes_away_is_passed_over() {
    let directory = Scratch::new();
    let mut command = Command::new(program());
    command.arg("--demo");
    let mut demo = Process::start(command, &directory, "demo");
    wait::until_true("it says what to try", || demo.stdout().contains("Ctrl-C ends it"));
    let text = demo.stdout();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("pen -f -r -b 5 -d ")).expect("a command line");
    let addresses: Vec<SocketAddr> = line.split(' ').map(|word| word.parse().unwrap()).collect();
    assert_eq!(addresses.len(), 4);
    assert!(text.contains(&format!("curl http://{}/ ", addresses[0])));
    assert!(text.contains(&format!("curl http://{}/die ", addresses[3])));
    demo.wait_for_stderr(&format!("listens on {}", addresses[0]));

    let mut turns: Vec<usize> = (0..3).map(|_| ask(addresses[0])).collect();
    turns.sort_unstable();
    assert_eq!(turns, [0, 1, 2]);

    let farewell = client::ask(&client::connect(addresses[3]), b"GET /die HTTP/1.0\r\n\r\n");
    assert!(farewell.ends_with("Server 2 goes away for 15 seconds.\n"), "{farewell}");
    for _ in 0..6 {
        assert_ne!(ask(addresses[0]), 2);
    }
    assert_eq!(demo.stop("INT").status.code(), Some(0));
}

#[test]
fn it_has_its_own_servers() {
    let ended = run(&["--demo", "8080"]);
    let line = "pen: --demo has its own servers and takes no operands, not '8080'\n";
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(64), line));
}

#[test]
fn a_dummy_says_the_same_to_everybody() {
    let directory = Scratch::new();
    let mut command = Command::new(program());
    command.args(["-f", "-d", "-O", "dummy", "127.0.0.1:0"]);
    let mut pen = Process::start(command, &directory, "pen");
    pen.wait_for_stderr("listens on ");
    let said = pen.stderr();
    let address = said.split("listens on ").nth(1).and_then(|rest| rest.lines().next()).expect("it says where");
    let address: SocketAddr = address.parse().unwrap();
    let answers = (0..3).map(|_| client::ask(&client::connect(address), b"GET /x HTTP/1.0\r\n\r\n"));
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Type: text/html\r\n\r\nUlric was here.";
    answers.for_each(|answer| assert_eq!(answer, page));
    assert_eq!(pen.stop("TERM").status.code(), Some(0));
}

#[test]
fn a_dummy_takes_no_servers() {
    let ended = run(&["-f", "-O", "dummy", "127.0.0.1:0", "127.0.0.1:80"]);
    let line = "pen: dummy: it takes no servers, not '127.0.0.1'\n";
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(78), line));
}
