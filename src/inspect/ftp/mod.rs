//! FTP control connections: finds and rewrites what names the address of a data connection
//! (RFC 959, 2228, 2428, 4217), so that data goes through pen as well.
//!
//! Commands that must not reach the server go there as NOOP, and its answer becomes the one that
//! the client gets: replies stay in order, however many commands were sent ahead. What is not
//! understood passes unchanged. After the answer to AUTH the stream is opaque, and left alone.

pub mod address;
pub mod lines;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use address::EprtError;
use lines::{Piece, Splitter, characters};

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
        }
    }

    /// True once the stream is encrypted, and passes unchanged.
    pub fn is_opaque(&self) -> bool {
        self.is_opaque
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
        let mut splitter = std::mem::take(&mut self.commands);
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

    /// Takes what the server sent, and appends to `out` what the client shall get. An unfinished
    /// line is held back.
    pub fn replies(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, ports: &mut impl TransferPorts) {
        let mut splitter = std::mem::take(&mut self.replies);
        while !self.is_opaque
            && let Some(piece) = splitter.next(&mut bytes)
        {
            match piece {
                Piece::Line(line) | Piece::Head(line) => self.reply(line, out, ports),
                Piece::Rest(_) if self.unfinished.is_some_and(|reply| reply.is_swallowed) => {}
                Piece::Rest(part) => out.extend_from_slice(part),
            }
        }
        out.extend_from_slice(bytes);
        self.replies = splitter;
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
                    out.extend_from_slice(&telnet);
                }
                self.ask(awaited, &asked, out);
            }
            Err(answer) => {
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

    fn reply(&mut self, line: &[u8], out: &mut Vec<u8>, ports: &mut impl TransferPorts) {
        let text = characters(line, &mut Vec::new());
        let (code, is_last) = match (code(&text), self.unfinished) {
            // Lines within a reply may begin with anything, another code included.
            (Some((code, true)), Some(reply)) if code == reply.code => (code, true),
            (_, Some(reply)) => (reply.code, false),
            (Some((code, is_last)), None) => (code, is_last),
            (None, None) => return out.extend_from_slice(line),
        };
        let before = self.unfinished.take();
        if !is_last {
            let reply = before.unwrap_or_else(|| Unfinished { code, is_swallowed: self.swallows(code), port: None });
            self.unfinished = Some(Unfinished { port: reply.port.or(named_port(code, &text)), ..reply });
            if !reply.is_swallowed {
                out.extend_from_slice(line);
            }
            return;
        }
        // Preliminary replies (RFC 959 section 4.2.1) leave the command unanswered.
        let awaited = if code < 200 { Awaited::Plain } else { self.answered(code) };
        let port = named_port(code, &text).or(before.and_then(|reply| reply.port));
        match awaited {
            Awaited::Passive(form) if matches!(code, 227 | 229) => {
                out.extend_from_slice(self.told(form, port, ports).as_bytes());
            }
            Awaited::StandIn(answer) => {
                out.extend_from_slice(answer.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Awaited::Port if code >= 400 => {
                ports.close();
                out.extend_from_slice(line);
            }
            Awaited::Auth if matches!(code, 234 | 235 | 334) => {
                self.is_opaque = true;
                out.extend_from_slice(line);
            }
            Awaited::Plain | Awaited::Port | Awaited::Auth | Awaited::Passive(_) => out.extend_from_slice(line),
        }
    }

    /// True if pen puts something in the place of a reply with this code.
    fn swallows(&self, code: u16) -> bool {
        code >= 200
            && match self.position(code).and_then(|position| self.awaited.get(position)) {
                Some(Awaited::StandIn(_)) => true,
                Some(Awaited::Passive(_)) => matches!(code, 227 | 229),
                Some(Awaited::Plain | Awaited::Port | Awaited::Auth) | None => false,
            }
    }

    /// Takes away the command that a final reply with this code answers.
    fn answered(&mut self, code: u16) -> Awaited {
        self.position(code).and_then(|position| self.awaited.remove(position)).unwrap_or(Awaited::Plain)
    }

    /// Which command a final reply with this code answers: the oldest that it can be the answer
    /// to. STAT and ABOR are answered while a transfer goes on, so the oldest may be another one.
    fn position(&self, code: u16) -> Option<usize> {
        self.awaited.iter().position(|awaited| match (awaited, code) {
            (Awaited::Passive(_), 227 | 229) => true,
            (_, 227 | 229) => false,
            (Awaited::Passive(_), code) => code >= 300,
            (Awaited::Auth, code) => matches!(code, 234 | 235) || code >= 300,
            (Awaited::StandIn(_) | Awaited::Port, code) => code == 200 || code >= 300,
            (Awaited::Plain, _) => true,
        })
    }

    /// What the client is told of a server that listens at `port` for data.
    fn told(&self, form: Form, port: Option<u16>, ports: &mut impl TransferPorts) -> String {
        let opened =
            port.filter(|port| *port != 0).and_then(|port| ports.for_client(SocketAddr::new(self.peers.server, port)));
        match (form, opened) {
            (Form::Passive, Some(SocketAddr::V4(told))) => {
                format!("227 Entering Passive Mode ({})\r\n", address::six_numbers(told))
            }
            (Form::Extended, Some(told)) => {
                format!("229 Entering Extended Passive Mode (|||{}|)\r\n", told.port())
            }
            (Form::Passive, Some(SocketAddr::V6(_)) | None) | (Form::Extended, None) => format!("{NO_PORT}\r\n"),
        }
    }
}

/// The code of a line, and whether it is the last of a reply (RFC 959 section 4.2).
fn code(text: &[u8]) -> Option<(u16, bool)> {
    let digits = text.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match text.get(3) {
        Some(b'-') => Some((code, false)),
        Some(b' ') | None => Some((code, true)),
        Some(_) => None,
    }
}

/// The port that a line of a 227 or 229 reply names. Its address is of no interest: the data is
/// where the server is.
fn named_port(code: u16, text: &[u8]) -> Option<u16> {
    let text = if self::code(text).is_some() { text.get(4..)? } else { text };
    match code {
        227 => address::find_passive(text).map(|address: SocketAddrV4| address.port()),
        229 => address::find_extended(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
