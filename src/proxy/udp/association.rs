//! An association: what stands for a connection where datagrams are carried.
//!
//! It is a client's address and port, and a socket that leads to the server chosen for it. Nobody
//! says when it begins or ends: the first datagram begins it, and it ends when all answers that are
//! expected have come, or when it was silent for too long.

use std::net::SocketAddr;
use std::time::Duration;

use crate::balance::{ClientId, ListenerKey, Search, ServerId, Settings};
use crate::base::addr::Endpoint;
use crate::base::time::Moment;
use crate::net::Way;
use crate::proxy::pair::Place;
use crate::proxy::udp::Caller;
use crate::proxy::udp::told::Told;

/// How long it is still heard whether a server is there that answers nothing.
const LINGER: Duration = Duration::from_secs(1);

/// A client's datagrams and those of its server.
#[derive(Debug)]
pub struct Association<S> {
    /// Leads to the server.
    pub stream: S,
    /// Who sends its datagrams, a client or a proxy, and how that is reached.
    pub way: Way,
    /// The client, if a proxy tells of it.
    pub told: Option<Told>,
    /// What the client asked otherwise, once a server is told of that.
    pub entry: Option<SocketAddr>,
    /// The place of the socket where it came in.
    pub place: usize,
    /// Whose client it is.
    pub listener: ListenerKey,
    /// The server, and where it is.
    pub server: Place,
    /// The same as an address.
    pub to: Endpoint,
    /// Its entry in the client table.
    pub client_id: Option<ClientId>,
    /// Who it is, and what it was offered so far.
    pub search: Search,
    /// The last request, to which there is no answer yet.
    pub held: Option<Box<[u8]>>,
    /// Servers that had the same request and said nothing.
    pub silent: Vec<ServerId>,
    /// Datagrams of the client.
    pub requests: u32,
    /// Answers to them.
    pub responses: u32,
    /// Since when there is a request without an answer.
    pub waits_since: Option<Moment>,
    /// When something last came, from either.
    pub active: Moment,
    /// The server has answered.
    pub is_heard: bool,
    /// What stands in the queue of those to be looked at.
    pub due: Option<Moment>,
    /// It ran out of budget, and will get no edge.
    pub is_queued: bool,
    /// Bytes that went up and down.
    pub moved: [u64; 2],
}

/// Why to look at an association.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// A request should have been answered.
    Unanswered,
    /// No answer is expected, and nothing more is heard of the server.
    Complete,
    /// It was silent for too long.
    Idle,
}

impl<S> Association<S> {
    /// Whose next datagram is its.
    pub(super) fn caller(&self) -> Caller {
        (self.place, self.way, self.told)
    }

    /// The client has sent one more.
    pub fn note_request(&mut self, moment: Moment) {
        self.requests = self.requests.saturating_add(1);
        self.waits_since = self.waits_since.or(Some(moment));
        self.active = moment;
    }

    /// The server has answered.
    pub fn note_response(&mut self, moment: Moment) {
        self.responses = self.responses.saturating_add(1);
        self.waits_since = None;
        self.active = moment;
        self.is_heard = true;
    }

    /// True if a copy of a request is of use: it may have to go to another server.
    pub fn may_fail_over(&self, settings: &Settings) -> bool {
        !settings.modes.stubborn && (!self.is_heard || expects_answers(settings))
    }

    /// True if the client's next datagram begins another one.
    pub fn is_full(&self, settings: &Settings) -> bool {
        settings.udp_requests > 0 && self.requests >= settings.udp_requests
    }

    /// True if all has been said that is expected.
    pub fn is_complete(&self, settings: &Settings) -> bool {
        let answers = settings.udp_responses.filter(|count| *count > 0);
        self.is_full(settings) && answers.is_some_and(|count| self.responses >= self.requests.saturating_mul(count))
    }

    /// When to look at it, and what for, if nothing happens before.
    pub fn next_look(&self, settings: &Settings) -> Option<(Moment, Look)> {
        let waits = self.waits_since.filter(|_| expects_answers(settings));
        let unanswered = waits.map(|since| (since + settings.connect_timeout, Look::Unanswered));
        let is_said = self.is_full(settings) && settings.udp_responses == Some(0);
        let complete = is_said.then(|| (self.active + LINGER, Look::Complete));
        let limit = settings.udp_timeout;
        let idle = (!limit.is_zero()).then(|| (self.active + limit, Look::Idle));
        [unanswered, complete, idle].into_iter().flatten().min_by_key(|(due, _)| *due)
    }
}

/// Whether each request has an answer.
fn expects_answers(settings: &Settings) -> bool {
    settings.udp_responses.is_some_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Balancer;
    use crate::balance::MAIN;
    use crate::base::addr::ClientAddr;
    use crate::base::time::Now;

    const START: Moment = Moment::from_nanos(0);

    fn settings(requests: u32, responses: Option<u32>) -> Settings {
        Settings { udp_requests: requests, udp_responses: responses, ..Settings::default() }
    }

    fn association() -> Association<()> {
        let client: std::net::SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let admission = Balancer::new(Settings::default()).admit(ClientAddr::Inet(client.ip()), 5000, Now::default());
        Association {
            stream: (),
            way: Way { client, local: None },
            told: None,
            entry: None,
            place: 0,
            listener: MAIN,
            server: Place { id: ServerId::Regular(0), address: 0 },
            to: Endpoint::inet("192.0.2.9:53".parse().unwrap()),
            client_id: admission.client,
            search: admission.search,
            held: None,
            silent: Vec::new(),
            requests: 0,
            responses: 0,
            waits_since: None,
            active: START,
            is_heard: false,
            due: None,
            is_queued: false,
            moved: [0; 2],
        }
    }

    fn at(seconds: u64) -> Moment {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_expected_decides_when_it_is_looked_at() {
        // Asked once at 10 s, answered or not: requests, responses; when, and what for.
        let table = [
            (0, None, false, 190, Look::Idle),
            (0, None, true, 191, Look::Idle),
            (1, None, false, 190, Look::Idle),
            (1, Some(1), false, 15, Look::Unanswered),
            (0, Some(1), false, 15, Look::Unanswered),
            (0, Some(1), true, 191, Look::Idle),
            (1, Some(0), false, 11, Look::Complete),
            (0, Some(0), false, 190, Look::Idle),
            (2, Some(0), false, 190, Look::Idle),
        ];
        for (requests, responses, answered, due, why) in table {
            let settings = settings(requests, responses);
            let mut association = association();
            association.note_request(at(10));
            if answered {
                association.note_response(at(11));
            }
            assert_eq!(association.next_look(&settings), Some((at(due), why)), "{requests} {responses:?} {answered}");
        }
        let for_ever = Settings { udp_timeout: Duration::ZERO, ..Settings::default() };
        assert_eq!(association().next_look(&for_ever), None);
    }

    #[test]
    fn the_first_request_without_an_answer_is_what_is_waited_for() {
        let settings = settings(0, Some(1));
        let mut association = association();
        association.note_request(at(10));
        association.note_request(at(13));
        assert_eq!(association.next_look(&settings), Some((at(15), Look::Unanswered)));
        association.note_response(at(14));
        association.note_request(at(20));
        assert_eq!(association.next_look(&settings), Some((at(25), Look::Unanswered)));
    }

    #[test]
    fn it_is_complete_when_all_answers_have_come() {
        let count = |settings: &Settings, requests, responses| {
            let mut association = association();
            (0..requests).for_each(|_| association.note_request(at(1)));
            (0..responses).for_each(|_| association.note_response(at(1)));
            (association.is_full(settings), association.is_complete(settings))
        };
        assert_eq!(count(&settings(1, Some(1)), 1, 0), (true, false));
        assert_eq!(count(&settings(1, Some(1)), 1, 1), (true, true));
        assert_eq!(count(&settings(2, Some(3)), 1, 3), (false, false));
        assert_eq!(count(&settings(2, Some(3)), 2, 5), (true, false));
        assert_eq!(count(&settings(2, Some(3)), 2, 6), (true, true));
        assert_eq!(count(&settings(1, None), 1, 9), (true, false));
        assert_eq!(count(&settings(0, Some(1)), 9, 9), (false, false));
    }

    #[test]
    fn a_copy_is_kept_while_it_may_be_of_use() {
        let mut association = association();
        let stubborn =
            Settings { modes: crate::balance::Modes { stubborn: true, ..Default::default() }, ..settings(1, Some(1)) };
        assert!(association.may_fail_over(&settings(0, None)) && !association.may_fail_over(&stubborn));
        association.note_request(at(1));
        association.note_response(at(1));
        assert!(!association.may_fail_over(&settings(0, None)) && association.may_fail_over(&settings(0, Some(1))));
    }
}
