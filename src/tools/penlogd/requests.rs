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
/// How long after a line pen's word about it usually is there, in milliseconds: what is learned
/// about clients before would be learned from those who came earlier.
const LATE: i64 = HOLD / 2;
/// There is no limit in time: what pen said is remembered until too much else has come.
const EVER: i64 = i64::MAX / 16;

/// What pen has seen and the servers have logged, by the time when it came in.
pub(super) struct Requests {
    matcher: Matcher,
    /// What pen has seen, to be forgotten when there is too much of it.
    seen: VecDeque<(u64, i64)>,
    most: usize,
    held: VecDeque<Held>,
    /// How many of those that wait, from the first, the matcher knows of.
    known: usize,
    text: Vec<u8>,
}

/// A line that waits.
struct Held {
    at: i64,
    line: Vec<u8>,
    asked: Option<Asked>,
}

/// The request that is in a line.
struct Asked {
    /// Where the line's client ends.
    client_end: usize,
    key: u64,
    agent: Option<u32>,
    /// When the matcher knows of it.
    id: Option<WebId>,
}

impl Requests {
    pub(super) fn new(most: usize) -> Requests {
        let matcher = Matcher::with_one_clock(EVER);
        Requests { matcher, seen: VecDeque::new(), most, held: VecDeque::new(), known: 0, text: Vec::new() }
    }

    /// Takes what pen says; false if it cannot be read.
    pub(super) fn seen(&mut self, line: &[u8], now: i64) -> bool {
        let Some((client, server, request)) = parse_datagram(line) else { return false };
        let key = key(server, as_recorded_by_pen(request, &mut self.text));
        // A line that waits is not robbed of what pen has said, however much comes meanwhile.
        while self.seen.len() >= self.most
            && let Some((key, at)) = self.seen.front().copied().filter(|(_, at)| *at < now - 2 * HOLD)
        {
            self.seen.pop_front();
            self.matcher.forget_one(key, at);
        }
        self.seen.push_back((key, now));
        self.matcher.pen(key, 0, now, client);
        true
    }

    /// Takes a server's line; false if there is no request in it.
    pub(super) fn logged(&mut self, line: &[u8], from: IpAddr, now: i64) -> bool {
        let asked = request_of(line).map(|(client_end, request)| {
            let agent = agent(&line[request.end..]);
            let key = key(from, as_recorded(&line[request], &mut self.text));
            Asked { client_end, key, agent, id: None }
        });
        let is_known = asked.is_some();
        self.held.push_back(Held { at: now, line: line.to_vec(), asked });
        is_known
    }

    /// When the next line has waited long enough.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.held.front().map(|held| held.at + HOLD)
    }

    /// Writes the lines that came in up to this time.
    pub(super) fn write_until(&mut self, until: i64, out: &mut Vec<u8>) {
        self.make_known(until.saturating_add(HOLD - LATE));
        while self.held.front().is_some_and(|held| held.at <= until) {
            let Some(Held { at, line, asked }) = self.held.pop_front() else { return };
            self.known -= 1;
            let client = asked.and_then(|asked| Some((asked.client_end, self.matcher.decide(asked.id?, at + HOLD)?)));
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

    /// Tells the matcher of the lines that came in up to this time.
    fn make_known(&mut self, until: i64) {
        let new = self.held.range_mut(self.known..).take_while(|held| held.at <= until);
        for Held { at, asked, .. } in new {
            self.known += 1;
            if let Some(asked) = asked {
                asked.id = Some(self.matcher.web(asked.key, 0, *at, asked.agent));
            }
        }
    }
}

/// pen's text as it is compared: what an old pen has let through is masked.
fn as_recorded_by_pen<'a>(request: &[u8], text: &'a mut Vec<u8>) -> &'a [u8] {
    text.clear();
    text.extend(request.iter().take(TEXT_MAX).map(|byte| masked(*byte)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn says(requests: &mut Requests, client: usize, page: &str, now: i64) {
        assert!(requests.seen(format!("+ 192.0.2.{client} 10.0.0.1 GET {page}").as_bytes(), now));
    }

    fn logs(requests: &mut Requests, client: usize, page: &str, now: i64) {
        let line = format!("10.0.0.9 - - [26/Nov/2026:10:00:00 +0000] \"GET {page}\" 200 5 \"-\" \"192.0.2.{client}\"");
        assert!(requests.logged(line.as_bytes(), SERVER, now));
    }

    /// The lines whose client is not their agent, and how many lines there are.
    fn wrong(out: &[u8]) -> (Vec<&str>, usize) {
        let lines: Vec<&str> = std::str::from_utf8(out).unwrap().lines().collect();
        let is_wrong = |line: &&str| line.split(' ').next() != line.rsplit('"').nth(1);
        (lines.iter().copied().filter(is_wrong).collect(), lines.len())
    }

    #[test]
    fn pen_may_say_it_after_the_line_has_come() {
        for late in [-1, 0, 1, 3, 10] {
            let mut requests = Requests::new(1000);
            // Pages of their own and the same page, one after the other, a millisecond each.
            let all: Vec<(usize, String)> = (0..3)
                .flat_map(|round| (10..18).map(move |client| (round, client)))
                .flat_map(|(round, client)| [(client, format!("/{client}?{round}")), (client, String::from("/"))])
                .collect();
            for now in -1..all.len() as i64 + 10 {
                let one = |at: i64| usize::try_from(at).ok().and_then(|at| all.get(at));
                let said = one(now - late);
                if let Some((client, page)) = said.filter(|_| late < 0) {
                    says(&mut requests, *client, page, now);
                }
                if let Some((client, page)) = one(now) {
                    logs(&mut requests, *client, page, now);
                }
                if let Some((client, page)) = said.filter(|_| late >= 0) {
                    says(&mut requests, *client, page, now);
                }
            }
            let mut out = Vec::new();
            requests.write_until(1000, &mut out);
            let (wrong, total) = wrong(&out);
            assert_eq!(total, all.len());
            assert!(wrong.is_empty(), "{late} ms: {wrong:#?}");
        }
    }

    #[test]
    fn what_waiting_lines_need_is_remembered() {
        let mut requests = Requests::new(2);
        for client in 0..200 {
            says(&mut requests, client, &format!("/{client}"), 0);
            logs(&mut requests, client, &format!("/{client}"), 1);
        }
        let mut out = Vec::new();
        requests.write_until(1, &mut out);
        assert_eq!(wrong(&out), (Vec::new(), 200));
        // Later it is as many as were asked for.
        (0..200).for_each(|client| says(&mut requests, client, "/again", 5000 + 2 * HOLD * client as i64));
        assert_eq!(requests.seen.len(), 2);
    }
}
