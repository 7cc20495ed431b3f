//! How long a pair lasts in which nothing moves: one scenario each.

use std::time::Duration;

use super::choices::Choices;
use super::dialogue::Dialogue;
use super::directed::{ended_after, pairs_after, server};
use super::peer::Step::{self, Close, End, Fin, Heard, Rest, Send};
use super::peer::{Reader, Sight};
use super::plan::{Buffers, Plan};
use super::run::{finished, proxy, turn_until, world};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

#[test]
fn a_half_closed_pair_in_which_nothing_moves_is_reset_after_its_time_and_not_before() {
    let hour = 3_600 * SECOND;
    // The second one lasts longer in all, but never so long without a byte.
    let silent = Dialogue::rude(100, 0, &[Rest(3 * SECOND), Send(100), Fin, End], &[End, Rest(hour), Close]);
    let step = [Send(10), Rest(8 * SECOND)].repeat(6);
    let lively = Dialogue::polite(100, 60, &[Send(100), Fin, End], &[&[End][..], &step, &[Close]].concat());
    let mut plan = Plan::plain(1, &[silent, lively]);
    plan.settings.half_closed_timeout = 10 * SECOND;
    plan.settings.idle_timeout = 100 * SECOND;
    let world = world(plan, Choices::seed(1), true);
    turn_until(&mut proxy(&world), &world, |_, proxy| proxy.pairs() == 0);
    let world = world.borrow();
    assert_eq!(world.client(0).sight, Some(Sight::Reset));
    assert!((13.0..13.1).contains(&ended_after(&world, 0)), "{}", ended_after(&world, 0));
    assert_eq!((world.client(1).sight, world.client(1).received), (Some(Sight::Fin), 60));
}

#[test]
fn a_server_that_has_ended_is_reset_when_its_client_never_ends() {
    let script = [Heard(100), Rest(3_600 * SECOND), Close];
    let dialogue = Dialogue::rude(0, 100, &script, &[Send(100), Fin, End]);
    let mut plan = Plan::plain(1, &[dialogue]);
    plan.settings.half_closed_timeout = 10 * SECOND;
    let world = world(plan, Choices::seed(1), true);
    let mut proxy = proxy(&world);
    turn_until(&mut proxy, &world, |_, proxy| proxy.pairs() == 0);
    let world = world.borrow();
    // The client had its end already, and a reset after it changes nothing.
    assert_eq!((world.client(0).sight, server(&world, 0).sight), (Some(Sight::Fin), Some(Sight::Reset)));
    assert!((10.0..10.1).contains(&(server(&world, 0).ended_at as f64 / 1e9 - 1.0)));
}

#[test]
fn a_pair_whose_peer_takes_nothing_is_reset_after_its_time() {
    let hour = 3_600 * SECOND;
    let client = [Send(100), Rest(hour), Close];
    let deaf =
        Dialogue::rude(100, 400_000, &client, &[Heard(100), Send(400_000), End]).read_by(Reader::Never, Reader::Eager);
    let mut plan = Plan::plain(1, &[deaf]);
    plan.odds.buffers = Buffers::Tiny;
    plan.settings.stuck_timeout = 30 * SECOND;
    let (pairs, trace) = pairs_after(plan.clone(), 28);
    assert_eq!(pairs, 1, "{trace}");
    plan.common.debug = 1;
    let (pairs, trace) = pairs_after(plan.clone(), 39);
    assert_eq!(pairs, 0, "{trace}");
    assert!(trace.contains("closed, stuck, the client takes nothing; 100 bytes up"), "{trace}");
    // For ever, if that is what the operator wants.
    plan.settings.stuck_timeout = Duration::ZERO;
    assert_eq!(pairs_after(plan, 2_000).0, 1);
}

#[test]
fn a_pair_whose_bytes_wait_in_a_pipe_is_reset_after_its_time_as_any() {
    let client = [Send(100), Rest(3_600 * SECOND), Close];
    let deaf = Dialogue::rude(100, 4_000_000, &client, &[Heard(100), Send(4_000_000), End])
        .read_by(Reader::After(3_000 * SECOND), Reader::Eager);
    let mut plan = Plan { pipes: 100, ..Plan::plain(1, &[deaf]) };
    plan.odds.buffers = Buffers::Huge;
    // What is bulk comes faster than pen looks.
    plan.odds.lazy = 1;
    plan.settings.stuck_timeout = 30 * SECOND;
    assert_eq!(pairs_after(plan.clone(), 28).0, 1);
    let (pairs, trace) = pairs_after(plan, 45);
    assert!(trace.contains("pen moves from line"), "{trace}");
    assert_eq!(pairs, 0, "{trace}");
}

#[test]
fn a_pair_is_not_stuck_while_its_reader_takes_a_byte_now_and_then_nor_for_the_other_direction() {
    // The client takes little at a time; meanwhile the server's bytes do not count for the client's.
    let slow = Dialogue::request(10, 7_000).read_by(Reader::Slow(100, 9 * SECOND), Reader::Eager);
    let mut plan = Plan::plain(1, &[slow]);
    plan.client_buffer = Some(100);
    plan.settings.stuck_timeout = 20 * SECOND;
    plan.settings.idle_timeout = 20 * SECOND;
    finished(plan);
    // Bytes that go down do not keep alive what is stuck on its way up.
    let beats = [Send(10), Rest(SECOND)].repeat(200);
    let client = [Send(400_000), Rest(3_600 * SECOND), Close];
    let one_way = Dialogue::rude(400_000, 2_000, &client, &beats).read_by(Reader::Eager, Reader::Never);
    let mut plan = Plan::plain(1, &[one_way]);
    plan.odds.buffers = Buffers::Tiny;
    plan.settings.stuck_timeout = 20 * SECOND;
    plan.settings.idle_timeout = 30 * SECOND;
    let (pairs, trace) = pairs_after(plan.clone(), 18);
    assert_eq!(pairs, 1, "{trace}");
    let (pairs, trace) = pairs_after(plan, 26);
    assert_eq!(pairs, 0, "{trace}");
}

#[test]
fn bytes_that_the_kernel_still_has_for_a_slow_reader_count() {
    // The kernel has room again only when a third of its buffer is free, every two minutes or so.
    let dialogue = Dialogue::request(10, 120_000).read_by(Reader::Slow(500, 4 * SECOND), Reader::Eager);
    let mut plan = Plan::plain(1, &[dialogue]);
    plan.client_buffer = Some(50_000);
    plan.settings.stuck_timeout = 20 * SECOND;
    finished(plan);
    // Here it has all of it from the beginning, and the server has gone.
    let dialogue = Dialogue::request(10, 60_000).read_by(Reader::Slow(500, 8 * SECOND), Reader::Eager);
    let mut plan = Plan::plain(1, &[dialogue]);
    plan.client_buffer = Some(30_000);
    plan.settings.idle_timeout = 10 * SECOND;
    plan.settings.half_closed_timeout = 9 * SECOND;
    finished(plan);
}

// B26: in pen 0.34.1 the time grows with the table, above its size it never comes, and half-closed pairs have none.
#[test]
fn b26_a_silent_pair_is_closed_in_time_whatever_the_table_and_whatever_its_state() {
    let rest = 3_000 * SECOND;
    let table = [
        Dialogue::rude(100, 0, &[Send(100), End], &[Heard(100), End]),
        Dialogue::rude(100, 0, &[Send(100), Fin, End], &[End, Rest(rest), Close]),
        Dialogue::rude(0, 100, &[Heard(100), Rest(rest), Close], &[Send(100), Fin, End]),
    ];
    for dialogue in table {
        for conn_max in [1, 500, 100_000] {
            for limit in [2, 3, 700, 1_000] {
                let mut plan = Plan::plain(1, std::slice::from_ref(&dialogue));
                plan.common.conn_max = conn_max;
                plan.settings.idle_timeout = limit * SECOND;
                plan.settings.half_closed_timeout = 2_000 * SECOND;
                let before = pairs_after(plan.clone(), u64::from(limit) - 1);
                assert_eq!(before.0, 1, "{conn_max} {limit}: {}", before.1);
                let after = pairs_after(plan, u64::from(limit) + 1);
                assert_eq!(after.0, 0, "{conn_max} {limit}: {}", after.1);
            }
        }
    }
}

#[test]
fn who_spoke_while_pen_was_stopped_is_not_taken_for_silent() {
    // The client speaks every 400 ms. pen is stopped when it has just waited for a time that was up, once for its limit
    // and once before, and looks at the clock when it goes on.
    let speaks: Vec<Step> = (0..12).flat_map(|_| [Send(10), Rest(400 * MS)]).chain([End]).collect();
    for at in [400 * MS, 990 * MS, 1_790 * MS] {
        let mut plan = Plan::plain(1, &[Dialogue::polite(120, 10, &speaks, &[Heard(120), Send(10)])]);
        plan.settings.idle_timeout = SECOND;
        plan.stops = vec![(at, 1_500 * MS)];
        let world = finished(plan);
        assert_eq!(world.client(0).received, 10, "{at:?}: {}", world.trace());
    }
}
