//! The wall clock steps while pen runs: at the boot of a board without a battery, by an operator, by a bad time server.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::support::client::{ask, read_to_end};
use crate::support::pen::Pen;
use crate::support::preload::library;
use crate::support::scratch::Scratch;
use crate::support::servers::{Blackhole, Refusing, Server, answer_at_the_end, hold};
use crate::support::wait;

const DAY: i64 = 86_400;

/// A pen whose wall clock this test sets.
struct Clock(std::fs::File);

impl Clock {
    fn start(directory: &Scratch, library: &str, options: &[&str], servers: &[impl ToString]) -> (Pen, Clock) {
        let path = directory.file("clock");
        fs::write(&path, 0_i64.to_ne_bytes()).unwrap();
        let variable = format!("CLOCK_STEP={}", path.display());
        let pen = Pen::start_under(&["env", library, &variable], Ipv4Addr::LOCALHOST.into(), options, servers);
        (pen, Clock(OpenOptions::new().write(true).open(path).unwrap()))
    }

    /// Sets the wall clock so many seconds off the real time.
    fn set(&mut self, seconds: i64) {
        use std::os::unix::fs::FileExt;
        assert_eq!(self.0.write_at(&seconds.to_ne_bytes(), 0).unwrap(), 8);
        self.0.flush().unwrap();
    }
}

fn now() -> i64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap()
}

// In pen 0.34.1 blacklist and time-outs go by the wall clock.
#[test]
fn the_blacklist_does_not_notice_that_the_clock_steps() {
    let directory = Scratch::new();
    let name = "the_blacklist_does_not_notice_that_the_clock_steps";
    let Some(library) = library(&directory, "step", name) else { return };
    for step in [DAY, -DAY, -now()] {
        let (reserved, other) = (Refusing::new(), Server::start(answer_at_the_end));
        let servers = [reserved.address(), other.address()];
        let (pen, mut clock) = Clock::start(&directory, &library, &["-r", "-b", "2", "-l", "{dir}/pen.log"], &servers);
        let before = Instant::now();
        ask(&pen.connect(), b"before");
        let after = Instant::now();
        clock.set(step);
        ask(&pen.connect(), b"stepped");
        // That the step has taken effect is in the log.
        let log = pen.directory().read("pen.log");
        let times: Vec<i64> = log.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert!((times[1] - times[0] - step).abs() < 20, "{step}: {log}");
        let back = Server::start_at(reserved.address(), answer_at_the_end);
        let returned = wait::until("it is used again", || {
            let asked = Instant::now();
            ask(&pen.connect(), b"again");
            (back.served() > 0).then_some(asked)
        });
        assert!(returned + Duration::from_millis(5) >= before + Duration::from_secs(2), "{step}: too early");
        assert!(returned < after + Duration::from_millis(2_700), "{step}: {:?} too late", returned - after);
    }
}

#[test]
fn time_outs_do_not_notice_that_the_clock_steps() {
    let directory = Scratch::new();
    let Some(library) = library(&directory, "step", "time_outs_do_not_notice_that_the_clock_steps") else { return };
    let (silent, quiet) = (Blackhole::new(), Server::start(hold));
    for step in [DAY, -DAY] {
        // A connect that takes its time.
        let (pen, mut clock) = Clock::start(&directory, &library, &["-t", "2"], &[silent.address()]);
        let begun = Instant::now();
        let client = pen.connect();
        clock.set(step);
        read_to_end(&client);
        let time = begun.elapsed();
        assert!((Duration::from_millis(1_990)..Duration::from_secs(4)).contains(&time), "connect, {step}: {time:?}");
        // A connection on which nothing happens.
        let options = ["-O", "idle_timeout 2"];
        let (pen, mut clock) = Clock::start(&directory, &library, &options, &[quiet.address()]);
        let begun = Instant::now();
        let client = pen.connect();
        clock.set(step);
        match std::io::Read::read(&mut &client, &mut [0]) {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        let time = begun.elapsed();
        assert!((Duration::from_millis(1_990)..Duration::from_secs(4)).contains(&time), "idle, {step}: {time:?}");
    }
}
