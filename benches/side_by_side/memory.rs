//! The comparisons in which memory is the cost: idle connections, slow readers, and a balancer at rest.

use std::fs;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use super::bench::{Bench, Standing};
use super::client::Load;
use super::peers::Kind;
use super::process::Usage;
use super::report::{Cell, Table, median};
use super::wire::Unit;

/// Idle connections in a full comparison: two descriptors each, of which many systems allow a process 20,000.
pub const IDLE: usize = 9_900;

const READERS: usize = 200;

/// The cells of one round, each a number; the table has their medians.
type Numbers = Vec<Option<f64>>;

/// A balancer, what its rounds came to, and why it takes no further part.
type Row = (String, Vec<Numbers>, Option<String>);

/// Each balancer anew in each round, one after the other; `further` is this pen in another way.
fn rounds(
    bench: &mut Bench,
    further: Option<Kind>,
    count: usize,
    connections: usize,
    is_bulk: bool,
    round: impl Fn(&mut Standing) -> io::Result<Numbers>,
) -> io::Result<Vec<Row>> {
    let mut peers: Vec<_> = bench.peers.iter().filter(|(kind, _)| *kind != Kind::Direct).cloned().collect();
    if let Some(place) = peers.iter().position(|(kind, _)| *kind == Kind::Pen) {
        let program = peers[place].1.clone();
        peers.splice(place + 1..place + 1, further.map(|kind| (kind, program)));
    }
    let mut all: Vec<_> = peers.iter().map(|(kind, _)| (kind.name().to_string(), Vec::new(), None)).collect();
    for _ in 0..count {
        for (peer, (_, numbers, failure)) in peers.iter().zip(&mut all).filter(|(_, row)| row.2.is_none()) {
            let mut standing = bench.start(peer, connections, is_bulk)?;
            numbers.extend(bench.attempt(&mut standing, &round));
            *failure = standing.failure;
        }
    }
    Ok(all)
}

fn table(title: String, note: String, columns: &[(&'static str, usize)], all: Vec<Row>) -> Table {
    let row = |(name, rounds, failure): Row| {
        let cell = |at: usize| {
            let values: Vec<f64> = rounds.iter().filter_map(|round| round[at]).collect();
            median(&values).map_or(Cell::None, |value| Cell::Number(value, columns[at].1))
        };
        let mut cells: Vec<Cell> = (0..columns.len()).map(cell).collect();
        if let Some(why) = failure {
            cells[0] = Cell::Word(format!("failed: {why}"));
        }
        (name, cells)
    };
    let rows = all.into_iter().map(row).collect();
    Table { title, note, columns: columns.iter().map(|(name, _)| *name).collect(), rows }
}

fn usage(standing: &Standing) -> Usage {
    standing.process.as_ref().map(super::process::Process::usage).unwrap_or_default()
}

/// How much memory a connection costs at which nothing happens, and what is left of it afterwards.
pub fn idle(bench: &mut Bench) -> io::Result<Table> {
    let (count, times) = if bench.is_quick { (1_000, 1) } else { (IDLE, 3) };
    let all = rounds(bench, None, times, count, false, |standing| {
        let mut load = Load::new(standing.at)?;
        // What the first one needs is not for each of them: code that is read in, tables that begin.
        load.open(1)?;
        standing.settle();
        let before = usage(standing);
        load.open(count - 1)?;
        standing.settle();
        let with = usage(standing);
        load.close();
        standing.settle();
        let after = usage(standing);
        // Pages of the program are no connection's, but some are needed for the first time.
        let each = (with.anonymous as f64 - before.anonymous as f64) / (count - 1) as f64;
        let mb = |bytes: u64| Some(bytes as f64 / 1e6);
        Ok(vec![Some(each), mb(before.pss), mb(with.pss), mb(after.pss)])
    })?;
    let columns = [("bytes each", 0), ("own MB with one", 2), ("with all", 2), ("afterwards", 2)];
    let note = format!(
        "Median of {times}. Each connection has carried 64 bytes there and back. Bytes each are of what is in no file."
    );
    Ok(table(format!("{count} idle connections"), note, &columns, all))
}

/// What a balancer costs that has nothing to do, and how soon it serves.
pub fn rest(bench: &mut Bench) -> io::Result<Table> {
    let times = if bench.is_quick { 1 } else { 5 };
    let quiet = Duration::from_secs(if bench.is_quick { 1 } else { 3 });
    let peers: Vec<_> = bench.peers.iter().filter(|(kind, _)| *kind != Kind::Direct).cloned().collect();
    let mut all: Vec<_> = peers.iter().map(|(kind, _)| (kind.name().to_string(), Vec::new(), None)).collect();
    for _ in 0..times {
        for (peer, (_, numbers, failure)) in peers.iter().zip(&mut all) {
            let begun = Instant::now();
            let server = bench.server;
            // What pen and haproxy are set up for if nobody says anything else: 500 connections or so.
            let mut standing = bench.begin(peer, 480, false, server)?;
            let round = |standing: &mut Standing| {
                first_served(standing)?;
                let first = begun.elapsed().as_secs_f64() * 1e3;
                standing.settle();
                let before = usage(standing);
                std::thread::sleep(quiet);
                let after = usage(standing);
                let wakes = (after.sleeps - before.sleeps) as f64 / quiet.as_secs_f64();
                let program = fs::metadata(&peer.1).map(|file| file.len() as f64 / 1e3).ok();
                let mb = |bytes: u64| Some(bytes as f64 / 1e6);
                let threads = after.threads as f64;
                Ok(vec![mb(after.rss), mb(after.pss), program, Some(threads), Some(wakes), Some(first)])
            };
            numbers.extend(bench.attempt(&mut standing, round));
            *failure = standing.failure;
        }
    }
    let columns = [
        ("resident MB", 2),
        ("own MB", 2),
        ("program KB", 0),
        ("threads", 0),
        ("wake-ups/s", 1),
        ("first served after ms", 1),
    ];
    let note = format!(
        "Median of {times}. Own memory: shared pages are divided among the processes that share them. Processes that \
         belong to one balancer are added up."
    );
    Ok(table(String::from("At rest"), note, &columns, all))
}

/// Tries until a connection is served.
fn first_served(standing: &mut Standing) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let tried = Load::new(standing.at)?.first_byte();
        if tried.is_ok() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return tried.map(drop);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// What a balancer and the kernel hold for clients that take little of what a fast server sends.
pub fn slow(bench: &mut Bench) -> io::Result<Table> {
    let times = if bench.is_quick { 1 } else { 3 };
    let server = bench.server.port();
    // Few bytes of so many, so that all buffers on the way are full.
    let unit = Unit { up: 0, early: 1 << 30, late: 0, is_last: false, is_skimmed: false };
    let all = rounds(bench, Some(Kind::PenCapped), times, READERS, true, |standing| {
        let before = usage(standing);
        let mut load = Load::new(standing.at)?;
        load.open(READERS)?;
        load.begin_to_read(unit)?;
        let mut kernel = 0;
        // Until the buffers on the way are full, or nearly so.
        for _ in 0..20 {
            load.read_slowly(2 * 1024, Duration::from_millis(100), Duration::from_millis(500))?;
            let before = std::mem::replace(&mut kernel, kernel_memory(standing.at.port(), server)?);
            if kernel > 0 && kernel <= before + before / 100 {
                break;
            }
        }
        let with = usage(standing);
        load.close();
        standing.settle();
        let after = usage(standing);
        let mb = |bytes: u64| Some(bytes as f64 / 1e6);
        Ok(vec![mb(with.pss), mb(with.pss.saturating_sub(before.pss)), mb(kernel), mb(after.pss)])
    })?;
    let columns = [("own MB", 2), ("of it for them", 2), ("kernel MB", 0), ("own MB afterwards", 2)];
    let note = format!(
        "Median of {times}, once it grows no more. Kernel memory is what ss(8) says of the balancer's sockets on both sides."
    );
    Ok(table(format!("{READERS} slow readers of a fast server"), note, &columns, all))
}

/// Bytes that the kernel holds in the sockets of a balancer: those to clients, and those to the server.
fn kernel_memory(listen: u16, server: u16) -> io::Result<u64> {
    let filter = format!("( sport = :{listen} or dport = :{server} )");
    let output = Command::new("ss").args(["-tmnOH", "state", "connected", &filter]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // skmem:(r0,rb131072,t0,tb87040,f0,w0,o0,bl0,d0): received, to be sent, and reserved for either.
    let sum = text.split("skmem:(").skip(1).map(|rest| {
        let fields = rest.split(')').next().unwrap_or("").split(',');
        let is_held = |field: &&str| matches!(field.as_bytes(), [b'r' | b'w' | b'f', b'0'..=b'9', ..]);
        fields.filter(is_held).filter_map(|field| field[1..].parse::<u64>().ok()).sum::<u64>()
    });
    Ok(sum.sum())
}
