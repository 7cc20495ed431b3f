//! The HOWTO's machines: network namespaces named `client`, `lbhost`, `host1` and `host2` on one switch.
//!
//! They are shared by everything on this machine, so only one lab exists at a time; what a killed run left behind is
//! removed by the next one, and what was there before and is not ours is never touched.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::process;
use super::super::wait;

/// Each machine and its addresses.  Those of lbhost, host1 and host2 are the HOWTO's own.
pub const MACHINES: [(&str, &[&str]); 4] = [
    ("client", &["123.123.123.100"]),
    ("lbhost", &["123.123.123.1", "123.123.123.11", "123.123.123.12"]),
    ("host1", &["123.123.123.2"]),
    ("host2", &["123.123.123.3"]),
];

/// The machine `client` has these further addresses, each of them another client for pen.
pub const CLIENTS: usize = 32;

/// The address of client number `number`, from 0 to [`CLIENTS`].
pub fn client_address(number: usize) -> String {
    format!("123.123.123.{}", 100 + number)
}

const SWITCH: &str = "penswitch";

/// `/etc/hosts` of every machine; its last lines are the HOWTO's.
const HOSTS: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
123.123.123.11\taddress1
123.123.123.12\taddress2
123.123.123.100\tclient
123.123.123.1\tlbhost
123.123.123.2\thost1
123.123.123.3\thost2 server2 otherhost
";

/// The HOWTO's line for `/etc/services`.
const SERVICE: &str = "pop3-pen\t1110/tcp\n";

/// What a running lab has made: lines `namespace NAME`, `directory PATH` (to be removed at its end) and `scratch PATH`
/// (its owner removes it, if it lives).
const RECORD: &str = "/run/pen-test-lab";

/// The namespaces, up as long as this exists.
pub struct Machines {
    /// Held to keep other labs waiting; the kernel lets go of it however this process ends.
    _only_one: UnixListener,
}

impl Machines {
    /// Brings the machines up, or says why not.
    pub fn up(scratch: &Path) -> Result<Machines, String> {
        let only_one = wait_for_turn()?;
        remove_recorded(&["directory", "scratch"]);
        let directories: Vec<PathBuf> = MACHINES.iter().map(|(name, _)| netns_directory(name)).collect();
        refuse_strangers(&directories)?;
        // First the record, then the things: a run that is killed in between leaves nothing unrecorded.
        let mut record: String = MACHINES.iter().map(|(name, _)| format!("namespace {name}\n")).collect();
        record += &format!("namespace {SWITCH}\n");
        for directory in &directories {
            record += &format!("directory {}\n", directory.display());
        }
        record += &format!("scratch {}\n", scratch.display());
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(RECORD)
            .and_then(|mut file| file.write_all(record.as_bytes()))
            .map_err(|e| format!("cannot write {RECORD}: {e}"))?;
        let machines = Machines { _only_one: only_one };
        machines.make()?;
        Ok(machines)
    }

    fn make(&self) -> Result<(), String> {
        ip(&["netns", "add", SWITCH])?;
        ip(&["-n", SWITCH, "link", "add", "bridge0", "type", "bridge"])?;
        ip(&["-n", SWITCH, "link", "set", "bridge0", "up"])?;
        for (name, addresses) in MACHINES {
            make_etc(name).map_err(|e| format!("/etc/netns/{name}: {e}"))?;
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", SWITCH, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name])?;
            ip(&["-n", SWITCH, "link", "set", name, "master", "bridge0", "up"])?;
            for address in addresses {
                ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
            }
            ip(&["-n", name, "link", "set", "eth0", "up"])?;
        }
        for number in 1..=CLIENTS {
            let address = format!("{}/24", client_address(number));
            ip(&["-n", "client", "address", "add", &address, "dev", "eth0"])?;
        }
        Ok(())
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        // The scratch directory is its owner's to remove.
        remove_recorded(&["directory"]);
    }
}

/// The processes of a machine.
pub fn processes(machine: &str) -> Vec<u32> {
    let output = Command::new("ip").args(["netns", "pids", machine]).stderr(Stdio::null()).output();
    let pids = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Waits until no other lab is up: threads of this process, other processes of this machine.
fn wait_for_turn() -> Result<UnixListener, String> {
    let name = SocketAddr::from_abstract_name("pen-test-lab").map_err(|e| e.to_string())?;
    let long = Duration::from_secs(900);
    wait::within(long, || UnixListener::bind_addr(&name).ok()).ok_or_else(|| format!("another lab was up for {long:?}"))
}

fn netns_directory(machine: &str) -> PathBuf {
    Path::new("/etc/netns").join(machine)
}

/// Machines or directories of our names that nobody has recorded belong to somebody else.
fn refuse_strangers(directories: &[PathBuf]) -> Result<(), String> {
    let namespaces = MACHINES.iter().map(|(name, _)| *name).chain([SWITCH]);
    let namespaces = namespaces.map(|name| Path::new("/run/netns").join(name));
    match namespaces.chain(directories.iter().cloned()).find(|path| path.exists()) {
        Some(path) => Err(format!("{} exists, and these tests did not make it", path.display())),
        None => Ok(()),
    }
}

/// The files that `ip netns exec` lays over those of `/etc`.
fn make_etc(machine: &str) -> std::io::Result<()> {
    let directory = netns_directory(machine);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("hosts"), HOSTS)?;
    // Only files that exist can be covered.  No name server can be reached from here, so none is asked.
    let cover = |name: &str, text: String| match Path::new("/etc").join(name).exists() {
        true => fs::write(directory.join(name), text),
        false => Ok(()),
    };
    cover("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\n".into())?;
    cover("resolv.conf", "# no name server here\n".into())?;
    cover("services", fs::read_to_string("/etc/services").unwrap_or_default() + SERVICE)
}

/// Removes the namespaces that are recorded, the processes in them, directories of these kinds, and the record.
fn remove_recorded(kinds: &[&str]) {
    let record = fs::read_to_string(RECORD).unwrap_or_default();
    let named = |kind: &str| -> Vec<String> {
        record.lines().filter_map(|line| line.strip_prefix(kind)).map(|name| name.trim().to_string()).collect()
    };
    let namespaces: Vec<String> =
        named("namespace").into_iter().filter(|name| Path::new("/run/netns").join(name).exists()).collect();
    end_processes(&namespaces);
    for name in namespaces {
        let _ = ip(&["netns", "delete", &name]);
    }
    for directory in kinds.iter().flat_map(|kind| named(kind)) {
        let _ = fs::remove_dir_all(directory);
    }
    // Fails, as it should, when somebody else has something in it.
    let _ = fs::remove_dir("/etc/netns");
    let _ = fs::remove_file(RECORD);
}

/// Ends every process of these machines: politely, and the rest by force.
fn end_processes(namespaces: &[String]) {
    let all = || -> Vec<u32> { namespaces.iter().flat_map(|name| processes(name)).collect() };
    for (signal, time) in [("TERM", Duration::from_secs(3)), ("KILL", wait::PATIENCE)] {
        for pid in all() {
            process::send(pid, signal);
        }
        if wait::within(time, || all().is_empty().then_some(())).is_some() {
            return;
        }
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let line = || format!("ip {}", words.join(" "));
    let output = Command::new("ip").args(words).output().map_err(|e| format!("{}: {e}", line()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{}: {}", line(), said.trim())) }
}
