//! The control port: one command a connection, obeyed between the work for clients.
//!
//! A session never blocks, never holds more than a line and a reply, and has ten seconds from
//! beginning to end; there are at most sixteen, and when more come, the oldest makes room. So
//! nobody who is silent, slow or talks nonsense can hold up a client or an operator.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use slab::Slab;

use super::effects::{Next, Work};
use super::trust::Trust;
use super::{CONTROL_LISTENER, FIRST_LISTENING, FIRST_SESSION, Proxy, Rights};
use crate::base::addr::Endpoint;
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::operand::Services;
use crate::base::time::Moment;
use crate::control::LINE_MAX;
use crate::control::token::{TOKEN, TOKEN_MAX};
use crate::net::{Net, NoAddress, Stream, Token};

/// How many sessions there may be at once.
pub const SESSIONS_MAX: usize = 16;

const _: () = assert!(FIRST_SESSION + SESSIONS_MAX <= FIRST_LISTENING);

/// The longest line that is read: a command, and the word before it.
const SESSION_LINE_MAX: usize = LINE_MAX + TOKEN_MAX + TOKEN.len();

/// How long a session may take.
const SESSION_TIME: Duration = Duration::from_secs(10);

/// How long to leave the listener alone when something is lacking to accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Bytes that are read and thrown away after the line, so that the peer sees no reset.
const DRAIN_MAX: usize = 1024 * 1024;

/// Commands that may wait for a name to be looked up; their sessions may be over by then.
const WAITING_MAX: usize = 64;

/// The control port and all that goes on there.
#[derive(Debug)]
pub struct Control<N: Net> {
    socket: Option<N::Listener>,
    /// The address as it was written; empty if there is none.
    pub(super) written: String,
    /// The file of commands that pen was started with.
    pub(super) config: Option<PathBuf>,
    /// Where anybody may have files read and written.
    pub(super) directories: Vec<PathBuf>,
    /// The word that those by TCP must know.
    pub(super) token: Option<Box<[u8]>>,
    /// Names of ports, for commands.
    pub(super) services: Services,
    /// The process id, for `pid`.
    pub(super) pid: u32,
    /// An edge came, and no `WouldBlock` since.
    is_ready: bool,
    paused_until: Option<Moment>,
    sessions: Slab<Session<N::Stream>>,
    waiting: Vec<Waiting>,
    serial: u64,
}

/// A command that waits for a name.
#[derive(Debug)]
struct Waiting {
    request: usize,
    asker: Asker,
    work: Work,
}

/// Who wants a command obeyed, and hears the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// A session, if it is still there by then.
    Session(SessionId),
    /// The signal HUP: the reply is said.
    Hangup,
}

/// Names a session for ever: its slot is used again, its serial number is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SessionId {
    key: usize,
    serial: u64,
}

/// One connection to the control port.
#[derive(Debug)]
struct Session<S> {
    stream: S,
    from: Endpoint,
    trust: Trust,
    serial: u64,
    until: Moment,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The line is not complete.
    Reading(Vec<u8>),
    /// The command is being obeyed.
    Obeying,
    /// The reply is being sent: the text, and how much of it has been taken.
    Replying(Vec<u8>, usize),
    /// The reply and a FIN are sent; what still comes is thrown away, up to so many bytes.
    Draining(usize),
}

/// What a session has come to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It waits for an edge, or for its command.
    Waits,
    /// The line is complete.
    Line(Vec<u8>),
    /// It is over.
    Over,
}

impl<S: Stream> Session<S> {
    /// Goes on as far as that is possible now.
    fn step(&mut self, scratch: &mut [u8]) -> Step {
        loop {
            let moved = match &mut self.state {
                State::Reading(line) => match self.stream.read(scratch) {
                    Ok(count) => {
                        if !take_line(line, &scratch[..count]) {
                            continue;
                        }
                        let line = std::mem::take(line);
                        self.state = State::Obeying;
                        return Step::Line(line);
                    }
                    Err(error) => Err(error),
                },
                State::Obeying => return Step::Waits,
                State::Replying(text, sent) if *sent == text.len() => {
                    self.state = State::Draining(DRAIN_MAX);
                    self.stream.shutdown_write()
                }
                State::Replying(text, sent) => match self.stream.write(&text[*sent..]) {
                    Ok(0) => return Step::Over,
                    Ok(count) => {
                        *sent += count;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                State::Draining(left) => match self.stream.read(scratch) {
                    Ok(count) if count == 0 || count > *left => return Step::Over,
                    Ok(count) => {
                        *left -= count;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
            };
            match moved {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Waits,
                Err(_) => return Step::Over,
            }
        }
    }

    /// Makes its end look like one: to a peer without its reply a FIN would say that there is
    /// none.
    fn cut_off(&mut self) {
        if !matches!(self.state, State::Draining(_)) {
            // Where this fails the kernel ends the connection in its own way.
            let _ = self.stream.reset_on_drop();
        }
    }
}

/// Adds what was read to a line; true if it is complete. LF, CR, NUL and the end of what the
/// peer sends end a line, and what follows is not looked at; so does one byte more than a line
/// may have, which then is refused.
fn take_line(line: &mut Vec<u8>, chunk: &[u8]) -> bool {
    let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r' | 0));
    let room = SESSION_LINE_MAX + 1 - line.len();
    line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len()).min(room)]);
    chunk.is_empty() || end.is_some() || line.len() > SESSION_LINE_MAX
}

impl<N: Net> Control<N> {
    /// The control port, if there is a socket for it.
    pub fn new(
        socket: Option<N::Listener>,
        written: String,
        rights: Rights,
        services: Services,
        pid: u32,
    ) -> Control<N> {
        let is_ready = socket.is_some();
        let (sessions, waiting) = (Slab::new(), Vec::new());
        let Rights { config, directories, token, .. } = rights;
        Control {
            socket,
            written,
            config,
            directories,
            token,
            services,
            pid,
            is_ready,
            paused_until: None,
            sessions,
            waiting,
            serial: 0,
        }
    }

    /// When to look at it again without an event, if somebody is there.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.sessions.iter().map(|(_, session)| session.until).chain(self.paused_until).min()
    }

    /// True if somebody may be waiting to be accepted.
    pub(super) fn may_accept(&self) -> bool {
        self.is_ready && self.paused_until.is_none()
    }

    /// The socket, if there is one.
    pub(super) fn socket(&self) -> Option<&N::Listener> {
        self.socket.as_ref()
    }

    /// Lets nobody in any more; the socket is the caller's to close.
    pub(super) fn close(&mut self) -> Option<N::Listener> {
        self.is_ready = false;
        self.paused_until = None;
        self.socket.take()
    }

    /// How many are there.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// True if nobody is there.
    pub(super) fn is_quiet(&self) -> bool {
        self.sessions.is_empty()
    }

    fn is_open(&self, id: SessionId) -> bool {
        self.sessions.get(id.key).is_some_and(|session| session.serial == id.serial)
    }
}

impl<N: Net> Proxy<N> {
    /// Something happened at the control port, or is said to have.
    pub(super) fn control_event(&mut self, token: Token) {
        match token {
            CONTROL_LISTENER => self.control.is_ready = self.control.socket.is_some(),
            Token(number) => self.drive_session(number - FIRST_SESSION),
        }
    }

    /// Lets those in who come to the control port, one turn's worth.
    pub(super) fn accept_sessions(&mut self) {
        for _ in 0..SESSIONS_MAX {
            if !self.control.may_accept() {
                return;
            }
            let Some(socket) = &mut self.control.socket else { return };
            match self.net.accept(socket) {
                Ok((stream, from)) => self.open_session(stream, from),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.control.is_ready = false,
                Err(error) if self.net.is_lack(&error) => {
                    self.control.paused_until = Some(self.now.moment + ACCEPT_PAUSE);
                }
                // This one is gone already (accept(2)); the next may be there.
                Err(_) => {}
            }
        }
    }

    fn open_session(&mut self, mut stream: N::Stream, from: Endpoint) {
        if !self.listeners.control_allows(from.client()) {
            self.say(Severity::Notice, &format!("control: {from} is not permitted"));
            // An end without a word would look like a command that has no reply.
            let _ = stream.reset_on_drop();
            return;
        }
        let sessions = &mut self.control.sessions;
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.serial).map(|(key, _)| key);
            sessions.remove(oldest.expect("there are sessions")).cut_off();
        }
        let key = sessions.vacant_key();
        if let Err(error) = self.net.watch(&mut stream, Token(FIRST_SESSION + key)) {
            return self.say(Severity::Warning, &format!("control: cannot watch {from}: {}", reason(&error)));
        }
        self.control.serial += 1;
        let (serial, until) = (self.control.serial, self.now.moment + SESSION_TIME);
        let state = State::Reading(Vec::new());
        let trust = if stream.is_same_user() { Trust::Full } else { Trust::Limited };
        self.control.sessions.insert(Session { stream, from, trust, serial, until, state });
        self.drive_session(key);
    }

    fn drive_session(&mut self, key: usize) {
        let Some(session) = self.control.sessions.get_mut(key) else { return };
        match session.step(&mut self.scratch) {
            Step::Waits => {}
            Step::Over => _ = self.control.sessions.remove(key),
            Step::Line(line) => {
                let (from, trust) = (session.from.clone(), session.trust);
                let session = SessionId { key, serial: session.serial };
                let Some(command) = self.control.command_of(&line, matches!(from, Endpoint::Unix(_))) else {
                    self.say(Severity::Notice, &format!("control: {from} does not know the word of control_token"));
                    return self.reply(
                        Asker::Session(session),
                        String::from("error: the word of control_token is wrong or missing\n"),
                    );
                };
                if self.tells_events() {
                    let text = format!("control: {from}: {}", String::from_utf8_lossy(command));
                    self.say(Severity::Debug, &text);
                }
                let work = self.obey(command, trust);
                self.go_on(Asker::Session(session), work, None);
            }
        }
    }

    /// Goes on with a command, up to its reply or to a name that must be looked up.
    pub(super) fn go_on(&mut self, asker: Asker, mut work: Work, found: Option<Result<IpAddr, NoAddress>>) {
        match self.work(&mut work, found) {
            Next::LookUp(name) if self.control.waiting.len() < WAITING_MAX => {
                let request = self.names.new_request();
                self.net.resolve(request, &name);
                self.control.waiting.push(Waiting { request, asker, work });
            }
            Next::LookUp(name) => self.reply(asker, format!("error: too many names wait, not looking up '{name}'\n")),
            Next::Ended(reply) => self.reply(asker, reply),
        }
    }

    /// The answer to a look-up; false if no command waits for it.
    pub(super) fn session_resolved(&mut self, request: usize, found: Result<IpAddr, NoAddress>) -> bool {
        let waiting = &mut self.control.waiting;
        let Some(place) = waiting.iter().position(|waiting| waiting.request == request) else { return false };
        let Waiting { asker, work, .. } = waiting.remove(place);
        self.go_on(asker, work, Some(found));
        true
    }

    fn reply(&mut self, asker: Asker, reply: String) {
        let Asker::Session(id) = asker else { return self.say_reload(&reply) };
        if self.control.is_open(id) {
            self.control.sessions[id.key].state = State::Replying(reply.into_bytes(), 0);
            self.drive_session(id.key);
        }
    }

    /// Ends the sessions whose time is over.
    pub(super) fn expire_sessions(&mut self) {
        let now = self.now.moment;
        self.control.sessions.retain(|_, session| {
            let has_time = session.until > now;
            if !has_time {
                session.cut_off();
            }
            has_time
        });
        if self.control.paused_until.is_some_and(|until| until <= now) {
            self.control.paused_until = None;
        }
    }

    /// Ends all sessions: pen ends. Replies that fit are in the kernel by now.
    pub(super) fn close_sessions(&mut self) {
        self.control.sessions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{NoPipe, Ready};
    use std::collections::VecDeque;
    use std::io::{self, Read, Write};

    /// A peer that sends what it is told to, and takes so many bytes at a time.
    #[derive(Debug, Default)]
    struct Wire {
        /// Chunks, errors; an empty chunk is the end. When there is no more it would block.
        sends: VecDeque<Result<Vec<u8>, ErrorKind>>,
        takes: VecDeque<usize>,
        got: Vec<u8>,
        got_fin: bool,
        is_reset: bool,
    }

    impl Read for Wire {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            match self.sends.pop_front() {
                None => Err(io::Error::from(ErrorKind::WouldBlock)),
                Some(Err(kind)) => Err(io::Error::from(kind)),
                Some(Ok(mut chunk)) => {
                    let rest = chunk.split_off(chunk.len().min(room.len()));
                    room[..chunk.len()].copy_from_slice(&chunk);
                    if !rest.is_empty() {
                        self.sends.push_front(Ok(rest));
                    }
                    Ok(chunk.len())
                }
            }
        }
    }

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.takes.pop_front().ok_or(ErrorKind::WouldBlock)?.min(bytes.len());
            self.got.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Wire {
        type Pipe = NoPipe;

        fn peek(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("sessions keep what they read")
        }

        fn connected(&mut self, _: Ready) -> io::Result<bool> {
            Ok(true)
        }

        fn take_error(&self) -> io::Result<Option<io::Error>> {
            Ok(None)
        }

        fn shutdown_write(&mut self) -> io::Result<()> {
            self.got_fin = true;
            Ok(())
        }

        fn unsent(&self) -> io::Result<usize> {
            Ok(0)
        }

        fn reset_on_drop(&mut self) -> io::Result<()> {
            self.is_reset = true;
            Ok(())
        }

        fn no_delay(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn descriptor(&self) -> i32 {
            3
        }
    }

    fn session(sends: &[&[u8]]) -> Session<Wire> {
        let stream = Wire { sends: sends.iter().map(|chunk| Ok(chunk.to_vec())).collect(), ..Wire::default() };
        let state = State::Reading(Vec::new());
        let from = Endpoint::Unix("".into());
        Session { stream, from, trust: Trust::Limited, serial: 1, until: Moment::default(), state }
    }

    fn step(session: &mut Session<Wire>) -> Step {
        session.step(&mut [0; 1024])
    }

    #[test]
    fn a_line_ends_at_lf_cr_nul_or_the_end() {
        let table: [(&[&[u8]], &[u8]); 10] = [
            (&[b"pid\n"], b"pid"),
            (&[b"pid\r\n"], b"pid"),
            (&[b"pid\0pid\n"], b"pid"),
            (&[b"pid", b""], b"pid"),
            (&[b"p", b"i", b"d\n"], b"pid"),
            (&[b"pid\nmode\n"], b"pid"),
            (&[b"\npid\n"], b""),
            (&[b""], b""),
            (&[b"\xff\xfe\x00"], b"\xff\xfe"),
            (&[b"\0"], b""),
        ];
        for (sends, line) in table {
            assert_eq!(step(&mut session(sends)), Step::Line(line.to_vec()), "{sends:?}");
        }
    }

    #[test]
    fn an_incomplete_line_waits_and_a_long_one_does_not_grow() {
        let mut session = session(&[b"pi"]);
        assert_eq!(step(&mut session), Step::Waits);
        session.stream.sends.push_back(Err(ErrorKind::Interrupted));
        session.stream.sends.push_back(Ok(vec![b'x'; 1_000_000]));
        let Step::Line(line) = step(&mut session) else { panic!("a line without an end") };
        assert_eq!(line.len(), SESSION_LINE_MAX + 1);
        assert!(line.starts_with(b"pix"));
    }

    #[test]
    fn a_peer_that_breaks_off_ends_the_session() {
        let mut session = session(&[b"pi"]);
        session.stream.sends.push_back(Err(ErrorKind::ConnectionReset));
        assert_eq!(step(&mut session), Step::Over);
    }

    #[test]
    fn a_reply_goes_out_in_pieces_and_then_a_fin_and_what_still_comes_is_thrown_away() {
        let mut session = session(&[b"pid\n"]);
        assert_eq!(step(&mut session), Step::Line(b"pid".to_vec()));
        assert_eq!(step(&mut session), Step::Waits, "spurious events find nothing to do");
        session.state = State::Replying(b"4711\n".to_vec(), 0);
        assert_eq!(step(&mut session), Step::Waits);
        session.stream.takes.extend([2, 1]);
        assert_eq!(step(&mut session), Step::Waits);
        assert!(!session.stream.got_fin);
        session.stream.takes.push_back(10);
        session.stream.sends.push_back(Ok(b"more".to_vec()));
        assert_eq!(step(&mut session), Step::Waits);
        assert_eq!(session.stream.got, b"4711\n");
        assert!(session.stream.got_fin);
        session.stream.sends.extend([Ok(b"and more".to_vec()), Ok(Vec::new())]);
        assert_eq!(step(&mut session), Step::Over);
        session.cut_off();
        assert!(!session.stream.is_reset, "it has had its reply");
    }

    #[test]
    fn a_flood_after_the_line_ends_the_session() {
        let mut session = session(&[b"pid\n"]);
        assert_eq!(step(&mut session), Step::Line(b"pid".to_vec()));
        session.state = State::Replying(Vec::new(), 0);
        session.stream.sends.push_back(Ok(vec![b'x'; DRAIN_MAX + 1]));
        assert_eq!(step(&mut session), Step::Over);
    }

    #[test]
    fn without_its_reply_a_peer_sees_a_reset() {
        let states = [State::Reading(Vec::new()), State::Obeying, State::Replying(b"x".to_vec(), 0)];
        for state in states {
            let mut session = session(&[]);
            session.state = state;
            session.cut_off();
            assert!(session.stream.is_reset, "{:?}", session.state);
        }
    }
}
