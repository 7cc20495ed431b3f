//! Networks and name servers that do what they should not.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::fake::{Fake, answer, answer_with};
use crate::support::scratch::Scratch;
use crate::support::wait;
use crate::{output, run};

/// A log of so many addresses, and what becomes of it.
fn logs(count: u32) -> (String, String) {
    let (mut log, mut expected) = (String::new(), String::new());
    for n in 0..count {
        let (high, low) = (n / 250, n % 250);
        writeln!(log, "10.9.{high}.{low} - - x").unwrap();
        writeln!(expected, "host-10-9-{high}-{low}.test - - x").unwrap();
    }
    (log, expected)
}

#[test]
fn what_is_lost_is_asked_again() {
    let directory = Scratch::new();
    // A quarter is lost.
    let server = Fake::start(|socket, question, from, count| {
        if count % 4 > 0 {
            socket.send_to(&answer(question), from).unwrap();
        }
    });
    let (log, expected) = logs(1_000);
    assert_eq!(output("webresolve", &directory, &format!("-r 4 -n {}", server.at), &log), expected);
}

#[test]
fn forged_answers_are_not_believed() {
    let directory = Scratch::new();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Fake::start(move |socket, question, from, _| {
        let forged = answer_with(question, "evil");
        // From another port; with other ids; to another question; and no answer at all.
        stranger.send_to(&forged, from).unwrap();
        for byte in [0, 1, 13, 2] {
            let mut other = forged.clone();
            other[byte] ^= if byte == 2 { 0x80 } else { 1 };
            socket.send_to(&other, from).unwrap();
        }
        socket.send_to(&forged[..20], from).unwrap();
        socket.send_to(&answer(question), from).unwrap();
        socket.send_to(&forged, from).unwrap();
    });
    let (log, expected) = logs(500);
    let found = output("webresolve", &directory, &format!("-n {}", server.at), &log);
    assert!(!found.contains("evil"), "{found}");
    assert_eq!(found, expected);
}

#[test]
fn ports_and_ids_cannot_be_guessed() {
    let directory = Scratch::new();
    let (tell, told) = std::sync::mpsc::channel();
    let server = Fake::start(move |socket, question, from, _| {
        tell.send((from.port(), [question[0], question[1]])).unwrap();
        socket.send_to(&answer(question), from).unwrap();
    });
    let (log, expected) = logs(5_000);
    assert_eq!(output("webresolve", &directory, &format!("-j 16 -n {}", server.at), &log), expected);
    drop(server);
    let (mut ports, mut ids): (Vec<u16>, Vec<[u8; 2]>) = told.iter().unzip();
    let steps = ids.windows(2).filter(|pair| {
        let [first, second] = [pair[0], pair[1]].map(u16::from_be_bytes);
        second.wrapping_sub(first) < 16
    });
    assert!(steps.count() < 20, "ids follow each other");
    ports.sort_unstable();
    ports.dedup();
    ids.sort_unstable();
    ids.dedup();
    // 32 lanes at a time, each renewed after some questions.
    assert!(ports.len() > 64, "{} ports", ports.len());
    assert!(ids.len() > 4_500, "{} ids", ids.len());
}

#[test]
fn a_dead_name_server_costs_bounded_time_and_no_line() {
    let directory = Scratch::new();
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = dead.local_addr().unwrap();
    let (log, _) = logs(20_000);
    for program in ["webresolve", "splitwr"] {
        let began = Instant::now();
        let ended = run(program, &directory, &format!("-t 1 -r 2 -n {at}"), &log);
        assert!(ended.status.success());
        assert_eq!(ended.stdout, log);
        let said = format!("{program}: addresses asked for: 20000 for which no name server had an answer\n");
        assert_eq!(ended.stderr, said);
        // Two attempts of a second; the test machine may be busy.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[test]
fn the_next_name_server_is_asked_where_one_is_dead_or_gone() {
    let directory = Scratch::new();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Fake::start(|socket, question, from, _| drop(socket.send_to(&answer(question), from)));
    let (log, expected) = logs(2_000);
    for first in [silent.local_addr().unwrap(), gone] {
        let servers = format!("-t 1 -n {first} -n {}", server.at);
        assert_eq!(output("webresolve", &directory, &servers, &log), expected);
    }
    // resolv.conf with its options names them just as well.
    assert!(server.asked() >= 4_000);
}

#[test]
fn a_slow_name_server_costs_no_name() {
    let directory = Scratch::new();
    // Answers come when all have been asked, or a second has gone by.
    let mut kept: Vec<(Vec<u8>, std::net::SocketAddr)> = Vec::new();
    let mut since = Instant::now();
    let server = Fake::start(move |socket, question, from, count| {
        if count == 0 {
            since = Instant::now();
        }
        kept.push((answer(question), from));
        if since.elapsed() > Duration::from_millis(800) {
            kept.drain(..).for_each(|(bytes, from)| drop(socket.send_to(&bytes, from)));
        }
    });
    let (log, expected) = logs(200);
    assert_eq!(output("webresolve", &directory, &format!("-n {}", server.at), &log), expected);
    assert!(wait::PATIENCE > Duration::from_secs(1));
}
