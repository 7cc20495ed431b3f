//! FTP control connections: finds and rewrites what names the address of a data connection
//! (RFC 959, 2228, 2428, 4217), so that data goes through pen as well.
//!
//! Commands that must not reach the server go there as NOOP, and its answer becomes the one that
//! the client gets: replies stay in order, however many commands were sent ahead. What is not
//! understood passes unchanged. After the answer to AUTH the stream is opaque, and left alone.

pub mod address;
pub mod lines;
mod replies;

use std::collections::VecDeque;
use std::mem;
use std::net::{IpAddr, SocketAddr};

use address::EprtError;
use lines::{Piece, Splitter, characters};

use crate::base::direction::Direction;

/// Commands that may be unanswered before a client is taken for hostile.
pub const UNANSWERED_MAX: usize = 1024;

/// The first port that a client may have data sent to (RFC 2577 section 3).
const FIRST_PORT: u16 = 1024;

const ILLEGAL_ADDRESS: &str = "504 Data goes to your own address alone.";
const ILLEGAL_PORT: &str = "504 Data goes to ports from 1024 on alone.";
const SYNTAX: &str = "501 That is no address.";
const NO_PORT: &str = "425 Cannot open a data connection.";
const USE_IPV4: &str = "522 Network protocol not supported, use (1)";
const USE_IPV6: &str = "522 Network protocol not supported, use (2)";
const EPSV_ONLY: &str = "503 After EPSV ALL only EPSV is accepted.";
const EPSV_ALL_OK: &str = "200 EPSV ALL is in force.";
const NO_AUTH: &str = "534 Encryption is not allowed here.";
const NOT_SUPPORTED: &str = "502 Not supported here; use EPSV or EPRT.";

/// Opens the ports where data connections arrive.
pub trait TransferPorts {
    /// Opens a port for the server, whose connection is carried on to the client at `client`.
    /// Returns the address that the server is told; `None` if no port is to be had. A port that
    /// was opened before and not used yet is closed.
    fn for_server(&mut self, client: SocketAddr) -> Option<SocketAddr>;

    /// Opens a port for the client, whose connection is carried on to the server at `server`.
    /// Returns the address that the client is told; `None` if no port is to be had. A port that
    /// was opened before and not used yet is closed.
    fn for_client(&mut self, server: SocketAddr) -> Option<SocketAddr>;

    /// The port that was opened last will not be used: the server has refused.
    fn close(&mut self);
}

/// What a machine is told about its pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peers {
    /// The address of the client.
    pub client: IpAddr,
    /// The address of the server.
    pub server: IpAddr,
}

/// The client has more than [`UNANSWERED_MAX`] commands unanswered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyUnanswered;

/// How an answer to a request for a passive port must look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// 227, to PASV.
    Passive,
    /// 229, to EPSV.
    Extended,
}

/// What the final reply to a command means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaited {
    /// Nothing to pen.
    Plain,
    /// Where the server listens; the client wants it in this form.
    Passive(Form),
    /// Whether the server will connect.
    Port,
    /// Whether the stream is opaque from now on.
    Auth,
    /// It answers the NOOP that stands for a command; the client gets this.
    StandIn(&'static str),
}

/// A reply of several lines that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Unfinished {
    code: u16,
    /// Its lines are not passed on: the last one becomes the whole reply.
    is_swallowed: bool,
    /// The port that one of its lines named.
    port: Option<u16>,
}

/// Follows one control connection. It keeps one unfinished line of each direction, and a few
/// bytes for each command that is not answered.
#[derive(Debug)]
pub struct Ftp {
    peers: Peers,
    refuses_auth: bool,
    commands: Splitter,
    replies: Splitter,
    awaited: VecDeque<Awaited>,
    unfinished: Option<Unfinished>,
    is_opaque: bool,
    /// The client has said EPSV ALL.
    only_epsv: bool,
    has_begun: bool,
    has_changed: bool,
}

impl Ftp {
    /// A machine for a connection whose greeting has not come yet.
    pub fn new(peers: Peers, refuses_auth: bool) -> Ftp {
        Ftp {
            peers,
            refuses_auth,
            commands: Splitter::default(),
            replies: Splitter::default(),
            // The greeting is the answer to nothing.
            awaited: VecDeque::from([Awaited::Plain]),
            unfinished: None,
            is_opaque: false,
            only_epsv: false,
            has_begun: false,
            has_changed: false,
        }
    }

    /// True once the stream is encrypted, and passes unchanged.
    pub fn is_opaque(&self) -> bool {
        self.is_opaque
    }

    /// True if something was put in the place of what came since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        mem::take(&mut self.has_changed)
    }

    /// True if an unfinished line is held back.
    pub fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.commands.holds(),
            Direction::Down => self.replies.holds(),
        }
    }

    /// Takes what the client sent, and appends to `out` what the server shall get. An unfinished
    /// line is held back.
    pub fn commands(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        ports: &mut impl TransferPorts,
    ) -> Result<(), TooManyUnanswered> {
        // A client that begins with a TLS handshake (RFC 8446 section 5.1) has no use for lines.
        if !self.has_begun && bytes.first() == Some(&0x16) {
            self.is_opaque = true;
        }
        self.has_begun |= !bytes.is_empty();
        let mut splitter = mem::take(&mut self.commands);
        while !self.is_opaque
            && let Some(piece) = splitter.next(&mut bytes)
        {
            match piece {
                Piece::Line(line) => self.command(line, out, ports),
                Piece::Head(part) => self.ask(Awaited::Plain, part, out),
                Piece::Rest(part) => out.extend_from_slice(part),
            }
            if self.awaited.len() > UNANSWERED_MAX {
                return Err(TooManyUnanswered);
            }
        }
        out.extend_from_slice(bytes);
        self.commands = splitter;
        Ok(())
    }

    /// What is still held of the client's stream, which has ended or has become opaque.
    pub fn last_of_commands(&mut self) -> Vec<u8> {
        self.commands.take_held()
    }

    /// What is still held of the server's stream, which has ended or has become opaque.
    pub fn last_of_replies(&mut self) -> Vec<u8> {
        self.replies.take_held()
    }

    /// Passes `line` on, whose reply means this.
    fn ask(&mut self, awaited: Awaited, line: &[u8], out: &mut Vec<u8>) {
        self.awaited.push_back(awaited);
        out.extend_from_slice(line);
    }

    fn command(&mut self, line: &[u8], out: &mut Vec<u8>, ports: &mut impl TransferPorts) {
        let mut telnet = Vec::new();
        let text = characters(line, &mut telnet);
        let text = text.trim_ascii();
        let (verb, argument) = text.split_at(text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len()));
        let argument = argument.trim_ascii();
        let turned = match verb.to_ascii_uppercase().as_slice() {
            // A server does not answer an empty line.
            b"" => return out.extend_from_slice(line),
            b"PORT" | b"EPRT" | b"PASV" | b"LPRT" | b"LPSV" | b"CPSV" | b"SPSV" if self.only_epsv => Err(EPSV_ONLY),
            b"PORT" => address::read_port(argument).ok_or(SYNTAX).and_then(|to| self.active(SocketAddr::V4(to), ports)),
            b"EPRT" => self.read_eprt(argument).and_then(|to| self.active(to, ports)),
            b"PASV" => self.passive(line),
            b"EPSV" => self.extended(argument, line),
            b"LPRT" | b"LPSV" | b"CPSV" | b"SPSV" => Err(NOT_SUPPORTED),
            b"AUTH" if self.refuses_auth => Err(NO_AUTH),
            b"AUTH" => Ok((Awaited::Auth, line.to_vec())),
            _ => Ok((Awaited::Plain, line.to_vec())),
        };
        match turned {
            Ok((awaited, asked)) => {
                if asked != line {
                    self.has_changed = true;
                    out.extend_from_slice(&telnet);
                }
                self.ask(awaited, &asked, out);
            }
            Err(answer) => {
                self.has_changed = true;
                out.extend_from_slice(&telnet);
                self.ask(Awaited::StandIn(answer), b"NOOP\r\n", out);
            }
        }
    }

    fn read_eprt(&self, argument: &[u8]) -> Result<SocketAddr, &'static str> {
        let to = address::read_eprt(argument).map_err(|error| match error {
            EprtError::Syntax => SYNTAX,
            EprtError::Family => self.family_of_client(),
        })?;
        if to.is_ipv4() == self.peers.client.is_ipv4() { Ok(to) } else { Err(self.family_of_client()) }
    }

    /// PORT or EPRT: the server is sent to a port of pen's.
    fn active(&self, to: SocketAddr, ports: &mut impl TransferPorts) -> Result<(Awaited, Vec<u8>), &'static str> {
        if to.ip() != self.peers.client {
            return Err(ILLEGAL_ADDRESS);
        }
        if to.port() < FIRST_PORT {
            return Err(ILLEGAL_PORT);
        }
        let line = match ports.for_server(to).ok_or(NO_PORT)? {
            SocketAddr::V4(told) => format!("PORT {}\r\n", address::six_numbers(told)),
            told @ SocketAddr::V6(_) => format!("EPRT {}\r\n", address::extended(told)),
        };
        Ok((Awaited::Port, line.into_bytes()))
    }

    /// PASV: 227 can only tell of an IPv4 address, which a client by IPv6 cannot use.
    fn passive(&self, line: &[u8]) -> Result<(Awaited, Vec<u8>), &'static str> {
        if self.peers.client.is_ipv6() {
            return Err(NOT_SUPPORTED);
        }
        let asked = if self.peers.server.is_ipv6() { b"EPSV\r\n" } else { line };
        Ok((Awaited::Passive(Form::Passive), asked.to_vec()))
    }

    /// EPSV, EPSV with a network protocol, EPSV ALL.
    fn extended(&mut self, argument: &[u8], line: &[u8]) -> Result<(Awaited, Vec<u8>), &'static str> {
        let is_turned = self.peers.client.is_ipv4() != self.peers.server.is_ipv4();
        if argument.eq_ignore_ascii_case(b"ALL") {
            self.only_epsv = true;
            // The server may be asked for something else in its place.
            return if is_turned { Err(EPSV_ALL_OK) } else { Ok((Awaited::Plain, line.to_vec())) };
        }
        let own: &[u8] = if self.peers.client.is_ipv4() { b"1" } else { b"2" };
        if !argument.is_empty() && argument != own {
            return Err(self.family_of_client());
        }
        let asked: &[u8] = match (is_turned, self.peers.server) {
            (false, _) => line,
            (true, IpAddr::V4(_)) => b"PASV\r\n",
            (true, IpAddr::V6(_)) => b"EPSV\r\n",
        };
        Ok((Awaited::Passive(Form::Extended), asked.to_vec()))
    }

    fn family_of_client(&self) -> &'static str {
        if self.peers.client.is_ipv4() { USE_IPV4 } else { USE_IPV6 }
    }
}

#[cfg(test)]
mod tests;
