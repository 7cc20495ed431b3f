//! One session at the control port: a line is read, and a reply is sent, or what happens as it does.
//!
//! Nothing here waits. What it has come to is a [`Step`]; the loop obeys the command.

use std::io::ErrorKind;

use super::control::SESSION_TIME;
use super::feed::Feed;
use super::trust::Trust;
use crate::base::addr::Endpoint;
use crate::base::time::{Moment, Now};
use crate::control::LINE_MAX;
use crate::control::token::{TOKEN, TOKEN_MAX};
use crate::net::Stream;

/// The longest line that is read: a command, and the word before it.
const SESSION_LINE_MAX: usize = LINE_MAX + TOKEN_MAX + TOKEN.len();

/// Bytes that are read and thrown away after the line, so that the peer sees no reset.
const DRAIN_MAX: usize = 1024 * 1024;

/// One connection to the control port.
#[derive(Debug)]
pub(super) struct Session<S> {
    /// The connection.
    pub stream: S,
    /// Who it is.
    pub from: Endpoint,
    /// Whose files may be touched.
    pub trust: Trust,
    /// Grows from one session to the next.
    pub serial: u64,
    /// When it is over at the latest, unless it is told of what happens.
    pub until: Moment,
    /// How far it has come.
    pub state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// The line is not complete.
    Reading(Vec<u8>),
    /// The command is being obeyed.
    Obeying,
    /// The reply is being sent: the text, and how much of it has been taken.
    Replying(Vec<u8>, usize),
    /// It is told of what happens, until it goes.
    Told(Feed),
    /// The reply and a FIN are sent; what still comes is thrown away, up to so many bytes.
    Draining(usize),
}

/// What a session has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It waits for an edge, or for its command.
    Waits,
    /// The line is complete.
    Line(Vec<u8>),
    /// It is over.
    Over,
}

impl<S: Stream> Session<S> {
    /// Goes on as far as that is possible now.
    pub fn step(&mut self, scratch: &mut [u8], now: Now) -> Step {
        loop {
            let moved = match &mut self.state {
                State::Reading(line) => match self.stream.read(scratch) {
                    Ok(count) => {
                        if !take_line(line, &scratch[..count]) {
                            continue;
                        }
                        let line = std::mem::take(line);
                        self.state = State::Obeying;
                        return Step::Line(line);
                    }
                    Err(error) => Err(error),
                },
                State::Obeying => return Step::Waits,
                State::Replying(text, sent) if *sent == text.len() => {
                    self.state = State::Draining(DRAIN_MAX);
                    self.stream.shutdown_write()
                }
                State::Replying(text, sent) => match self.stream.write(&text[*sent..]) {
                    Ok(0) => return Step::Over,
                    Ok(count) => {
                        *sent += count;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                State::Told(feed) => match self.stream.read(scratch) {
                    // What a subscriber says means nothing, and whoever ends goes.
                    Ok(0) => return Step::Over,
                    Ok(_) => Ok(()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let Some(rest) = feed.go_on(&mut self.stream, now) else { return Step::Waits };
                        self.until = now.moment + SESSION_TIME;
                        self.state = State::Replying(rest, 0);
                        continue;
                    }
                    Err(error) => Err(error),
                },
                State::Draining(left) => match self.stream.read(scratch) {
                    Ok(count) if count == 0 || count > *left => return Step::Over,
                    Ok(count) => {
                        *left -= count;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
            };
            match moved {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Waits,
                Err(_) => return Step::Over,
            }
        }
    }

    /// When to look at it again without an event.
    pub fn next_due(&self) -> Moment {
        match &self.state {
            State::Told(feed) => feed.next_due(),
            State::Reading(_) | State::Obeying | State::Replying(..) | State::Draining(_) => self.until,
        }
    }

    /// Sends what waits for a subscriber. True if it has gone, or has been told all that it wanted.
    pub fn has_ended(&mut self, now: Now) -> bool {
        match &mut self.state {
            State::Told(feed) => !feed.send(&mut self.stream, now) || feed.is_over(now.moment),
            State::Reading(_) | State::Obeying | State::Replying(..) | State::Draining(_) => false,
        }
    }

    /// True if it is told of what happens.
    pub fn is_told(&self) -> bool {
        matches!(self.state, State::Told(_))
    }

    /// Makes its end look like one: to a peer without its reply a FIN would say that there is
    /// none.
    pub fn cut_off(&mut self) {
        if !matches!(self.state, State::Draining(_) | State::Told(_)) {
            // Where this fails the kernel ends the connection in its own way.
            let _ = self.stream.reset_on_drop();
        }
    }
}

/// Adds what was read to a line; true if it is complete. LF, CR, NUL and the end of what the
/// peer sends end a line, and what follows is not looked at; so does one byte more than a line
/// may have, which then is refused.
fn take_line(line: &mut Vec<u8>, chunk: &[u8]) -> bool {
    let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0));
    let room = SESSION_LINE_MAX + 1 - line.len();
    line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len()).min(room)]);
    chunk.is_empty() || end.is_some() || line.len() > SESSION_LINE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fake::Wire;

    fn session(sends: &[&[u8]]) -> Session<Wire> {
        let stream = Wire { sends: sends.iter().map(|chunk| Ok(chunk.to_vec())).collect(), ..Wire::default() };
        let state = State::Reading(Vec::new());
        let from = Endpoint::Unix("".into());
        Session { stream, from, trust: Trust::Limited, serial: 1, until: Moment::default(), state }
    }

    fn step(session: &mut Session<Wire>) -> Step {
        session.step(&mut [0; 1024], Now::default())
    }

    #[test]
    fn a_line_ends_at_lf_cr_nul_or_the_end() {
        let table: [(&[&[u8]], &[u8]); 10] = [
            (&[b"pid\n"], b"pid"),
            (&[b"pid\r\n"], b"pid"),
            (&[b"pid\0pid\n"], b"pid"),
            (&[b"pid", b""], b"pid"),
            (&[b"p", b"i", b"d\n"], b"pid"),
            (&[b"pid\nmode\n"], b"pid"),
            (&[b"\npid\n"], b""),
            (&[b""], b""),
            (&[b"\xff\xfe\x00"], b"\xff\xfe"),
            (&[b"\0"], b""),
        ];
        for (sends, line) in table {
            assert_eq!(step(&mut session(sends)), Step::Line(line.to_vec()), "{sends:?}");
        }
    }

    #[test]
    fn an_incomplete_line_waits_and_a_long_one_does_not_grow() {
        let mut session = session(&[b"pi"]);
        assert_eq!(step(&mut session), Step::Waits);
        session.stream.sends.push_back(Err(ErrorKind::Interrupted));
        session.stream.sends.push_back(Ok(vec![b'x'; 1_000_000]));
        let Step::Line(line) = step(&mut session) else { panic!("a line without an end") };
        assert_eq!(line.len(), SESSION_LINE_MAX + 1);
        assert!(line.starts_with(b"pix"));
    }

    #[test]
    fn a_peer_that_breaks_off_ends_the_session() {
        let mut session = session(&[b"pi"]);
        session.stream.sends.push_back(Err(ErrorKind::ConnectionReset));
        assert_eq!(step(&mut session), Step::Over);
    }

    #[test]
    fn a_reply_goes_out_in_pieces_and_then_a_fin_and_what_still_comes_is_thrown_away() {
        let mut session = session(&[b"pid\n"]);
        assert_eq!(step(&mut session), Step::Line(b"pid".to_vec()));
        assert_eq!(step(&mut session), Step::Waits, "spurious events find nothing to do");
        session.state = State::Replying(b"4711\n".to_vec(), 0);
        assert_eq!(step(&mut session), Step::Waits);
        session.stream.takes.extend([2, 1]);
        assert_eq!(step(&mut session), Step::Waits);
        assert!(!session.stream.got_fin);
        session.stream.takes.push_back(10);
        session.stream.sends.push_back(Ok(b"more".to_vec()));
        assert_eq!(step(&mut session), Step::Waits);
        assert_eq!(session.stream.got, b"4711\n");
        assert!(session.stream.got_fin);
        session.stream.sends.extend([Ok(b"and more".to_vec()), Ok(Vec::new())]);
        assert_eq!(step(&mut session), Step::Over);
        session.cut_off();
        assert!(!session.stream.is_reset, "it has had its reply");
    }

    #[test]
    fn a_flood_after_the_line_ends_the_session() {
        let mut session = session(&[b"pid\n"]);
        assert_eq!(step(&mut session), Step::Line(b"pid".to_vec()));
        session.state = State::Replying(Vec::new(), 0);
        session.stream.sends.push_back(Ok(vec![b'x'; DRAIN_MAX + 1]));
        assert_eq!(step(&mut session), Step::Over);
    }

    #[test]
    fn without_its_reply_a_peer_sees_a_reset() {
        let states = [State::Reading(Vec::new()), State::Obeying, State::Replying(b"x".to_vec(), 0)];
        for state in states {
            let mut session = session(&[]);
            session.state = state;
            session.cut_off();
            assert!(session.stream.is_reset, "{:?}", session.state);
        }
    }
}
