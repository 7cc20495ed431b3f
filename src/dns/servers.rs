//! The name servers: which one to ask, how long its answers take, and which of them are dead.

use std::time::Duration;

use crate::base::time::Moment;

/// So many questions in a row without an answer, at least, and a server may be dead.
const SILENT_MAX: u32 = 16;

/// The least time after which a question is repeated: a server that asks others needs some.
const REPEAT_LEAST: Duration = Duration::from_millis(250);

/// The same as long as nothing is known of a server.
const REPEAT_FIRST: Duration = Duration::from_secs(1);

/// One name server, as its answers show it.
#[derive(Clone, Debug, Default)]
struct Server {
    /// Smoothed time of an answer and its variation, as TCP has them (RFC 6298), nanoseconds.
    smoothed: Option<(u64, u64)>,
    /// Attempts that ended without an answer since the last answer.
    silent: u32,
    /// The first question after the last answer.
    unheard: Option<Moment>,
    /// While it is dead: when a question is risked again.
    dead_until: Option<Moment>,
    /// Connections that came to nothing since the last that brought an answer.
    lost_streams: u32,
}

/// All name servers.
#[derive(Debug)]
pub struct Servers {
    servers: Vec<Server>,
    timeout: Duration,
    /// Nothing is heard for so long from a server that is dead.
    silence: Duration,
}

impl Servers {
    /// So many servers, where an attempt lasts `timeout` and there are `tries` of them.
    pub fn new(count: usize, timeout: Duration, tries: u32) -> Servers {
        Servers { servers: vec![Server::default(); count], timeout, silence: timeout * tries }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Whether a question may go to this server. A dead one gets one now and then, to see whether
    /// it still is: asking this counts as asking it.
    pub fn may_ask(&mut self, at: usize, now: Moment) -> bool {
        let timeout = self.timeout;
        let server = &mut self.servers[at];
        match server.dead_until {
            Some(until) if now < until => return false,
            Some(_) => server.dead_until = Some(now + timeout),
            None => {}
        }
        server.unheard.get_or_insert(now);
        true
    }

    /// How long to wait for an answer before the question is repeated for the first time.
    pub fn patience(&self, at: usize) -> Duration {
        let usual =
            self.servers[at].smoothed.map(|(smoothed, variation)| Duration::from_nanos(smoothed + 4 * variation));
        // So that what is lost once or twice does not cost an attempt.
        usual.map_or(REPEAT_FIRST, |usual| usual.max(REPEAT_LEAST)).min(self.timeout / 4)
    }

    /// It has answered, so long after it was last asked. Where a question was repeated that may be too
    /// little, for a slow server; but the time since the first question would be too much wherever it was
    /// lost, and then each loss would make the next one more expensive.
    pub fn answered(&mut self, at: usize, after: Duration) {
        let server = &mut self.servers[at];
        let took = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX) / 2 * 2;
        server.smoothed = Some(match server.smoothed {
            None => (took, took / 2),
            Some((smoothed, variation)) => {
                (smoothed / 8 * 7 + took / 8, variation / 4 * 3 + smoothed.abs_diff(took) / 4)
            }
        });
        server.silent = 0;
        server.unheard = None;
        server.dead_until = None;
    }

    /// An attempt has ended without an answer. Among many addresses there are always some that take
    /// too long: a server is dead if it answers for none of them, and for some time.
    pub fn silent(&mut self, at: usize, now: Moment) {
        let silence = self.silence;
        let server = &mut self.servers[at];
        server.silent = server.silent.saturating_add(1);
        let is_long = server.unheard.is_some_and(|since| now.since(since) >= silence);
        if server.silent >= SILENT_MAX && is_long && server.dead_until.is_none() {
            server.dead_until = Some(now + self.timeout);
        }
    }

    /// Nobody listens there. True if it counts as dead from now on: if it is the last that is alive,
    /// it may be starting, and is given its time.
    pub fn unreachable(&mut self, at: usize, now: Moment) -> bool {
        let is_other_alive =
            (0..self.servers.len()).any(|other| other != at && self.servers[other].dead_until.is_none());
        if is_other_alive {
            self.servers[at].dead_until = Some(now + self.timeout);
        }
        is_other_alive
    }

    /// Whether it is worth while to ask this server over TCP: not if that has always failed, as
    /// behind a firewall that lets only datagrams through.
    pub fn may_connect(&self, at: usize) -> bool {
        self.servers[at].lost_streams < SILENT_MAX
    }

    /// A connection has brought an answer, or has not.
    pub fn connected(&mut self, at: usize, has_answered: bool) {
        let lost = &mut self.servers[at].lost_streams;
        *lost = if has_answered { 0 } else { lost.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> Moment {
        Moment::from_nanos(1 << 50) + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_server_that_is_silent_for_long_is_asked_only_now_and_then() {
        let mut servers = Servers::new(1, SECOND, 2);
        // What is not asked is not silent.
        assert!(servers.may_ask(0, at(0)));
        servers.answered(0, SECOND / 100);
        assert!(servers.may_ask(0, at(100_000)));
        (0..40).for_each(|_| servers.silent(0, at(101_000)));
        assert!(servers.may_ask(0, at(101_000)), "two attempts are not over yet");
        servers.silent(0, at(102_000));
        let asked: Vec<bool> =
            [102_000, 102_999, 103_000, 103_001, 104_000].map(|time| servers.may_ask(0, at(time))).into();
        assert_eq!(asked, [false, false, true, false, true]);
        servers.answered(0, SECOND / 100);
        assert!(servers.may_ask(0, at(104_001)) && servers.may_ask(0, at(104_001)));
    }

    #[test]
    fn a_few_addresses_that_nobody_knows_do_not_make_a_dead_server() {
        let mut servers = Servers::new(1, SECOND, 1);
        for time in 0..100 {
            assert!(servers.may_ask(0, at(time * 1000)));
            (1..SILENT_MAX).for_each(|_| servers.silent(0, at(time * 1000 + 999)));
            servers.answered(0, SECOND / 2);
        }
    }

    #[test]
    fn a_question_is_repeated_after_what_an_answer_usually_takes() {
        let mut servers = Servers::new(1, SECOND * 20, 2);
        assert_eq!(servers.patience(0), REPEAT_FIRST);
        (0..50).for_each(|_| servers.answered(0, SECOND / 100));
        assert_eq!(servers.patience(0), REPEAT_LEAST);
        (0..50).for_each(|_| servers.answered(0, SECOND * 2));
        let patience = servers.patience(0);
        assert!((SECOND * 2..SECOND * 3).contains(&patience), "{patience:?}");
        (0..50).for_each(|_| servers.answered(0, SECOND * 19));
        assert_eq!(servers.patience(0), SECOND * 5, "a quarter of an attempt");
    }
}
