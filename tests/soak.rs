//! The soak: mixed traffic and random faults against the built pen on loopback; every byte is checked at both ends.
//!
//! `tests/soak 20` runs it for twenty minutes.  Among the ordinary tests it runs for [`SHORT`].  It ends with a table,
//! and fails if anything failed that no fault explains, or if pen has kept anything.

#[allow(unused_imports, reason = "every test program uses another part of it")]
mod support;

#[path = "soaking/conversation.rs"]
mod conversation;
#[path = "soaking/datagrams.rs"]
mod datagrams;
#[path = "soaking/files.rs"]
mod files;
#[path = "soaking/server.rs"]
mod server;
#[path = "soaking/tally.rs"]
mod tally;
#[path = "soaking/traffic.rs"]
mod traffic;
#[path = "soaking/trouble.rs"]
mod trouble;
#[path = "soaking/web.rs"]
mod web;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use server::Addresses;
use support::pen::{Pen, free_port};
use support::proc;
use support::scratch::Scratch;
use support::wait;
use tally::Tally;
use traffic::{Listeners, Random};
use trouble::Server;

/// How long it takes among the ordinary tests.
const SHORT: Duration = Duration::from_secs(20);

const SERVERS: u8 = 4;
const CLIENTS: u64 = 12;

/// How much more memory of its own pen may have at its end than after its first minute or a third of the time, in KiB:
/// the client table, the allocator's spare pages, the pool's spare rings.
const MEMORY_MARGIN: u64 = 2_048;

/// There is no test harness here, because the servers are this program, too.
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--serve", number, addresses @ ..] => return server::run(number, addresses),
        words if words.contains(&"--list") => return println!("soak: test"),
        // `cargo test NAME` asks every test program for the tests of that name.
        [filter, ..] if !filter.starts_with('-') && !"soak".contains(filter) => return report(0, 0),
        _ => {}
    }
    let minutes = std::env::var("SOAK_MINUTES").ok();
    let time = minutes.map_or(SHORT, |text| {
        let minutes: f64 = text.parse().unwrap_or_else(|_| panic!("SOAK_MINUTES is a number, not {text}"));
        Duration::from_secs_f64(60.0 * minutes)
    });
    let is_well = soak(time);
    report(u32::from(is_well), u32::from(!is_well));
    std::process::exit(i32::from(!is_well));
}

/// The line that cargo's own harness ends with, which `tests/all` counts.
fn report(passed: u32, failed: u32) {
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
}

/// What pen holds at some moment.
#[derive(Clone, Copy)]
struct Held {
    descriptors: usize,
    own: u64,
}

fn held(pen: &Pen) -> Held {
    Held { descriptors: proc::descriptors(pen.pid()), own: proc::resident_own(pen.pid()) }
}

/// Which of its addresses a server has for a listener.
type Which = fn(&Addresses) -> SocketAddr;

/// Starts pen with its four listeners.
fn start_pen(servers: &[Addresses]) -> (Pen, Listeners) {
    let [web, files, datagrams] = [0; 3].map(|_| free_port(Ipv4Addr::LOCALHOST.into()));
    let listeners: [(_, _, _, Which); 3] = [
        ("web", web, "http", |addresses| addresses.web),
        ("files", files, "ftp", |addresses| addresses.files),
        ("datagrams", datagrams, "udp", |addresses| addresses.datagrams),
    ];
    let mut commands = Vec::new();
    for (name, address, protocol, of) in listeners {
        commands.extend([format!("listener {name} {address}"), format!("protocol {protocol}")]);
        commands.extend(["blacklist 1", "timeout 3", "udp_timeout 2"].map(str::to_string));
        for (number, addresses) in servers.iter().enumerate() {
            let server = of(addresses);
            commands.push(format!("server {number} address {} port {}", server.ip(), server.port()));
        }
    }
    let mut options = vec!["-b", "1", "-t", "3", "-l", "{dir}/pen.log"];
    options.extend(commands.iter().flat_map(|command| ["-O", command]));
    let talk: Vec<SocketAddr> = servers.iter().map(|addresses| addresses.talk).collect();
    (Pen::start_with_control(&options, &talk), Listeners { web, files, datagrams })
}

/// Runs it, prints the table, and says whether all was well.
fn soak(time: Duration) -> bool {
    let directory = Scratch::new();
    let mut servers: Vec<Server> = (0..SERVERS).map(|number| Server::start(number, &directory)).collect();
    let addresses: Vec<Addresses> = servers.iter().map(Server::addresses).collect();
    let (pen, listeners) = start_pen(&addresses);
    let start = held(&pen);
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64)) | 1;
    println!("soak for {time:?} with SEED={seed}");
    let tally = Tally::default();
    let early = thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (pen, tally) = (&pen, &tally);
            scope.spawn(move || traffic::run(pen, listeners, tally, Random(seed.wrapping_mul(2 * number + 3))));
        }
        let (pen, tally, servers, directory) = (&pen, &tally, &mut servers, &directory);
        scope.spawn(move || trouble::run(pen, servers, directory, tally, Random(seed)));
        let begun = Instant::now();
        let until =
            |part: Duration| wait::within(part.saturating_sub(begun.elapsed()), || tally.is_over().then_some(()));
        until((time / 3).min(Duration::from_secs(60)));
        let early = held(pen);
        until(time);
        tally.is_over.store(true, Ordering::SeqCst);
        early
    });
    // A socket of the last connection may be kept for the next one.
    let is_back = || proc::descriptors(pen.pid()) <= start.descriptors + 1;
    let all_back = wait::within(wait::PATIENCE, || is_back().then_some(()));
    let before = proc::cpu(pen.pid());
    wait::within(Duration::from_secs(1), || None::<()>);
    let idle = proc::cpu(pen.pid()) - before;
    servers.iter().for_each(|server| server.report(&tally));
    let end = held(&pen);
    let is_steady = end.own <= early.own.max(start.own) + MEMORY_MARGIN;
    print_table(time, &tally, [start, early, end], proc::most_resident(pen.pid()), idle);
    for text in tally.texts() {
        println!("unexpected: {text}");
    }
    if all_back.is_none() {
        println!("unexpected: descriptors were not given back");
    }
    if !is_steady {
        println!("unexpected: memory grows");
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    let something = [&tally.whole, &tally.bytes, &tally.requests, &tally.files, &tally.answered];
    let was_something = something.into_iter().all(|counter| count(counter) > 0);
    if !was_something {
        println!("unexpected: not of everything was there something");
    }
    was_something
        && count(&tally.unexpected) == 0
        && all_back.is_some()
        && is_steady
        && idle < Duration::from_millis(100)
}

fn print_table(time: Duration, tally: &Tally, [start, early, end]: [Held; 3], most: u64, idle: Duration) {
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    println!("\n| soak | |\n| --- | --- |");
    let row = |name: &str, what: String| println!("| {name} | {what} |");
    row("time", format!("{} s", time.as_secs()));
    row("connections", count(&tally.connections).to_string());
    row("bytes carried and compared", count(&tally.bytes).to_string());
    row("conversations that ended as they should", count(&tally.whole).to_string());
    row("cut by the client with a reset, seen as such by the server", count(&tally.cut).to_string());
    row("clients that hung up at once", count(&tally.hung_up).to_string());
    row("requests of HTTP", count(&tally.requests).to_string());
    row("files by FTP", count(&tally.files).to_string());
    row("files cut by the client with a reset, seen as such by the server", count(&tally.files_cut).to_string());
    row("datagrams answered; not answered", format!("{}; {}", count(&tally.answered), count(&tally.unanswered)));
    row("commands by penctl", count(&tally.commands).to_string());
    for (fault, count) in tally.faults() {
        row(&format!("fault: {fault}"), count.to_string());
    }
    row("failures that a killed server explains", count(&tally.expected).to_string());
    row("**failures that nothing explains**", format!("**{}**", count(&tally.unexpected)));
    row(
        "descriptors at the start, early, at the end",
        format!("{}, {}, {}", start.descriptors, early.descriptors, end.descriptors),
    );
    row(
        "own memory at the start, early, at the end; resident at most",
        format!("{}, {}, {}; {most} KiB", start.own, early.own, end.own),
    );
    row("processor time within the last second, idle", format!("{idle:?}"));
    println!();
}
