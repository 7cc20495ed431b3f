//! FTP through the event loop: worlds drawn from seeds, and some that are written down.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use pen::balance::settings::Protocol;
use pen::base::addr::Endpoint;

use super::choices::Choices;
use super::dialogue::Dialogue;
use super::ftp::{Side, Transfer};
use super::peer::{Reader, Sight};
use super::plan::{Lack, LackWindow, Odds, Plan};
use super::run::{finished, finished_by, run, world};
use super::world::{Action, World};

const SECOND: Duration = Duration::from_secs(1);

/// Clients with these transfers, and one server.
fn plan(transfers: &[Vec<Transfer>]) -> Plan {
    let dialogues = vec![Dialogue::request(0, 0); transfers.len()];
    let mut plan = Plan::plain(1, &dialogues);
    plan.settings.protocol = Protocol::Ftp;
    plan.ftp = Some(transfers.to_vec());
    plan.pipes = 100;
    plan
}

fn random(choices: &mut Choices, with_faults: bool) -> Plan {
    let clients = choices.between(1, 5);
    let mut some = |_| {
        let count = choices.between(1, 5);
        (0..count).map(|_| Transfer::random(choices, with_faults)).collect()
    };
    let transfers: Vec<Vec<Transfer>> = (0..clients).map(&mut some).collect();
    let mut plan = Plan { odds: Odds::random(choices, with_faults), ..plan(&transfers) };
    plan.odds.leaves = 0;
    plan.odds.preempted = *choices.pick(&[0, 2, 10]);
    plan.has_faults = with_faults;
    plan.common.debug = *choices.pick(&[0, 1, 2]);
    for client in &mut plan.clients {
        client.at = choices.micros(0, 500_000);
        client.from = Endpoint::inet(format!("10.1.0.{}:2000", 1 + choices.below(4)).parse().unwrap());
    }
    if choices.one_in(4) {
        plan.settings.idle_timeout = 100 * SECOND;
    }
    if with_faults {
        for client in 0..plan.clients.len() {
            if choices.one_in(4) {
                plan.events.push((choices.micros(0, 2_000_000), Action::Cut(client, choices.one_in(2))));
            }
            if choices.one_in(4) {
                plan.events.push((choices.micros(0, 2_000_000), Action::CutData(client)));
            }
        }
        for _ in 0..choices.below(3) {
            let from = choices.millis(0, 2_000);
            let until = from + choices.millis(1, 500);
            let lack = *choices.pick(&[Lack::Descriptors, Lack::Memory, Lack::Ports, Lack::Buffers]);
            plan.lacks.push(LackWindow { from, until, lack });
        }
        if choices.one_in(8) {
            plan.ends_at = Some(choices.millis(0, 3_000));
        }
        if choices.one_in(4) {
            plan.common.conn_max = 2;
        }
    }
    plan
}

fn world_of(seed: u64, traced: bool) -> super::run::Shared {
    let mut choices = Choices::seed(seed);
    let plan = random(&mut choices, !seed.is_multiple_of(3));
    world(plan, choices, traced)
}

#[test]
fn random_transfers_are_whole_or_seen_to_be_cut_and_nothing_is_left() {
    let seeds = match std::env::var("FTP_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("a number");
            seed..seed + 1
        }
        Err(_) => 0..std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(300),
    };
    for seed in seeds {
        let Err(failure) = catch_unwind(|| run(&world_of(seed, false))) else { continue };
        let again = world_of(seed, true);
        let _ = catch_unwind(AssertUnwindSafe(|| run(&again)));
        println!("{}\nFTP_SEED={seed} runs it again", again.borrow().trace());
        resume_unwind(failure);
    }
}

fn transfer(is_passive: bool, is_upload: bool, bytes: u64) -> Transfer {
    let (comes, stranger, hurries) = (true, false, false);
    Transfer { is_passive, is_upload, bytes, comes, stranger, patience: 3 * SECOND, hurries, reader: Reader::Eager }
}

fn outcome(world: &World, number: usize) -> Option<u16> {
    world.ftp.as_ref().unwrap().outcomes.get(&(0, number)).copied()
}

#[test]
fn transfers_of_both_modes_and_both_directions_follow_each_other() {
    let all = [(true, true), (true, false), (false, true), (false, false)];
    let transfers: Vec<Transfer> =
        all.into_iter().map(|(is_passive, is_upload)| transfer(is_passive, is_upload, 400_000)).collect();
    let world = finished(plan(&[transfers.clone(), transfers]));
    assert!((0..4).all(|number| outcome(&world, number) == Some(226)));
}

#[test]
fn who_stands_behind_a_stranger_is_let_in_before_its_port_is_replaced() {
    for seed in 0..200 {
        let behind = Transfer { stranger: true, hurries: true, ..transfer(false, false, 400) };
        let mut plan = plan(&[vec![behind, transfer(true, false, 400)]]);
        // So much happens within a turn that the next command may be there in the next.
        plan.odds.preempted = 2;
        plan.odds.interrupted = 5;
        plan.odds.latency = (0, 1);
        let world = finished_by(plan, seed);
        assert_eq!((outcome(&world, 0), outcome(&world, 1)), (Some(226), Some(226)));
    }
}

#[test]
fn a_file_that_never_got_through_is_no_empty_file() {
    // The server's side of the data connection stands, pen has not noticed, and the control connection breaks.
    for cut_at in 0..400 {
        let mut plan = plan(&[vec![transfer(true, true, 400)]]);
        plan.has_faults = true;
        plan.odds.lazy = 1;
        plan.events.push((Duration::from_millis(cut_at), Action::Cut(0, true)));
        finished_by(plan, cut_at);
    }
}

#[test]
fn a_port_to_which_nobody_comes_is_closed_after_a_minute_and_not_before() {
    let mut no_show = transfer(true, false, 100);
    (no_show.comes, no_show.patience) = (false, 100 * SECOND);
    let mut plan = plan(&[vec![no_show]]);
    plan.has_faults = true;
    let world = finished(plan);
    assert_eq!(outcome(&world, 0), Some(425));
    let trace = world.trace();
    let at = |what: &str| -> f64 {
        let line = trace.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}"));
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let time = at("pen closes the data port") - at("pen opens the data port");
    assert!((60.0..60.1).contains(&time), "{time}");
}

#[test]
fn a_control_connection_is_not_idle_while_data_moves() {
    let mut slow = transfer(true, false, 100_000);
    slow.reader = Reader::Slow(1_000, Duration::from_millis(500));
    let mut plan = plan(&[vec![slow]]);
    plan.settings.idle_timeout = 10 * SECOND;
    plan.client_buffer = Some(4_096);
    plan.odds.buffers = super::plan::Buffers::Tiny;
    let world = finished(plan);
    assert_eq!(outcome(&world, 0), Some(226));
}

#[test]
fn without_descriptors_the_client_is_told_and_without_memory_it_is_served_all_the_same() {
    for (lack, expected) in [(Lack::Descriptors, 425), (Lack::Buffers, 226)] {
        let mut plan = plan(&[vec![transfer(true, false, 1_000)]]);
        plan.has_faults = true;
        plan.events.push((SECOND / 50, Action::Stray));
        // Both are connected by then, and the client has not asked yet.
        plan.odds.latency = (20_000, 20_000);
        plan.lacks.push(LackWindow { from: SECOND / 25, until: SECOND, lack });
        let world = finished(plan);
        assert_eq!(outcome(&world, 0), Some(expected), "{lack:?}");
    }
}

#[test]
fn a_data_connection_that_cannot_be_connected_on_for_want_of_ports_is_reset_in_the_end() {
    let plain = || {
        let patient = Transfer { patience: 10 * SECOND, ..transfer(true, false, 1_000) };
        let mut plan = plan(&[vec![patient]]);
        plan.has_faults = true;
        plan.odds.latency = (20_000, 20_000);
        plan
    };
    let opened = opened_at(&finished(plain()));
    let mut plan = plain();
    // The port is open, and the client does not know of it yet.
    let from = Duration::from_secs_f64(opened - 1.0) + Duration::from_millis(1);
    plan.lacks.push(LackWindow { from, until: 60 * SECOND, lack: Lack::Ports });
    let world = finished(plan);
    assert_eq!(outcome(&world, 0), Some(425));
    let client = world.data_peer((0, 0, Side::Client)).unwrap();
    assert_eq!((client.received, client.sight), (0, Some(Sight::Reset)));
}

/// When pen opened its first data port.
fn opened_at(world: &World) -> f64 {
    let trace = world.trace();
    let line = trace.lines().find(|line| line.contains("pen opens the data port")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
