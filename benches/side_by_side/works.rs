//! The pieces of work whose cost is a processor's time: bulk, small requests, short connections.

use std::io;
use std::time::Instant;

use super::bench::{Bench, Standing};
use super::calls::Counting;
use super::client::{Goal, Load};
use super::peers::Kind;
use super::report::{Cell, Table, median};
use super::wire::Unit;

const MIB: u64 = 1 << 20;

/// A piece of work, as `--work` names it.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub name: &'static str,
    pub title: &'static str,
    /// Connections at once.
    connections: usize,
    unit: Unit,
    /// Units in one round, on all connections together; each on a connection of its own if `is_short`.
    units: u64,
    is_short: bool,
    /// Another process, which never sleeps, has half of the balancer's processor.
    is_shared: bool,
}

const REQUEST: Unit = Unit::exchange(64, 64);
const PAGE: Unit = Unit::exchange(64, 1024);
const DOWN: Unit = Unit { up: 0, early: 1024 * MIB, late: 0, is_last: false, is_skimmed: false };
const UP: Unit = Unit { up: 1024 * MIB, early: 0, late: 1, is_last: false, is_skimmed: false };
const BOTH: Unit = Unit { up: 48 * MIB, early: 48 * MIB, late: 0, is_last: false, is_skimmed: false };

const fn kept(name: &'static str, title: &'static str, connections: usize, unit: Unit, each: u64) -> Work {
    Work { name, title, connections, unit, units: connections as u64 * each, is_short: false, is_shared: false }
}

const fn short(name: &'static str, title: &'static str, connections: usize, unit: Unit, units: u64) -> Work {
    Work { name, title, connections, unit, units, is_short: true, is_shared: false }
}

const fn on_half(work: Work) -> Work {
    Work { is_shared: true, ..work }
}

/// All of them, each about as much as a balancer does in a second.
pub const WORKS: [Work; 11] = [
    kept("bulk16", "Bulk, 16 connections, both directions at once", 16, BOTH, 1),
    on_half(kept(
        "half16",
        "The same on half a processor, the other half of which somebody else has: here the balancer is the limit",
        16,
        BOTH,
        1,
    )),
    kept("bulk1", "Bulk, 1 connection, from the server", 1, DOWN, 1),
    kept("bulk1up", "Bulk, 1 connection, to the server", 1, UP, 1),
    kept("small1", "64 bytes there and back on 1 kept connection", 1, REQUEST, 12_000),
    kept("small64", "64 bytes there and back on 64 kept connections", 64, REQUEST, 900),
    kept("small1000", "64 bytes there and back on 1000 kept connections", 1_000, REQUEST, 45),
    short("short1", "Connect, 64 bytes there, 1 KiB back, close: one at a time", 1, PAGE, 6_000),
    short("short64", "Connect, 64 bytes there, 1 KiB back, close: 64 at a time", 64, PAGE, 12_000),
    short("page1", "Connect, 64 bytes there, 1 KiB back, and the server closes: one at a time", 1, PAGE.last(), 6_000),
    short(
        "page64",
        "Connect, 64 bytes there, 1 KiB back, and the server closes: 64 at a time",
        64,
        PAGE.last(),
        12_000,
    ),
];

/// What one round of one balancer came to.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Seconds of its processor, and of the clock.
    cpu: f64,
    time: f64,
}

impl Work {
    fn is_bulk(&self) -> bool {
        self.unit.received().max(self.unit.sent()) >= MIB
    }

    /// The same in less time.
    pub fn quick(self) -> Work {
        let Unit { up, early, .. } = self.unit;
        match self.is_bulk() {
            true => Work { unit: Unit { up: up / 8, early: early / 8, ..self.unit }, ..self },
            false => {
                Work { units: (self.units / 8 / self.connections as u64).max(1) * self.connections as u64, ..self }
            }
        }
    }

    /// How much one round is, in what its cost is told for: GiB, or units.
    fn amount(&self) -> f64 {
        match self.is_bulk() {
            true => (self.unit.sent() + self.unit.received()) as f64 * self.units as f64 / (1024 * MIB) as f64,
            false => self.units as f64,
        }
    }

    /// All balancers side by side.
    pub fn compare(&self, bench: &mut Bench) -> io::Result<Table> {
        let mut standing = bench.start_all(self.connections, self.is_bulk())?;
        let _other = if self.is_shared { Some(bench.occupy()?) } else { None };
        let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); standing.len()];
        for _ in 0..bench.rounds {
            for (at, balancer) in standing.iter_mut().enumerate() {
                if let Some(round) = bench.attempt(balancer, |balancer| self.round(balancer)) {
                    rounds[at].push(round);
                }
            }
        }
        let mut calls = Vec::new();
        for balancer in &mut standing {
            calls.push(bench.attempt(balancer, |balancer| self.calls(bench, balancer)).flatten());
        }
        Ok(self.table(bench, &standing, &rounds, &calls))
    }

    fn prepare(&self, load: &mut Load, is_skimmed: bool) -> io::Result<Goal> {
        if self.is_short {
            return Ok(Goal { units: self.units, short: Some((self.connections, self.unit)) });
        }
        load.open(self.connections)?;
        let unit = Unit { is_skimmed, ..self.unit };
        Ok(load.begin(unit, self.units / self.connections as u64))
    }

    fn round(&self, balancer: &mut Standing) -> io::Result<Round> {
        let mut load = Load::new(balancer.at)?;
        let goal = self.prepare(&mut load, self.is_bulk())?;
        let (cpu, begun) = (balancer.cpu(), Instant::now());
        load.reach(goal)?;
        let time = begun.elapsed().as_secs_f64();
        let round = Round { cpu: (balancer.cpu() - cpu) as f64 / 1e9, time };
        drop(load);
        balancer.settle();
        Ok(round)
    }

    fn calls(&self, bench: &Bench, balancer: &mut Standing) -> io::Result<Option<f64>> {
        let (Some(counter), Some(process)) = (bench.counter, &balancer.process) else { return Ok(None) };
        let mut load = Load::new(balancer.at)?;
        let goal = self.prepare(&mut load, false)?;
        let counting = Counting::begin(counter, &process.family(), &bench.dir)?;
        load.reach(goal)?;
        let calls = counting.end()?;
        drop(load);
        balancer.settle();
        Ok(Some(calls as f64))
    }

    fn table(&self, bench: &Bench, standing: &[Standing], rounds: &[Vec<Round>], calls: &[Option<f64>]) -> Table {
        let amount = self.amount();
        let middle = |rounds: &[Round], of: fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
        let cost = |at: usize| middle(&rounds[at], |round| round.cpu).filter(|_| standing[at].kind != Kind::Direct);
        let is_peer =
            |at: &usize| !matches!(standing[*at].kind, Kind::Direct | Kind::Pen | Kind::PenIdlers | Kind::PenCapped);
        let best = (0..standing.len()).filter(is_peer).filter_map(cost).min_by(f64::total_cmp);
        let (scale, digits, columns) = match self.is_bulk() {
            true => (1.0, 3, vec!["CPU s/GiB", "to the best peer", "spread", "GiB/s", "calls/GiB", "own MB"]),
            false if self.is_short => {
                (1e6, 1, vec!["CPU µs/connection", "to the best peer", "spread", "connections/s", "calls", "own MB"])
            }
            false => (1e6, 2, vec!["CPU µs/request", "to the best peer", "spread", "requests/s", "calls", "own MB"]),
        };
        let row = |at: usize| {
            let balancer = &standing[at];
            if let Some(why) = &balancer.failure {
                let rest = vec![Cell::None; columns.len() - 1];
                return (balancer.name(), [vec![Cell::Word(format!("failed: {why}"))], rest].concat());
            }
            let number = |value: Option<f64>, digits| value.map_or(Cell::None, |value| Cell::Number(value, digits));
            let rate = middle(&rounds[at], |round| round.time).map(|time| amount / time);
            let spread = cost(at).map(|middle| {
                let costs = rounds[at].iter().map(|round| round.cpu);
                let (low, high) = costs.fold((f64::MAX, 0.0_f64), |(low, high), cpu| (low.min(cpu), high.max(cpu)));
                Cell::Word(format!("{:+.0} to {:+.0} %", (low / middle - 1.0) * 100.0, (high / middle - 1.0) * 100.0))
            });
            let cells = vec![
                number(cost(at).map(|cost| cost / amount * scale), digits),
                number(cost(at).zip(best).map(|(cost, best)| cost / best), 2),
                spread.unwrap_or(Cell::None),
                number(rate, if self.is_bulk() { 2 } else { 0 }),
                number(calls[at].map(|calls| calls / amount), if self.is_bulk() { 0 } else { 1 }),
                number(balancer.process.as_ref().map(|process| process.usage().pss as f64 / 1e6), 1),
            ];
            (balancer.name(), cells)
        };
        let note = format!("Median of {} rounds, and the spread around it.", bench.rounds);
        Table { title: self.title.into(), note, rows: (0..standing.len()).map(row).collect(), columns }
    }
}
