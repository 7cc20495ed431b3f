//! HTTP/1 connections (RFC 9110, 9112): every request tells the server whom it is from.
//!
//! Heads of requests are held until they are whole, read strictly, and passed on with
//! X-Forwarded-For and X-Forwarded-Proto; all else passes as it is. Responses are followed to know
//! which request each answers: after CONNECT and Upgrade nothing is passed on before the answer,
//! and after one that agrees the stream is opaque. A request that cannot be framed safely is
//! answered here, in its turn, and nothing of it reaches the server.

pub mod body;
pub mod forwarded;
pub mod head;

use std::collections::VecDeque;

use crate::base::direction::Direction;
use body::{Body, Chunk};
use forwarded::Sender;
use head::{Framing, HEAD_MAX, Refusal, Request, Response, Switch, end_of_head, request_line};

/// Requests that may be unanswered; further ones wait.
pub const UNANSWERED_MAX: usize = 256;

/// The longest head of a response that is followed, in bytes.
const RESPONSE_HEAD_MAX: usize = 64 * 1024;

/// The most bytes of bodies or of responses that one look is at.
const PIECE_MAX: usize = 63 * 1024;

/// The most bytes among which requests may be that one look is at: the shortest become six times
/// as long.
const HEADS_MAX: usize = 8 * 1024;

/// The same while the beginning of a head is held, whose lines may each become a byte longer.
const REST_MAX: usize = 2 * 1024;

/// Empty lines that may come before a request (RFC 9112 section 2.2).
const EMPTY_LINES_MAX: u8 = 16;

/// The answer to a request that is awaited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Awaited {
    /// It has no body, whatever its head says.
    is_to_head: bool,
    /// It may make the stream opaque.
    switch: Option<Switch>,
}

/// What the client is sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Up {
    /// A head, or what comes before one.
    Head,
    /// A body; what follows it waits for the answer if it is of a request to switch.
    Body(Body, Option<Switch>),
    /// Something that depends on the answer to the last request.
    Unknown,
    /// Nothing that counts any more. It is answered here, unless the server has begun to.
    Refused { refusal: Refusal, is_answered: bool },
}

/// What the server is sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Down {
    Head,
    Body(Body),
}

/// Follows one connection. Of requests it keeps an unfinished head, and what waits for answers: at
/// most what one call brought beyond that.
#[derive(Debug)]
pub struct Http {
    sender: Sender,
    up: Up,
    /// What the client has sent and the server has not got.
    held: Vec<u8>,
    /// So much of it was looked at for the end of a head.
    seen: usize,
    empty_lines: u8,
    awaited: VecDeque<Awaited>,
    down: Down,
    /// The head of a response, so far.
    response: Vec<u8>,
    has_changed: bool,
    is_opaque: bool,
    is_over: bool,
}

impl Http {
    /// A machine for a connection that begins.
    pub fn new(sender: Sender) -> Http {
        Http {
            sender,
            up: Up::Head,
            held: Vec::new(),
            seen: 0,
            empty_lines: 0,
            awaited: VecDeque::new(),
            down: Down::Head,
            response: Vec::new(),
            has_changed: false,
            is_opaque: false,
            is_over: false,
        }
    }

    /// True once the stream is not HTTP any more and passes unchanged; nothing is held then.
    pub fn is_opaque(&self) -> bool {
        self.is_opaque
    }

    /// How many bytes of the client wait here.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// False while there is nothing to do with further bytes of the client, before the server has
    /// answered or for good: they can wait where they are.
    pub fn may_read(&self) -> bool {
        self.is_opaque || !matches!(self.up, Up::Unknown | Up::Refused { .. }) && !self.is_full()
    }

    /// As [`Inspector::appetite`](super::Inspector::appetite).
    pub fn appetite(&self, direction: Direction) -> Option<usize> {
        let may_pass = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).clamp(HEADS_MAX, PIECE_MAX);
        match (direction, self.up, self.down) {
            _ if self.is_opaque => None,
            (Direction::Down, _, Down::Body(Body::UntilClose)) => None,
            (Direction::Down, ..) => Some(PIECE_MAX),
            _ if !self.may_read() => Some(0),
            (Direction::Up, Up::Body(Body::Length(left) | Body::Chunked(Chunk::Inside(left)), _), _) => {
                Some(may_pass(left))
            }
            // What was held grows, too.
            (Direction::Up, ..) if !self.held.is_empty() => Some(REST_MAX),
            (Direction::Up, ..) => Some(HEADS_MAX),
        }
    }

    /// True if the heads of requests have changed since this was asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Why the client's requests go no further, if so. The server gets nothing more.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.up {
            Up::Refused { refusal, .. } => Some(refusal),
            Up::Head | Up::Body(..) | Up::Unknown => None,
        }
    }

    /// True once the client has got all that it will get: nothing more of the server's is for it.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// True if no response is under way.
    fn is_between(&self) -> bool {
        self.down == Down::Head && self.response.is_empty()
    }

    fn is_full(&self) -> bool {
        self.awaited.len() >= UNANSWERED_MAX
    }

    /// Takes what the client sent. Appends to `up` what the server shall get, and to `down` what the
    /// client shall get.
    pub fn requests(&mut self, bytes: &[u8], up: &mut Vec<u8>, down: &mut Vec<u8>) {
        if self.held.is_empty() {
            let taken = self.take(bytes, up, down);
            self.held.extend_from_slice(&bytes[taken..]);
        } else {
            self.held.extend_from_slice(bytes);
            self.go_on(up, down);
        }
    }

    /// The client has ended its direction. A head that is not whole is answered here.
    pub fn requests_ended(&mut self, down: &mut Vec<u8>) {
        if self.up == Up::Head && !self.held.is_empty() && !self.is_opaque && !self.is_full() {
            self.refuse(Refusal::Bad("the request ends within its head"), down);
        }
    }

    /// Takes what the server sent; `down` and `up` as with [`Http::requests`].
    pub fn responses(&mut self, bytes: &[u8], up: &mut Vec<u8>, down: &mut Vec<u8>) {
        let mut rest = bytes;
        while !self.is_over && !self.is_opaque && !rest.is_empty() {
            let taken = match &mut self.down {
                Down::Head => self.take_response_head(rest),
                Down::Body(body) => {
                    let taken = body.advance(rest).unwrap_or_else(|_| {
                        *body = Body::UntilClose;
                        rest.len()
                    });
                    if body.is_over() {
                        self.down = Down::Head;
                    }
                    taken
                }
            };
            down.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            if self.is_between() && !self.is_opaque {
                self.answered(up, down);
            }
        }
        if self.is_opaque {
            up.append(&mut self.held);
            down.extend_from_slice(rest);
        }
    }

    /// Takes from what is held what can be.
    fn go_on(&mut self, up: &mut Vec<u8>, down: &mut Vec<u8>) {
        let mut held = std::mem::take(&mut self.held);
        let taken = self.take(&held, up, down);
        if taken < held.len() {
            held.drain(..taken);
            self.held = held;
        }
    }

    /// Takes from the client's bytes what can be; returns how many.
    fn take(&mut self, bytes: &[u8], up: &mut Vec<u8>, down: &mut Vec<u8>) -> usize {
        if self.is_opaque {
            up.extend_from_slice(bytes);
            return bytes.len();
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let is_full = self.is_full();
            match &mut self.up {
                Up::Unknown => break,
                Up::Refused { .. } => return bytes.len(),
                Up::Body(body, switch) => match body.advance(rest) {
                    Ok(count) => {
                        up.extend_from_slice(&rest[..count]);
                        taken += count;
                        if body.is_over() {
                            // It may have been answered already.
                            let waits = switch.is_some() && !self.awaited.is_empty();
                            self.up = if waits { Up::Unknown } else { Up::Head };
                        }
                    }
                    Err(bad) => {
                        up.extend_from_slice(&rest[..bad.taken]);
                        self.refuse_body(Refusal::Bad(bad.why), down);
                    }
                },
                Up::Head if is_full => break,
                Up::Head => match self.take_head(rest, up) {
                    Ok(0) => break,
                    Ok(count) => taken += count,
                    Err(refusal) => self.refuse(refusal, down),
                },
            }
        }
        taken
    }

    /// Takes a whole head, or an empty line before one; 0 if there is none yet.
    fn take_head(&mut self, bytes: &[u8], up: &mut Vec<u8>) -> Result<usize, Refusal> {
        let empty = match bytes {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        };
        if empty > 0 {
            self.seen = 0;
            self.empty_lines += 1;
            let is_much = self.empty_lines > EMPTY_LINES_MAX;
            return if is_much { Err(Refusal::Bad("there are empty lines and no request")) } else { Ok(empty) };
        }
        if !head::is_token_byte(bytes[0]) && bytes != b"\r" {
            return Err(Refusal::Bad("that is no HTTP request"));
        }
        let Some(end) = end_of_head(bytes, self.seen) else {
            // What cannot become a request is not waited for.
            let (before, new) = bytes.split_at(self.seen);
            if new.contains(&b'\n')
                && !before.contains(&b'\n')
                && let Some(line) = head::lines(bytes).next()
            {
                request_line(line)?;
            }
            self.seen = bytes.len();
            return if bytes.len() > HEAD_MAX { Err(Refusal::TooLarge) } else { Ok(0) };
        };
        if end > HEAD_MAX {
            return Err(Refusal::TooLarge);
        }
        let head = &bytes[..end];
        let request = Request::parse(head)?;
        self.sender.write_head(head, up);
        self.has_changed = true;
        (self.seen, self.empty_lines) = (0, 0);
        self.awaited.push_back(Awaited { is_to_head: request.is_head, switch: request.switch });
        let body = Body::new(request.framing);
        self.up = match request.switch {
            Some(_) if body.is_over() => Up::Unknown,
            None if body.is_over() => Up::Head,
            switch => Up::Body(body, switch),
        };
        Ok(end)
    }

    /// Nothing of this request has reached the server, and nothing will.
    fn refuse(&mut self, refusal: Refusal, down: &mut Vec<u8>) {
        self.up = Up::Refused { refusal, is_answered: false };
        self.held = Vec::new();
        if self.awaited.is_empty() && self.is_between() {
            self.close_with(refusal, down);
        }
    }

    /// The server has got the beginning of this request. Unless it has answered, it never will.
    fn refuse_body(&mut self, refusal: Refusal, down: &mut Vec<u8>) {
        let is_being_answered = self.awaited.len() == 1 && !self.response.is_empty();
        if self.awaited.is_empty() || is_being_answered {
            self.up = Up::Refused { refusal, is_answered: true };
            self.is_over = self.is_between();
        } else {
            self.awaited.pop_back();
            self.refuse(refusal, down);
        }
    }

    /// This is the last that the client gets.
    fn close_with(&mut self, refusal: Refusal, down: &mut Vec<u8>) {
        down.extend_from_slice(refusal.answer().as_bytes());
        self.is_over = true;
    }

    /// Takes of the head of a response what has come.
    fn take_response_head(&mut self, bytes: &[u8]) -> usize {
        let before = self.response.len();
        if before == 0 && matches!(bytes[0], b'\r' | b'\n') {
            return 1;
        }
        self.response.extend_from_slice(bytes);
        let Some(end) = end_of_head(&self.response, before) else {
            if self.response.len() > RESPONSE_HEAD_MAX {
                self.follow(None);
            }
            return bytes.len();
        };
        self.response.truncate(end);
        let response = Response::parse(&self.response);
        self.follow(response);
        end - before
    }

    /// The head of a response has passed; `None` if it was not understood.
    fn follow(&mut self, response: Option<Response>) {
        self.response = Vec::new();
        let Some(Response { status, framing }) = response else {
            self.awaited.pop_front();
            self.down = Down::Body(Body::UntilClose);
            return;
        };
        // After this the final response is still to come (RFC 9110 section 15.2).
        if matches!(status, 100 | 102..=199) {
            return;
        }
        let awaited = self.awaited.pop_front();
        self.is_opaque = match awaited.and_then(|awaited| awaited.switch) {
            Some(Switch::Connect) => (200..300).contains(&status),
            Some(Switch::Upgrade) => status == 101,
            None => false,
        };
        let is_to_head = awaited.is_some_and(|awaited| awaited.is_to_head);
        let framing = match status {
            // Nobody asked for another protocol.
            101 => Framing::UntilClose,
            204 | 304 => Framing::Length(0),
            _ if is_to_head => Framing::Length(0),
            _ => framing,
        };
        self.down = Down::Body(Body::new(framing));
        if Body::new(framing).is_over() {
            self.down = Down::Head;
        }
        if self.up == Up::Unknown && self.awaited.is_empty() {
            self.up = Up::Head;
        }
    }

    /// A response has ended. What waited for it goes on.
    fn answered(&mut self, up: &mut Vec<u8>, down: &mut Vec<u8>) {
        match self.up {
            Up::Refused { is_answered: true, .. } if self.awaited.is_empty() => self.is_over = true,
            Up::Refused { refusal, .. } if self.awaited.is_empty() => self.close_with(refusal, down),
            Up::Refused { .. } | Up::Unknown => {}
            Up::Head | Up::Body(..) => self.go_on(up, down),
        }
    }
}

#[cfg(test)]
mod tests;
