//! An hour of web traffic behind pen, as logs whose truth is known; benches/logs runs it.
//!
//! ```text
//! busy_hour make DIRECTORY REQUESTS SERVERS    writes pen.log, web1, web2, ...
//! busy_hour check < merged                     says how many lines begin with their own client
//! ```
//!
//! Requests come at random times, a fifth of them for `/`, the others for pages of which some are
//! asked for more often; servers answer, and log, 20 milliseconds later on average. Clients have one
//! of forty agents, some of which are common. The size in each web line is its true client, where no
//! tool looks for it.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

/// 9 January 2002, 0:00 UTC, in seconds since 1970.
const START: u64 = 1_010_534_400;
const SECONDS: f64 = 3600.0;
/// Of all requests, those for `/`.
const POPULAR: f64 = 0.2;
/// How long servers take on average, in seconds.
const LATENCY: f64 = 0.02;
/// Requests for each client, and for each page, on average.
const PER_CLIENT: usize = 100;
const PER_PAGE: usize = 200;
/// How many agents there are.
const AGENTS: usize = 40;

/// Numbers that look random and are the same in every run (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    /// From 0 to 1, never 1.
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as f64 / (1u64 << 32) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.part() * limit as f64) as usize
    }

    /// Of this average, exponentially distributed: how long one waits for what comes at random.
    fn wait(&mut self, average: f64) -> f64 {
        -(1.0 - self.part()).ln() * average
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", directory, requests, servers] => Ok(make(Path::new(directory), requests.parse()?, servers.parse()?)?),
        ["check"] => Ok(check(io::stdin().lock())?),
        _ => Err("busy_hour make DIRECTORY REQUESTS SERVERS | busy_hour check".into()),
    }
}

fn make(directory: &Path, requests: usize, servers: usize) -> io::Result<()> {
    let mut random = Random(1);
    let mut pen = BufWriter::new(File::create(directory.join("pen.log"))?);
    // By the time in microseconds at which it is logged, and its number.
    let mut logs: Vec<BTreeMap<(u64, usize), String>> = vec![BTreeMap::new(); servers];
    let mut now = 0.0;
    for number in 0..requests {
        now += random.wait(SECONDS / requests as f64);
        let server = random.below(servers);
        let client = client(random.below(requests / PER_CLIENT + 1));
        let popular = random.part() < POPULAR;
        let page = random.part().powi(2) * (requests / PER_PAGE) as f64;
        let request = if popular { "GET / HTTP/1.1".into() } else { format!("GET /page/{page:.0}.html HTTP/1.1") };
        writeln!(pen, "{client} {} 10.0.0.{} {request}", START + now as u64, server + 1)?;
        let logged = now + random.wait(LATENCY);
        let line = web_line(logged as u64, &request, client);
        logs[server].insert(((logged * 1e6) as u64, number), line);
    }
    pen.flush()?;
    for (number, log) in logs.iter().enumerate() {
        let mut web = BufWriter::new(File::create(directory.join(format!("web{}", number + 1)))?);
        log.values().try_for_each(|line| web.write_all(line.as_bytes()))?;
        web.flush()?;
    }
    Ok(())
}

fn client(number: usize) -> Ipv4Addr {
    let number = u32::try_from(number).expect("there are fewer clients than addresses");
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 0, 0)) + number)
}

/// A line of the combined format; the balancer is who the server sees.
fn web_line(at: u64, request: &str, client: Ipv4Addr) -> String {
    let (hour, minute, second) = (at / 3600, at / 60 % 60, at % 60);
    let time = format!("09/Jan/2002:{hour:02}:{minute:02}:{second:02} +0000");
    let size = client.to_bits();
    let agent = Random(size.into()).below(1000);
    let agent = agent * agent * AGENTS / 1_000_000;
    format!(
        "192.168.0.1 - - [{time}] \"{request}\" 200 {size} \"http://www.example.test/\" \"Mozilla/4.0 (B{agent})\"\n"
    )
}

fn check(lines: impl BufRead) -> io::Result<()> {
    let (mut count, mut right) = (0u64, 0u64);
    for line in lines.lines() {
        let line = line?;
        let found = line.split(' ').next();
        let size = line.split_once("\" 200 ").and_then(|(_, end)| end.split(' ').next());
        let truth = size.and_then(|size| size.parse().ok()).map(Ipv4Addr::from_bits);
        count += 1;
        right += u64::from(truth.is_some() && found.and_then(|found| found.parse().ok()) == truth);
    }
    println!("{count} {:.1}", 100.0 * right as f64 / count.max(1) as f64);
    Ok(())
}
