//! The wall clock steps, and nothing changes but the times in what is written: one scenario each. One seed in six or
//! so is run with and without such steps as well.

use std::time::Duration;

use super::choices::Choices;
use super::dialogue::Dialogue;
use super::directed::pairs_after;
use super::peer::Step::{End, Heard, Rest, Send};
use super::plan::{Plan, Reach, ServerPlan};
use super::run::{finished, judge, world};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: i64 = 86_400;

/// A step each way within the time in which all happens, and one to 1970.
const STEPS: [&[i64]; 4] = [&[DAY], &[-DAY], &[DAY, -2 * DAY], &[-5_000_000_000]];

#[test]
fn the_log_tells_the_time_that_the_clock_shows_and_nothing_else_follows_it() {
    let requests = [Send(10), Heard(10), Rest(3 * SECOND), Send(10), Heard(20), End];
    let answers = [Heard(10), Send(10), Heard(20), Send(10)];
    let mut plan = Plan::plain(1, &[Dialogue::polite(20, 20, &requests, &answers)]);
    plan.has_log = true;
    plan.steps = vec![(SECOND, DAY), (2 * SECOND, -2 * DAY)];
    let world = finished(plan);
    let log = String::from_utf8_lossy(&world.log).into_owned();
    let times: Vec<u64> = log.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(times, [5_000_000_001, 5_000_000_004 - 86_400], "{log}");
}

#[test]
fn the_blacklist_and_the_time_for_a_connect_are_exact_though_the_clock_steps() {
    for steps in STEPS {
        // The first choice is silent. Two clients find it so, it is left out for ten seconds, and then found so again.
        let mut plan = Plan::plain(0, &vec![Dialogue::request(10, 10); 12]);
        plan.servers = vec![ServerPlan::new(&[Reach::Lost]), ServerPlan::new(&[Reach::Sound])];
        plan.settings.connect_timeout = 2 * SECOND;
        plan.settings.blacklist = 10 * SECOND;
        plan.settings.modes.prio = true;
        plan.servers[1].prio = 1;
        for (number, client) in (0..).zip(&mut plan.clients) {
            client.at = 1_300 * number * MS;
        }
        // The second one finds the server silent at 3.3 s; so these come just before and just after it is back.
        plan.clients[10].at = 13_200 * MS;
        plan.clients[11].at = 13_400 * MS;
        plan.steps = steps.iter().zip(1..).map(|(step, number)| (number * 4 * SECOND, *step)).collect();
        let world = finished(plan);
        let waited = |client: usize| {
            let end = Duration::from_nanos(world.client(client).ended_at - 1_000_000_000);
            end - world.plan.clients[client].at
        };
        let patient: Vec<usize> = (0..12).filter(|client| waited(*client) > SECOND).collect();
        assert_eq!(patient, [0, 1, 11], "{steps:?}");
        assert!(patient.iter().all(|client| (2_000 * MS..2_100 * MS).contains(&waited(*client))), "{steps:?}");
    }
}

#[test]
fn a_silent_pair_lasts_as_long_as_it_may_though_the_clock_steps() {
    for steps in STEPS {
        let mut plan = Plan::plain(1, &[Dialogue::rude(100, 0, &[Send(100), End], &[Heard(100), End])]);
        plan.settings.idle_timeout = 20 * SECOND;
        plan.steps = steps.iter().zip(1..).map(|(step, number)| (number * 5 * SECOND, *step)).collect();
        let before = pairs_after(plan.clone(), 19);
        assert_eq!(before.0, 1, "{steps:?}: {}", before.1);
        let after = pairs_after(plan, 21);
        assert_eq!(after.0, 0, "{steps:?}: {}", after.1);
    }
}

#[test]
#[should_panic(expected = "the log does not go by the clock")]
fn a_difference_that_a_step_makes_is_noticed() {
    let plan = |requests| {
        let mut plan = Plan::plain(1, &vec![Dialogue::request(10, 10); requests]);
        (plan.has_log, plan.steps) = (true, vec![(MS, DAY)]);
        world(plan, Choices::seed(1), false)
    };
    judge(&plan(1), || plan(2));
}
