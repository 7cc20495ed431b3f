//! Clients who wait for a place at a server: one scenario each.

use std::time::Duration;

use pen::balance::settings::Queueing;

use super::dialogue::Dialogue;
use super::peer::Sight;
use super::plan::{Plan, Reach, ServerPlan};
use super::run::finished;
use super::world::{Action, World};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// One server with one place, clients that come a tenth of a second apart and need a second each, and a queue.
fn plan(clients: u32, places: u32, time: Duration) -> Plan {
    let mut plan = Plan::plain(1, &vec![Dialogue::upload(100, 100, SECOND); clients as usize]);
    plan.servers[0].max = 1;
    plan.settings.queue = Some(Queueing { places, time });
    for (number, client) in (0..).zip(&mut plan.clients) {
        client.at = 100 * number * MS;
    }
    plan
}

/// When each client was done, in seconds after the start, and whether it got its answer.
fn ends(world: &World) -> Vec<(f64, bool)> {
    let client = |number| {
        let client = world.client(number);
        assert_eq!(client.sight, Some(Sight::Fin), "client {number} sees an end in order");
        ((client.ended_at - 1_000_000_000) as f64 / 1e9, client.received == 100)
    };
    (0..world.fates.len()).map(client).collect()
}

#[test]
fn clients_are_served_in_the_order_in_which_they_came() {
    let world = finished(plan(5, 10, 30 * SECOND));
    let ends = ends(&world);
    assert!(ends.iter().all(|(_, is_served)| *is_served), "{ends:?}");
    for (number, pair) in ends.windows(2).enumerate() {
        let time = pair[1].0 - pair[0].0;
        assert!((0.95..1.2).contains(&time), "client {} follows client {number} after {time} s", number + 1);
    }
}

#[test]
fn who_has_waited_for_its_time_is_sent_away_and_so_is_who_finds_the_queue_full() {
    let world = finished(plan(5, 10, 1_500 * MS));
    let found = ends(&world);
    // The third one would have its turn two seconds after it came.
    assert_eq!(found.iter().map(|(_, is_served)| *is_served).collect::<Vec<_>>(), [true, true, false, false, false]);
    for (number, (end, _)) in found.iter().enumerate().skip(2) {
        let came = 0.1 * number as f64;
        assert!((came + 1.45..came + 1.6).contains(end), "client {number} after {end} s");
    }
    let world = finished(plan(5, 2, 30 * SECOND));
    let found = ends(&world);
    assert_eq!(found.iter().map(|(_, is_served)| *is_served).collect::<Vec<_>>(), [true, true, true, false, false]);
    assert!(found[3].0 < 0.4 && found[4].0 < 0.5, "{found:?}");
}

#[test]
fn nobody_waits_without_a_queue_or_for_a_server_that_has_failed() {
    let mut alone = plan(3, 10, 30 * SECOND);
    alone.settings.queue = None;
    let served = |plan: Plan| ends(&finished(plan)).iter().map(|(_, is_served)| *is_served).collect::<Vec<_>>();
    assert_eq!(served(alone), [true, false, false]);
    let mut dead = plan(3, 10, 30 * SECOND);
    dead.servers[0] = ServerPlan { max: 1, ..ServerPlan::new(&[Reach::Refuses]) };
    let world = finished(dead);
    assert!(ends(&world).iter().all(|(end, is_served)| !is_served && *end < 0.5));
}

#[test]
fn a_place_that_a_waiting_client_left_is_the_next_one_s() {
    let mut plan = plan(4, 10, 30 * SECOND);
    plan.events.push((500 * MS, Action::Cut(1, false)));
    let world = finished(plan);
    let end = |number| (world.client(number).ended_at - 1_000_000_000) as f64 / 1e9;
    assert!((2.0..2.3).contains(&end(2)) && (3.0..3.4).contains(&end(3)), "{} {}", end(2), end(3));
}
