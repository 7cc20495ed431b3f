//! One scenario each, written down rather than drawn.

use std::time::Duration;

use pen::net::Signal;
use pen::proxy::Nobody;

use super::choices::Choices;
use super::dialogue::Dialogue;
use super::peer::Step::{Abort, Close, End, Fin, Heard, Rest, Send, Urge};
use super::peer::{Peer, Reader, Sight};
use super::plan::{Buffers, Lack, LackWindow, Plan, Reach, ServerPlan};
use super::run::{finished, finished_by, proxy, run, turn_until, world};
use super::world::{Action, Far, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Seconds of virtual time from the start to when a client closed its socket.
pub fn ended_after(world: &World, client: usize) -> f64 {
    (world.client(client).ended_at - 1_000_000_000) as f64 / 1e9
}

pub fn server(world: &World, client: usize) -> &Peer {
    world.server_line(client).expect("it is served").peer.as_ref().expect("it is connected")
}

/// Which address of which server a client got.
fn served_by(world: &World, client: usize) -> Option<String> {
    world.server_line(client).map(|line| format!("{:?}", line.far))
}

/// Pairs that there are after so many seconds, and the trace until then.
pub fn pairs_after(mut plan: Plan, seconds: u64) -> (usize, String) {
    // Something must happen then, or time would jump further.
    plan.events.push((Duration::from_secs(seconds), Action::Send(Signal::Hangup)));
    let world = world(plan, Choices::seed(1), true);
    let mut proxy = proxy(&world);
    while world.borrow().now < (seconds + 1) * 1_000_000_000 {
        proxy.turn(&mut Nobody).unwrap();
    }
    let trace = world.borrow().trace();
    (proxy.pairs(), trace)
}

fn with_reach(reach: &[&[Reach]], dialogues: &[Dialogue]) -> Plan {
    let servers = reach.iter().map(|reach| ServerPlan::new(reach)).collect();
    Plan { servers, ..Plan::plain(0, dialogues) }
}

#[test]
fn half_closes_in_any_order_lose_no_byte() {
    for buffers in [Buffers::Plain, Buffers::Tiny, Buffers::Huge] {
        let mut dialogues = Vec::new();
        for (up, down) in [(0, 0), (1, 0), (0, 1), (50_000, 50_000), (0, 400_000), (400_000, 0), (200_000, 400_000)] {
            for rest in [Duration::ZERO, 500 * MS] {
                dialogues.push(Dialogue::upload(up, down, rest));
                dialogues.push(Dialogue::download(up, down, rest));
            }
            dialogues.push(Dialogue::flood(up, down));
            dialogues.push(Dialogue::request(up, down));
        }
        let mut plan = Plan::plain(2, &dialogues);
        plan.odds.buffers = buffers;
        // The judge of every run wants all bytes and both ends.
        let world = finished(plan);
        assert!(world.fates.iter().all(|fate| !fate.was_hit));
    }
}

#[test]
fn a_reset_is_passed_on_as_a_reset_after_what_came_before_it() {
    let table = [
        // The server resets once all it sent has arrived; the client reads on.
        (Dialogue::rude(10, 30_000, &[Send(10), End], &[Heard(10), Send(30_000), Rest(SECOND), Abort]), 30_000, 10),
        (Dialogue::rude(10, 0, &[Send(10), Fin, End], &[Heard(10), Rest(SECOND), Abort]), 0, 10),
        // The client resets, before and after it said that this was all.
        (Dialogue::rude(30_000, 0, &[Send(30_000), Rest(SECOND), Abort], &[End]), 0, 30_000),
    ];
    // How the edge tells of the reset is drawn.
    for ((dialogue, down, up), seed) in table.iter().flat_map(|row| (0..16).map(move |seed| (row, seed))) {
        let world = finished_by(Plan::plain(1, std::slice::from_ref(dialogue)), seed);
        let (client, server) = (world.client(0), server(&world, 0));
        let seen = [client.sight, server.sight];
        assert!(seen.contains(&Some(Sight::Reset)), "{seen:?}");
        assert_ne!(client.sight, Some(Sight::Fin));
        assert_eq!((client.received, server.received), (*down, *up));
        for peer in [client, server] {
            assert!((peer.ended_at - 1_000_000_000) as f64 / 1e9 < 1.1, "seed {seed}: it was passed on at once");
        }
    }
}

#[test]
fn bytes_before_a_reset_reach_a_slow_reader() {
    let abort = [Heard(10), Send(60_000), Rest(200 * MS), Abort];
    let dialogue = Dialogue::rude(10, 60_000, &[Send(10), End], &abort);
    let mut plan = Plan::plain(1, &[dialogue.read_by(Reader::Slow(2_000, 100 * MS), Reader::Eager)]);
    plan.client_buffer = Some(2_000);
    let world = finished(plan);
    assert_eq!((world.client(0).received, world.client(0).sight), (60_000, Some(Sight::Reset)));
}

#[test]
fn a_reset_after_the_end_is_noticed() {
    let hour = 3_600 * SECOND;
    let table = [
        Dialogue::rude(0, 500, &[Heard(500), Rest(hour)], &[Send(500), Fin, Rest(SECOND), Abort]),
        Dialogue::rude(500, 0, &[Send(500), Fin, Rest(SECOND), Abort], &[End, Rest(hour)]),
    ];
    for dialogue in table {
        let (pairs, trace) = pairs_after(Plan::plain(1, &[dialogue]), 2);
        assert_eq!(pairs, 0, "{trace}");
    }
}

#[test]
fn a_pair_whose_client_is_gone_does_not_wait_for_a_server_that_only_writes() {
    let server = [Send(400_000), End];
    let dialogue = Dialogue::rude(400_000, 400_000, &[Send(400_000), End], &server);
    let mut plan = Plan::plain(1, &[dialogue.read_by(Reader::Never, Reader::After(600 * SECOND))]);
    plan.odds.buffers = Buffers::Tiny;
    plan.events.push((5 * SECOND, Action::Cut(0, false)));
    let (pairs, trace) = pairs_after(plan, 40);
    assert_eq!(pairs, 0, "{trace}");
}

#[test]
fn what_a_full_sink_leaves_over_follows_after_the_end_of_its_source() {
    for reader in [Reader::After(3 * SECOND), Reader::Slow(1_000, 10 * MS)] {
        let down = Dialogue::request(10, 150_000).read_by(reader, Reader::Eager);
        let up = Dialogue::upload(150_000, 10, Duration::ZERO).read_by(Reader::Eager, reader);
        let mut plan = Plan::plain(1, &[down, up]);
        plan.odds.buffers = Buffers::Tiny;
        finished(plan);
    }
}

#[test]
fn lack_of_descriptors_to_accept_is_waited_for_without_a_spin() {
    let mut plan = Plan::plain(1, &vec![Dialogue::request(100, 100); 5]);
    plan.lacks.push(LackWindow { from: Duration::ZERO, until: 2_500 * MS, lack: Lack::Descriptors });
    let world = finished(plan);
    assert!((0..5).all(|client| world.client(client).received == 100));
    // Relief comes after 2.5 s, and all are served within a second of it.
    assert!((0..5).all(|client| (2.5..3.5).contains(&ended_after(&world, client))));
    // One attempt a second, then five clients and the end of the queue, twice.
    assert!(world.calls.accept <= 10, "{:?}", world.calls);
    let warnings = world.said.iter().filter(|text| text.contains("cannot accept")).count();
    assert_eq!(warnings, 1, "{:?}", world.said);
}

#[test]
fn accepting_goes_on_as_soon_as_a_pair_gives_its_descriptors_back() {
    let long = Dialogue::exchange(1, 100, 100).read_by(Reader::Eager, Reader::After(300 * MS));
    let mut plan = Plan::plain(1, &[long, Dialogue::request(100, 100)]);
    plan.clients[1].at = 10 * MS;
    plan.descriptors = 3;
    let world = finished(plan);
    let (first, second) = (ended_after(&world, 0), ended_after(&world, 1));
    assert!(second < first + 0.1, "the second client was accepted when the first had gone: {first} {second}");
}

#[test]
fn lack_of_descriptors_for_the_server_is_not_its_fault() {
    // There is one for the listener, two for the first pair, and one for the second client.
    let long = Dialogue::exchange(1, 100, 100).read_by(Reader::Eager, Reader::After(700 * MS));
    let mut plan = Plan::plain(2, &[long, Dialogue::request(100, 100)]);
    plan.clients[1].at = 10 * MS;
    plan.descriptors = 4;
    let world = finished(plan);
    assert_eq!((world.client(0).received, world.client(1).received), (100, 100));
    let (first, second) = (ended_after(&world, 0), ended_after(&world, 1));
    assert!(second < first + 0.2, "it was tried again soon after the relief: {first} {second}");
    assert!(!world.said.iter().any(|text| text.contains("failed")), "{:?}", world.said);
    assert!(world.calls.connect <= 12, "one attempt in a tenth of a second: {:?}", world.calls);
}

#[test]
fn lack_of_ports_that_lasts_sends_the_client_away_with_a_fin() {
    let mut plan = Plan::plain(2, &[Dialogue::request(100, 100)]);
    plan.servers[0].max = 1;
    plan.servers[1].max = 1;
    plan.lacks.push(LackWindow { from: Duration::ZERO, until: 60 * SECOND, lack: Lack::Ports });
    let world = finished(plan);
    assert_eq!(world.client(0).sight, Some(Sight::Fin));
    assert!((5.0..5.3).contains(&ended_after(&world, 0)));
    let [said] = &world.said[..] else { panic!("{:?}", world.said) };
    assert!(said.contains(" is refused: cannot connect to server 0 ("), "no server has failed: {said}");
}

#[test]
fn the_limit_of_pairs_holds_and_every_client_gets_its_turn_without_a_spin() {
    let mut plan = Plan::plain(1, &vec![Dialogue::upload(100, 100, 100 * MS); 20]);
    plan.common.conn_max = 3;
    let world = finished(plan);
    assert_eq!(world.peaks.0, 1 + 2 * 3);
    assert!(world.calls.wait < 20 * 20, "{:?}", world.calls);
    assert!(world.calls.accept <= 20 + 4, "{:?}", world.calls);
}

#[test]
fn the_limit_of_connects_holds_and_every_client_gets_its_turn_without_a_spin() {
    for reach in [Reach::Late(200 * MS), Reach::Lost] {
        let mut plan = with_reach(&[&[reach], &[Reach::Late(100 * MS)]], &vec![Dialogue::request(100, 100); 20]);
        plan.settings.pending_max = 3;
        let world = finished(plan);
        assert_eq!(world.peaks.1, 3);
        assert!(world.calls.wait < 20 * 25, "{:?}", world.calls);
    }
}

#[test]
fn with_no_blacklisting_and_all_servers_dead_the_search_ends() {
    use Reach::{Lost, Refuses, RefusesAtOnce, Unreachable};
    let mut plan = with_reach(&[&[Refuses], &[RefusesAtOnce], &[Lost], &[Unreachable]], &[Dialogue::request(100, 100)]);
    plan.settings.blacklist = Duration::ZERO;
    let world = finished(plan);
    assert_eq!(world.calls.connect, 4);
    assert_eq!((world.client(0).sight, world.client(0).received), (Some(Sight::Fin), 0));
    assert!((5.0..5.2).contains(&ended_after(&world, 0)));
}

#[test]
fn each_address_of_a_name_is_tried_before_the_server_counts_as_failed() {
    use Reach::{Lost, Refuses, RefusesAtOnce, Sound, Unreachable};
    let addresses = [Refuses, RefusesAtOnce, Lost, Unreachable, RefusesAtOnce, Sound];
    let world = finished(with_reach(&[&addresses, &[Sound]], &[Dialogue::request(40_000, 100)]));
    assert_eq!(served_by(&world, 0).as_deref(), Some("Server(0, 5)"));
    assert_eq!((world.calls.connect, world.said.len()), (6, 0));
    let world = finished(with_reach(&[&addresses[..5], &[Sound]], &[Dialogue::request(40_000, 100)]));
    assert_eq!(served_by(&world, 0).as_deref(), Some("Server(1, 0)"));
    assert_eq!((world.calls.connect, world.said.len()), (6, 1));
}

#[test]
fn a_server_whose_source_is_not_there_is_passed_over_at_once_and_not_blamed() {
    use Reach::{NoSource, Sound};
    let dialogues = vec![Dialogue::request(100, 100); 3];
    let world = finished(with_reach(&[&[NoSource], &[Sound]], &dialogues));
    for client in 0..3 {
        assert_eq!(served_by(&world, client).as_deref(), Some("Server(1, 0)"));
        assert!(ended_after(&world, client) < 0.5, "nobody has waited");
    }
    // Nothing is said of a blacklist, and of the source once.
    assert_eq!(world.said.len(), 1, "{:?}", world.said);
    assert!(world.said[0].ends_with(": its source is not here"), "{:?}", world.said);
    let alone = finished(with_reach(&[&[NoSource]], &dialogues));
    for client in 0..3 {
        assert_eq!((alone.client(client).sight, alone.client(client).received), (Some(Sight::Fin), 0));
        assert!(ended_after(&alone, client) < 0.5, "nobody waits for what does not come");
    }
    assert_eq!(alone.said.len(), 1, "{:?}", alone.said);
}

#[test]
fn a_connect_that_takes_too_long_makes_way_for_the_next_server() {
    let dialogue = Dialogue::request(40_000, 100);
    let late = Reach::Late(5_001 * MS);
    let mut plan = with_reach(&[&[late], &[Reach::Late(4_999 * MS)]], &[dialogue.clone(), dialogue]);
    plan.clients[1].at = 12 * SECOND;
    let world = finished(plan);
    assert_eq!(served_by(&world, 0).as_deref(), Some("Server(1, 0)"));
    assert!((9.999..10.2).contains(&ended_after(&world, 0)));
    // The second one was not offered the first server, which is blacklisted.
    assert_eq!((served_by(&world, 1).as_deref(), world.calls.connect), (Some("Server(1, 0)"), 3));
}

#[test]
fn each_connect_has_its_own_time() {
    let late: &[Reach] = &[Reach::Late(4_998 * MS)];
    for (first, seed) in (0..32).map(|seed| ([Reach::Refuses, Reach::RefusesAfter(4_990 * MS)][seed % 2], seed)) {
        let mut plan = with_reach(&[&[first], late], &[Dialogue::request(100, 100)]);
        if seed % 2 == 1 {
            // The timer of the first attempt goes off in the turn in which the second begins.
            plan.odds.lazy = 1;
            plan.servers[1].reach = vec![Reach::Sound];
        }
        let world = finished_by(plan, seed as u64);
        assert_eq!((world.client(0).received, world.calls.connect), (100, 2));
        assert!(!world.said.iter().any(|text| text.contains("server 1")), "{:?}", world.said);
    }
}

#[test]
fn a_connect_that_is_over_has_no_time_when_that_of_another_ends() {
    // Both clients come at once. The first one's server is silent; the other's has refused meanwhile, and its next one
    // takes nearly as long as it may.
    let reach: &[&[Reach]] = &[&[Reach::Lost], &[Reach::RefusesAfter(1_000 * MS)], &[Reach::Late(4_998 * MS)]];
    let world = finished(with_reach(reach, &[Dialogue::request(100, 100), Dialogue::request(100, 100)]));
    assert_eq!([0, 1].map(|client| world.client(client).received), [100, 100]);
    assert!(world.said.iter().any(|text| text.contains("server 0")), "{:?}", world.said);
    assert!(!world.said.iter().any(|text| text.contains("server 2")), "{:?}", world.said);
}

#[test]
fn what_came_before_pen_noticed_the_connect_is_not_forgotten() {
    // pen looks late: the connect, the bytes and the end are one edge.
    for seed in 0..40 {
        let mut plan = Plan::plain(1, &[Dialogue::download(100, 5_000, Duration::ZERO)]);
        plan.odds.lazy = 2;
        finished_by(plan, seed);
    }
}

#[test]
fn a_server_that_never_heard_of_a_client_that_broke_is_told_of_a_break() {
    // Its connection stands, and pen has not noticed when it learns that the client is gone.
    let mut unnoticed = 0;
    for seed in 0..40 {
        let dialogue = Dialogue::rude(100, 0, &[Send(100), Rest(20 * MS), Abort], &[Heard(100), End]);
        let mut plan = with_reach(&[&[Reach::Late(20 * MS)]], &[dialogue]);
        plan.odds.lazy = 1;
        let world = finished_by(plan, seed);
        let line = world.lines.iter().find(|line| line.far != Far::Client && !line.was_used);
        let Some(peer) = line.and_then(|line| line.peer.as_ref()) else { continue };
        assert_eq!((peer.received, peer.sight), (0, Some(Sight::Reset)), "{seed}: {}", world.trace());
        unnoticed += 1;
    }
    assert!(unnoticed > 0, "it happened");
}

#[test]
fn a_client_that_leaves_while_pen_connects_takes_its_connect_along() {
    for seed in 0..16 {
        let dialogue = Dialogue::rude(100, 0, &[Send(100), Rest(SECOND), Abort], &[]);
        let mut plan = with_reach(&[&[Reach::Lost], &[Reach::Lost]], &[dialogue]);
        plan.settings.connect_timeout = 100 * SECOND;
        let world = finished_by(plan, seed);
        assert_eq!((world.calls.connect, world.lines[1].was_used), (1, false));
    }
}

#[test]
fn more_than_a_turn_may_carry_is_carried_without_further_edges() {
    // Everything has come before pen may look, and all of it would fit on the other side.
    for up in [300_000, 900_000] {
        let mut plan = Plan::plain(1, &[Dialogue::upload(up, 0, Duration::ZERO)]);
        plan.servers[0].reach = vec![Reach::Late(SECOND)];
        plan.odds.buffers = Buffers::Huge;
        finished(plan);
    }
}

#[test]
fn a_silent_pair_is_closed_with_a_fin_and_one_cut_short_with_a_reset() {
    let quiet = Dialogue::rude(100, 100, &[Send(100), Heard(100), End], &[Heard(100), Send(100), End]);
    let half_closed = Dialogue::rude(100, 0, &[Send(100), Fin, End], &[End, Rest(60 * SECOND), Close]);
    let mut plan = Plan::plain(1, &[quiet, half_closed]);
    plan.settings.idle_timeout = 10 * SECOND;
    // The end of the quiet pair is pen's, so the judge would call it false.
    let world = world(plan, Choices::seed(1), true);
    turn_until(&mut proxy(&world), &world, |_, proxy| proxy.pairs() == 0);
    let world = world.borrow();
    let sights = [0, 1].map(|client| world.client(client).sight);
    assert_eq!(sights, [Some(Sight::Fin), Some(Sight::Reset)]);
    assert_eq!(server(&world, 0).sight, Some(Sight::Fin));
    assert!((10.0..10.1).contains(&ended_after(&world, 0)) && (10.0..10.1).contains(&ended_after(&world, 1)));
}

#[test]
fn a_pair_is_not_silent_while_a_slow_reader_takes_what_is_held() {
    let slow = Dialogue::request(10, 70_000).read_by(Reader::Slow(1_000, SECOND), Reader::Eager);
    let mut plan = Plan::plain(1, &[slow]);
    plan.client_buffer = Some(2_000);
    plan.settings.idle_timeout = 20 * SECOND;
    finished(plan);
}

#[test]
fn whom_nobody_serves_gets_a_fin_though_it_goes_on_sending() {
    let mut plan = with_reach(&[&[Reach::RefusesAtOnce]], &vec![Dialogue::request(300_000, 100); 2]);
    plan.odds.buffers = Buffers::Tiny;
    let world = finished(plan);
    for client in [0, 1] {
        assert_eq!((world.client(client).sight, world.client(client).received), (Some(Sight::Fin), 0));
        assert!(ended_after(&world, client) < 1.0);
    }
}

#[test]
fn whom_nobody_serves_is_closed_though_it_does_not_go() {
    let stays = Dialogue::rude(0, 0, &[Rest(100 * SECOND), Send(10), End], &[]);
    let plan = with_reach(&[&[Reach::RefusesAtOnce]], &[stays]);
    assert_eq!(pairs_after(plan.clone(), 1).0, 1);
    assert_eq!(pairs_after(plan, 3).0, 0);
}

#[test]
fn a_server_serves_once_its_name_has_an_address() {
    let mut plan = with_reach(&[&[Reach::RefusesAtOnce, Reach::Sound]], &vec![Dialogue::request(100, 100); 2]);
    plan.servers[0].named = Some((2, SECOND));
    plan.clients[1].at = 64 * SECOND;
    let world = finished(plan);
    // Two questions without an answer, half a minute apart each, and one with.
    assert_eq!([0, 1].map(|client| world.client(client).received), [0, 100]);
    assert_eq!(world.calls.resolve, 3);
}

#[test]
fn at_the_end_a_quiet_pair_gets_a_fin_and_one_cut_short_a_reset() {
    let quiet = Dialogue::rude(100, 100, &[Send(100), Heard(100), End], &[Heard(100), Send(100), End]);
    let busy = Dialogue::rude(10, 900_000, &[Send(10), End], &[Heard(10), Send(900_000), Fin, End]);
    let mut plan = Plan::plain(1, &[quiet, busy.read_by(Reader::Slow(1_000, 100 * MS), Reader::Eager)]);
    plan.odds.buffers = Buffers::Tiny;
    plan.ends_at = Some(SECOND);
    let world = world(plan, Choices::seed(1), true);
    run(&world);
    let world = world.borrow();
    let sights = [0, 1].map(|client| world.client(client).sight);
    assert_eq!(sights, [Some(Sight::Fin), Some(Sight::Reset)]);
    assert_eq!(server(&world, 1).sight, Some(Sight::Reset));
}

#[test]
fn a_stubborn_pen_tries_one_server() {
    let mut plan = with_reach(&[&[Reach::Refuses], &[Reach::Sound]], &[Dialogue::request(100, 100)]);
    plan.settings.modes.stubborn = true;
    let world = finished(plan);
    assert_eq!((world.calls.connect, world.client(0).sight), (1, Some(Sight::Fin)));
}

#[test]
fn a_read_that_need_not_be_made_misses_nothing() {
    for seed in 0..60 {
        let dialogues = [
            Dialogue::urgent(3, 0, 0),
            Dialogue::urgent(3, 10, 10),
            Dialogue::urgent(2, 0, 3_000),
            // All of it may be there, the end too, before pen looks.
            Dialogue::polite(21, 5, &[Send(10), Urge, Send(10), Fin, End], &[End, Send(5), Fin]),
            Dialogue::polite(10, 21, &[Send(10), End, Fin], &[Heard(10), Send(10), Urge, Send(10), Fin, End]),
            Dialogue::request(10, 100),
            Dialogue::exchange(5, 10, 10),
            Dialogue::upload(100, 100, 10 * MS),
        ];
        let mut plan = Plan::plain(1, &dialogues);
        plan.odds.tells_all = true;
        plan.odds.lazy = [0, 2][seed % 2];
        plan.odds.late_edge = 3;
        finished_by(plan, seed as u64);
    }
}

/// Bulk both ways, with these many pipes.
fn bulk(pipes: usize) -> Plan {
    let dialogues = [
        Dialogue::flood(900_000, 700_000),
        Dialogue::request(10, 900_000).read_by(Reader::Slow(20_000, 5 * MS), Reader::Eager),
        Dialogue::upload(600_000, 300_000, 100 * MS),
    ];
    let mut plan = Plan { pipes, ..Plan::plain(1, &dialogues) };
    // What is bulk comes faster than pen looks.
    plan.odds.lazy = 1;
    plan
}

#[test]
fn bulk_goes_through_pipes_and_arrives_whole() {
    for (buffers, tells_all, seed) in
        [Buffers::Plain, Buffers::Mixed, Buffers::Huge].into_iter().flat_map(|b| [(b, true, 1), (b, false, 2)])
    {
        let mut plan = bulk(100);
        (plan.odds.buffers, plan.odds.tells_all) = (buffers, tells_all);
        let world = finished_by(plan, seed);
        assert!(world.calls.splice > 5, "{:?}", world.calls);
    }
}

#[test]
fn without_a_pipe_to_be_had_bulk_is_copied() {
    let mut lack = bulk(100);
    lack.lacks.push(LackWindow { from: 20 * MS, until: 60 * SECOND, lack: Lack::Descriptors });
    for (plan, most) in [(bulk(0), 0), (bulk(1), u64::MAX), (lack, u64::MAX)] {
        let world = finished(plan);
        assert!(world.calls.splice <= most, "{:?}", world.calls);
    }
}

#[test]
fn bytes_in_a_pipe_make_a_transfer_a_cut_one() {
    let server = [Heard(10), Send(900_000), Rest(600 * SECOND), End];
    let dialogue = Dialogue::rude(10, 900_000, &[Send(10), End], &server);
    let mut plan = Plan::plain(1, &[dialogue.read_by(Reader::After(30 * SECOND), Reader::Eager)]);
    plan.pipes = 100;
    plan.ends_at = Some(10 * SECOND);
    let world = world(plan, Choices::seed(1), true);
    run(&world);
    let world = world.borrow();
    assert!(world.calls.splice > 0);
    assert_eq!(world.client(0).sight, Some(Sight::Reset));
}

#[test]
fn what_is_dumped_or_logged_is_read() {
    for (debug, has_log) in [(2, false), (0, true)] {
        let mut plan = bulk(100);
        plan.common.debug = debug;
        plan.has_log = has_log;
        let calls = finished(plan).calls;
        assert_eq!(calls.splice > 0, debug < 2, "{calls:?}");
    }
}

#[test]
fn a_flood_holds_nobody_up() {
    let mut plan = Plan::plain(1, &[Dialogue::flood(3_000_000, 3_000_000), Dialogue::request(100, 100)]);
    plan.clients[1].at = MS;
    let world = finished(plan);
    assert!(ended_after(&world, 1) < ended_after(&world, 0));
}
