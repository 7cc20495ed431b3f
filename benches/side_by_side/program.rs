//! Load generator, servers and the comparison itself, for `benches/peers`, which builds and starts it.
//!
//! One program, one thread: `compare` starts everything else, and is the load.

mod bench;
mod calls;
mod client;
#[cfg(target_os = "linux")]
mod delay;
mod memory;
mod peers;
mod process;
mod report;
mod scale;
mod server;
mod wire;
mod works;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::Bench;
use calls::Counter;
use peers::{KINDS, Kind};
use process::Process;
use report::Table;
use works::WORKS;

const USAGE: &str = "usage: benches/peers [--quick] [--rounds N] [--time SECONDS] [--json FILE] [--only PEER,...]
                     [--work NAME,...] [--pen PROGRAM] [--pen-options 'WORDS'] [--list]";

/// The pieces of work that are not in [`WORKS`].
const OTHERS: [&str; 6] = ["idle", "rest", "slow", "growth", "distance", "processes"];

#[derive(Debug, Default)]
struct Wish {
    is_quick: bool,
    rounds: Option<usize>,
    time: Option<u64>,
    json: Option<PathBuf>,
    only: Vec<String>,
    work: Vec<String>,
    pen: Option<PathBuf>,
    pen_options: Vec<String>,
}

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut words: impl Iterator<Item = OsString>) -> io::Result<()> {
    let first = words.next().unwrap_or_default();
    let words = words.map(|word| word.into_string().map_err(|_| io::Error::other("an argument is not UTF-8")));
    match first.to_str() {
        Some("serve") => {
            let at = words.collect::<io::Result<String>>()?;
            server::serve(at.parse().map_err(io::Error::other)?)
        }
        Some("spin") => {
            println!("spinning");
            loop {
                std::hint::spin_loop();
            }
        }
        #[cfg(target_os = "linux")]
        Some("delay") => {
            let words = words.collect::<io::Result<Vec<_>>>()?;
            let [left, right, time] = &words[..] else { return Err(io::Error::other("delay LEFT RIGHT MILLISECONDS")) };
            delay::carry([left, right], Duration::from_millis(time.parse().map_err(io::Error::other)?))
        }
        Some("compare") => match wish(words.collect::<io::Result<Vec<_>>>()?)? {
            Some(wish) => compare(wish),
            None => Ok(()),
        },
        _ => Err(io::Error::other(USAGE)),
    }
}

/// Reads the options; `None` if all that was wanted has been said.
fn wish(words: Vec<String>) -> io::Result<Option<Wish>> {
    let mut wish = Wish::default();
    let mut parser = lexopt::Parser::from_args(words);
    let list = |text: String| text.split(',').map(String::from).collect();
    while let Some(argument) = parser.next().map_err(io::Error::other)? {
        let lexopt::Arg::Long(name) = argument else { return Err(io::Error::other(USAGE)) };
        let name = name.to_string();
        if name == "list" {
            let works: Vec<&str> = WORKS.iter().map(|work| work.name).chain(OTHERS).collect();
            let peers: Vec<&str> = KINDS.iter().map(|kind| kind.name()).collect();
            println!("work: {}\npeers: {}", works.join(","), peers.join(","));
            return Ok(None);
        }
        if name == "help" {
            println!("{USAGE}");
            return Ok(None);
        }
        if name == "quick" {
            wish.is_quick = true;
            continue;
        }
        let value = parser.value().map_err(io::Error::other)?.into_string();
        let value = value.map_err(|_| io::Error::other("an argument is not UTF-8"))?;
        match name.as_str() {
            "rounds" => wish.rounds = Some(value.parse().map_err(io::Error::other)?),
            "time" => wish.time = Some(value.parse().map_err(io::Error::other)?),
            "json" => wish.json = Some(value.into()),
            "only" => wish.only = list(value),
            "work" => wish.work = list(value),
            "pen" => wish.pen = Some(value.into()),
            "pen-options" => wish.pen_options = value.split_whitespace().map(String::from).collect(),
            _ => return Err(io::Error::other(USAGE)),
        }
    }
    Ok(Some(wish))
}

/// Who takes part; says who is missing and how to get them.
fn take_part(wish: &Wish) -> io::Result<Vec<(Kind, PathBuf)>> {
    let pen = wish.pen.clone().ok_or_else(|| io::Error::other("which pen? --pen PROGRAM"))?;
    let mut there = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| wish.only.is_empty() || wish.only.iter().any(|one| one == kind.name()))
    {
        match kind.program(&pen) {
            Some(program) => there.push((kind, program)),
            None => println!("Not compared, because it is not there: {} ({}).", kind.name(), kind.source()),
        }
    }
    Ok(there)
}

/// How many processors there are; this program itself may use only some of them.
fn processor_count() -> usize {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count()
}

/// Processors for balancers, and for all else.
fn processors() -> (String, String) {
    let count = processor_count();
    if count < 2 { (String::from("0"), String::from("0")) } else { (String::from("0"), format!("1-{}", count - 1)) }
}

fn compare(wish: Wish) -> io::Result<()> {
    let begun = Instant::now();
    let dir = std::env::temp_dir().join(format!("pen-peers-{}", std::process::id()));
    fs::create_dir(&dir)?;
    let outcome = compare_in(&dir, &wish);
    fs::remove_dir_all(&dir)?;
    let failures = outcome?;
    println!("\nIt took {} s.", begun.elapsed().as_secs());
    if failures.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!("not everything went well:\n  {}", failures.join("\n  "))))
}

fn compare_in(dir: &std::path::Path, wish: &Wish) -> io::Result<Vec<String>> {
    let (cpu, others) = processors();
    let program = std::env::current_exe()?.display().to_string();
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], 7_000));
    let words = [program, String::from("serve"), at.to_string()];
    let mut server = Process::start(&words, &others, dir.join("server"))?;
    server.wait_for_word("listening")?;
    let mut bench = Bench {
        peers: take_part(wish)?,
        server: at,
        rounds: wish.rounds.unwrap_or(if wish.is_quick { 2 } else { 5 }).max(1),
        is_quick: wish.is_quick,
        counter: Counter::find(),
        dir: dir.to_path_buf(),
        cpu,
        pen_options: wish.pen_options.clone(),
        next_port: 7_001,
        failures: Default::default(),
    };
    if bench.counter.is_none() {
        println!("System calls are not counted: neither perf nor strace works (apt-get install strace).");
    }
    println!("Balancers have processor {}, clients and servers {others}. {}\n", bench.cpu, machine());
    let mut tables: Vec<Table> = Vec::new();
    let end = Instant::now() + Duration::from_secs(wish.time.unwrap_or(if wish.is_quick { 110 } else { 1_080 }));
    for name in WORKS.iter().map(|work| work.name).chain(OTHERS) {
        if !wish.work.is_empty() && !wish.work.iter().any(|one| one == name) {
            continue;
        }
        if Instant::now() > end {
            bench.failures.borrow_mut().push(format!("{name}: left out, the time is over"));
            continue;
        }
        let table = match (WORKS.iter().find(|work| work.name == name), name) {
            (Some(work), _) if bench.is_quick => work.quick().compare(&mut bench),
            (Some(work), _) => work.compare(&mut bench),
            (None, "idle") => memory::idle(&mut bench),
            (None, "rest") => memory::rest(&mut bench),
            (None, "slow") => memory::slow(&mut bench),
            (None, "growth") => scale::growth(&mut bench),
            (None, "distance") => scale::distance(&mut bench),
            (None, _) => scale::processes(&mut bench),
        };
        let table = match table {
            Ok(table) => table,
            Err(error) => {
                bench.failures.borrow_mut().push(format!("{name}: {error}"));
                continue;
            }
        };
        println!("{}", table.markdown());
        tables.push(table);
    }
    drop(server);
    if let Some(path) = &wish.json {
        let tables: Vec<String> = tables.iter().map(Table::json).collect();
        fs::write(path, format!("[\n{}\n]\n", tables.join(",\n")))?;
    }
    Ok(bench.failures.into_inner())
}

/// Where this was measured.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("");
    let count = processor_count();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("");
    format!("{count} of {}, Linux {}, load {load}.", model.trim(), read("/proc/sys/kernel/osrelease").trim())
}
