//! A child process with its output kept in files, ended with the test that started it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::scratch::Scratch;
use super::wait;

/// A running child.  Dropping it kills it and its own children, and prints what it wrote when the test is failing.
pub struct Process {
    child: Child,
    /// The command line, for messages.
    line: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A child that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output, with bytes that are no UTF-8 replaced.
    pub stdout: String,
    /// All of its standard error, likewise.
    pub stderr: String,
}

impl Process {
    /// Starts `command` with no input; its output goes to `NAME.out` and `NAME.err` in `directory`, so that
    /// a child is never held up by a test that does not read, and everything can be read at any time.
    #[track_caller]
    pub fn start(command: Command, directory: &Scratch, name: &str) -> Process {
        Process::start_with(command, Stdio::null(), directory, name)
    }

    /// The same with this as its standard input.
    #[track_caller]
    pub fn start_with(mut command: Command, stdin: Stdio, directory: &Scratch, name: &str) -> Process {
        let stdout = directory.file(&format!("{name}.out"));
        let stderr = directory.file(&format!("{name}.err"));
        let create = |path| File::create(path).expect("the directory is ours");
        command.stdin(stdin).stdout(create(&stdout)).stderr(create(&stderr));
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {line}: {e}"));
        Process { child, line, stdout, stderr }
    }

    /// Runs `command` to its end, which must come within [`wait::PATIENCE`].
    #[track_caller]
    pub fn run(command: Command) -> Ended {
        let directory = Scratch::new();
        Process::start(command, &directory, "run").wait()
    }

    /// The process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard error so far, byte for byte.
    pub fn stderr_bytes(&self) -> Vec<u8> {
        fs::read(&self.stderr).expect("the file is ours")
    }

    /// Standard error so far, with bytes that are no UTF-8 replaced.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr_bytes()).into_owned()
    }

    /// Standard output so far, with bytes that are no UTF-8 replaced.
    pub fn stdout(&self) -> String {
        let bytes = fs::read(&self.stdout).expect("the file is ours");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `text` is in its standard error.
    #[track_caller]
    pub fn wait_for_stderr(&self, text: &str) {
        wait::until_true(&format!("{} says {text:?}", self.line), || self.stderr().contains(text));
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Sends a signal (`"TERM"`, `"HUP"`, ...).
    #[track_caller]
    pub fn signal(&mut self, signal: &str) {
        assert!(!self.has_ended(), "{} has ended already", self.line);
        send(self.pid(), signal);
    }

    /// Waits for its end, which must come by itself.
    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        let line = self.line.clone();
        let status = wait::until(&format!("{line} ends"), || self.child.try_wait().expect("the child is ours"));
        Ended { status, stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Sends a signal and waits for the end.
    #[track_caller]
    pub fn stop(&mut self, signal: &str) -> Ended {
        self.signal(signal);
        self.wait()
    }

    /// The addresses on which it listens (TCP).
    pub fn listens_on(&self) -> Vec<SocketAddr> {
        listeners(self.pid())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The workers of a server would outlive it.
        let others = if self.has_ended() { Vec::new() } else { descendants(self.pid()) };
        let _ = self.child.kill();
        let _ = self.child.wait();
        others.into_iter().filter(|pid| is_alive(*pid)).for_each(|pid| send(pid, "KILL"));
        if std::thread::panicking() {
            let bytes = self.stderr_bytes();
            let tail = &bytes[bytes.len().saturating_sub(4000)..];
            eprintln!("--- standard error of {}\n{}", self.line, String::from_utf8_lossy(tail));
        }
    }
}

/// The children of a process, their children, and so on.
fn descendants(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<u32> =
        children.flat_map(|text| text.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect();
    pids.into_iter().flat_map(|pid| [vec![pid], descendants(pid)].concat()).collect()
}

/// Sends a signal to a process; that it is gone already is not an error.
pub fn send(pid: u32, signal: &str) {
    // The shell's own kill: a program of that name need not be installed.
    let _ = Command::new("sh")
        .args(["-c", r#"kill -s "$0" "$1""#, signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Whether the process exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim().starts_with('Z'))
}

/// The addresses on which a process listens by TCP or waits for anybody's datagrams, in its own network namespace.  Looking them up in `/proc` disturbs
/// nothing, where a trial connection would be one more client.
pub fn listeners(pid: u32) -> Vec<SocketAddr> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            Some(inode.trim_end_matches(']').to_string())
        })
        .collect();
    ["tcp", "tcp6", "udp", "udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|table| table.lines().map(str::to_string).collect::<Vec<_>>())
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_unconnected = fields.get(2).is_some_and(|peer| peer.ends_with(":0000"));
            let listening = is_unconnected && matches!(fields.get(3), Some(&"0A" | &"07"));
            let ours = sockets.iter().any(|inode| Some(&inode.as_str()) == fields.get(9));
            (listening && ours).then(|| socket_address(fields[1])).flatten()
        })
        .collect()
}

/// An address of `/proc/net/tcp`: 32-bit words in the machine's byte order, in hexadecimal.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let bytes: Vec<u8> = (0..address.len() / 8)
        .filter_map(|word| u32::from_str_radix(&address[word * 8..word * 8 + 8], 16).ok())
        .flat_map(u32::to_ne_bytes)
        .collect();
    match bytes.len() {
        4 => Some((<[u8; 4]>::try_from(bytes).ok()?, port).into()),
        16 => Some((<[u8; 16]>::try_from(bytes).ok()?, port).into()),
        _ => None,
    }
}
