//! What goes wrong because an operator wants it to: when exactly, and how it looks from both ends. And a capture whose
//! disk is full, which nobody notices.

use std::time::Duration;

use pen::balance::settings::{CaptureSpec, Fault};

use super::dialogue::Dialogue;
use super::directed::{ended_after, server};
use super::peer::Sight;
use super::peer::Step::{End, Fin, Heard, Rest, Send};
use super::plan::{Buffers, Plan};
use super::run::finished_by;
use super::world::World;

const MS: Duration = Duration::from_millis(1);

fn with_fault(fault: Option<Fault>, tells_all: bool, dialogue: &Dialogue) -> World {
    let mut plan = Plan::plain(1, std::slice::from_ref(dialogue));
    plan.settings.fault = fault;
    plan.odds.tells_all = tells_all;
    // An edge may tell of bytes where there are none.
    plan.odds.spurious = 2;
    plan.pipes = 100;
    // What waits is in the kernels.
    plan.odds.buffers = Buffers::Huge;
    finished_by(plan, 3)
}

/// The same with and without the fault, on both sorts of network.
fn twins(fault: Fault, dialogue: &Dialogue) -> Vec<[World; 2]> {
    [true, false].map(|all| [with_fault(Some(fault), all, dialogue), with_fault(None, all, dialogue)]).into()
}

/// By how much the client of one world ends later than that of the other.
fn later(late: &World, plain: &World) -> Duration {
    Duration::from_nanos(late.client(0).ended_at - plain.client(0).ended_at)
}

#[test]
fn a_delay_holds_each_chunk_for_its_time_and_loses_nothing() {
    // Chunks at odd times, each way, alone.
    let rests = [0, 130, 350, 7, 901].map(|millis| millis * MS);
    let mut client = vec![Rest(150 * MS)];
    let mut server = Vec::new();
    for (round, rest) in (1..).zip(rests) {
        client.extend([Send(100), Heard(round * 3_000), Rest(rest)]);
        server.extend([Heard(round * 100), Send(3_000)]);
    }
    client.extend([Fin, End]);
    server.extend([End, Fin]);
    let dialogue = Dialogue::polite(500, 15_000, &client, &server);
    for [late, plain] in twins(Fault::Delay(200 * MS), &dialogue) {
        // Five questions, five answers, and both ends.
        let more = later(&late, &plain);
        assert!((2_400 * MS..2_401 * MS).contains(&more), "{more:?}");
    }
}

#[test]
fn a_delay_takes_as_long_for_much_as_for_little() {
    for bytes in [10, 400_000] {
        for [late, plain] in twins(Fault::Delay(500 * MS), &Dialogue::request(10, bytes)) {
            let more = later(&late, &plain);
            // The request, the answer, and its end, which may come with what is before it.  The network is as quick or slow
            // by some microseconds.
            assert!((999 * MS..1_501 * MS).contains(&more), "{bytes}: {more:?}");
        }
    }
}

#[test]
fn a_throttle_keeps_its_rate_each_way() {
    for (rate, bytes) in [(100_000, 300_000), (1_000, 5_000), (3, 30)] {
        let fault = Fault::Throttle(rate);
        for dialogue in [Dialogue::request(1, bytes), Dialogue::upload(bytes, 1, Duration::ZERO)] {
            for [slow, _] in twins(fault, &dialogue) {
                let (time, expected) = (ended_after(&slow, 0), bytes as f64 / f64::from(rate));
                assert!((0.95 * expected - 0.4..1.05 * expected + 0.9).contains(&time), "{fault}: {time}");
            }
        }
    }
}

#[test]
fn after_so_many_bytes_a_client_sees_a_reset_and_never_a_good_end_or_with_truncate_always_one() {
    let client = [Send(10), End];
    let server_does = [Heard(10), Send(50_000), End];
    let dialogue = Dialogue::rude(10, 50_000, &client, &server_does);
    for after in [0, 1, 100, 40_000, 50_000] {
        for (fault, sight) in [(Fault::Reset(after), Sight::Reset), (Fault::Truncate(after), Sight::Fin)] {
            for tells_all in [true, false] {
                let mut plan = Plan::plain(1, std::slice::from_ref(&dialogue));
                plan.settings.fault = Some(fault);
                plan.odds.tells_all = tells_all;
                plan.has_cuts = true;
                let world = finished_by(plan, after);
                assert_eq!((world.client(0).received, world.client(0).sight), (after, Some(sight)), "{fault}");
                assert!(server(&world, 0).has_ended && ended_after(&world, 0) < 0.5, "{fault}");
            }
        }
    }
}

#[test]
fn a_disk_that_is_full_anywhere_in_a_capture_takes_nothing_from_the_traffic() {
    for seed in 0..60 {
        let mut plan = Plan::plain(1, &[Dialogue::exchange(5, 2_000, 4_000), Dialogue::flood(30_000, 50_000)]);
        (plan.odds.disk, plan.odds.short) = (2, 2);
        let (size, rotate) = if seed % 2 == 0 { (None, None) } else { (Some(20_000), Some(3)) };
        plan.capture = Some(CaptureSpec { path: "pen.pcapng".into(), size, seconds: None, rotate });
        // The judges of every run want all bytes, both ends, whole blocks, and losses said once.
        let world = finished_by(plan, seed);
        assert!(world.fates.iter().all(|fate| !fate.was_hit) && !world.captures.is_empty());
    }
}
