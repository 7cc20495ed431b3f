//! The comparisons of the same work in two situations: with few and with many others, near and far, in one process and
//! in two.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bench::{Bench, Standing};
use super::client::{Goal, Load};
use super::memory::IDLE;
use super::peers::{self, Kind, Task};
use super::process::Process;
use super::report::{Cell, Table, median};
use super::wire::Unit;

const PAGE: Unit = Unit::exchange(64, 1024);
const REQUEST: Unit = Unit::exchange(64, 64);

/// Connections that do something while others are idle.
const BUSY: usize = 64;

/// Who needs longer for a round of growth does one only: some cost a hundred times as much beside many.
const LONG: Duration = Duration::from_secs(20);

/// So many short connections, 64 at a time: nanoseconds of the balancer's processor, and of the clock.
fn short(at: std::net::SocketAddr, units: u64, cpu: impl Fn() -> u64) -> io::Result<(f64, f64)> {
    let mut load = Load::new(at)?;
    let (before, begun) = (cpu(), Instant::now());
    load.reach(Goal { units, short: Some((BUSY, PAGE)) })?;
    Ok(((cpu() - before) as f64, begun.elapsed().as_nanos() as f64))
}

/// What a short connection and a small request cost beside whoever else is there: microseconds of the balancer's
/// processor.
fn busy(balancer: &Standing, units: u64) -> io::Result<[f64; 2]> {
    balancer.settle();
    let connections = short(balancer.at, units, || balancer.cpu())?.0;
    balancer.settle();
    let mut load = Load::new(balancer.at)?;
    load.open(BUSY)?;
    balancer.settle();
    let goal = load.begin(REQUEST, units.div_ceil(BUSY as u64));
    let before = balancer.cpu();
    load.reach(goal)?;
    let requests = (balancer.cpu() - before) as f64;
    drop(load);
    balancer.settle();
    Ok([connections / units as f64 / 1e3, requests / goal.units as f64 / 1e3])
}

fn number(value: Option<f64>, digits: usize) -> Cell {
    value.map_or(Cell::None, |value| Cell::Number(value, digits))
}

/// Whether a connection and a request cost more where many others are open.
pub fn growth(bench: &mut Bench) -> io::Result<Table> {
    let (few, many) = (100, if bench.is_quick { 1_000 } else { IDLE - 100 });
    let (units, times) = if bench.is_quick { (2_000, 1) } else { (4_000, bench.rounds.min(5)) };
    let mut standing: Vec<Standing> = Vec::new();
    for peer in bench.peers.clone().iter().filter(|(kind, _)| *kind != Kind::Direct) {
        standing.push(bench.start(peer, many + BUSY, false)?);
    }
    // For each balancer: a connection beside few and beside many, a request beside few and beside many.
    let mut costs: Vec<[Vec<f64>; 4]> = vec![Default::default(); standing.len()];
    let mut longest = vec![Duration::ZERO; standing.len()];
    for _ in 0..times {
        for ((balancer, costs), longest) in standing.iter_mut().zip(&mut costs).zip(&mut longest) {
            if *longest > LONG {
                continue;
            }
            let begun = Instant::now();
            let round = bench.attempt(balancer, |balancer| {
                let mut idle = Load::new(balancer.at)?;
                let mut both = [[0.0; 2]; 2];
                for (count, cost) in [few, many].into_iter().zip(&mut both) {
                    idle.open(count - idle.len())?;
                    *cost = busy(balancer, units)?;
                }
                drop(idle);
                balancer.settle();
                let [few, many] = both;
                Ok([few[0], many[0], few[1], many[1]])
            });
            *longest = begun.elapsed();
            for (costs, cost) in costs.iter_mut().zip(round.into_iter().flatten()) {
                costs.push(cost);
            }
        }
    }
    let rows = standing.iter().zip(&costs).map(|(balancer, costs)| {
        let cells = costs.chunks(2).zip([1, 2]).flat_map(|(costs, digits)| {
            let (few, many) = (median(&costs[0]), median(&costs[1]));
            let growth = few.zip(many).map(|(few, many)| many / few);
            [number(few, digits), number(many, digits), number(growth, 2)]
        });
        (balancer.name(), cells.collect())
    });
    Ok(Table {
        title: format!("Growth: short connections and small requests beside {few} and beside {many} idle connections"),
        note: format!(
            "Median of {times} rounds, or one of who needs long for it; {BUSY} short connections at a time, then {BUSY} kept ones."
        ),
        rows: rows.collect(),
        columns: vec![
            "CPU µs/connection beside few",
            "CPU µs/connection beside many",
            "growth of a connection",
            "CPU µs/request beside few",
            "CPU µs/request beside many",
            "growth of a request",
        ],
    })
}

/// How long a client waits for the first byte from a server that is far away.
pub fn distance(bench: &mut Bench) -> io::Result<Table> {
    let title = String::from("A server 25 ms away, each way: time to the first byte");
    let columns = vec!["median ms", "least", "most"];
    let far = std::env::var("PEERS_FAR").unwrap_or_default();
    let wire = std::env::var("PEERS_WIRE").unwrap_or_default();
    if far.is_empty() || wire.is_empty() {
        return Ok(Table { title, note: String::from("Not done: it takes root."), columns, rows: Vec::new() });
    }
    let times = if bench.is_quick { 5 } else { 15 };
    let program = std::env::current_exe()?.display().to_string();
    let inside = |space: &str, words: &[&str], name: &str| {
        let command = ["ip", "netns", "exec", space, &program].into_iter().chain(words.iter().copied());
        Process::start(&command.map(String::from).collect::<Vec<_>>(), "0-4095", bench.dir.join(name))
    };
    let mut delay = inside(&wire, &["delay", "left", "right", "25"], "delay")?;
    delay.wait_for_word("up")?;
    let mut server = inside(&far, &["serve", "10.77.0.2:7000"], "far")?;
    server.wait_for_word("listening")?;
    let at = std::net::SocketAddr::from(([10, 77, 0, 2], 7_000));
    let mut standing = Vec::new();
    let pen = bench.peers.iter().find(|(kind, _)| *kind == Kind::Pen).map(|(_, program)| program.clone());
    let idlers = pen.map(|program| (Kind::PenIdlers, program));
    let all: Vec<(Kind, PathBuf)> = bench.peers.iter().cloned().chain(idlers).collect();
    for peer in all {
        let mut balancer = bench.begin(&peer, 100, false, at)?;
        bench.wait_for(&mut balancer);
        standing.push(balancer);
    }
    let mut waits = vec![Vec::new(); standing.len()];
    for _ in 0..times {
        for (balancer, waits) in standing.iter_mut().zip(&mut waits) {
            let wait = bench.attempt(balancer, |balancer| Load::new(balancer.at)?.first_byte());
            waits.extend(wait.map(|wait| wait.as_secs_f64() * 1e3));
        }
    }
    let rows = standing.iter().zip(&waits).map(|(balancer, waits)| {
        let least = waits.iter().copied().min_by(f64::total_cmp);
        let most = waits.iter().copied().max_by(f64::total_cmp);
        (balancer.name(), vec![number(median(waits), 1), number(least, 1), number(most, 1)])
    });
    let note = format!(
        "Of {times} connections, from the client's connect to the first byte of the answer. One round trip is 50 ms: \
         the handshake takes one, the request another."
    );
    Ok(Table { title, note, rows: rows.collect(), columns })
}

/// What two processes on one port do that one does not.
pub fn processes(bench: &mut Bench) -> io::Result<Table> {
    let title = String::from("This pen in 1 and in 2 processes (`-o reuseport`): 64 short connections at a time");
    let columns =
        vec!["CPU µs/connection", "connections/s", "busiest process", "capacity, each with a processor of its own"];
    let (units, times) = if bench.is_quick { (3_000, 2) } else { (12_000, bench.rounds) };
    let Some((_, program)) = bench.peers.iter().find(|(kind, _)| *kind == Kind::Pen).cloned() else {
        return Ok(Table { title, note: String::from("Not done: pen takes no part."), columns, rows: Vec::new() });
    };
    let mut costs = [Vec::new(), Vec::new()];
    let mut rates = [Vec::new(), Vec::new()];
    let mut shares = [Vec::new(), Vec::new()];
    let mut standing = Vec::new();
    for count in [1_u16, 2] {
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], bench.next_port));
        bench.next_port += 1;
        let mut pen_options = bench.pen_options.clone();
        pen_options.extend(["-h", "-o", "reuseport"].map(String::from));
        let task = Task { listen, server: bench.server, connections: 200, is_bulk: false, pen_options };
        let mut all = Vec::new();
        for number in 0..count {
            let dir = bench.dir.join(format!("process-{number}"));
            let mut process = peers::start(Kind::Pen, &program, &task, &bench.cpu, &dir)?;
            process.wait_for(listen)?;
            all.push(process);
        }
        standing.push((listen, all));
    }
    for _ in 0..times {
        for (at, (listen, all)) in standing.iter().enumerate() {
            let before: Vec<u64> = all.iter().map(Process::cpu).collect();
            let (cpu, time) = short(*listen, units, || all.iter().map(Process::cpu).sum())?;
            let used: Vec<u64> = all.iter().zip(before).map(|(process, before)| process.cpu() - before).collect();
            let most = *used.iter().max().unwrap_or(&0) as f64 / used.iter().sum::<u64>() as f64;
            costs[at].push(cpu / units as f64 / 1e3);
            rates[at].push(units as f64 / time * 1e9);
            shares[at].push(most);
            all.iter().for_each(Process::settle);
        }
    }
    // As much as the busiest process can do when its processor is full.
    let capacity = |at: usize| Some(1e6 / (median(&costs[at])? * median(&shares[at])?));
    let rows = (0..2).map(|at| {
        let share = median(&shares[at]).map(|share| share * 100.0);
        let growth = capacity(at).zip(capacity(0)).map(|(now, one)| now / one);
        let share = share.map_or(Cell::None, |share| Cell::Word(format!("{share:.0} %")));
        let growth = growth.map_or(Cell::None, |growth| Cell::Word(format!("{growth:.2} times one")));
        let cells = vec![number(median(&costs[at]), 1), number(median(&rates[at]), 0), share, growth];
        (format!("{} process{}", at + 1, if at == 0 { "" } else { "es" }), cells)
    });
    let note = format!(
        "Median of {times} rounds. All processes share one processor here, and so connections/s cannot grow; what \
         counts is that a connection costs no more, and how evenly the kernel shares them out."
    );
    Ok(Table { title, note, rows: rows.collect(), columns })
}
