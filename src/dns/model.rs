//! The resolver against a network that loses, delays, repeats and forges, and name servers that fail,
//! truncate, refuse or are dead. Time is simulated, and everything follows from a seed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, ToName};
use domain::rdata::{A, Cname, Ptr, Soa};

use super::flight::LANES;
use super::lookup::Outcome;
use super::message::{Kind, Question};
use super::name::Name;
use super::resolver::{Action, Resolver};
use super::settings::Policy;
use crate::base::time::Moment;

/// How a name server and the way to it behave, chances in percent.
#[derive(Clone, Copy)]
struct Server {
    lost: u32,
    doubled: u32,
    /// An answer takes so many milliseconds, and a slow one so many.
    takes: (u64, u64),
    slow: u32,
    dead: bool,
    refuses: bool,
    /// Connections come to nothing.
    deaf_to_streams: bool,
}

const GOOD: Server =
    Server { lost: 0, doubled: 0, takes: (20, 0), slow: 0, dead: false, refuses: false, deaf_to_streams: false };

enum Event {
    Datagram(usize, Vec<u8>),
    Stream(usize, Vec<u8>),
    StreamFailed(usize),
}

struct World {
    servers: Vec<Server>,
    seed: u64,
    now: Moment,
    events: BTreeMap<(Moment, u64), Event>,
    count: u64,
    sent: usize,
    /// Connections that are open, each with a number that no other has.
    streams: BTreeMap<usize, u64>,
    forges: bool,
}

const START: Moment = Moment::from_nanos(1 << 60);

fn address(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + n).into()
}

fn name(text: &str) -> Name {
    Name::vec_from_str(text).unwrap()
}

/// What is true of address `n`.
fn truth(n: u32) -> Outcome {
    match n % 10 {
        0 => Outcome::Nameless(77),
        1 => Outcome::Name(format!("alias-{n}.test"), 50),
        2 => Outcome::Name(format!("many-{n}-0.test"), 100),
        3 => Outcome::Unanswered,
        4 => Outcome::Unfit(100),
        _ => Outcome::Name(format!("host-{n}.test"), 100),
    }
}

impl World {
    fn new(servers: &[Server], seed: u64) -> World {
        World {
            servers: servers.to_vec(),
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: START,
            events: BTreeMap::new(),
            count: 0,
            sent: 0,
            streams: BTreeMap::new(),
            forges: false,
        }
    }

    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.random() % 100 < u64::from(percent)
    }

    fn later(&mut self, milliseconds: u64, event: Event) {
        self.count += 1;
        self.events.insert((self.now + Duration::from_millis(milliseconds), self.count), event);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send { lane, message } => self.send(lane, &message),
            Action::Renew { .. } => {}
            Action::Connect { stream, server, message } => {
                self.count += 1;
                self.streams.insert(stream, self.count);
                if self.servers[server].deaf_to_streams {
                    self.later(30, Event::StreamFailed(stream));
                } else if !self.servers[server].dead {
                    let answer = answer(&message, false, self.servers[server].refuses);
                    self.later(40, Event::Stream(stream, answer));
                }
            }
            Action::Disconnect { stream } => drop(self.streams.remove(&stream)),
        }
    }

    fn send(&mut self, lane: usize, message: &[u8]) {
        self.sent += 1;
        let server = self.servers[lane / LANES];
        if self.forges {
            self.forge(lane, message);
        }
        if server.dead || self.happens(server.lost) {
            return;
        }
        for _ in 0..1 + u32::from(self.happens(server.doubled)) {
            let takes = if self.happens(server.slow) { server.takes.1 } else { server.takes.0 };
            let takes = takes + self.random() % (takes / 2 + 1);
            self.later(takes, Event::Datagram(lane, answer(message, true, server.refuses)));
        }
    }

    /// Answers of somebody who sees the question, but not the port or not the id, or who errs.
    fn forge(&mut self, lane: usize, message: &[u8]) {
        let forged = forged(message);
        let mut other_id = forged.clone();
        other_id[0] ^= 1;
        let mut other_question = forged.clone();
        other_question[13] ^= 1;
        let mut other_kind = forged.clone();
        let kind = 12 + question_length(message) - 3;
        other_kind[kind] ^= 1;
        let mut no_answer = forged.clone();
        no_answer[2] &= 0x7f;
        for bytes in [other_id, other_question, other_kind, no_answer, message.to_vec(), vec![], forged[..11].to_vec()]
        {
            self.later(1, Event::Datagram(lane, bytes));
        }
        self.later(1, Event::Datagram(lane ^ 1, forged));
    }
}

/// The bytes of the question in a message that has nothing else.
fn question_length(message: &[u8]) -> usize {
    message.len() - 12
}

fn forged(message: &[u8]) -> Vec<u8> {
    let query = Message::from_slice(message).unwrap();
    let mut builder = MessageBuilder::new_vec().start_answer(query, Rcode::NOERROR).unwrap();
    builder.header_mut().set_ra(true);
    let owner = query.sole_question().unwrap().qname().to_vec();
    builder.push((owner, Class::IN, 100, Ptr::new(name("evil.test")))).unwrap();
    builder.finish()
}

/// The answer of an honest server that knows the truth.
fn answer(message: &[u8], is_datagram: bool, refuses: bool) -> Vec<u8> {
    let query = Message::from_slice(message).unwrap();
    let asked = query.sole_question().unwrap();
    let owner = asked.qname().to_vec();
    let text = owner.to_string();
    let refuse = || MessageBuilder::new_vec().start_answer(query, Rcode::SERVFAIL).unwrap().finish();
    if refuses {
        return refuse();
    }
    let mut builder = MessageBuilder::new_vec().start_answer(query, Rcode::NOERROR).unwrap();
    builder.header_mut().set_ra(true);
    if asked.qtype() == Rtype::A {
        // Every host has the address of its number, but for each seventh.
        let n: u32 = text.split(['-', '.']).nth(1).unwrap().parse().unwrap();
        let IpAddr::V4(ip) = address(n + u32::from(n.is_multiple_of(7))) else { unreachable!() };
        builder.push((owner, Class::IN, 100, A::new(ip))).unwrap();
        return builder.finish();
    }
    if let Some(n) = text.strip_prefix("zone-") {
        let target = name(&format!("alias-{}", n));
        builder.push((owner, Class::IN, 100, Ptr::new(target))).unwrap();
        return builder.finish();
    }
    let bytes: Vec<u32> = text.split('.').take(4).map(|label| label.parse().unwrap()).collect();
    let n = bytes.iter().rev().fold(0, |n, byte| n * 256 + byte) - 0x0a00_0000;
    match truth(n) {
        Outcome::Nameless(_) => {
            builder.header_mut().set_rcode(Rcode::NXDOMAIN);
            let mut builder = builder.authority();
            let soa = Soa::new(
                name("ns.test"),
                name("root.test"),
                1.into(),
                domain::base::Ttl::from_secs(1),
                domain::base::Ttl::from_secs(1),
                domain::base::Ttl::from_secs(1),
                domain::base::Ttl::from_secs(77),
            );
            builder.push((name("test"), Class::IN, 900, soa)).unwrap();
            return builder.finish();
        }
        Outcome::Unanswered => return refuse(),
        Outcome::Unfit(_) => {
            let bad = Name::from_octets(b"\x05a\nb c\x04test\x00".to_vec()).unwrap();
            builder.push((owner, Class::IN, 100, Ptr::new(bad))).unwrap();
        }
        // An alias that the server does not follow (RFC 2317).
        Outcome::Name(_, 50) => {
            let zone = name(&format!("zone-{n}.test"));
            builder.push((owner, Class::IN, 50, Cname::new(zone))).unwrap();
        }
        Outcome::Name(name_of, _) if name_of.starts_with("many") && is_datagram => builder.header_mut().set_tc(true),
        Outcome::Name(name_of, _) if name_of.starts_with("many") => {
            for k in (0..40).rev() {
                let target = name(&format!("many-{n}-{k}.test"));
                builder.push((owner.clone(), Class::IN, 100, Ptr::new(target))).unwrap();
            }
        }
        Outcome::Name(host, _) => builder.push((owner, Class::IN, 100, Ptr::new(name(&host)))).unwrap(),
        Outcome::Unverified(_) => unreachable!(),
    }
    builder.finish()
}

/// Runs to the end: what became of each address, and how long it took.
fn run(world: &mut World, policy: Policy, count: u32) -> (Vec<Outcome>, Duration) {
    let mut random = World::new(&[], world.seed);
    let mut resolver = Resolver::new(policy, move || random.random() as u32);
    for n in 0..count {
        resolver.ask(n as usize, address(n));
    }
    let mut outcomes = BTreeMap::new();
    loop {
        resolver.turn(world.now);
        resolver.actions().into_iter().for_each(|action| world.act(action));
        for (key, outcome) in resolver.outcomes() {
            assert!(outcomes.insert(key, outcome).is_none(), "{key} has two outcomes");
        }
        if resolver.open() == 0 {
            break;
        }
        let event = world.events.first_key_value().map(|((moment, _), _)| *moment);
        let next = event.into_iter().chain(resolver.next_due()).min().expect("nothing is awaited, and all is open");
        world.now = world.now.max(next);
        while let Some(entry) = world.events.first_entry()
            && entry.key().0 <= world.now
        {
            match entry.remove() {
                Event::Datagram(lane, bytes) => resolver.received(lane, &bytes, world.now),
                Event::Stream(stream, bytes) if world.streams.contains_key(&stream) => {
                    resolver.stream_received(stream, &bytes, world.now);
                }
                Event::StreamFailed(stream) if world.streams.contains_key(&stream) => {
                    resolver.stream_failed(stream, world.now);
                }
                Event::Stream(..) | Event::StreamFailed(_) => {}
            }
            resolver.actions().into_iter().for_each(|action| world.act(action));
        }
    }
    assert_eq!(outcomes.len(), count as usize);
    assert!(world.streams.is_empty(), "connections are left");
    (outcomes.into_values().collect(), world.now.since(START))
}

fn policy(servers: usize) -> Policy {
    Policy { servers, at_once: 1000, timeout: Duration::from_secs(5), tries: 2, rotate: false, verify: false }
}

fn truths(count: u32) -> Vec<Outcome> {
    (0..count).map(truth).collect()
}

#[test]
fn every_address_gets_its_outcome() {
    let mut world = World::new(&[GOOD], 1);
    let (outcomes, took) = run(&mut world, policy(1), 5_000);
    assert_eq!(outcomes, truths(5_000));
    assert!(took < Duration::from_secs(2), "{took:?}");
    // One question for each address, one more for each alias.
    assert_eq!(world.sent, 5_500);
}

#[test]
fn what_is_lost_late_or_doubled_is_made_up_for() {
    for seed in 1..8 {
        let bad = Server { lost: 15, doubled: 20, takes: (30, 4_000), slow: 3, ..GOOD };
        let mut world = World::new(&[bad, bad], seed);
        let (outcomes, took) = run(&mut world, Policy { rotate: seed % 2 == 0, ..policy(2) }, 2_000);
        assert_eq!(outcomes, truths(2_000), "seed {seed}");
        assert!(took < Duration::from_secs(40), "seed {seed}: {took:?}");
    }
}

#[test]
fn what_is_forged_is_not_believed() {
    for seed in 1..10 {
        let mut world = World::new(&[Server { lost: 10, takes: (200, 0), ..GOOD }], seed);
        world.forges = true;
        let (outcomes, _) = run(&mut world, policy(1), 1_000);
        assert_eq!(outcomes, truths(1_000), "seed {seed}");
    }
}

#[test]
fn another_server_is_asked_where_one_fails() {
    let dead = Server { dead: true, ..GOOD };
    let refuses = Server { refuses: true, ..GOOD };
    let deaf = Server { deaf_to_streams: true, ..GOOD };
    for (servers, most) in [
        (vec![refuses, GOOD], 3),
        (vec![dead, GOOD], 40),
        (vec![dead, refuses, GOOD], 40),
        (vec![GOOD, dead], 40),
        (vec![deaf, GOOD], 5),
    ] {
        for rotate in [false, true] {
            let count = servers.len();
            let mut world = World::new(&servers, 3);
            let (outcomes, took) = run(&mut world, Policy { rotate, ..policy(count) }, 3_000);
            assert_eq!(outcomes, truths(3_000));
            assert!(took < Duration::from_secs(most), "{took:?}");
        }
    }
}

#[test]
fn dead_servers_cost_a_bounded_time_however_many_addresses_there_are() {
    for count in [1, 100, 20_000] {
        let dead = Server { dead: true, ..GOOD };
        for servers in [1, 3] {
            let mut world = World::new(&vec![dead; servers], 5);
            let (outcomes, took) = run(&mut world, policy(servers), count);
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Unanswered));
            // Those who were asked for first wait their time, and maybe one who tries whether the dead are.
            let most = Duration::from_secs(2 * 10 * servers as u64);
            assert!(took <= most, "{count} addresses, {servers} servers: {took:?}");
            assert!(world.sent < 3_000, "{}", world.sent);
        }
    }
}

#[test]
fn a_server_that_is_slow_costs_no_name() {
    let slow = Server { takes: (3_000, 0), ..GOOD };
    let mut world = World::new(&[slow], 7);
    let (outcomes, took) = run(&mut world, policy(1), 1_000);
    assert_eq!(outcomes, truths(1_000));
    assert!(took < Duration::from_secs(120), "{took:?}");
}

#[test]
fn connections_that_come_to_nothing_are_given_up() {
    let mut world = World::new(&[Server { deaf_to_streams: true, ..GOOD }], 9);
    let (outcomes, took) = run(&mut world, policy(1), 5_000);
    for (n, (outcome, truth)) in outcomes.iter().zip(truths(5_000)).enumerate() {
        let expected = if n % 10 == 2 { Outcome::Unanswered } else { truth };
        assert_eq!(*outcome, expected, "{n}");
    }
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn names_are_verified_where_that_is_asked_for() {
    let mut world = World::new(&[Server { lost: 5, ..GOOD }], 11);
    let (outcomes, _) = run(&mut world, Policy { verify: true, ..policy(1) }, 1_000);
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let expected = match truth(n as u32) {
            Outcome::Name(_, ttl) if n % 7 == 0 => Outcome::Unverified(ttl),
            truth => truth,
        };
        assert_eq!(outcome, expected, "{n}");
    }
}

#[test]
fn a_server_that_nobody_listens_at_is_left_at_once() {
    let mut resolver = Resolver::new(policy(2), || 0x0003_0201);
    resolver.ask(0, address(5));
    resolver.turn(START);
    let Action::Send { lane, .. } = resolver.actions().remove(0) else { panic!() };
    assert!(lane < LANES);
    resolver.unreachable(lane, START);
    let Some(Action::Send { lane: other, message }) = resolver.actions().into_iter().next() else { panic!() };
    assert_eq!(other / LANES, 1);
    // The last that is left may be starting: it keeps its time.
    resolver.unreachable(other, START);
    assert!(resolver.actions().is_empty() && resolver.outcomes().is_empty());
    resolver.received(other, &answer(&message, true, false), START);
    assert_eq!(resolver.outcomes(), [(0, truth(5))]);
}

#[test]
fn questions_are_those_of_the_rfcs() {
    let question = Question::names_of("192.0.2.7".parse().unwrap());
    assert_eq!((question.name.to_string().as_str(), question.kind), ("7.2.0.192.in-addr.arpa", Kind::Names));
    let question = Question::names_of("2001:db8::567:89ab".parse().unwrap());
    let expected = "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    assert_eq!(question.name.to_string(), expected);
    let message = question.message(0x1234);
    assert_eq!(message[..12], [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(message[message.len() - 4..], [0, 12, 0, 1]);
}
