//! Several listeners, each with its servers: one scenario each.

use std::time::Duration;

use super::dialogue::Dialogue;
use super::directed::ended_after;
use super::peer::Sight;
use super::plan::{Lack, LackWindow, Plan, Reach, ServerPlan};
use super::run::finished;
use super::world::World;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// So many clients of each listener, which has one server of its own, all with this dialogue.
fn plan(clients: &[usize], dialogue: &Dialogue) -> Plan {
    let mut plan = Plan::plain(clients.len(), &vec![dialogue.clone(); clients.iter().sum()]);
    plan.listeners = clients.len();
    plan.servers.iter_mut().enumerate().for_each(|(number, server)| server.listener = number);
    let listeners = clients.iter().enumerate().flat_map(|(number, count)| vec![number; *count]);
    plan.clients.iter_mut().zip(listeners).for_each(|(client, listener)| client.listener = listener);
    plan
}

/// When the last client of a listener was done.
fn done(world: &World, listener: usize) -> f64 {
    let own = |client: &usize| world.plan.clients[*client].listener == listener;
    (0..world.plan.clients.len()).filter(own).map(|client| ended_after(world, client)).fold(0.0, f64::max)
}

#[test]
fn each_client_gets_a_server_of_its_listener() {
    // The judge of every run looks where each was served.
    let world = finished(plan(&[5, 5, 5], &Dialogue::request(100, 1_000)));
    assert!((0..15).all(|client| world.client(client).sight == Some(Sight::Fin)));
}

#[test]
fn connects_that_hang_at_one_listener_keep_nobody_away_from_another() {
    let mut plan = plan(&[6, 6], &Dialogue::request(100, 100));
    plan.settings.pending_max = 2;
    plan.servers[0] = ServerPlan { listener: 0, ..ServerPlan::new(&[Reach::Lost]) };
    let world = finished(plan);
    assert!(done(&world, 1) < 0.1, "{}", done(&world, 1));
    assert!(done(&world, 0) > 5.0, "{}", done(&world, 0));
}

#[test]
fn a_crowd_at_one_listener_does_not_keep_away_those_who_come_to_another() {
    for multi_accept in [1, 100] {
        let mut plan = plan(&[40, 2, 2], &Dialogue::upload(100, 100, 100 * MS));
        plan.common.conn_max = 2;
        plan.common.multi_accept = multi_accept;
        let world = finished(plan);
        let (crowd, few) = (done(&world, 0), done(&world, 1).max(done(&world, 2)));
        assert!(crowd > 2.0 && few < 0.7, "{crowd} {few}");
    }
}

#[test]
fn what_is_lacking_to_accept_is_lacking_for_all_and_is_said_once_in_a_while() {
    // Of each listener two clients come while something is lacking, again soon after, and again later.
    let mut plan = plan(&[6, 6], &Dialogue::request(100, 100));
    for (number, at) in [Duration::ZERO, 3 * SECOND, 30 * SECOND].into_iter().enumerate() {
        plan.lacks.push(LackWindow { from: at, until: at + SECOND / 2, lack: Lack::Descriptors });
        for client in [0, 1, 6, 7] {
            plan.clients[client + 2 * number].at = at + MS;
        }
    }
    let world = finished(plan);
    assert_eq!(world.said.len(), 2, "{:?}", world.said);
    assert!((31.0..31.2).contains(&done(&world, 0)) && (31.0..31.2).contains(&done(&world, 1)));
}
