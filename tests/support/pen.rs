//! The program under test, in the foreground on a loopback address.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::client;
use super::process::{Ended, Process};
use super::report::is_root;
use super::scratch::Scratch;
use super::wait;

/// The program under test: `$PEN_UNDER_TEST`, or the one that cargo has just built.
pub fn program() -> PathBuf {
    std::env::var_os("PEN_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_pen").into()).into()
}

/// The program under test as users have it: the release build beside the one that cargo has just made, if it is no
/// older than the sources; else the same as [`program`].
pub fn optimised_program() -> PathBuf {
    let tested = program();
    let release = tested.with_file_name("../release/pen");
    let built = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    let is_fresh = newest(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) < built(&release);
    if !is_another() && is_fresh { release } else { tested }
}

/// When a file in a directory, or in one below it, was last changed.
fn newest(directory: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let time = |path: PathBuf| match path.is_dir() {
        true => newest(&path),
        false => fs::metadata(&path).and_then(|about| about.modified()).ok(),
    };
    entries.filter_map(|entry| time(entry.path())).max()
}

/// Whether the program under test is another pen, which may lack what only ours has.
pub fn is_another() -> bool {
    std::env::var_os("PEN_UNDER_TEST").is_some()
}

/// Runs pen with these words to its end, for starts that end by themselves (mistakes, `--help`).
#[track_caller]
pub fn run(words: &[&str]) -> Ended {
    let mut command = Command::new(program());
    command.args(words);
    Process::run(command)
}

/// A pen that listens.  Dropping it kills it, and prints what it said when the test is failing.
pub struct Pen {
    process: Process,
    address: SocketAddr,
    directory: Scratch,
}

impl Pen {
    /// Starts `pen -f OPTIONS 127.0.0.1:PORT SERVERS` on a free port, and waits until it listens.
    /// `{dir}` in an option stands for [`Pen::directory`], which is also where pen is started.
    #[track_caller]
    pub fn start(options: &[&str], servers: &[impl ToString]) -> Pen {
        Pen::start_at(Ipv4Addr::LOCALHOST.into(), options, servers)
    }

    /// The same on another address of this machine.
    #[track_caller]
    pub fn start_at(ip: IpAddr, options: &[&str], servers: &[impl ToString]) -> Pen {
        Pen::start_under(&[], ip, options, servers)
    }

    /// Starts it on all addresses, IPv6 and IPv4, as `:::PORT`.
    #[track_caller]
    pub fn start_at_all(options: &[&str], servers: &[impl ToString]) -> Pen {
        Pen::start_at(Ipv6Addr::UNSPECIFIED.into(), options, servers)
    }

    /// Starts it with a control socket `{dir}/control` as well, for [`Pen::penctl`].
    #[track_caller]
    pub fn start_with_control(options: &[&str], servers: &[impl ToString]) -> Pen {
        Pen::start(&[&Pen::control_options(), options].concat(), servers)
    }

    /// The options for a control socket `{dir}/control`.
    pub fn control_options() -> Vec<&'static str> {
        // As root it has to be insisted upon.
        let user: &[&str] = if is_root() { &["-u", "root"] } else { &[] };
        [user, &["-C", "{dir}/control"]].concat()
    }

    /// Starts it with one connection, of which both ends are the caller's: the client's and the server's.
    #[track_caller]
    pub fn start_with_both_ends(options: &[&str]) -> (Pen, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let pen = Pen::start(options, &[listener.local_addr().expect("a bound socket has one")]);
        let client = pen.connect();
        let (server, _) = listener.accept().expect("pen connects");
        (pen, client, client::bounded(server))
    }

    /// Starts it by a program that becomes pen in the end (with the same process number), such as
    /// `["prlimit", "--nofile=64"]`.  `{dir}` stands for the directory there, too.
    #[track_caller]
    pub fn start_under(by: &[&str], ip: IpAddr, options: &[&str], servers: &[impl ToString]) -> Pen {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        // Between the choice of a port and pen's bind another program may take it: then with another one.
        for _ in 0..10 {
            if let Some(pen) = Pen::attempt(by, free_port(ip), options, &servers) {
                return pen;
            }
        }
        panic!("ten ports of {ip}, and all of them were taken at once");
    }

    /// `None` when the port was taken in the meantime.
    #[track_caller]
    fn attempt(by: &[&str], address: SocketAddr, options: &[&str], servers: &[String]) -> Option<Pen> {
        let directory = Scratch::new();
        let here = directory.path().display().to_string();
        let program = program().display().to_string();
        let mut words = by.iter().map(|word| word.replace("{dir}", &here)).chain([program]);
        let mut command = Command::new(words.next().expect("pen itself at least"));
        command
            .args(words)
            .current_dir(directory.path())
            .arg("-f")
            .args(options.iter().map(|option| option.replace("{dir}", &here)))
            .arg(format!("{}:{}", address.ip(), address.port()))
            .args(servers);
        let mut process = Process::start(command, &directory, "pen");
        let ended = wait::until("pen listens, or ends", || {
            if process.listens_on().contains(&address) {
                return Some(false);
            }
            process.has_ended().then_some(true)
        });
        if ended {
            let ended = process.wait();
            let said = ended.stderr.to_lowercase();
            let taken = said.contains("in use") || said.contains("can't bind local address");
            assert!(taken, "pen did not start: {ended:?}");
            return None;
        }
        Some(Pen { process, address, directory })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, for its number, signals and standard error.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The directory in which it runs: log and pid files with relative names are here.
    pub fn directory(&self) -> &Scratch {
        &self.directory
    }

    /// A client's connection, from the listener's own address.
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        client::connect(self.address)
    }

    /// A client's connection from another loopback address, as if it were another machine.
    #[track_caller]
    pub fn connect_from(&self, source: impl Into<IpAddr>) -> TcpStream {
        client::connect_from(source.into(), self.address)
    }

    /// Runs penctl with a command for this pen, which has a control socket.
    #[track_caller]
    pub fn penctl(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_penctl"));
        command.arg(self.directory.file("control")).args(words);
        Process::run(command)
    }

    /// The reply to a command (`"blacklist 5"`) that must be obeyed.
    #[track_caller]
    pub fn obey(&self, command: &str) -> String {
        let ended = self.penctl(&[command]);
        assert!(ended.status.success() && ended.stderr.is_empty(), "{command}: {ended:?}");
        ended.stdout
    }

    /// The process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What pen has said on standard error so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Ends it with TERM.
    #[track_caller]
    pub fn stop(&mut self) -> Ended {
        self.process.stop("TERM")
    }
}

/// A port that was free just now.
pub fn free_port(ip: IpAddr) -> SocketAddr {
    TcpListener::bind((ip, 0))
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|e| panic!("no free port on {ip}: {e}"))
}
