//! What cannot wobble is asserted: how many calls to the seam the common cases cost.

use std::time::Duration;

use super::dialogue::Dialogue;
use super::peer::Step::{End, Fin, Heard, Rest, Send};
use super::plan::{Buffers, Plan};
use super::run::finished;
use super::world::Calls;

/// The calls of a run, on a network that tells all or not.
fn calls(tells_all: bool, dialogues: &[Dialogue]) -> Calls {
    let mut plan = Plan::plain(1, dialogues);
    plan.odds.tells_all = tells_all;
    finished(plan).calls
}

#[test]
fn a_small_request_on_a_kept_connection_costs_six_calls_or_eight_where_not_all_is_told() {
    // Each way: an edge, the bytes, their way out; and that there are no more.
    for (tells_all, reads) in [(true, 2.0), (false, 4.0)] {
        let run = |rounds| calls(tells_all, &[Dialogue::exchange(rounds, 100, 1_000)]);
        let (few, many) = (run(10), run(110));
        let each = |count: fn(&Calls) -> u64| (count(&many) - count(&few)) as f64 / 100.0;
        assert_eq!(each(|calls| calls.wait), 2.0);
        assert_eq!(each(|calls| calls.read), reads);
        assert_eq!(each(|calls| calls.write), 2.0);
        assert_eq!(each(|calls| calls.take_error + calls.connected + calls.unsent + calls.no_delay), 0.0);
        assert_eq!(each(|calls| calls.watch + calls.accept + calls.connect + calls.say + calls.dump), 0.0);
        assert_eq!(each(|calls| calls.shutdown_write + calls.settle + calls.reset_on_drop + calls.memory), 0.0);
    }
}

#[test]
fn a_short_connection_costs_nothing_that_tells_what_is_known_already() {
    let clients = 50;
    for (tells_all, reads) in [(true, 4), (false, 6)] {
        let calls = calls(tells_all, &vec![Dialogue::request(100, 1_000); clients]);
        let clients = clients as u64;
        assert_eq!((calls.watch, calls.connect, calls.connected), (2 * clients, clients, clients));
        // The bytes of each side and both ends; and elsewhere that there are no more bytes.
        assert_eq!(calls.read, reads * clients);
        assert_eq!(calls.write, 2 * clients);
        // The end of the second direction is told by closing.
        assert_eq!(calls.shutdown_write, clients);
        assert_eq!((calls.take_error, calls.unsent, calls.reset_on_drop, calls.no_delay), (0, 0, 0, 0));
        assert_eq!(calls.settle, 0);
    }
}

#[test]
fn last_bytes_leave_with_the_end_where_both_are_known() {
    let dialogue = Dialogue::polite(10, 20, &[Send(10), Heard(20), End, Fin], &[Heard(10), Send(20), Fin, End]);
    for (tells_all, last) in [(true, 1), (false, 0)] {
        let mut plan = Plan::plain(1, std::slice::from_ref(&dialogue));
        plan.odds.tells_all = tells_all;
        // The end is there when pen notices the answer.
        plan.odds.lazy = 1;
        let calls = finished(plan).calls;
        assert_eq!((calls.write_last, calls.write), (last, 2));
    }
    // An end that comes later is waited for by nobody.
    assert_eq!(calls(true, &[Dialogue::request(100, 1_000)]).write_last, 0);
}

#[test]
fn connections_that_come_one_at_a_time_ask_for_memory_once() {
    let run = |clients: usize| {
        let mut plan = Plan::plain(1, &vec![Dialogue::exchange(1, 100, 1_000); clients]);
        plan.odds.tells_all = true;
        for (number, client) in plan.clients.iter_mut().enumerate() {
            client.at = Duration::from_secs(number as u64);
        }
        finished(plan).calls
    };
    let (few, many) = (run(1), run(20));
    assert_eq!(few.memory, many.memory, "a ring and slots, for the first of them");
    let each = |count: fn(&Calls) -> u64| (count(&many) - count(&few)) as f64 / 19.0;
    // Each thing that happens is waited for: who comes, the connect, the request, the answer, both ends; and one more.
    assert!(each(|calls| calls.wait) <= 7.5, "{many:?}");
    assert_eq!((each(|calls| calls.read), each(|calls| calls.write)), (4.0, 2.0));
}

#[test]
fn more_of_a_crowd_is_let_come_and_few_do_not_wait() {
    let run = |clients: usize, bulk: usize| {
        let mut dialogues = vec![Dialogue::exchange(100, 100, 1_000); clients];
        dialogues.extend(vec![Dialogue::request(10, 4_000_000); bulk]);
        let mut plan = Plan::plain(1, &dialogues);
        plan.odds.buffers = Buffers::Huge;
        // Several things happen between two looks.
        plan.odds.lazy = 1;
        finished(plan).calls
    };
    let (lone, few, crowd) = (run(1, 0), run(20, 0), run(60, 0));
    assert_eq!((lone.gather, few.gather), (0, 0), "{lone:?} {few:?}");
    assert!(crowd.gather > 0, "{crowd:?}");
    // Where there is more to do at once, nothing is waited for: the world would say so.
    assert!(run(60, 4).gather > 0);
}

#[test]
fn what_a_server_says_at_once_is_read_once() {
    let greeting = [Send(10), Heard(10), Send(10), Fin, End];
    let dialogue = Dialogue::polite(10, 20, &[Heard(10), Send(10), End, Fin], &greeting);
    for (tells_all, reads) in [(true, 4), (false, 7)] {
        let mut plan = Plan::plain(1, std::slice::from_ref(&dialogue));
        plan.odds.tells_all = tells_all;
        // The greeting is there when pen notices the connect.
        plan.odds.lazy = 1;
        assert_eq!(finished(plan).calls.read, reads);
    }
}

#[test]
fn a_connection_that_lasts_is_settled_once() {
    let lasts = |seconds| {
        let rest = Duration::from_secs(seconds);
        let server = [Heard(10), Send(10), End, Fin];
        Dialogue::polite(10, 10, &[Send(10), Heard(10), Rest(rest), Fin, End], &server)
    };
    assert_eq!(calls(true, &[lasts(1), lasts(4)]).settle, 0);
    assert_eq!(calls(true, &[lasts(6), lasts(60), lasts(1)]).settle, 2);
}

#[test]
fn a_mebibyte_through_pipes_costs_less_than_half_the_calls_of_copying() {
    let run = |pipes, bytes| {
        let mut plan = Plan::plain(1, &[Dialogue::request(10, bytes)]);
        plan.odds.buffers = Buffers::Huge;
        plan.odds.tells_all = true;
        // What is bulk comes faster than pen looks.
        plan.odds.lazy = 1;
        plan.pipes = pipes;
        let calls = finished(plan).calls;
        (calls.read, calls.write, calls.splice)
    };
    let (copied, moved) = (run(0, 4_000_000), run(100, 4_000_000));
    assert!(moved.2 > 0 && copied.2 == 0, "{copied:?} {moved:?}");
    assert!(2 * (moved.0 + moved.1 + moved.2) < copied.0 + copied.1, "{copied:?} {moved:?}");
    // Little is never moved.
    let small = |calls: (u64, u64, u64)| calls.2;
    assert_eq!(small(run(100, 60_000)), 0);
}
