//! A successor takes over, or does not: one scenario each.

use std::rc::Rc;
use std::time::Duration;

use pen::net::Signal;
use pen::proxy::Ending;

use super::choices::Choices;
use super::dialogue::Dialogue;
use super::peer::Sight;
use super::plan::Plan;
use super::run::{finished_by, proxy, world};
use super::successor::Fortune;
use super::world::{Action, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Clients that come every tenth of a second from the start on; each takes two seconds.
fn stream_of_clients() -> Plan {
    let mut plan = Plan::plain(1, &vec![Dialogue::upload(40_000, 40_000, 2 * SECOND); 30]);
    for (number, client) in (0..).zip(&mut plan.clients) {
        client.at = 100 * number * MS;
    }
    plan
}

/// A world in which pen got these signals, how pen ended, and when, in seconds of virtual time.
fn after_signals(mut plan: Plan, signals: &[(Duration, Signal)]) -> (World, Ending, f64) {
    plan.events.extend(signals.iter().map(|(at, signal)| (*at, Action::Send(*signal))));
    // Something must happen later, or a pen that sleeps for ever would be told so.
    plan.events.push((3_000 * SECOND, Action::Stray));
    let shared = world(plan, Choices::seed(1), true);
    let mut proxy = proxy(&shared);
    let ending = proxy.run().unwrap();
    drop(proxy);
    let time = (shared.borrow().now - 1_000_000_000) as f64 / 1e9;
    let mut world = Rc::into_inner(shared).unwrap().into_inner();
    assert_eq!((world.open, world.successor), (0, None), "nothing is left");
    while !world.is_over() {
        world.step();
    }
    (world, ending, time)
}

/// How many clients were served here, elsewhere, and reset.
fn fates(world: &World) -> (usize, usize, usize) {
    let elsewhere = world.fates.iter().filter(|fate| fate.is_elsewhere).count();
    let seen = |sight| {
        let here = (0..world.fates.len()).filter(|client| !world.fates[*client].is_elsewhere);
        here.filter(|client| world.client(*client).sight == Some(sight)).count()
    };
    (seen(Sight::Fin), elsewhere, seen(Sight::Reset))
}

#[test]
fn a_successor_gets_everybody_who_comes_later_and_those_who_are_there_finish() {
    let mut plan = stream_of_clients();
    plan.fortune = Fortune::TakesOver(500 * MS);
    let (world, ending, time) = after_signals(plan, &[(SECOND, Signal::Upgrade)]);
    assert_eq!(ending, Ending::Upgrade);
    // Up to 1.5 s they come to this process: number 15 in the very moment.
    let (here, elsewhere, reset) = fates(&world);
    assert!((15..=16).contains(&here) && here + elsewhere == 30, "{here} {elsewhere}");
    assert_eq!(reset, 0);
    assert!((3.4..3.8).contains(&time), "it leaves as soon as the last one has finished: {time}");
}

#[test]
fn who_waits_when_a_successor_turns_out_to_listen_elsewhere_is_served_here() {
    let mut waited = 0;
    for seed in 0..32 {
        let mut plan = Plan::plain(1, &vec![Dialogue::request(100, 100); 200]);
        for (number, client) in (0..).zip(&mut plan.clients) {
            client.at = 10 * number * MS;
        }
        // Other programs have the processor now and then, so that several things are found at once.
        plan.odds.lazy = 2;
        plan.fortune = Fortune::MovesAway(500 * MS);
        plan.events.push((SECOND, Action::Send(Signal::Upgrade)));
        let world = finished_by(plan, seed);
        let trace = world.trace();
        assert!(trace.contains("a successor takes over"), "{trace}");
        let (_, at_once) = trace.split_once("a successor takes over").unwrap();
        let left = at_once.lines().find(|line| line.ends_with(" wait in vain")).unwrap();
        assert!(left.ends_with(" 0 wait in vain"), "seed {seed}: {trace}");
        let (before, _) = trace.split_once("a successor takes over").unwrap();
        // In the same moment, so by the same turn.
        waited += usize::from(before.lines().rev().take(3).any(|line| line.contains("pen watches line")));
    }
    assert!(waited > 0, "nobody ever waited");
}

#[test]
fn without_a_successor_that_is_ready_everybody_is_served_here() {
    for fortune in [Fortune::Fails(500 * MS), Fortune::Hangs, Fortune::IsRefused] {
        let mut plan = stream_of_clients();
        plan.fortune = fortune;
        let signals = [(SECOND, Signal::Upgrade), (20 * SECOND, Signal::Quit)];
        let (world, ending, _) = after_signals(plan, &signals);
        assert_eq!((ending, fates(&world)), (Ending::Signal, (30, 0, 0)), "{fortune:?}");
    }
}

#[test]
fn a_drain_before_it_is_ready_is_a_drain_and_one_after_it_is_an_end_in_time() {
    // Before: nobody takes over, who comes later is refused.
    let mut plan = stream_of_clients();
    plan.fortune = Fortune::TakesOver(500 * MS);
    let signals = [(SECOND, Signal::Upgrade), (1_250 * MS, Signal::Quit)];
    let (world, ending, _) = after_signals(plan.clone(), &signals);
    assert_eq!((ending, fates(&world)), (Ending::Signal, (13, 0, 17)));
    // After: only the time is limited.
    plan.common.drain = SECOND;
    let signals = [(SECOND, Signal::Upgrade), (1_650 * MS, Signal::Quit)];
    let (world, ending, time) = after_signals(plan, &signals);
    let (here, elsewhere, reset) = fates(&world);
    assert_eq!((ending, here + reset + elsewhere), (Ending::Signal, 30));
    assert!(elsewhere >= 14 && reset > 0, "{here} {elsewhere} {reset}");
    assert!((2.65..2.66).contains(&time), "{time}");
    // A drain starts no successor.
    let (world, ending, _) =
        after_signals(stream_of_clients(), &[(SECOND, Signal::Quit), (2 * SECOND, Signal::Upgrade)]);
    assert_eq!((ending, fates(&world).1), (Ending::Signal, 0));
    assert_eq!(world.successors, 0);
}
