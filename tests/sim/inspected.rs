//! Pairs that are looked into: one scenario each. What no inspector has a reason to change must arrive
//! as it was sent, however it is cut, held back and made to wait.

use std::time::Duration;

use pen::balance::acl::Subnet;
use pen::balance::routes::{Hosts, Route, What};
use pen::balance::settings::Protocol;
use pen::balance::trusted::Trusted;
use pen::base::proxy_version::ProxyVersion;

use super::dialogue::Dialogue;
use super::peer::Step::{Abort, Close, End, Heard, Rest, Send};
use super::peer::{Lead, Reader, Sight};
use super::plan::{Buffers, Plan, Reach};
use super::run::{finished, finished_by};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn plan(dialogues: &[Dialogue]) -> Plan {
    let mut plan = Plan::plain(2, dialogues);
    plan.settings.protocol = Protocol::Ftp;
    plan
}

#[test]
fn every_byte_passes_whatever_the_buffers_and_the_memory() {
    for (buffers, memory) in [(Buffers::Plain, usize::MAX), (Buffers::Tiny, usize::MAX), (Buffers::Tiny, 60_000)] {
        let slow = Reader::Slow(1_000, 10 * MS);
        let mut plan = plan(&[
            Dialogue::exchange(5, 2_000, 20_000),
            Dialogue::upload(100_000, 50_000, 100 * MS).read_by(slow, slow),
            Dialogue::download(50_000, 100_000, 100 * MS).read_by(slow, slow),
            Dialogue::flood(100_000, 100_000),
            Dialogue::urgent(3, 500, 500),
            Dialogue::echo(60_000),
        ]);
        plan.odds.buffers = buffers;
        plan.memory = memory;
        // Pipes would be used if anything went by unseen.
        plan.pipes = 100;
        let world = finished(plan);
        assert_eq!(world.calls.splice, 0);
        assert_eq!(world.calls.peek, 0, "what is looked into is read");
    }
}

/// Clients that ask for a tunnel, and servers that agree; clients send on without waiting for that.
fn tunnels(dialogues: &[Dialogue]) -> Plan {
    let mut plan = plan(dialogues);
    plan.settings.protocol = Protocol::Http;
    plan.settings.proxy_protocol = Some(ProxyVersion::V1);
    let (ask, agreed) = ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n".to_vec());
    let asked = format!("{ask}X-Forwarded-Proto: http\r\nX-Forwarded-For: 10.1.0.1\r\n\r\n");
    let header = "PROXY TCP4 10.1.0.1 192.0.2.1 1024 80\r\n";
    let says = format!("{ask}\r\n").into_bytes();
    plan.leads = [
        Lead { says, expects: agreed.clone(), answers: false },
        Lead { says: agreed, expects: format!("{header}{asked}").into_bytes(), answers: true },
    ];
    plan
}

#[test]
fn what_follows_a_tunnel_s_head_waits_for_the_answer_and_arrives() {
    let slow = Reader::Slow(1_000, 10 * MS);
    for (buffers, memory) in [(Buffers::Plain, usize::MAX), (Buffers::Tiny, usize::MAX), (Buffers::Tiny, 60_000)] {
        let dialogues = [
            Dialogue::exchange(5, 2_000, 20_000),
            Dialogue::upload(100_000, 50_000, 100 * MS).read_by(slow, slow),
            Dialogue::download(50_000, 100_000, 100 * MS).read_by(slow, slow),
            Dialogue::flood(100_000, 100_000),
        ];
        for (number, dialogue) in dialogues.into_iter().enumerate() {
            let mut plan = tunnels(&[dialogue]);
            plan.odds.buffers = buffers;
            plan.odds.short = 4;
            plan.odds.spurious = 4;
            plan.memory = memory;
            plan.pipes = 100;
            finished_by(plan, number as u64);
        }
    }
}

#[test]
fn who_waits_for_an_answer_that_never_comes_goes_with_its_server() {
    for end in [Abort, Close] {
        let mut plan = tunnels(&[Dialogue::rude(0, 0, &[End], &[Rest(SECOND), end])]);
        // It agrees to nothing.
        plan.leads[1].says = Vec::new();
        let world = finished(plan);
        assert!(world.client(0).sight.is_some());
    }
}

#[test]
fn a_client_is_whoever_its_proxy_says() {
    let from = |port: u16| format!("PROXY TCP6 2001:db8::7 2001:db8::1 {port} 443\r\n").into_bytes();
    for seed in 0..8 {
        let mut plan = plan(&[Dialogue::exchange(5, 2_000, 20_000), Dialogue::flood(30_000, 30_000)]);
        plan.settings.protocol = Protocol::Tcp;
        plan.settings.proxy_accept = Some(Trusted::Net(Subnet::parse("10.0.0.0/8", None).unwrap()));
        plan.settings.proxy_protocol = Some(ProxyVersion::V1);
        plan.settings.idlers = usize::from(seed % 2 == 0);
        plan.leads = [Lead { says: from(7), ..Lead::default() }, Lead { expects: from(7), ..Lead::default() }];
        plan.odds.buffers = if seed < 4 { Buffers::Tiny } else { Buffers::Plain };
        plan.odds.short = 3;
        plan.odds.would_block = 5;
        plan.odds.split = 3;
        finished_by(plan, seed);
    }
}

#[test]
fn a_proxy_that_does_not_say_who_its_client_is_is_sent_away() {
    for says in [&b"GET / HTTP/1.1"[..], b"PROXY TCP4", b""] {
        let mut plan = plan(&[Dialogue::rude(0, 0, &[End], &[])]);
        plan.settings.protocol = Protocol::Tcp;
        plan.settings.proxy_accept = Some(Trusted::Net(Subnet::parse("10.0.0.0/8", None).unwrap()));
        plan.leads[0].says = says.to_vec();
        let world = finished(plan);
        assert!(world.server_line(0).is_none(), "no server hears of it");
        assert!(world.client(0).sight.is_some());
        let late = Duration::from_nanos(world.client(0).ended_at - 1_000_000_000);
        assert_eq!(late >= 5 * SECOND, !says.starts_with(b"GET"), "{late:?}");
    }
}

#[test]
fn a_client_goes_where_its_first_bytes_say_and_loses_nothing() {
    let says = b"GET / HTTP/1.1\r\nA: b\r\nHost: a.example\r\n".to_vec();
    for seed in 0..12 {
        let mut plan = plan(&[Dialogue::exchange(5, 2_000, 20_000), Dialogue::flood(30_000, 30_000)]);
        plan.settings.protocol = Protocol::Tcp;
        plan.settings.routes =
            vec![Route { what: What::Host(Hosts::parse("*.example").unwrap()), to: "listener1".into() }];
        plan.listeners = 2;
        plan.servers[1].listener = 1;
        plan.servers.push(plan.servers[1].clone());
        // Its bytes wait for a server that takes them.
        plan.servers[1].reach = vec![Reach::Refuses];
        plan.settings.modes.roundrobin = true;
        plan.routed_to = Some(1);
        plan.leads =
            [Lead { says: says.clone(), ..Lead::default() }, Lead { expects: says.clone(), ..Lead::default() }];
        plan.odds.buffers = if seed < 6 { Buffers::Tiny } else { Buffers::Plain };
        plan.odds.short = 3;
        plan.odds.would_block = 5;
        plan.odds.split = 3;
        finished_by(plan, seed);
    }
}

#[test]
fn a_line_that_is_held_back_follows_when_its_sender_ends_or_breaks() {
    // Neither side ever ends a line.
    let polite = Dialogue::flood(5_000, 7_000);
    let rude = Dialogue::rude(0, 3_000, &[End], &[Send(3_000), Rest(SECOND), Abort]);
    for seed in 0..8 {
        let mut plan = plan(&[polite.clone(), rude.clone()]);
        plan.odds.buffers = Buffers::Tiny;
        let world = finished_by(plan, seed);
        assert_eq!((world.client(1).received, world.client(1).sight), (3_000, Some(Sight::Reset)));
    }
}

#[test]
fn a_line_that_is_held_back_follows_though_a_read_finds_the_break_before_any_edge_has_told_of_it() {
    let mut found = 0;
    for seed in 0..60 {
        let up = Dialogue::rude(100, 10, &[Heard(10), Send(100), Abort], &[Send(10), End]);
        let down = Dialogue::rude(10, 100, &[Send(10), End], &[Heard(10), Send(100), Abort]);
        let mut plan = plan(&[up, down]);
        plan.odds.preempted = 2;
        // The judge of every run wants all that had arrived before the break.
        let world = finished_by(plan, seed);
        found += world.trace().matches("Err(Kind(ConnectionReset))").count();
    }
    assert!(found > 0, "it happened");
}
