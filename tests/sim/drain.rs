//! Nobody is let in any more, and those who are there may finish: one scenario each.

use std::rc::Rc;
use std::time::Duration;

use pen::net::Signal;
use pen::proxy::Ending;

use super::choices::Choices;
use super::dialogue::Dialogue;
use super::peer::Step::{End, Fin, Heard, Send};
use super::peer::{Reader, Sight};
use super::plan::{Buffers, Lack, LackWindow, Plan};
use super::run::{proxy, world};
use super::world::{Action, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A world in which pen was told to drain after a second, at pen's end, and when that was, in seconds of virtual time.
fn drained(mut plan: Plan, limit: Duration) -> (World, f64) {
    plan.common.drain = limit;
    plan.events.push((SECOND, Action::Send(Signal::Quit)));
    // Something must happen later, or a pen that sleeps for ever would be told so.
    plan.events.push((3_000 * SECOND, Action::Stray));
    let shared = world(plan, Choices::seed(1), true);
    let mut proxy = proxy(&shared);
    assert_eq!(proxy.run().unwrap(), Ending::Signal);
    drop(proxy);
    let time = shared.borrow().now - 1_000_000_000;
    let mut world = Rc::into_inner(shared).unwrap().into_inner();
    assert_eq!(world.open, 0, "no descriptor is left");
    while !world.is_over() {
        world.step();
    }
    (world, time as f64 / 1e9)
}

#[test]
fn a_drain_lets_everybody_finish_and_nobody_in() {
    let mut plan = Plan::plain(1, &vec![Dialogue::upload(40_000, 400_000, 5 * SECOND); 4]);
    plan.clients[1].at = 500 * MS;
    plan.clients[3].at = 1_001 * MS;
    let (world, ended) = drained(plan, 100 * SECOND);
    for client in [0, 1, 2] {
        assert_eq!((world.client(client).received, world.client(client).sight), (400_000, Some(Sight::Fin)));
    }
    assert_eq!((world.client(3).received, world.client(3).sight), (0, Some(Sight::Reset)));
    assert!((5.5..5.8).contains(&ended), "as soon as the last one has finished: {ended}");
    assert_eq!(world.said, ["nobody is let in any more; 3 connections have 100 s to finish"]);
}

#[test]
fn a_drain_lets_nobody_in_at_any_listener() {
    let mut plan = Plan::plain(3, &vec![Dialogue::upload(100, 100, 2 * SECOND); 6]);
    plan.listeners = 3;
    plan.servers.iter_mut().enumerate().for_each(|(number, server)| server.listener = number);
    for (number, client) in plan.clients.iter_mut().enumerate() {
        client.listener = number % 3;
        client.at = if number < 3 { Duration::ZERO } else { 1_001 * MS };
    }
    let (world, ended) = drained(plan, 100 * SECOND);
    for client in 0..6 {
        let sight = if client < 3 { Sight::Fin } else { Sight::Reset };
        assert_eq!(world.client(client).sight, Some(sight), "client {client}");
    }
    assert!((2.0..2.5).contains(&ended), "{ended}");
}

#[test]
fn who_waits_in_the_queue_when_a_drain_begins_is_served_as_far_as_there_is_room() {
    let mut plan = Plan::plain(1, &vec![Dialogue::request(100, 100); 9]);
    // Accepting pauses for want of a descriptor, until after the signal.
    plan.clients.iter_mut().for_each(|client| client.at = 600 * MS);
    plan.lacks.push(LackWindow { from: 500 * MS, until: 900 * MS, lack: Lack::Descriptors });
    plan.clients[0].at = Duration::ZERO;
    plan.clients[0].dialogue = Dialogue::upload(10, 10, 3 * SECOND);
    plan.common.multi_accept = 1;
    plan.common.conn_max = 6;
    let (world, ended) = drained(plan, Duration::ZERO);
    let served = (0..9).filter(|client| world.client(*client).sight == Some(Sight::Fin)).count();
    let reset = (0..9).filter(|client| world.client(*client).sight == Some(Sight::Reset)).count();
    assert_eq!((served, reset), (6, 3));
    assert!((3.0..3.2).contains(&ended), "{ended}");
}

#[test]
fn what_has_not_finished_when_the_time_of_a_drain_is_over_is_closed_as_at_the_end() {
    let quiet = Dialogue::rude(100, 100, &[Send(100), Heard(100), End], &[Heard(100), Send(100), End]);
    let busy = Dialogue::rude(10, 900_000, &[Send(10), End], &[Heard(10), Send(900_000), Fin, End]);
    let mut plan = Plan::plain(1, &[quiet, busy.read_by(Reader::Slow(1_000, 100 * MS), Reader::Eager)]);
    plan.odds.buffers = Buffers::Tiny;
    let (world, ended) = drained(plan, 7 * SECOND);
    assert!((8.0..8.01).contains(&ended), "{ended}");
    let sights = [0, 1].map(|client| world.client(client).sight);
    assert_eq!(sights, [Some(Sight::Fin), Some(Sight::Reset)]);
    assert_eq!(world.said[1], "2 connections have not finished in time, and are closed");
}

#[test]
fn a_second_signal_ends_a_drain_and_nobody_to_wait_for_ends_it_at_once() {
    let stays = Dialogue::rude(10, 0, &[Send(10), End], &[End]);
    for second in [Signal::Quit, Signal::Terminate] {
        let mut plan = Plan::plain(1, std::slice::from_ref(&stays));
        plan.events.push((2 * SECOND, Action::Send(second)));
        let (world, ended) = drained(plan, Duration::ZERO);
        assert!((2.0..2.01).contains(&ended), "{ended}");
        assert_eq!(world.client(0).sight, Some(Sight::Fin));
    }
    let (_, ended) = drained(Plan::plain(1, &[]), Duration::ZERO);
    assert!((1.0..1.01).contains(&ended), "{ended}");
}
