//! Connections that are opened ahead: one scenario each.

use std::rc::Rc;
use std::time::Duration;

use pen::net::Signal;
use pen::proxy::Nobody;

use super::choices::Choices;
use super::dialogue::Dialogue;
use super::directed::ended_after;
use super::peer::Sight;
use super::peer::Step::{Abort, Fin, Heard, Send};
use super::plan::{Plan, Reach, ServerPlan};
use super::run::{finished, finished_by, proxy, world};
use super::world::{Action, Far, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A plan with idlers, in which clients come after so many seconds, one after the other.
fn plan(servers: &[Reach], idlers: usize, dialogues: &[Dialogue], first: Duration) -> Plan {
    let servers = servers.iter().map(|reach| ServerPlan::new(&[*reach])).collect();
    let mut plan = Plan { servers, ..Plan::plain(0, dialogues) };
    plan.settings.idlers = idlers;
    for (number, client) in (0..).zip(&mut plan.clients) {
        client.at = first + number * 100 * MS;
    }
    plan
}

/// The world after so long without clients, pen ended in it.
fn quiet(mut plan: Plan, time: Duration) -> World {
    plan.events.push((time, Action::Send(Signal::Terminate)));
    let shared = world(plan, Choices::seed(1), true);
    let mut proxy = proxy(&shared);
    while proxy.ending().is_none() {
        proxy.turn(&mut Nobody).unwrap();
    }
    drop(proxy);
    Rc::into_inner(shared).unwrap().into_inner()
}

fn served_by(world: &World, client: usize) -> Far {
    world.server_line(client).expect("it is served").far
}

#[test]
fn a_client_does_not_wait_for_a_handshake() {
    for (idlers, least, most) in [(0, 2.3, 2.4), (1, 2.0, 2.1)] {
        let world = finished(plan(&[Reach::Late(300 * MS)], idlers, &[Dialogue::request(100, 100)], 2 * SECOND));
        let time = ended_after(&world, 0);
        assert!((least..most).contains(&time), "{idlers} idlers: {time}");
        assert_eq!(world.calls.rewatch, idlers as u64);
    }
}

#[test]
fn an_idler_that_has_ended_is_replaced_before_anybody_needs_it() {
    for abort in [false, true] {
        let mut plan = plan(&[Reach::Late(300 * MS)], 1, &[Dialogue::request(100, 100)], 5 * SECOND);
        plan.events.push((SECOND, Action::Leave(0, abort)));
        let world = finished(plan);
        assert!((5.0..5.1).contains(&ended_after(&world, 0)), "{}", ended_after(&world, 0));
        assert_eq!((world.calls.rewatch, world.lines[0].client), (1, None));
        assert_eq!(world.said, [""; 0]);
    }
}

#[test]
fn an_idler_that_ends_as_a_client_comes_is_not_handed_over_if_that_can_be_known() {
    // Whatever comes first in the same turn, and though some edges come a turn later.
    for micros in 0..400 {
        let mut plan = plan(&[Reach::Sound], 3, &[Dialogue::request(100, 100)], SECOND);
        plan.odds.lazy = 2;
        plan.odds.late_edge = 2;
        for idler in 0..3 {
            plan.events.push((SECOND - Duration::from_micros(micros), Action::Leave(idler, micros % 2 == 0)));
        }
        finished_by(plan, micros);
    }
}

#[test]
fn a_server_that_does_not_keep_idlers_is_not_stormed() {
    let mut plan = plan(&[Reach::Sound], 4, &[], SECOND);
    plan.odds.leaves = 1;
    let world = quiet(plan, 1_000 * SECOND);
    // Pauses of 1, 2, 4 ... 60 s, and at the end of each four at once.
    assert!((40..120).contains(&world.calls.connect), "{:?}", world.calls);
    assert!(world.calls.wait < 3_000, "{:?}", world.calls);
    assert_eq!(world.said, [""; 0], "that is no failure");
}

#[test]
fn a_server_that_refuses_idlers_is_left_out_for_a_time_as_ever() {
    for reach in [Reach::Refuses, Reach::RefusesAtOnce, Reach::Unreachable, Reach::Lost] {
        let world = quiet(plan(&[reach, Reach::Sound], 4, &[], SECOND), 300 * SECOND);
        assert!(world.calls.connect < 60, "{reach:?}: {:?}", world.calls);
        assert!(world.said[0].starts_with("server 0 (server0:8000) failed: "), "{:?}", world.said);
        assert!(world.said[0].ends_with("blacklisted for 30 s"), "{:?}", world.said);
        // A client that comes gets the other one at once.
        let world = finished(plan(&[reach, Reach::Sound], 4, &[Dialogue::request(9, 9)], 20 * SECOND));
        assert!((20.0..20.1).contains(&ended_after(&world, 0)), "{}", ended_after(&world, 0));
    }
    let mut forever = plan(&[Reach::Refuses], 4, &[], SECOND);
    forever.settings.blacklist = Duration::ZERO;
    let world = quiet(forever, 300 * SECOND);
    assert!(world.calls.connect < 60, "without a time to leave it out: {:?}", world.calls);
}

#[test]
fn idlers_do_not_decide_who_gets_which_server() {
    let dialogues = vec![Dialogue::request(10, 10); 12];
    for hash in [false, true] {
        let servers = |idlers| {
            let mut plan = plan(&[Reach::Sound; 3], idlers, &dialogues, SECOND);
            plan.settings.modes.hash = hash;
            for (number, client) in (0..).zip(&mut plan.clients) {
                client.from = pen::base::addr::Endpoint::inet(([10, 1, 0, number % 7], 5000).into());
            }
            let world = finished(plan);
            (0..12).map(|client| served_by(&world, client)).collect::<Vec<_>>()
        };
        assert_eq!(servers(0), servers(2));
    }
}

#[test]
fn places_are_shared_with_idlers_and_clients_go_first() {
    // The world sees to it that a server never has more connections than it may.
    for (reach, idlers) in [(Reach::Sound, 5), (Reach::Late(900 * MS), 5), (Reach::Late(900 * MS), 1)] {
        let long = Dialogue::upload(10, 10, 2 * SECOND);
        let mut plan = plan(&[reach], idlers, &vec![long; 2], 100 * MS);
        plan.servers[0].max = 2;
        let world = finished(plan);
        assert_eq!([0, 1].map(|client| world.client(client).received), [10, 10], "{reach:?}");
    }
}

#[test]
fn idlers_end_with_a_drain() {
    let mut plan = plan(&[Reach::Sound], 6, &[Dialogue::upload(10, 10, 20 * SECOND)], SECOND);
    plan.events.push((3 * SECOND, Action::Send(Signal::Quit)));
    let shared = world(plan, Choices::seed(1), true);
    let mut proxy = proxy(&shared);
    while proxy.ending().is_none() {
        proxy.turn(&mut Nobody).unwrap();
        assert!(shared.borrow().now < 4_000_000_000 || shared.borrow().open <= 2, "the pair has its time");
    }
    // The listener, the pair, and six to come.
    assert_eq!(shared.borrow().peaks.0, 9);
    drop(proxy);
    let mut world = Rc::into_inner(shared).unwrap().into_inner();
    while !world.is_over() {
        world.step();
    }
    assert_eq!(world.client(0).received, 10);
}

#[test]
fn idlers_give_their_descriptors_to_clients() {
    let mut plan = plan(&[Reach::Sound], 5, &vec![Dialogue::upload(10, 10, SECOND); 3], SECOND);
    plan.descriptors = 8;
    let world = finished(plan);
    assert!((0..3).all(|client| world.client(client).received == 10));
    assert!(ended_after(&world, 2) < 2.5, "{}", ended_after(&world, 2));
    assert_eq!(world.said, [""; 0]);
}

#[test]
fn what_becomes_of_the_client_is_the_same() {
    let abort = Dialogue::rude(10, 30_000, &[Send(10), Heard(30_000), Fin], &[Heard(10), Send(30_000), Abort]);
    let world = finished(plan(&[Reach::Sound], 1, &[abort, Dialogue::flood(90_000, 70_000)], SECOND));
    assert_eq!((world.client(0).sight, world.client(1).sight), (Some(Sight::Reset), Some(Sight::Fin)));
    assert_eq!(world.calls.rewatch, 2);
}
