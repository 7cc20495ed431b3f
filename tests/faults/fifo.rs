//! The request log is a named pipe: nobody reads it, or not fast enough, or not any more.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::client::ask;
use crate::support::pen::{Pen, run};
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, echo};
use crate::support::wait;

fn fifo(directory: &Scratch) -> PathBuf {
    let path = directory.file("log");
    assert!(Command::new("mkfifo").arg(&path).status().expect("there is a mkfifo").success());
    path
}

/// A reader; opening it does not wait for a writer.
fn reader(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[track_caller]
fn request(pen: &Pen, number: usize) {
    let text = format!("{number:06} {}", "x".repeat(90));
    assert_eq!(ask(&pen.connect(), text.as_bytes()), text);
}

/// The number of lost lines that pen has told of.
#[track_caller]
fn lost(said: &str) -> usize {
    said.split("lines lost: ").nth(1).and_then(|rest| rest.trim().parse().ok()).expect("a number")
}

#[test]
fn a_pipe_that_nobody_reads_is_refused_at_the_start() {
    let directory = Scratch::new();
    let path = fifo(&directory).display().to_string();
    let ended = run(&["-f", "-l", &path, "127.0.0.1:0", "127.0.0.1:9"]);
    assert!(!ended.status.success() && ended.stderr.lines().count() == 1, "{ended:?}");
    assert!(ended.stderr.contains(&path), "{ended:?}");
}

#[test]
fn a_reader_that_goes_away_costs_lines_and_one_that_comes_gets_them_again() {
    let directory = Scratch::new();
    let path = fifo(&directory);
    let mut first = reader(&path);
    let server = Server::start(echo);
    let mut pen = Pen::start(&["-l", &path.display().to_string()], &[server.address()]);
    request(&pen, 0);
    let mut line = [0; 1000];
    let count = first.read(&mut line).unwrap();
    assert!(line[..count].ends_with(b"x\n"));
    drop(first);
    (1..=10).for_each(|number| request(&pen, number));
    let said = pen.stderr();
    assert_eq!(said.matches("cannot write the log: broken pipe").count(), 1, "{said}");
    let mut second = reader(&path);
    request(&pen, 11);
    pen.process().wait_for_stderr("the log is written again; lines lost: ");
    let mut text = String::new();
    while !text.contains(" 000011 ") {
        let count = second.read(&mut line).unwrap();
        text.push_str(&String::from_utf8_lossy(&line[..count]));
    }
    assert!(text.ends_with("x\n"), "{text:?}");
    // A line is written after its request was answered: that of the tenth may have found the second reader already.
    let said = pen.stderr();
    assert_eq!(lost(&said) + text.lines().count(), 11, "{said}");
    assert!(lost(&said) >= 9, "{said}");
    assert_eq!(pen.stderr().lines().count(), 2, "{}", pen.stderr());
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_and_what_it_misses_is_counted() {
    let directory = Scratch::new();
    let path = fifo(&directory);
    let mut late = reader(&path);
    let server = Server::start(echo);
    let mut pen = Pen::start(&["-l", &path.display().to_string()], &[server.address()]);
    // Each line is 140 bytes with what goes before the text: more than the pipe and pen hold together.
    let total = 4_000;
    (0..total).for_each(|number| request(&pen, number));
    let said = pen.stderr();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("cannot write the log"), "{said}");
    // Now it reads all that there is, and goes on: a request shows when that is all.
    let mut lines = 0;
    let mut sent = total;
    let mut buffer = vec![0; 65_536];
    wait::until_true("it has caught up", || {
        let count = late.read(&mut buffer).unwrap();
        lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count();
        request(&pen, sent);
        sent += 1;
        pen.stderr().contains("the log is written again")
    });
    request(&pen, sent);
    let last = format!(" {sent:06} ");
    let mut text = String::new();
    while !text.contains(&last) {
        let count = late.read(&mut buffer).unwrap();
        lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count();
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    let said = pen.stderr();
    assert_eq!(lines + lost(&said), sent + 1, "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(pen.stop().status.success());
}
