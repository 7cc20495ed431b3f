//! No memory for a ring, or for more pairs: one scenario each.

use std::time::Duration;

use super::dialogue::Dialogue;
use super::directed::pairs_after;
use super::peer::Step::{Close, End, Heard, Rest, Send};
use super::peer::{Reader, Sight};
use super::plan::{Buffers, Lack, LackWindow, Plan, Reach};
use super::run::{finished, finished_by};

/// Two pairs whose readers are slow, both ways, and one whose readers are not.
fn slow_and_eager() -> Plan {
    let every = Duration::from_millis(50);
    let slow = Dialogue::request(90_000, 90_000).read_by(Reader::Slow(2_000, every), Reader::Slow(3_000, every));
    let mut plan = Plan::plain(1, &[slow.clone(), slow, Dialogue::request(500_000, 500_000)]);
    plan.odds.buffers = Buffers::Tiny;
    plan
}

/// What pen has said about memory.
fn said(said: &[String]) -> Vec<&str> {
    said.iter().map(String::as_str).filter(|text| text.contains("memory")).collect()
}

#[test]
fn without_memory_for_a_single_ring_everybody_gets_everything_and_the_operator_is_told_once() {
    for seed in 0..6 {
        let mut plan = slow_and_eager();
        plan.memory = 60_000;
        plan.odds.short = 3;
        plan.odds.interrupted = 5;
        plan.odds.would_block = 10;
        let world = finished_by(plan, seed);
        for number in 0..3 {
            assert_eq!(world.client(number).sight, Some(Sight::Fin));
        }
        assert!(world.calls.peek > 0);
        assert_eq!(said(&world.said), ["no memory for buffers: what a peer does not take yet stays in the kernel"]);
    }
}

#[test]
fn a_pair_that_found_no_memory_holds_up_nobody_and_has_rings_when_there_is_memory_again() {
    let mut plan = slow_and_eager();
    // Their slots are there by then, but nobody is connected yet.
    let (from, until) = (Duration::from_millis(5), Duration::from_millis(1_200));
    plan.servers[0].reach = vec![Reach::Late(Duration::from_millis(10))];
    plan.lacks = vec![LackWindow { from, until, lack: Lack::Buffers }];
    let world = finished(plan);
    let said = said(&world.said);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].starts_with("there is memory for buffers again; "), "{said:?}");
    let eager_at = Duration::from_nanos(world.client(2).ended_at - 1_000_000_000);
    let slow_at = Duration::from_nanos(world.client(0).ended_at - 1_000_000_000);
    assert!(eager_at < until && slow_at > until, "{eager_at:?} {slow_at:?}");
}

#[test]
fn clients_for_whom_there_is_no_slot_wait_and_are_served_within_a_second_of_relief() {
    let mut plan = Plan::plain(1, &[Dialogue::request(10, 10)]);
    let until = Duration::from_millis(3_500);
    plan.lacks = vec![LackWindow { from: Duration::ZERO, until, lack: Lack::Memory }];
    let world = finished(plan);
    let ended = Duration::from_nanos(world.client(0).ended_at - 1_000_000_000);
    assert!((until..until + Duration::from_millis(1_100)).contains(&ended), "{ended:?}");
    assert_eq!(said(&world.said), ["cannot accept: out of memory; clients wait"]);
}

#[test]
fn what_is_only_looked_at_is_in_the_log_and_the_dumps_once() {
    let mut plan = slow_and_eager();
    plan.memory = 60_000;
    plan.common.debug = 2;
    let world = finished(plan);
    // Each byte that was taken away was dumped: no more dumps than reads that took something.
    assert!(world.calls.dump > 0 && world.calls.dump <= world.calls.read, "{:?}", world.calls);
}

#[test]
fn a_pair_that_is_stuck_without_a_ring_is_reset_after_its_time_as_any() {
    let client = [Send(100), Rest(Duration::from_secs(3_600)), Close];
    let server = [Heard(100), Send(400_000), End];
    let deaf = Dialogue::rude(100, 400_000, &client, &server).read_by(Reader::Never, Reader::Eager);
    let mut plan = Plan::plain(1, &[deaf]);
    plan.odds.buffers = Buffers::Tiny;
    plan.memory = 60_000;
    plan.settings.stuck_timeout = Duration::from_secs(30);
    let (pairs, trace) = pairs_after(plan.clone(), 28);
    assert_eq!(pairs, 1, "{trace}");
    let (pairs, trace) = pairs_after(plan, 39);
    assert_eq!(pairs, 0, "{trace}");
}
