//! A server that is far away.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::alone::is_alone;
use crate::support::pen::{self, Pen};
use crate::support::process::Process;
use crate::support::scratch::Scratch;
use crate::support::wait;

const ROUND_TRIP: Duration = Duration::from_millis(50);

/// The program that delays packets: the wire of `benches/peers`.
fn wire_program() -> PathBuf {
    let build = ["build", "--quiet", "--example", "side_by_side"];
    let built = Command::new(env!("CARGO")).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.expect("there is a cargo").success());
    let this = std::env::current_exe().expect("this program has a file");
    let target = this.ancestors().nth(3).expect("it is in target/PROFILE/deps");
    target.join("debug/examples/side_by_side")
}

#[track_caller]
fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("there is an ip");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

fn start(words: &[&str], directory: &Scratch, name: &str) -> Process {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    Process::start(command, directory, name)
}

/// A namespace that is there as long as the process.
fn space(directory: &Scratch, name: &str) -> Process {
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let holder = start(&["unshare", "--net", "sleep", "600"], directory, name);
    let link = PathBuf::from(format!("/proc/{}/ns/net", holder.pid()));
    let is_made = || std::fs::read_link(&link).is_ok_and(|link| link != own);
    wait::until_true("there is another namespace", is_made);
    holder
}

/// The shortest time to the first byte of an answer, of some.
fn first_byte(pen: &Pen) -> Duration {
    let once = |_| {
        // Time for an idler in place of the one that was used.
        wait::within(2 * ROUND_TRIP, || None::<()>);
        let begun = Instant::now();
        let mut client = pen.connect();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        client.read_exact(&mut [0]).unwrap();
        begun.elapsed()
    };
    (0..7).map(once).min().expect("there are some")
}

#[test]
fn idlers_spare_a_client_one_round_trip_to_a_server_far_away() {
    let name = "distance::idlers_spare_a_client_one_round_trip_to_a_server_far_away";
    if !is_alone(name, &["nsenter", "sleep"]) {
        return;
    }
    let directory = Scratch::new();
    let (far, between) = (space(&directory, "far"), space(&directory, "between"));
    let (far_pid, between_pid) = (far.pid().to_string(), between.pid().to_string());
    let near = "address 02:00:00:00:00:01";
    ip(&format!("link add eth0 {near} type veth peer name left netns {between_pid}"));
    ip(&format!("link add far0 address 02:00:00:00:00:02 type veth peer name right netns {between_pid}"));
    ip(&format!("link set far0 netns {far_pid}"));
    let inside = |pid: &str, words: &str| {
        let status = Command::new("nsenter").args(["--net", "--target", pid, "ip"]).args(words.split(' ')).status();
        assert!(status.expect("there is an nsenter").success(), "ip {words}");
    };
    for (place, device, address, other, hardware) in
        [("", "eth0", 1, 2, "02:00:00:00:00:02"), (&far_pid[..], "far0", 2, 1, "02:00:00:00:00:01")]
    {
        let lines = [
            format!("address add 10.77.0.{address}/24 dev {device}"),
            format!("link set {device} up"),
            format!("neighbour add 10.77.0.{other} lladdr {hardware} dev {device} nud permanent"),
        ];
        for line in lines {
            if place.is_empty() { ip(&line) } else { inside(place, &line) }
        }
    }
    // The server has one more behind it, on its own loopback.
    inside(&far_pid, "link set lo up");
    for port in ["left", "right"] {
        inside(&between_pid, &format!("link set {port} up promisc on"));
    }
    let enter = |pid: &str, program: &Path, words: &[&str], name: &str| {
        let program = program.display().to_string();
        let command = [&["nsenter", "--net", "--target", pid, &program], words].concat();
        start(&command, &directory, name)
    };
    let half = (ROUND_TRIP / 2).as_millis().to_string();
    let wire = enter(&between_pid, &wire_program(), &["delay", "left", "right", &half], "wire");
    wait::until_true("the wire is up", || wire.stdout().contains("up"));
    let server = SocketAddr::from(([10, 77, 0, 2], 7_000));
    let _server = enter(&far_pid, &pen::program(), &["-f", "-O", "dummy", &server.to_string()], "server");
    wait::until_true("the server serves", || {
        std::net::TcpStream::connect_timeout(&server, Duration::from_secs(2)).is_ok()
    });
    let without = first_byte(&Pen::start(&[], &[server]));
    let with = first_byte(&Pen::start(&["-O", "idlers 2"], &[server]));
    assert!(without >= 2 * ROUND_TRIP, "the handshake and the request: {without:?}");
    assert!(with >= ROUND_TRIP, "the request: {with:?}");
    assert!(with + ROUND_TRIP * 4 / 5 <= without, "{with:?} with idlers, {without:?} without");
}
