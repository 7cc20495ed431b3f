//! What pen has told and what the web servers have logged, and the lines that wait.

use std::collections::VecDeque;
use std::io::Write;
use std::net::IpAddr;

use crate::base::bytes::masked;
use crate::logs::matching::{Matcher, WebId};
use crate::logs::record::{TEXT_MAX, parse_datagram};
use crate::logs::weblog::{agent, as_recorded, key, request_of};

/// How long a line waits for what pen says about it, in milliseconds.
pub(super) const HOLD: i64 = 500;
/// There is no limit in time: what pen said is remembered until too much else has come.
const EVER: i64 = i64::MAX / 16;

/// What pen has seen and the servers have logged, by the time when it came in.
pub(super) struct Requests {
    matcher: Matcher,
    /// What pen has seen, to be forgotten when there is too much of it.
    seen: VecDeque<(u64, i64)>,
    most: usize,
    held: VecDeque<Held>,
    text: Vec<u8>,
}

/// A line that waits.
struct Held {
    at: i64,
    line: Vec<u8>,
    /// Where its client ends, if there is a request in it.
    known: Option<(usize, WebId)>,
}

impl Requests {
    pub(super) fn new(most: usize) -> Requests {
        let matcher = Matcher::with_one_clock(EVER);
        Requests { matcher, seen: VecDeque::new(), most, held: VecDeque::new(), text: Vec::new() }
    }

    /// Takes what pen says; false if it cannot be read.
    pub(super) fn seen(&mut self, line: &[u8], now: i64) -> bool {
        let Some((client, server, request)) = parse_datagram(line) else { return false };
        let key = key(server, as_recorded_by_pen(request, &mut self.text));
        if self.seen.len() == self.most
            && let Some((key, at)) = self.seen.pop_front()
        {
            self.matcher.forget_one(key, at);
        }
        self.seen.push_back((key, now));
        self.matcher.pen(key, 0, now, client);
        true
    }

    /// Takes a server's line; false if there is no request in it.
    pub(super) fn logged(&mut self, line: &[u8], from: IpAddr, now: i64) -> bool {
        let known = request_of(line).map(|(client_end, request)| {
            let agent = agent(&line[request.end..]);
            let key = key(from, as_recorded(&line[request], &mut self.text));
            (client_end, self.matcher.web(key, 0, now, agent))
        });
        self.held.push_back(Held { at: now, line: line.to_vec(), known });
        known.is_some()
    }

    /// When the next line has waited long enough.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.held.front().map(|held| held.at + HOLD)
    }

    /// Writes the lines that came in up to this time.
    pub(super) fn write_until(&mut self, until: i64, out: &mut Vec<u8>) {
        while self.held.front().is_some_and(|held| held.at <= until) {
            let Some(Held { at, line, known }) = self.held.pop_front() else { return };
            let client = known.and_then(|(client_end, id)| Some((client_end, self.matcher.decide(id, at + HOLD)?)));
            match client {
                Some((client_end, client)) => {
                    write!(out, "{client}").expect("writing to memory does not fail");
                    out.extend_from_slice(&line[client_end..]);
                }
                None => out.extend_from_slice(&line),
            }
            out.push(b'\n');
        }
    }
}

/// pen's text as it is compared: what an old pen has let through is masked.
fn as_recorded_by_pen<'a>(request: &[u8], text: &'a mut Vec<u8>) -> &'a [u8] {
    text.clear();
    text.extend(request.iter().take(TEXT_MAX).map(|byte| masked(*byte)));
    text
}
