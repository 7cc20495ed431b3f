//! The old side of an upgrade: starts pen anew, and hands over what it listens on.
//!
//! The successor inherits the listening sockets, one end of a socket pair and a file without a
//! name; [`inheritance`](super::inheritance) is its side. When it is set up it says what it took, in
//! one byte for each socket. Then the old pen closes its own listeners, writes what it remembers of clients
//! into the file, and answers with one byte: so nothing is remembered that is not handed over.
//! Until that answer the old pen can end the successor and go on as if nothing had been.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::exec::Program;
use super::pid_file::PidFile;
use super::process::Child;
use super::set_nonblocking;
use crate::net::Successor;

/// The variable that tells a successor what it inherited: the process number of the old pen, then
/// the numbers of the descriptors: the socket pair's end, the file, the listener for commands or
/// [`NONE`], those for clients.
pub(super) const VARIABLE: &str = "PEN_SUCCESSOR";

/// What stands in place of the listener for commands if there is none.
pub(super) const NONE: &str = "-";

/// What the successor says of a socket that it took: the one for commands first, and then the others
/// in their order. No other program writes this by chance.
pub(super) const TOOK: u8 = 0xa1;
/// What it says of one that it did not take.
pub(super) const LEFT: u8 = 0xa0;

/// Bytes kept of what a successor says before it is ready; more is read and thrown away.
const SAID_MAX: usize = 4096;

/// How to start this program again.
#[derive(Clone, Debug)]
pub struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    /// In the background nobody reads standard error, so what the successor says is caught.
    is_background: bool,
}

impl Launch {
    /// As this process was started: by the same path, which is absolute from now on, and with the
    /// same arguments. Whatever is there when the time comes is run.
    pub fn of_this_process(is_background: bool) -> io::Result<Launch> {
        let mut args = std::env::args_os();
        let program = find_program(Path::new(&args.next().unwrap_or_default()))?;
        Ok(Launch { program, args: args.collect(), is_background })
    }
}

/// The absolute path of what a shell would run for this word.
fn find_program(word: &Path) -> io::Result<PathBuf> {
    if word.components().count() > 1 || word.is_absolute() {
        return std::path::absolute(word);
    }
    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(word)).find(is_program);
    // Whoever started it may have given it another name, as login(1) does for shells.
    found.map_or_else(std::env::current_exe, std::path::absolute)
}

/// Starts a successor when that is asked for, one at a time.
#[derive(Debug)]
pub struct Upgrader {
    /// How, or why it cannot be.
    launch: Result<Launch, String>,
    /// Both of them write it; whoever has a right to it at the end removes it.
    pid_file: Option<PidFile>,
    running: Option<Running>,
}

/// A successor that is being set up.
#[derive(Debug)]
struct Running {
    /// Dropping it ends the successor.
    process: Child,
    channel: UnixStream,
    clients: File,
    stderr: Option<PipeReader>,
    said: Vec<u8>,
    /// What it said it took, so far.
    took: Vec<u8>,
    /// How much it will have said once it is ready.
    sockets: usize,
}

/// What a successor took.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// The listeners for clients.
    pub listeners: Vec<bool>,
    /// The listener for commands.
    pub control: bool,
}

impl Upgrader {
    /// Nobody can take over from this process, for a reason that is the end of a sentence.
    pub fn refusing(why: &str) -> Upgrader {
        Upgrader { launch: Err(String::from(why)), pid_file: None, running: None }
    }

    /// Starts successors in this way, or says why not. The pid file is given back by
    /// [`Upgrader::take_pid_file`].
    pub fn new(launch: Result<Launch, String>, pid_file: Option<PidFile>) -> Upgrader {
        Upgrader { launch, pid_file, running: None }
    }

    /// The pid file, to be dropped when all else is closed.
    pub fn take_pid_file(&mut self) -> Option<PidFile> {
        self.pid_file.take()
    }

    /// Starts the successor. An error is the end of a sentence.
    pub fn start(&mut self, listeners: &[BorrowedFd<'_>], control: Option<BorrowedFd<'_>>) -> Result<(), String> {
        let launch = self.launch.as_ref().map_err(String::clone)?;
        let running = launch.start(listeners, control);
        let failed =
            |error| format!("cannot start {}: {}", launch.program.display(), crate::base::error::reason(&error));
        self.running = Some(running.map_err(failed)?);
        Ok(())
    }

    /// What to watch for reading after [`Upgrader::start`]; closed, and so no longer watched, when
    /// it is over.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let running = self.running.iter();
        running
            .flat_map(|running| running.stderr.as_ref().map(AsFd::as_fd).into_iter().chain([running.channel.as_fd()]))
    }

    /// Reads what there is, until it would block; what became of the successor, if that is news.
    pub fn read(&mut self) -> Option<Successor> {
        let running = self.running.as_mut()?;
        running.read_stderr();
        let why = match running.read_answer() {
            Answer::Incomplete => return None,
            Answer::Ready => return Some(Successor::Ready),
            Answer::Ended => running.end(),
            Answer::Other => String::from("it answered something else than that it is ready"),
        };
        let said = self.abandon();
        Some(Successor::Failed(if said.is_empty() { why } else { format!("{why}; it said: {said}") }))
    }

    /// Ends a successor to which nothing was handed over, and takes the pid file back. Returns
    /// what it has said.
    pub fn abandon(&mut self) -> String {
        let Some(mut running) = self.running.take() else { return String::new() };
        running.read_stderr();
        let said = String::from_utf8_lossy(&running.said).trim_end().replace('\n', "; ");
        drop(running);
        if let Some(file) = &mut self.pid_file {
            // What cannot be written now could not be written by the successor either.
            let _ = file.restore();
        }
        said
    }

    /// Lets the successor go on without this process, once the listeners are closed.
    pub fn hand_over(&mut self, clients: &[u8]) -> io::Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let written = running.clients.write_all(clients);
        let told = running.channel.write_all(b"!");
        // It is nobody's child from now on.
        std::mem::forget(running.process);
        self.launch = Err(String::from("another process has taken over already"));
        written.and(told)
    }

    /// What the successor that is ready took.
    pub fn taken(&self) -> Taken {
        let Some((control, listeners)) = self.running.as_ref().and_then(|running| running.took.split_first()) else {
            return Taken::default();
        };
        Taken { listeners: listeners.iter().map(|said| *said == TOOK).collect(), control: *control == TOOK }
    }
}

impl Launch {
    fn start(&self, listeners: &[BorrowedFd<'_>], control: Option<BorrowedFd<'_>>) -> io::Result<Running> {
        let (channel, theirs) = UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let clients = File::from(nameless_file()?);
        let own = [Some(theirs.as_raw_fd()), Some(clients.as_raw_fd()), control.map(|fd| fd.as_raw_fd())];
        let fds: Vec<Option<RawFd>> = own.into_iter().chain(listeners.iter().map(|fd| Some(fd.as_raw_fd()))).collect();
        let words = fds.iter().map(|fd| fd.map_or(String::from(NONE), |fd| fd.to_string()));
        let words: Vec<String> = std::iter::once(std::process::id().to_string()).chain(words).collect();
        let passed: Vec<RawFd> = fds.into_iter().flatten().collect();
        let (reader, writer) = if self.is_background {
            let (reader, writer) = io::pipe()?;
            set_nonblocking(&reader)?;
            (Some(reader), Some(writer))
        } else {
            (None, None)
        };
        let words = words.join(" ");
        let (path, args, variable) = (&self.program, &self.args, (VARIABLE, words.as_str()));
        let process = Program { path, args, variable, stderr: writer, kept: &passed }.start()?;
        let sockets = 1 + listeners.len();
        Ok(Running { process, channel, clients, stderr: reader, said: Vec::new(), took: Vec::new(), sockets })
    }
}

/// What a successor has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// Nothing yet, or not all of it, or all of it earlier.
    Incomplete,
    /// That it is ready, just now.
    Ready,
    /// Nothing, and it never will.
    Ended,
    /// Something else.
    Other,
}

impl Running {
    fn read_answer(&mut self) -> Answer {
        let mut bytes = [0; 64];
        loop {
            let room = bytes.len().min((self.sockets - self.took.len()).max(1));
            let was_ready = self.took.len() == self.sockets;
            match self.channel.read(&mut bytes[..room]) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    return Answer::Incomplete;
                }
                _ if was_ready => return Answer::Incomplete,
                Ok(0) => return Answer::Ended,
                Ok(count) if bytes[..count].iter().all(|said| matches!(*said, TOOK | LEFT)) => {
                    self.took.extend_from_slice(&bytes[..count]);
                    if self.took.len() == self.sockets {
                        return Answer::Ready;
                    }
                }
                Ok(_) | Err(_) => return Answer::Other,
            }
        }
    }

    fn read_stderr(&mut self) {
        let Some(pipe) = &mut self.stderr else { return };
        let mut bytes = [0; 1024];
        loop {
            match pipe.read(&mut bytes) {
                Ok(0) => break self.stderr = None,
                Ok(count) => {
                    let room = SAID_MAX - self.said.len();
                    self.said.extend_from_slice(&bytes[..count.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    /// How it ended that closed its channel: by its own end, or now.
    fn end(&self) -> String {
        // An exit that is under way keeps its status.
        self.process.kill();
        match self.process.wait() {
            Some(status) => format!("it ended with status {status}"),
            None => String::from("it ended without a status"),
        }
    }
}

/// A file in memory that is closed on exec.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn nameless_file() -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the text ends with a NUL and is static.
    let number = super::checked(unsafe { libc::memfd_create(c"pen-clients".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: the descriptor is new, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A file whose name is gone as soon as it is open.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn nameless_file() -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = std::env::temp_dir().join(format!("pen-clients.{}", std::process::id()));
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll_one;
    use std::net::TcpListener;

    fn upgrader(script: &str) -> Upgrader {
        let args = ["-c", script].map(OsString::from).to_vec();
        // Not any shell: a descriptor may have two digits, which dash does not take.
        let program = find_program(Path::new("bash")).unwrap();
        Upgrader::new(Ok(Launch { program, args, is_background: true }), None)
    }

    /// What becomes of a successor that is this script. `$1` to `$5` are what the variable says.
    fn outcome(script: &str) -> Option<Successor> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut upgrader = upgrader(&format!("set -- $PEN_SUCCESSOR\n{script}"));
        upgrader.start(&[listener.as_fd(), listener.as_fd()], None).unwrap();
        loop {
            let fds: Vec<OwnedFd> = upgrader.fds().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
            let channel = fds.last().expect("there is a channel until it is over");
            assert!(poll_one(channel, libc::POLLIN, 30_000), "nothing in 30 s");
            let outcome = upgrader.read();
            if outcome.is_some() {
                let taken = Taken { listeners: vec![true, false], control: false };
                assert!(outcome != Some(Successor::Ready) || upgrader.taken() == taken);
                return outcome;
            }
        }
    }

    #[test]
    fn what_becomes_of_a_successor_is_told() {
        if !find_program(Path::new("bash")).unwrap().ends_with("bash") {
            println!("cannot test successors here: bash is not installed");
            return;
        }
        let failed = |why: &str| Some(Successor::Failed(String::from(why)));
        let table = [
            ("exit 3", failed("it ended with status 3")),
            ("echo pen: no >&2; echo really >&2; exit 78", failed("it ended with status 78; it said: pen: no; really")),
            ("kill -9 $$", failed("it ended without a status")),
            ("eval \"exec $2>&-\"; exec sleep 60 2>&-", failed("it ended without a status")),
            ("echo hello >&$2; exec sleep 60", failed("it answered something else than that it is ready")),
            ("printf '\\240' >&$2; printf '\\241\\240' >&$2; exec sleep 60", Some(Successor::Ready)),
            ("printf '\\240\\241' >&$2", failed("it ended with status 0")),
        ];
        for (script, expected) in table {
            assert_eq!(outcome(script), expected, "{script}");
        }
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let launch = Launch { program: "/no/such/pen".into(), args: Vec::new(), is_background: false };
        let mut upgrader = Upgrader::new(Ok(launch), None);
        let error = upgrader.start(&[listener.as_fd()], None).unwrap_err();
        assert_eq!(error, "cannot start /no/such/pen: no such file or directory");
        assert_eq!(upgrader.fds().count(), 0);
        let mut upgrader = Upgrader::refusing("not here");
        assert_eq!(upgrader.start(&[listener.as_fd()], None).unwrap_err(), "not here");
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        assert_eq!(find_program(Path::new("/usr/sbin/pen")).unwrap(), Path::new("/usr/sbin/pen"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(find_program(Path::new("./pen")).unwrap(), here.join("pen"));
        assert_eq!(find_program(Path::new("dir/pen")).unwrap(), here.join("dir/pen"));
        assert!(find_program(Path::new("sh")).unwrap().ends_with("sh"));
        assert!(find_program(Path::new("sh")).unwrap().is_absolute());
        assert_eq!(find_program(Path::new("-no-such-name")).unwrap(), std::env::current_exe().unwrap());
    }
}
