//! The replies of an FTP server: which command each answers, and what the client is told in the place
//! of those that name an address.

use std::mem;
use std::net::{SocketAddr, SocketAddrV4};

use super::lines::{Piece, characters};
use super::{Awaited, Form, Ftp, NO_PORT, TransferPorts, Unfinished, address};

impl Ftp {
    /// Takes what the server sent, and appends to `out` what the client shall get. An unfinished
    /// line is held back.
    pub fn replies(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, ports: &mut impl TransferPorts) {
        let mut splitter = mem::take(&mut self.replies);
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
                self.has_changed = true;
                out.extend_from_slice(self.told(form, port, ports).as_bytes());
            }
            Awaited::StandIn(answer) => {
                self.has_changed = true;
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
