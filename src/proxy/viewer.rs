//! One connection to the status port: heads of requests in, answers out, and nothing in between.

use std::io::ErrorKind;
use std::time::Duration;

use crate::base::time::Moment;
use crate::control::http::{Answer, Code, HEAD_MAX, Method, Parsed, Request, parse};
use crate::net::Stream;

/// How long a viewer may take to ask, or to take its answer.
const STEP_TIME: Duration = Duration::from_secs(60);

/// How long a viewer may take to go after its last answer.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// Answers on one connection.
const ANSWERS_MAX: u32 = 1000;

/// Bytes that are read and thrown away after the last answer, so that the peer sees no reset.
const DRAIN_MAX: usize = 1024 * 1024;

/// One connection to the status port.
#[derive(Debug)]
pub struct Viewer<S> {
    stream: S,
    serial: u64,
    until: Moment,
    /// What has come and was not understood yet.
    head: Vec<u8>,
    answers: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The head is not complete.
    Reading,
    /// It wants an answer.
    Asking(Result<Request, Code>),
    /// The answer is being sent: the bytes, and how many have been taken; then the next may be asked for.
    Answering(Vec<u8>, usize, bool),
    /// The last answer and a FIN are sent; what still comes is thrown away, up to so many bytes.
    Draining(usize),
}

/// What a viewer has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It waits for an edge, or for its answer.
    Waits,
    /// It has asked for something.
    Asks,
    /// It is over.
    Over,
}

impl<S: Stream> Viewer<S> {
    /// One that has just come.
    pub fn new(stream: S, serial: u64, now: Moment) -> Viewer<S> {
        let until = now + STEP_TIME;
        Viewer { stream, serial, until, head: Vec::new(), answers: 0, state: State::Reading }
    }

    /// Goes on as far as that is possible now.
    pub fn step(&mut self, scratch: &mut [u8], now: Moment) -> Step {
        loop {
            let moved = match &mut self.state {
                State::Reading => match parse(&self.head) {
                    Parsed::Request(request, length) => {
                        self.head.drain(..length);
                        self.state = State::Asking(Ok(request));
                        return Step::Asks;
                    }
                    Parsed::Refused(code) => {
                        self.state = State::Asking(Err(code));
                        return Step::Asks;
                    }
                    Parsed::Incomplete => {
                        // One byte more than there may be is enough to see that it is too much.
                        let room = scratch.len().min(HEAD_MAX + 1 - self.head.len());
                        match self.stream.read(&mut scratch[..room]) {
                            Ok(0) => return Step::Over,
                            Ok(count) => {
                                self.head.extend_from_slice(&scratch[..count]);
                                Ok(())
                            }
                            Err(error) => Err(error),
                        }
                    }
                },
                State::Asking(_) => return Step::Waits,
                State::Answering(bytes, sent, keeps) if *sent == bytes.len() => {
                    if *keeps {
                        (self.state, self.until) = (State::Reading, now + STEP_TIME);
                        continue;
                    }
                    (self.state, self.until) = (State::Draining(DRAIN_MAX), now + LEAVE_TIME);
                    self.stream.shutdown_write()
                }
                State::Answering(bytes, sent, _) => match self.stream.write(&bytes[*sent..]) {
                    Ok(0) => return Step::Over,
                    Ok(count) => {
                        *sent += count;
                        Ok(())
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

    /// Answers what it has asked for, if it has; `make` makes the answer.
    pub fn answer(&mut self, now: Moment, unix: u64, is_last: bool, make: impl FnOnce(Request) -> Answer) {
        let State::Asking(asked) = self.state else { return };
        self.answers += 1;
        let (answer, has_body, keeps) = match asked {
            Ok(request) => {
                let keeps = request.keeps && !is_last && self.answers < ANSWERS_MAX;
                (make(request), request.method != Method::Head, keeps)
            }
            Err(code) => (Answer::plain(code), true, false),
        };
        self.state = State::Answering(answer.bytes(unix, has_body, keeps), 0, keeps);
        self.until = now + STEP_TIME;
    }

    /// When its time is over.
    pub(super) fn until(&self) -> Moment {
        self.until
    }

    /// Which one it is: a later one has a higher number.
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// True if it waits for an answer, or for the rest of one.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Asking(_) | State::Answering(..))
    }

    /// True if it is between two requests.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Reading) && self.head.is_empty()
    }

    /// Makes its end look like one: a part of an answer is none.
    pub(super) fn cut_off(&mut self) {
        if self.is_waiting() {
            // Where this fails the kernel ends the connection in its own way.
            let _ = self.stream.reset_on_drop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::http::{TEXT, Target};
    use crate::proxy::fake::Wire;
    use std::collections::VecDeque;

    const NOW: Moment = Moment::from_nanos(5);
    const ASK: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";

    fn viewer(sends: &[&[u8]]) -> Viewer<Wire> {
        let sends: VecDeque<_> = sends.iter().map(|chunk| Ok(chunk.to_vec())).collect();
        Viewer::new(Wire { sends, takes: [1_000_000; 50].into(), ..Wire::default() }, 1, NOW)
    }

    fn step(viewer: &mut Viewer<Wire>) -> Step {
        viewer.step(&mut [0; 100], NOW)
    }

    fn reply(viewer: &mut Viewer<Wire>, body: &str) {
        viewer.answer(NOW, 0, false, |request| {
            assert_eq!(request.target, Target::Health);
            Answer { code: Code::Ok, media_type: TEXT, fields: "", body: body.to_owned() }
        });
    }

    fn got(viewer: &mut Viewer<Wire>) -> String {
        String::from_utf8(std::mem::take(&mut viewer.stream.got)).unwrap()
    }

    #[test]
    fn requests_on_one_connection_are_answered_in_order_also_when_they_come_at_once() {
        let all = ASK.repeat(3);
        for size in [1, 7, ASK.len(), 60, all.len()] {
            let chunks: Vec<&[u8]> = all.chunks(size).collect();
            let mut viewer = viewer(&chunks);
            for body in ["one", "two", "three"] {
                assert_eq!(step(&mut viewer), Step::Asks);
                assert_eq!(step(&mut viewer), Step::Waits, "spurious events find nothing to do");
                reply(&mut viewer, body);
            }
            viewer.stream.sends.push_back(Ok(Vec::new()));
            assert_eq!(step(&mut viewer), Step::Over);
            let got = got(&mut viewer);
            let bodies: Vec<&str> =
                got.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP").next().unwrap()).collect();
            assert_eq!(bodies, ["one", "two", "three"], "{got}");
            assert!(!viewer.stream.is_reset);
        }
    }

    #[test]
    fn an_answer_waits_for_a_peer_that_takes_it_in_pieces() {
        let mut viewer = viewer(&[ASK]);
        assert_eq!(step(&mut viewer), Step::Asks);
        viewer.stream.takes = [1, 2].into();
        reply(&mut viewer, "body");
        assert_eq!(step(&mut viewer), Step::Waits);
        assert_eq!(got(&mut viewer), "HTT");
        assert!(!viewer.is_idle());
        viewer.stream.takes = [1000].into();
        assert_eq!(step(&mut viewer), Step::Waits);
        assert!(got(&mut viewer).ends_with("\r\n\r\nbody") && viewer.is_idle());
    }

    #[test]
    fn what_is_no_request_has_an_answer_and_then_the_end() {
        let mut viewer = viewer(&[b"nonsense\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", b"more"]);
        assert_eq!(step(&mut viewer), Step::Asks);
        reply(&mut viewer, "never");
        assert_eq!(step(&mut viewer), Step::Waits);
        let got = got(&mut viewer);
        assert!(got.starts_with("HTTP/1.1 400 ") && got.ends_with("\r\n\r\n400 Bad Request\n"), "{got}");
        assert!(viewer.stream.got_fin);
        viewer.stream.sends.push_back(Ok(vec![b'x'; DRAIN_MAX]));
        assert_eq!(step(&mut viewer), Step::Over, "a flood");
    }

    #[test]
    fn a_head_does_not_grow_beyond_its_limit() {
        let mut viewer = viewer(&[b"GET / HTTP/1.1\r\nX: "]);
        viewer.stream.sends.push_back(Ok(vec![b'x'; 1_000_000]));
        assert_eq!(step(&mut viewer), Step::Asks);
        assert_eq!(viewer.head.len(), HEAD_MAX + 1);
        assert!(matches!(viewer.state, State::Asking(Err(Code::HeadTooLarge))));
    }

    #[test]
    fn a_connection_has_so_many_answers_and_the_last_one_says_so() {
        let mut viewer = viewer(&[]);
        for number in 1..=ANSWERS_MAX {
            viewer.stream.sends.push_back(Ok(ASK.to_vec()));
            assert_eq!(step(&mut viewer), Step::Asks);
            reply(&mut viewer, "");
            viewer.stream.takes = [1000].into();
            assert_eq!(step(&mut viewer), Step::Waits);
            assert_eq!(got(&mut viewer).contains("Connection: close\r\n"), number == ANSWERS_MAX);
        }
        assert!(viewer.stream.got_fin);
    }

    #[test]
    fn a_peer_that_breaks_off_ends_it_and_a_part_of_an_answer_is_cut_off() {
        let mut viewer = viewer(&[b"GET /"]);
        viewer.stream.sends.push_back(Err(ErrorKind::ConnectionReset));
        assert_eq!(step(&mut viewer), Step::Over);
        for (state, is_reset) in [
            (State::Reading, false),
            (State::Asking(Err(Code::NotFound)), true),
            (State::Answering(vec![1], 0, true), true),
            (State::Draining(1), false),
        ] {
            viewer.state = state;
            viewer.cut_off();
            assert_eq!(std::mem::take(&mut viewer.stream.is_reset), is_reset, "{:?}", viewer.state);
        }
    }
}
