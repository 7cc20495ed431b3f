//! What pen prints on standard error is not read, or its reader has gone.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::pen::Pen;
use crate::support::proc::cpu;
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, echo};
use crate::support::wait;
use crate::transfer::assert_echoes;

/// A pen that dumps all that it carries into a named pipe, and the pipe's reader.
fn pen_with_pipe(directory: &Scratch, server: &Server) -> (Pen, File) {
    let path: PathBuf = directory.file("stderr");
    assert!(Command::new("mkfifo").arg(&path).status().expect("there is a mkfifo").success());
    let reader = reader(&path);
    let script = format!(r#"exec "$0" "$@" 2>{}"#, path.display());
    let by = ["sh", "-c", script.as_str()];
    let pen = Pen::start_under(&by, Ipv4Addr::LOCALHOST.into(), &["-d", "-d"], &[server.address()]);
    (pen, reader)
}

fn reader(path: &Path) -> File {
    const O_NONBLOCK: i32 = 0o4000;
    // Opened for both, so that it does not wait for a writer.
    OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path).unwrap()
}

/// A round trip of many bytes, each of which pen prints twice.
#[track_caller]
fn exchange(mut stream: &TcpStream, total: usize) {
    let piece = [b'x'; 10_000];
    let mut answer = [0; 10_000];
    for _ in 0..total / piece.len() {
        stream.write_all(&piece).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(piece, answer);
    }
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_and_is_told_what_it_missed() {
    let directory = Scratch::new();
    let server = Server::start(echo);
    let (pen, mut reader) = pen_with_pipe(&directory, &server);
    let client = pen.connect();
    exchange(&client, 5_000_000);
    assert_echoes(&pen.connect());
    let before = cpu(pen.pid());
    wait::within(Duration::from_secs(1), || None::<()>);
    assert!(cpu(pen.pid()) - before < Duration::from_millis(50), "it spins");
    // Then it reads, and traffic goes on: what was lost is said as soon as there is room for it.
    let (mut tail, mut buffer) = (Vec::new(), vec![0; 65_536]);
    wait::until_true("it is told", || {
        match reader.read(&mut buffer) {
            Ok(count) => tail.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert_echoes(&client);
        String::from_utf8_lossy(&tail).contains("were lost: nobody read them in time")
    });
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    let directory = Scratch::new();
    let server = Server::start(echo);
    let (mut pen, reader) = pen_with_pipe(&directory, &server);
    let client = pen.connect();
    exchange(&client, 100_000);
    drop(reader);
    exchange(&client, 5_000_000);
    assert_echoes(&pen.connect());
    pen.process().signal("USR1");
    exchange(&client, 100_000);
    let before = cpu(pen.pid());
    wait::within(Duration::from_secs(1), || None::<()>);
    assert!(cpu(pen.pid()) - before < Duration::from_millis(50), "it spins");
    assert!(pen.stop().status.success());
}
