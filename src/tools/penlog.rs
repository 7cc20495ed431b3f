//! penlog: sends the lines of a web server's log to penlogd as they are written.
//!
//! The web server pipes its log into it. Each line is one datagram, its newline included.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use crate::base::error::{Error, reason};
use crate::tools::flags::{Flag, Word, Words, wrong};
use crate::tools::input::Lines;
use crate::tools::output::{Stop, end, print};

const PROGRAM: &str = "penlog";
const USAGE: &str = "penlog server port [own_address]";

/// It has no flags but those of all tools.
pub const FLAGS: [Flag; 0] = [];

/// The most bytes that a datagram over IPv4 carries: 65,535 less its headers (RFC 768, RFC 791).
const LINE_MAX: usize = 65_507;

/// Runs penlog and returns its exit status: 0, 1 if the socket cannot be made or the lines
/// cannot be read, 64 for an error of usage.
pub fn run(args: impl IntoIterator<Item = OsString>, input: Lines, out: &mut impl Write, err: &mut impl Write) -> u8 {
    let result = parse(args).map_err(Stop::from).and_then(|plan| match plan {
        Plan::Print(text) => print(&text, out),
        Plan::Send { to, from } => Sender::new(&to, from).and_then(|sender| sender.run(input, err)).map_err(Stop::from),
    });
    end(PROGRAM, result, err)
}

enum Plan {
    Print(String),
    Send { to: String, from: Option<IpAddr> },
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Plan, Error> {
    let mut line = Words::new(PROGRAM, USAGE, &FLAGS, args);
    let mut words = Vec::new();
    while let Some(word) = line.word()? {
        match word {
            Word::Operand(word) => {
                words.push(word.into_string().map_err(|word| Error::usage(format!("{word:?} is not UTF-8 text")))?)
            }
            Word::Print(text) => return Ok(Plan::Print(text)),
            Word::Set(_) | Word::Value(..) => unreachable!("the table of flags is empty"),
        }
    }
    let (to, own) = match &words[..] {
        [server, port] if is_port(port) => (joined(server, port), None),
        [server, port, own] if is_port(port) => (joined(server, port), Some(own)),
        [both] if both.contains(':') => (both.clone(), None),
        [both, own] if both.contains(':') && !is_port(own) && !is_address(both) => (both.clone(), Some(own)),
        [] => return Err(wrong(PROGRAM, "no server and port")),
        [_] => return Err(wrong(PROGRAM, "no port")),
        [_, port] | [_, port, _] => return Err(wrong(PROGRAM, format!("'{}' is not a port", port.escape_debug()))),
        _ => return Err(wrong(PROGRAM, "too many operands")),
    };
    let address =
        |own: &String| own.parse().map_err(|_| wrong(PROGRAM, format!("'{}' is not an address", own.escape_debug())));
    let from = own.map(address).transpose()?;
    Ok(Plan::Send { to, from })
}

fn is_port(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit()) && word.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_address(word: &str) -> bool {
    word.parse::<IpAddr>().is_ok()
}

fn joined(server: &str, port: &str) -> String {
    if server.contains(':') && !server.starts_with('[') {
        format!("[{server}]:{port}")
    } else {
        format!("{server}:{port}")
    }
}

/// Sends, and counts what it could not send.
struct Sender {
    socket: UdpSocket,
    sent: u64,
    /// Lines that the machine at the other end refused, or that could not leave this one.
    lost: u64,
    /// Lines that were longer than a datagram.
    cut: u64,
}

impl Sender {
    fn new(to: &str, from: Option<IpAddr>) -> Result<Sender, Error> {
        let fail = |what: String, error: &io::Error| Error::system(format!("{what}: {}", reason(error)));
        let addresses = to.to_socket_addrs().map_err(|error| fail(format!("cannot look up {to}"), &error))?;
        let fits = |address: &SocketAddr| from.is_none_or(|from| from.is_ipv4() == address.is_ipv4());
        let Some(address) = addresses.into_iter().find(fits) else {
            return Err(Error::system(format!("{to} has no address of the kind that was given")));
        };
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let own = from.unwrap_or(any);
        let socket = UdpSocket::bind((own, 0)).map_err(|error| fail(format!("cannot send from {own}"), &error))?;
        socket.connect(address).map_err(|error| fail(format!("cannot send to {to}"), &error))?;
        Ok(Sender { socket, sent: 0, lost: 0, cut: 0 })
    }

    fn run(mut self, mut input: Lines, err: &mut impl Write) -> Result<(), Error> {
        let mut datagram = Vec::new();
        while let Some(line) = input.next_line()? {
            datagram.clear();
            let kept = line.len().min(LINE_MAX - 1);
            self.cut += u64::from(kept < line.len());
            datagram.extend_from_slice(&line[..kept]);
            datagram.push(b'\n');
            self.send(&datagram);
        }
        // Who started this may be gone; nothing else depends on it.
        if self.cut > 0 {
            let _ = writeln!(
                err,
                "{PROGRAM}: {} of {} lines were cut: a datagram has {LINE_MAX} bytes",
                self.cut, self.sent
            );
        }
        if self.lost > 0 {
            let _ = writeln!(err, "{PROGRAM}: {} of {} lines were not taken by the other end", self.lost, self.sent);
        }
        Ok(())
    }

    /// Sends a line. A refusal that a send reports is of an earlier line (udp(7)), and this one
    /// has not been sent yet.
    fn send(&mut self, line: &[u8]) {
        self.sent += 1;
        for _ in 0..3 {
            match self.socket.send(line) {
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && self.sent > 1 => self.lost += 1,
                Err(_) => break,
            }
        }
        self.lost += 1;
    }
}
