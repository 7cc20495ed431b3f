//! The status port: who looks at pen from outside, by HTTP, and never changes anything.
//!
//! A viewer never blocks, never holds more than a head and an answer, and has a minute for each of
//! its steps; there are at most sixteen, and when more come, the one that was silent for longest makes
//! room. At most one answer is made in a turn, however many are asked for, so that pairs have theirs.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use slab::Slab;

use super::effects::LOOKED_UP;
use super::memory::fit_connections;
use super::viewer::{Step, Viewer};
use super::{FIRST_VIEWER, Proxy, STATUS_LISTENER};
use crate::base::addr::Endpoint;
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::operand::Host;
use crate::base::time::Moment;
use crate::control::command::ListenAt;
use crate::control::overview::Overview;
use crate::control::served::answer;
use crate::net::{ListenOptions, Net, Stream, Token};

/// How many viewers there may be at once.
pub const VIEWERS_MAX: usize = 16;

/// How long to leave the listener alone when something is lacking to accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The status port and all who look there.
#[derive(Debug)]
pub struct Viewers<N: Net> {
    socket: Option<N::Listener>,
    /// An edge came, and no `WouldBlock` since.
    is_ready: bool,
    paused_until: Option<Moment>,
    all: Slab<Viewer<N::Stream>>,
    /// Those who wait for an answer, in order; some may have gone.
    asking: VecDeque<(usize, u64)>,
    serial: u64,
}

impl<N: Net> Default for Viewers<N> {
    fn default() -> Viewers<N> {
        let (all, asking) = (Slab::new(), VecDeque::new());
        Viewers { socket: None, is_ready: false, paused_until: None, all, asking, serial: 0 }
    }
}

impl<N: Net> Viewers<N> {
    /// Viewers come in here from now on, or nowhere; the socket of before.
    pub fn listen(&mut self, socket: Option<N::Listener>) -> Option<N::Listener> {
        self.is_ready = socket.is_some();
        self.paused_until = None;
        std::mem::replace(&mut self.socket, socket)
    }

    /// The socket, if there is one.
    pub fn socket(&self) -> Option<&N::Listener> {
        self.socket.as_ref()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// True if nobody waits for an answer, or for the rest of one.
    pub fn is_quiet(&self) -> bool {
        self.all.iter().all(|(_, viewer)| !viewer.is_waiting())
    }

    /// When to look at them again without an event.
    pub(super) fn next_due(&self) -> Option<Moment> {
        if self.all.is_empty() {
            return self.paused_until;
        }
        self.all.iter().map(|(_, viewer)| viewer.until()).chain(self.paused_until).min()
    }

    /// True if there is something to do without an event.
    pub(super) fn may_go_on(&self) -> bool {
        self.may_accept() || !self.asking.is_empty()
    }

    fn may_accept(&self) -> bool {
        self.is_ready && self.paused_until.is_none()
    }

    /// Ends those who are between two requests.
    pub(super) fn close_idle(&mut self) {
        self.all.retain(|_, viewer| !viewer.is_idle());
    }

    /// Ends all of them: pen ends. Answers that fit are in the kernel by now.
    pub(super) fn close_all(&mut self) {
        self.all.clear();
    }

    /// Lets one go so that another can come: who was silent for longest.
    fn make_room(&mut self) {
        while self.all.len() >= VIEWERS_MAX {
            let first = self.all.iter().min_by_key(|(_, viewer)| (!viewer.is_idle(), viewer.until(), viewer.serial()));
            let key = first.map(|(key, _)| key).expect("there are viewers");
            self.all.remove(key).cut_off();
        }
    }
}

/// Where viewers come in from now on: the socket is open.
#[derive(Debug)]
pub(super) enum NewStatus<N: Net> {
    /// Where they come in already.
    Stays,
    /// There.
    Moves(N::Listener, String),
    /// Nowhere.
    Closes,
}

impl<N: Net> Proxy<N> {
    /// Viewers come in at this socket, which is watched as [`STATUS_LISTENER`].
    pub fn show_status(&mut self, socket: Option<N::Listener>) {
        drop(self.viewers.listen(socket));
    }

    /// Lets viewers in there and nowhere else. The reply is the address.
    pub(super) fn listen_for_viewers(&mut self, there: Option<ListenAt>) -> Result<String, String> {
        let new = self.prepare_status(there.as_ref())?;
        self.move_status(new);
        Ok(self.listeners.common.status_at.as_ref().map_or_else(String::new, |at| format!("{at}\n")))
    }

    /// Opens a socket for viewers, unless it is there already.
    pub(super) fn prepare_status(&mut self, there: Option<&ListenAt>) -> Result<NewStatus<N>, String> {
        let at = self.listeners.common.status_at.as_deref();
        if there.map(|there| &*there.text) == at {
            return Ok(NewStatus::Stays);
        }
        if let Some(why) = self.upgrade.holds_listener() {
            return Err(format!("the status port stays where it is: {why}"));
        }
        let Some(ListenAt { spec, text }) = there else { return Ok(NewStatus::Closes) };
        let endpoint = match &spec.host {
            Host::Unix(path) => Endpoint::Unix(path.clone()),
            Host::Addr(ip) => Endpoint::inet(SocketAddr::new(*ip, spec.port)),
            Host::Name(_) => unreachable!("{LOOKED_UP}"),
        };
        let options = ListenOptions {
            backlog: self.listeners.common.backlog,
            private: false,
            shared: false,
            datagrams: false,
            foreign: false,
        };
        let socket = self.net.listen(&endpoint, options, STATUS_LISTENER);
        let socket = socket.map_err(|error| format!("cannot listen on {text}: {}", reason(&error)))?;
        let text = match (endpoint.port(), self.net.local(&socket)) {
            (Some(0), Ok(local)) => local.to_string(),
            _ => text.clone(),
        };
        Ok(NewStatus::Moves(socket, text))
    }

    /// Lets viewers in there and nowhere else. Those who are there stay.
    pub(super) fn move_status(&mut self, new: NewStatus<N>) {
        let (socket, at) = match new {
            NewStatus::Stays => return,
            NewStatus::Moves(socket, text) => (Some(socket), Some(text)),
            NewStatus::Closes => (None, None),
        };
        drop(self.viewers.listen(socket));
        self.listeners.common.status_at = at;
        let listening = self.listening.sockets().count();
        if let Ok(Some(warning)) = fit_connections(&mut self.net, &mut self.listeners, listening) {
            self.say(Severity::Warning, &warning);
        }
    }

    /// Something happened at the status port, or is said to have.
    #[cold]
    pub(super) fn viewer_event(&mut self, token: Token) {
        match token {
            STATUS_LISTENER => self.viewers.is_ready = self.viewers.socket.is_some(),
            Token(number) => self.drive_viewer(number - FIRST_VIEWER),
        }
    }

    /// Lets in who comes to the status port, and answers one of those who wait for it.
    pub(super) fn serve_viewers(&mut self) {
        self.expire_viewers();
        for _ in 0..VIEWERS_MAX {
            if !self.viewers.may_accept() {
                break;
            }
            let Some(socket) = &mut self.viewers.socket else { break };
            match self.net.accept(socket) {
                Ok((stream, from)) => self.open_viewer(stream, &from),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.viewers.is_ready = false,
                Err(error) if self.net.is_lack(&error) => {
                    self.viewers.paused_until = Some(self.now.moment + ACCEPT_PAUSE);
                }
                // This one is gone already (accept(2)); the next may be there.
                Err(_) => {}
            }
        }
        self.answer_one();
    }

    fn open_viewer(&mut self, mut stream: N::Stream, from: &Endpoint) {
        if !self.listeners.status_allows(from.client()) {
            if self.tells_events() {
                self.say(Severity::Debug, &format!("status: {from} is not permitted"));
            }
            let _ = stream.reset_on_drop();
            return;
        }
        self.viewers.make_room();
        let key = self.viewers.all.vacant_key();
        if let Err(error) = self.net.watch(&mut stream, Token(FIRST_VIEWER + key)) {
            return self.say(Severity::Warning, &format!("status: cannot watch {from}: {}", reason(&error)));
        }
        self.viewers.serial += 1;
        self.viewers.all.insert(Viewer::new(stream, self.viewers.serial, self.now.moment));
        self.drive_viewer(key);
    }

    fn drive_viewer(&mut self, key: usize) {
        let Some(viewer) = self.viewers.all.get_mut(key) else { return };
        match viewer.step(&mut self.scratch, self.now.moment) {
            Step::Waits => {}
            Step::Over => _ = self.viewers.all.remove(key),
            Step::Asks => {
                let serial = viewer.serial();
                self.viewers.asking.push_back((key, serial));
            }
        }
    }

    /// Answers who has waited for longest. The others have their turn in the next ones.
    fn answer_one(&mut self) {
        let is_last = self.draining_since.is_some() || self.upgrade.holds_listener().is_some();
        while let Some((key, serial)) = self.viewers.asking.pop_front() {
            let is_there = self.viewers.all.get(key).is_some_and(|viewer| viewer.serial() == serial);
            if !is_there {
                continue;
            }
            let process = self.process();
            let (listeners, history, recent) = (&self.listeners, &self.history, &self.recent);
            let seen = Overview { now: self.now, process: &process, listeners, history, recent };
            let viewer = &mut self.viewers.all[key];
            viewer.answer(self.now.moment, self.now.unix, is_last, |request| answer(seen, request));
            return self.drive_viewer(key);
        }
    }

    /// Ends those whose time is over.
    fn expire_viewers(&mut self) {
        let now = self.now.moment;
        if self.viewers.next_due().is_none_or(|due| due > now) {
            return;
        }
        self.viewers.all.retain(|_, viewer| {
            let has_time = viewer.until() > now;
            if !has_time {
                viewer.cut_off();
            }
            has_time
        });
        if self.viewers.paused_until.is_some_and(|until| until <= now) {
            self.viewers.paused_until = None;
        }
    }
}
