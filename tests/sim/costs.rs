//! What cannot wobble is asserted: how many calls to the seam the common cases cost.

use super::dialogue::Dialogue;
use super::plan::Plan;
use super::run::finished;
use super::world::Calls;

fn calls(dialogue: Dialogue) -> Calls {
    finished(Plan::plain(1, &[dialogue])).calls
}

#[test]
fn a_small_request_on_a_kept_connection_costs_eight_calls() {
    let (few, many) = (calls(Dialogue::exchange(10, 100, 1_000)), calls(Dialogue::exchange(110, 100, 1_000)));
    let each = |count: fn(&Calls) -> u64| (count(&many) - count(&few)) as f64 / 100.0;
    // Each way: an edge, the bytes, their way out, and that there are no more.
    assert_eq!(each(|calls| calls.wait), 2.0);
    assert_eq!(each(|calls| calls.read), 4.0);
    assert_eq!(each(|calls| calls.write), 2.0);
    assert_eq!(each(|calls| calls.take_error + calls.connected + calls.unsent + calls.no_delay), 0.0);
    assert_eq!(each(|calls| calls.watch + calls.accept + calls.connect + calls.say + calls.dump), 0.0);
}

#[test]
fn a_pair_is_watched_twice_in_its_life() {
    let clients = 50;
    let calls = finished(Plan::plain(2, &vec![Dialogue::request(100, 1_000); clients])).calls;
    let clients = clients as u64;
    assert_eq!((calls.watch, calls.connect, calls.connected), (2 * clients, clients, clients));
    assert_eq!(calls.shutdown_write, 2 * clients);
    assert_eq!((calls.take_error, calls.unsent, calls.reset_on_drop, calls.no_delay), (0, 0, 0, 0));
}
