//! The control port: one command a connection, obeyed between the work for clients.
//!
//! A session never blocks, never holds more than a line and a reply, and has ten seconds from
//! beginning to end; there are at most sixteen, and when more come, the oldest makes room. One that
//! has subscribed to events stays, with a buffer of a fixed size; there are at most eight of these. So
//! nobody who is silent, slow or talks nonsense can hold up a client or an operator.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use slab::Slab;

use super::effects::{Next, Work};
use super::session::{Session, State, Step};
use super::trust::Trust;
use super::{CONTROL_LISTENER, FIRST_LISTENING, FIRST_SESSION, Proxy, Rights};
use crate::base::addr::Endpoint;
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::operand::Services;
use crate::base::time::{Moment, Now};
use crate::control::event::OfProcess;
use crate::control::subscription::{Subscription, Topic};
use crate::net::{Net, NoAddress, Stream, Token};

/// How many sessions there may be at once.
pub const SESSIONS_MAX: usize = 16;

const _: () = assert!(FIRST_SESSION + SESSIONS_MAX <= FIRST_LISTENING);

/// How long a session may take.
pub(super) const SESSION_TIME: Duration = Duration::from_secs(10);

/// How long to leave the listener alone when something is lacking to accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How many of them may be told of events at once; others still have room.
const FEEDS_MAX: usize = SESSIONS_MAX / 2;

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
    /// How many sessions are told of what happens.
    feeds: usize,
    /// They were offered something in this turn.
    has_news: bool,
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
            feeds: 0,
            has_news: false,
        }
    }

    /// When to look at it again without an event, if somebody is there.
    pub(super) fn next_due(&self) -> Option<Moment> {
        if self.sessions.is_empty() {
            return self.paused_until;
        }
        self.sessions.iter().map(|(_, session)| session.next_due()).chain(self.paused_until).min()
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

    /// True if nobody is there but those who are told of what happens.
    pub(super) fn is_quiet(&self) -> bool {
        self.sessions.iter().all(|(_, session)| session.is_told())
    }

    /// True if somebody is told of what happens.
    pub(super) fn has_feeds(&self) -> bool {
        self.feeds > 0
    }

    /// What they have subscribed to.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.sessions.iter().filter_map(|(_, session)| match &session.state {
            State::Told(feed) => Some(&feed.topic),
            State::Reading(_) | State::Obeying | State::Replying(..) | State::Draining(_) => None,
        })
    }

    /// Offers a record, with all its newlines, to those whose topic it is. It is sent at the end of the
    /// turn.
    pub(super) fn offer(&mut self, wants: impl Fn(&Topic) -> bool, record: &[u8], now: Now) {
        for (_, session) in &mut self.sessions {
            if let State::Told(feed) = &mut session.state
                && wants(&feed.topic)
            {
                feed.offer(record, now);
                self.has_news = true;
            }
        }
    }

    fn is_open(&self, id: SessionId) -> bool {
        self.sessions.get(id.key).is_some_and(|session| session.serial == id.serial)
    }
}

impl<N: Net> Proxy<N> {
    /// Something happened at the control port, or is said to have.
    #[cold]
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
            let oldest = sessions.iter().min_by_key(|(_, session)| (session.is_told(), session.serial));
            let oldest = oldest.map(|(key, _)| key);
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
        match session.step(&mut self.scratch, self.now) {
            Step::Waits => {}
            Step::Over => {
                self.control.sessions.remove(key);
                self.count_feeds();
            }
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
                    let command = String::from_utf8_lossy(command);
                    self.tell_process(OfProcess::Command { from: &from, command: &command });
                }
                let is_known = self.control.token.is_some() && matches!(from, Endpoint::Inet(_));
                let trust = if is_known { Trust::Known } else { trust };
                let work = self.obey(command, trust);
                self.go_on(Asker::Session(session), work, None);
            }
        }
    }

    /// Goes on with a command, up to its reply or to a name that must be looked up.
    pub(super) fn go_on(&mut self, asker: Asker, mut work: Work, found: Option<Result<IpAddr, NoAddress>>) {
        let reply = match self.work(&mut work, found) {
            Next::LookUp(name) if self.control.waiting.len() < WAITING_MAX => {
                let request = self.names.new_request();
                self.net.resolve(request, &name);
                return self.control.waiting.push(Waiting { request, asker, work });
            }
            Next::LookUp(name) => format!("error: too many names wait, not looking up '{name}'\n"),
            Next::Subscribed(subscription) => return self.subscribe(asker, subscription),
            Next::Ended(reply) => reply,
        };
        if work.is_reload {
            self.tell_reload(&reply, asker == Asker::Hangup);
        }
        self.reply(asker, reply);
    }

    /// Whoever asked is told from now on.
    fn subscribe(&mut self, asker: Asker, subscription: Subscription) {
        let Asker::Session(id) = asker else { return };
        if self.control.feeds >= FEEDS_MAX {
            return self.reply(asker, format!("error: {FEEDS_MAX} others are told of events already\n"));
        }
        if let Some(name) = subscription.topic.listener()
            && self.listeners.find(name).is_none()
        {
            return self.reply(asker, format!("error: there is no listener '{name}'\n"));
        }
        if self.control.is_open(id) {
            let feed = self.new_feed(subscription);
            self.control.sessions[id.key].state = State::Told(feed);
            self.count_feeds();
            self.drive_session(id.key);
        }
    }

    /// A session has begun to be told of what happens, or has ended.
    fn count_feeds(&mut self) {
        self.control.feeds = self.control.sessions.iter().filter(|(_, session)| session.is_told()).count();
        self.note_listeners();
        let has_traces = self.control.topics().any(|topic| matches!(topic, Topic::Trace(_)));
        self.watch.trace(has_traces);
    }

    /// Sends what happened in this turn to those who are to be told.
    pub(super) fn send_feeds(&mut self) {
        if !std::mem::take(&mut self.control.has_news) {
            return;
        }
        let now = self.now;
        let sessions = self.control.sessions.iter_mut();
        let ended: Vec<usize> = sessions.filter_map(|(key, session)| session.has_ended(now).then_some(key)).collect();
        ended.into_iter().for_each(|key| self.drive_session(key));
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
        let Asker::Session(id) = asker else { return };
        if self.control.is_open(id) {
            self.control.sessions[id.key].state = State::Replying(reply.into_bytes(), 0);
            self.drive_session(id.key);
        }
    }

    /// Ends the sessions whose time is over.
    pub(super) fn expire_sessions(&mut self) {
        let now = self.now.moment;
        self.control.sessions.retain(|_, session| {
            if let State::Told(feed) = &mut session.state {
                if feed.next_due() <= now {
                    feed.tell_quiet(self.now);
                    self.control.has_news = true;
                }
                return true;
            }
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
        self.send_feeds();
        self.control.sessions.clear();
    }
}
