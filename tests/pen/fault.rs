//! Faults that an operator asks for.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::support::client::{End, ask, read_to_end};
use crate::support::pen::Pen;
use crate::support::servers::{Server, echo};
use crate::support::wait;

fn pen(options: &[&str]) -> (Pen, Server) {
    let server = Server::start(echo);
    (Pen::start_with_control(options, &[server.address()]), server)
}

#[test]
fn a_delay_holds_what_comes_for_its_time_each_way() {
    let (pen, _server) = pen(&["-O", "fault delay 150"]);
    let began = Instant::now();
    assert_eq!(ask(&pen.connect(), b"hello"), "hello");
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(pen.obey("fault"), "delay 150\n");
    pen.obey("no fault");
    assert_eq!((pen.obey("fault"), ask(&pen.connect(), b"hello")), (String::new(), String::from("hello")));
}

#[test]
fn a_throttle_lets_so_much_through_in_a_second() {
    let (pen, _server) = pen(&["-O", "fault throttle 100000"]);
    let (client, began) = (pen.connect(), Instant::now());
    let text = "x".repeat(60_000);
    assert_eq!(ask(&client, text.as_bytes()), text);
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
}

#[test]
fn a_reset_comes_after_so_many_bytes_of_the_server_or_at_once() {
    let (pen, server) = pen(&["-O", "fault reset after 3"]);
    let client = pen.connect();
    (&client).write_all(b"hello").unwrap();
    assert_eq!(read_to_end(&client), (b"hel".to_vec(), End::Reset));
    pen.obey("fault reset");
    // It may come before the connect has returned.
    if let Ok(client) = TcpStream::connect(pen.address()) {
        assert_eq!(read_to_end(&client), (Vec::new(), End::Reset));
    }
    wait::until_true("the server has nobody left", || server.open() == 0);
}

#[test]
fn a_truncated_answer_ends_like_a_whole_one() {
    let (pen, server) = pen(&["-O", "fault truncate 2"]);
    let client = pen.connect();
    (&client).write_all(b"hello").unwrap();
    assert_eq!(read_to_end(&client), (b"he".to_vec(), End::Finished));
    wait::until_true("the server has nobody left", || server.open() == 0);
}

#[test]
fn into_a_black_hole_nothing_goes_and_out_of_it_everything_comes_when_it_is_closed() {
    let (pen, _server) = pen(&[]);
    let (held, other) = (pen.connect(), pen.connect());
    for client in [&held, &other] {
        let mut client = client;
        client.write_all(b"a").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    pen.obey("fault connection 0 blackhole");
    assert!(pen.obey("connection 0").ends_with("fault = blackhole\n"));
    (&held).write_all(b"hello").unwrap();
    held.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ask(&other, b"others are served"), "others are served");
    held.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!((&held).read(&mut [0]).is_err(), "nothing comes");
    pen.obey("no fault connection 0");
    held.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    assert_eq!(read_to_end(&held), (b"hello".to_vec(), End::Finished));
}

#[test]
fn faults_are_written_back_shown_and_read_strictly() {
    let (pen, _server) = pen(&["-O", "fault reset after 1000"]);
    let written = pen.directory().file("written");
    pen.obey(&format!("write {}", written.display()));
    assert!(pen.directory().read("written").contains("\nfault reset after 1000\n"));
    assert!(pen.obey("status").contains("Fault on purpose: reset after 1000"));
    for (line, why) in [
        ("fault delay", "a number of milliseconds is missing"),
        ("fault delay 0", "0 is not within 1 to 60000"),
        ("fault frob", "'frob' is not delay, reset, throttle, truncate or blackhole"),
        ("fault reset before 3", "'before' is not after"),
        ("fault connection 7 reset", "Connection 7 is not in use"),
        ("no fault frob", "'frob' is not connection"),
    ] {
        let refused = pen.penctl(&[line]);
        assert!(!refused.status.success() && refused.stderr.contains(why), "{line}: {refused:?}");
    }
}
