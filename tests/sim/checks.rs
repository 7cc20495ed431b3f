//! Active checks in the simulated network: one scenario each.

use std::time::Duration;

use pen::check::{Check, Kind};

use super::dialogue::Dialogue;
use super::plan::{Lack, LackWindow, Plan, Reach, ServerPlan};
use super::run::finished;
use super::world::{Far, World};

const SECOND: Duration = Duration::from_secs(1);

/// Two servers of which the first is not sound, checked every second from the start on; and clients from the tenth
/// second on.
fn plan(reach: Reach, clients: usize) -> Plan {
    let mut plan = Plan::plain(2, &vec![Dialogue::request(100, 1_000); clients]);
    plan.servers[0] = ServerPlan::new(&[reach]);
    plan.settings.check = Some(Check { kind: Kind::Tcp, port: None });
    plan.settings.check_interval = SECOND;
    plan.settings.connect_timeout = SECOND;
    plan.settings.blacklist = Duration::ZERO;
    for (number, client) in (0..).zip(&mut plan.clients) {
        client.at = 10 * SECOND + number * SECOND / 10;
    }
    plan
}

/// How often each server was connected to for nobody, and for clients.
fn connects(world: &World) -> [(usize, usize); 2] {
    [0, 1].map(|server| {
        let own = || world.lines.iter().filter(move |line| matches!(line.far, Far::Server(at, _) if at == server));
        (own().filter(|line| line.client.is_none()).count(), own().filter(|line| line.client.is_some()).count())
    })
}

#[test]
fn no_client_is_sent_to_a_server_that_checks_have_found_down() {
    for reach in [Reach::Refuses, Reach::RefusesAtOnce, Reach::Lost, Reach::Unreachable] {
        let world = finished(plan(reach, 10));
        let [(_, first), (checks, second)] = connects(&world);
        assert_eq!((first, second), (0, 10), "{reach:?}");
        assert!((8..=14).contains(&checks), "{reach:?}: every second, a tenth more or less: {checks}");
        let down: Vec<&String> = world.said.iter().filter(|text| text.contains(" is down: ")).collect();
        assert!(down.len() == 1 && down[0].starts_with("server 0 ("), "{reach:?}: {:?}", world.said);
    }
}

#[test]
fn what_is_lacking_here_takes_no_server_down() {
    for lack in [Lack::Descriptors, Lack::Memory, Lack::Ports] {
        let mut plan = plan(Reach::Sound, 10);
        plan.lacks.push(LackWindow { from: Duration::ZERO, until: 9 * SECOND, lack });
        let world = finished(plan);
        assert!(world.said.iter().all(|text| !text.contains("is down")), "{lack:?}: {:?}", world.said);
    }
}

#[test]
fn without_checks_nobody_is_connected_to_before_a_client_comes() {
    let mut plan = plan(Reach::Sound, 1);
    plan.settings.check = None;
    let world = finished(plan);
    assert_eq!(connects(&world).map(|(checks, _)| checks), [0, 0]);
    assert_eq!(world.calls.connect, 1);
}
