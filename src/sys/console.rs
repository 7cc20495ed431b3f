//! Where pen speaks to its operator: stderr in the foreground, syslog otherwise.
//!
//! Nothing here blocks, and nothing here changes the open file description behind stderr, which
//! pen shares with the shell that started it. What cannot be written at once waits in a queue of
//! bounded size; what does not fit there is dropped whole, counted, and the count is said when
//! there is room again.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

use super::clock::{LocalTime, unix_now};
use super::poll_one;
use super::syslog::Syslog;
use crate::base::bytes::veiled;
use crate::base::diag::Severity;
use crate::net::Lost;

/// How many bytes of dumps may wait.
const DUMP_ROOM: usize = 1 << 20;
/// How many bytes of lines may wait beyond that: a flood of dumps does not crowd them out.
const LINE_ROOM: usize = 1 << 16;
/// Longest piece of a dump in one syslog message, in bytes (RFC 3164 section 4.1 allows 1024 with
/// all that goes before it).
const SYSLOG_PIECE: usize = 1000 - 40;
/// Facility "user" (RFC 5424 section 6.2.1).
const FACILITY: u8 = 1;

/// The way to the operator.
#[derive(Debug)]
pub struct Console {
    out: Output,
    /// What waits; records of a stream may be written in part, those for syslog never are.
    queue: VecDeque<Vec<u8>>,
    /// How much of the first record is written already.
    written: usize,
    /// Bytes in the queue, with those of the first that are written already.
    queued: usize,
    lost_lines: u64,
    lost_dumps: u64,
    /// What was lost and told.
    told: Lost,
}

/// How to write without blocking and without making anybody else's descriptor non-blocking.
#[derive(Debug)]
enum Output {
    /// A pipe or terminal, opened anew and so with flags of our own.
    Reopened(File),
    /// A regular file: the disk does not block. Not opened anew, because its offset is shared.
    Plain(File),
    /// A socket: each call says that it must not block.
    Socket(OwnedFd),
    /// What could not be opened anew: asked before each small write, which then does not block.
    Asked(File),
    /// The system's logger.
    Syslog(Syslog),
}

impl Console {
    /// Speaks on descriptor 2, as lines that begin with the local time.
    pub fn stderr() -> Console {
        // A descriptor that cannot be duplicated is closed or beyond the limit: then nobody listens.
        match io::stderr().as_fd().try_clone_to_owned() {
            Ok(fd) => Console::on(fd),
            Err(_) => Console::with(Output::Syslog(Syslog::at(Vec::new()))),
        }
    }

    /// Speaks on another descriptor in the same way.
    pub fn on(fd: OwnedFd) -> Console {
        Console::with(Output::to(fd))
    }

    /// Speaks to the system's logger: ident `pen`, facility user.
    pub fn syslog() -> Console {
        Console::to_logger(Syslog::open())
    }

    /// Speaks to that logger.
    pub fn to_logger(logger: Syslog) -> Console {
        Console::with(Output::Syslog(logger))
    }

    fn with(out: Output) -> Console {
        // The C library reads the time zone now, and not from within a jail.
        LocalTime::at(unix_now());
        Console {
            out,
            queue: VecDeque::new(),
            written: 0,
            queued: 0,
            lost_lines: 0,
            lost_dumps: 0,
            told: Lost::default(),
        }
    }

    /// Says something. Text of several lines stays together; what does not show but changes how
    /// the rest shows becomes dots, other than newline and tab.
    pub fn say(&mut self, severity: Severity, text: &str) {
        self.confess();
        let records = self.lines(severity, text);
        if !self.put(records, DUMP_ROOM + LINE_ROOM) {
            self.lost_lines += 1;
        }
    }

    /// How much was lost since the start.
    pub fn lost(&self) -> Lost {
        Lost { messages: self.told.messages + self.lost_lines, dumps: self.told.dumps + self.lost_dumps }
    }

    /// Writes one dump as it is, whole or not at all; to syslog in pieces of bounded size.
    pub fn dump(&mut self, bytes: &[u8]) {
        self.confess();
        let taken = match self.out {
            Output::Syslog(_) => {
                let records = self.pieces(bytes);
                self.put(records, DUMP_ROOM)
            }
            _ => self.put_one(bytes, DUMP_ROOM),
        };
        if !taken {
            self.lost_dumps += 1;
        }
    }

    /// What to watch for writing, while something waits; then [`Console::flush`].
    pub fn pending(&self) -> Option<BorrowedFd<'_>> {
        if self.queue.is_empty() { None } else { self.out.fd() }
    }

    /// Writes what waits, as far as that goes. Must go on until the descriptor would block, so it
    /// may be watched edge-triggered.
    pub fn flush(&mut self) {
        while let Some(first) = self.queue.front() {
            match self.out.write(&first[self.written..]) {
                Ok(count) if self.written + count < first.len() => self.written += count,
                Ok(_) => self.drop_first(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.lost_lines += 1;
                    self.drop_first();
                }
            }
        }
    }

    /// Writes what waits, and for once waits for it, but not longer than `limit`: the last words
    /// before the program ends.
    pub fn finish(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        self.flush();
        self.confess();
        while let Some(fd) = self.pending() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            poll_one(fd, libc::POLLOUT, libc::c_int::try_from(left.as_millis()).unwrap_or(libc::c_int::MAX).max(1));
            self.flush();
        }
    }

    /// Says what was lost, once half the room is free again: with each record that is lost, one
    /// more that says so would find room.
    fn confess(&mut self) {
        if self.lost_lines + self.lost_dumps == 0 || self.queued > DUMP_ROOM / 2 {
            return;
        }
        let text =
            format!("{} dumps and {} lines were lost: nobody read them in time", self.lost_dumps, self.lost_lines);
        let records = self.lines(Severity::Warning, &text);
        if self.put(records, DUMP_ROOM + LINE_ROOM) {
            self.told = self.lost();
            self.lost_lines = 0;
            self.lost_dumps = 0;
        }
    }

    fn drop_first(&mut self) {
        self.queued -= self.queue.pop_front().map_or(0, |record| record.len());
        self.written = 0;
    }

    /// Takes all records or none.
    fn put(&mut self, records: Vec<Vec<u8>>, room: usize) -> bool {
        if self.queued + records.iter().map(Vec::len).sum::<usize>() > room {
            return false;
        }
        records.iter().all(|record| self.put_one(record, usize::MAX))
    }

    /// Writes a record, or queues what is left of it; false if it does not fit or nobody is there.
    fn put_one(&mut self, record: &[u8], room: usize) -> bool {
        // Also where nobody can watch the descriptor, what waits goes out in the end.
        self.flush();
        let mut rest = record;
        if self.queue.is_empty() {
            match self.out.write(record) {
                Ok(count) => rest = &record[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            if rest.is_empty() {
                return true;
            }
        }
        // What is written in part must be ended, or the next would begin in the middle of it.
        if rest.len() == record.len() && self.queued + rest.len() > room {
            return false;
        }
        self.queued += rest.len();
        self.queue.push_back(rest.to_vec());
        true
    }

    fn lines(&self, severity: Severity, text: &str) -> Vec<Vec<u8>> {
        let clean = |text: &str| -> String {
            text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { veiled(c) }).collect()
        };
        let now = LocalTime::at(unix_now());
        match self.out {
            Output::Syslog(_) => {
                let lines: Vec<String> = text.lines().map(clean).collect();
                let pieces = lines.iter().flat_map(|line| line.as_bytes().chunks(SYSLOG_PIECE));
                pieces.map(|piece| message(severity, now, &String::from_utf8_lossy(piece))).collect()
            }
            _ => vec![format!("{now}: {}\n", clean(text.strip_suffix('\n').unwrap_or(text))).into_bytes()],
        }
    }

    /// A dump as syslog takes it: its lines, without their ends, in pieces.
    fn pieces(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let now = LocalTime::at(unix_now());
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines
            .flat_map(|line| line.chunks(SYSLOG_PIECE))
            .map(|piece| message(Severity::Debug, now, &String::from_utf8_lossy(piece)))
            .collect()
    }
}

/// One syslog message (RFC 3164 section 4.1, as syslog(3) writes it to the local logger).
fn message(severity: Severity, now: LocalTime, text: &str) -> Vec<u8> {
    format!("<{}>{} pen: {text}", FACILITY * 8 + severity.number(), now.syslog()).into_bytes()
}

impl Output {
    fn to(fd: OwnedFd) -> Output {
        let file = File::from(fd);
        let Ok(kind) = file.metadata().map(|about| about.file_type()) else { return Output::Asked(file) };
        if kind.is_file() {
            return Output::Plain(file);
        }
        if kind.is_socket() {
            return Output::Socket(file.into());
        }
        match reopen(&file) {
            Ok(reopened) => Output::Reopened(reopened),
            Err(_) => Output::Asked(file),
        }
    }

    /// One attempt. A record for syslog is sent whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Output::Reopened(file) | Output::Plain(file) => file.write(bytes),
                Output::Socket(fd) => send(fd.as_fd(), bytes),
                Output::Asked(file) if poll_one(&*file, libc::POLLOUT, 0) => {
                    // A pipe that is ready takes so much without blocking (pipe(7)).
                    file.write(&bytes[..bytes.len().min(libc::PIPE_BUF)])
                }
                Output::Asked(_) => Err(io::ErrorKind::WouldBlock.into()),
                Output::Syslog(syslog) => syslog.send(bytes).map(|()| bytes.len()),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                other => return other,
            }
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Output::Reopened(file) | Output::Plain(file) | Output::Asked(file) => Some(file.as_fd()),
            Output::Socket(fd) => Some(fd.as_fd()),
            Output::Syslog(syslog) => syslog.fd(),
        }
    }
}

/// Opens a pipe or terminal anew, to have flags of our own.
#[cfg(target_os = "linux")]
fn reopen(file: &File) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Elsewhere opening /dev/fd/N only duplicates the descriptor, flags and all.
#[cfg(not(target_os = "linux"))]
fn reopen(_file: &File) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and length are those of a live slice, which the call only reads.
    let count = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{checked, test_dir};
    use std::io::Read;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    /// Reads all that is there now.
    fn drain(reader: &mut (impl Read + AsFd)) -> Vec<u8> {
        let mut all = Vec::new();
        let mut bytes = vec![0; 1 << 16];
        while poll_one(&*reader, libc::POLLIN, 0) {
            match reader.read(&mut bytes).unwrap() {
                0 => break,
                count => all.extend_from_slice(&bytes[..count]),
            }
        }
        all
    }

    fn is_nonblocking(fd: impl AsFd) -> bool {
        let flags = checked(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) }).unwrap();
        flags & libc::O_NONBLOCK != 0
    }

    /// Splits `2026-11-22 17:39:50: text` after checking the form of its time.
    fn untimed(line: &str) -> &str {
        let (time, text) = line.split_at(19);
        let form: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(form, "9999-99-99 99:99:99", "{line}");
        text.strip_prefix(": ").unwrap()
    }

    #[test]
    fn lines_carry_the_local_time_and_no_control_characters() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut console = Console::on(writer.into());
        for (text, line) in
            [("hello", "hello\n"), ("a\u{1b}[31mb\u{9b}\u{202e}c", "a.[31mb..c\n"), ("two\nlines\n", "two\nlines\n")]
        {
            console.say(Severity::Notice, text);
            assert_eq!(untimed(&String::from_utf8(drain(&mut reader)).unwrap()), line);
        }
        assert!(console.pending().is_none());
    }

    #[test]
    fn dumps_go_out_as_they_are() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut console = Console::on(writer.into());
        console.dump(b"copy_up(0)\n5: QUIT\r\n\n");
        assert_eq!(drain(&mut reader), b"copy_up(0)\n5: QUIT\r\n\n");
    }

    /// Whatever stderr is: a reader that stops holds nothing up, the shared description stays
    /// blocking, and after it comes back each dump is there whole or not at all.
    fn a_stopped_reader(mut reader: impl Read + AsFd, writer: OwnedFd, mut console: Console) {
        let dump_of = |n: u32| format!("copy_up({n})\n{}\n", "x".repeat(9_990)).into_bytes();
        for n in 0..400 {
            console.dump(&dump_of(n));
        }
        console.say(Severity::Warning, "a line has room when dumps have none");
        assert!(!is_nonblocking(&writer));
        assert!(console.pending().is_some());
        assert!(console.queued <= DUMP_ROOM + LINE_ROOM, "{}", console.queued);
        let mut all = Vec::new();
        while console.pending().is_some() {
            all.extend(drain(&mut reader));
            console.flush();
        }
        console.say(Severity::Notice, "end");
        all.extend(drain(&mut reader));

        let text = String::from_utf8(all).unwrap();
        let (dumps, said): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with("copy_up(") || line.starts_with('x'));
        let whole = dumps.len() / 2;
        for (n, pair) in dumps.chunks(2).enumerate() {
            assert_eq!(pair, [format!("copy_up({n})"), "x".repeat(9_990)]);
        }
        let lost = 400 - whole;
        assert!(lost > 100, "all {whole} fitted");
        let said: Vec<&str> = said.into_iter().map(untimed).collect();
        let confession = format!("{lost} dumps and 0 lines were lost: nobody read them in time");
        assert_eq!(said, ["a line has room when dumps have none", confession.as_str(), "end"]);
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nothing_up() {
        let (reader, writer) = io::pipe().unwrap();
        let shared = OwnedFd::from(writer);
        let console = Console::on(shared.try_clone().unwrap());
        a_stopped_reader(reader, shared, console);
    }

    #[test]
    fn a_socket_that_nobody_reads_holds_nothing_up() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let shared = OwnedFd::from(writer);
        let console = Console::on(shared.try_clone().unwrap());
        assert!(matches!(console.out, Output::Socket(_)));
        a_stopped_reader(reader, shared, console);
    }

    #[test]
    fn a_pipe_that_cannot_be_opened_anew_holds_nothing_up() {
        let (reader, writer) = io::pipe().unwrap();
        let shared = OwnedFd::from(writer);
        let console = Console::with(Output::Asked(File::from(shared.try_clone().unwrap())));
        a_stopped_reader(reader, shared, console);
    }

    #[test]
    fn a_file_keeps_its_shared_offset() {
        let dir = test_dir("console-file");
        let path = dir.join("err");
        let mut shell = File::create(&path).unwrap();
        let mut console = Console::on(OwnedFd::from(shell.try_clone().unwrap()));
        shell.write_all(b"before\n").unwrap();
        console.dump(b"0: \n");
        shell.write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\n0: \nafter\n");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_reader_that_is_gone_costs_nothing() {
        let (reader, writer) = io::pipe().unwrap();
        let mut console = Console::on(writer.into());
        drop(reader);
        for _ in 0..3 {
            console.say(Severity::Error, "into the void");
            console.dump(b"1: x\n");
        }
        assert!(console.pending().is_none());
        assert_eq!((console.lost_lines, console.lost_dumps), (3, 3));
    }

    #[test]
    fn the_last_words_wait_for_a_slow_reader_but_not_for_ever() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut console = Console::on(writer.into());
        console.dump(&[b'x'; 300_000]);
        console.finish(Duration::from_millis(20));
        assert!(console.pending().is_some(), "nobody read, and yet it went somewhere");
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all.len())
        });
        console.finish(Duration::from_secs(20));
        drop(console);
        assert_eq!(reading.join().unwrap().unwrap(), 300_000);
    }

    #[test]
    fn syslog_gets_facility_severity_and_ident() {
        let dir = test_dir("console-syslog");
        let path = dir.join("log");
        let logger = UnixDatagram::bind(&path).unwrap();
        let mut console = Console::to_logger(Syslog::at(vec![path]));
        let receive = || {
            let mut bytes = [0; 2048];
            let count = logger.recv(&mut bytes).unwrap();
            let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
            let (priority, rest) = text.split_once('>').unwrap();
            // A time such as `Nov 22 17:39:50` has 15 bytes.
            (format!("{priority}>"), String::from(&rest[15..]))
        };
        let pair = |priority: &str, text: &str| (String::from(priority), String::from(text));
        console.say(Severity::Error, "one\ntwo");
        assert_eq!([receive(), receive()], [pair("<11>", " pen: one"), pair("<11>", " pen: two")]);
        let long = "y".repeat(SYSLOG_PIECE + 1);
        console.dump(format!("copy_up(0)\n6: QUIT\r\n\n{long}\n").as_bytes());
        assert_eq!([receive(), receive()], [pair("<15>", " pen: copy_up(0)"), pair("<15>", " pen: 6: QUIT")]);
        assert_eq!(receive().1.len(), " pen: ".len() + SYSLOG_PIECE);
        assert_eq!(receive().1, " pen: y");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn long_lines_are_cut_for_syslog() {
        let dir = test_dir("console-long");
        let path = dir.join("log");
        let logger = UnixDatagram::bind(&path).unwrap();
        let mut console = Console::to_logger(Syslog::at(vec![path]));
        console.say(Severity::Debug, &format!("control: {}\nnext", "é".repeat(2048)));
        let mut said = Vec::new();
        while poll_one(&logger, libc::POLLIN, 0) {
            let mut bytes = [0; 8192];
            let count = logger.recv(&mut bytes).unwrap();
            assert!(count <= 1000, "{count}");
            said.push(String::from_utf8(bytes[..count].to_vec()).unwrap());
        }
        assert_eq!(said.len(), 6);
        assert!(said[5].ends_with("pen: next"), "{said:?}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
