//! One scenario each.

use std::time::Duration;

use pen::base::proxy_version::ProxyVersion;
use pen::net::Signal;

use super::super::choices::Choices;
use super::{Manner, Plan, judge, proxies, world};

/// Seeds of an ordinary run.
const SEEDS: u64 = 400;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text}")))
}

#[test]
fn random_runs_with_datagrams_end_well() {
    let judge_seed = |seed: u64| {
        judge(&format!("seed {seed}"), |traced| {
            let mut choices = Choices::seed(seed ^ 0x0dd);
            let plan = Plan::random(&mut choices, !seed.is_multiple_of(3));
            world(plan, choices, traced)
        });
    };
    match number("SEED") {
        Some(seed) => judge_seed(seed),
        None => (0..number("SEEDS").unwrap_or(SEEDS)).for_each(judge_seed),
    }
}

#[track_caller]
fn run(plan: Plan) -> Vec<Vec<u64>> {
    let shared = world(plan.clone(), Choices::seed(1), false);
    judge("the scenario", |traced| world(plan.clone(), Choices::seed(1), traced));
    super::run(&shared);
    shared.borrow().answers.clone()
}

#[test]
fn of_three_servers_one_is_not_there_and_one_says_nothing_and_no_question_is_lost() {
    let mut plan = Plan::plain(3, 8, 20);
    (plan.servers[0].2, plan.servers[1].2) = (Manner::Absent, Manner::Silent);
    plan.settings.udp_requests = 1;
    plan.settings.modes.roundrobin = true;
    assert_eq!(run(plan), vec![vec![1; 20]; 8]);
}

#[test]
fn the_last_question_of_a_flow_moves_with_it() {
    // It has no answer yet, so the first question goes on to the server that is there.
    let mut plan = Plan::plain(2, 2, 1);
    plan.servers[0].2 = Manner::Absent;
    plan.settings.udp_responses = None;
    assert_eq!(run(plan), vec![vec![1]; 2]);
}

#[test]
fn who_is_there_at_a_drain_goes_on_and_who_comes_later_does_not() {
    let mut plan = Plan::plain(1, 2, 10);
    plan.clients[1].asks.iter_mut().for_each(|(at, _)| *at += Duration::from_secs(1));
    plan.settings.udp_timeout = Duration::from_secs(5);
    plan.signals.push((Duration::from_millis(550), Signal::Quit));
    assert_eq!(run(plan), [vec![1; 10], vec![0; 10]]);
}

#[test]
fn in_a_full_table_those_who_are_used_stay() {
    let mut plan = Plan::plain(1, 8, 10);
    plan.common.conn_max = 2;
    plan.settings.modes.stubborn = true;
    // One after the other, and the first one all the time.
    for (number, client) in plan.clients.iter_mut().enumerate().skip(1) {
        client.asks.truncate(1);
        client.asks[0].0 = Duration::from_millis(100 * number as u64 + 50);
    }
    let shared = world(plan, Choices::seed(1), false);
    super::run(&shared);
    let world = shared.borrow();
    assert_eq!((&world.answers[0], &world.answers[7]), (&vec![1; 10], &vec![1]));
    assert_eq!(world.opened(), 8, "the first one keeps its association, and the others have one each");
}

#[test]
fn clients_of_one_proxy_are_told_apart_and_servers_hear_of_each() {
    // Also where the first server is not there, and the next one gets the question.
    let mut plan = Plan::plain(2, 8, 10);
    plan.servers[0].2 = Manner::Absent;
    plan.settings.udp_requests = 1;
    plan.settings.proxy_accept = Some(proxies());
    plan.settings.proxy_protocol = Some(ProxyVersion::V2);
    assert_eq!(run(plan.clone()), vec![vec![1; 10]; 8]);
    plan.settings.udp_requests = 0;
    plan.servers[0].2 = Manner::Sound;
    let shared = world(plan, Choices::seed(1), false);
    super::run(&shared);
    assert_eq!(shared.borrow().opened(), 8, "each client has an association of its own");
}
