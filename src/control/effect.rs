//! What becomes of a command: a reply, and what it asks of the event loop.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::command::{ListenAt, LogSpec, StatusForm};
use super::event::OfServer;
use super::subscription::Subscription;
use crate::balance::settings::{CaptureSpec, Fault, Protocol};
use crate::balance::{ListenerKey, ServerId};

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The text of the reply with all its newlines, maybe empty, or why the command is refused.
    pub reply: Result<String, String>,
    /// What the loop must do, in this order. Empty if the command is refused.
    pub effects: Vec<Effect>,
}

impl Outcome {
    pub(super) fn quiet() -> Outcome {
        Outcome { reply: Ok(String::new()), effects: Vec::new() }
    }

    pub(super) fn tells(text: impl Into<String>) -> Outcome {
        Outcome { reply: Ok(text.into()), effects: Vec::new() }
    }

    pub(super) fn asks(effect: Effect) -> Outcome {
        Outcome { reply: Ok(String::new()), effects: vec![effect] }
    }

    pub(super) fn refused(reason: impl Into<String>) -> Outcome {
        Outcome { reply: Err(reason.into()), effects: Vec::new() }
    }
}

/// A reply as it goes to whoever asked: a refusal is one line that begins with `error: `.
pub fn reply_text(reply: Result<String, String>) -> String {
    reply.unwrap_or_else(|reason| format!("error: {reason}\n"))
}

/// What a command asks of the event loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Let this listener listen there; its sockets of before are closed once the new ones are open.
    /// The reply is the addresses, with the port that the system chose where it was to choose.
    Listen(ListenerKey, Vec<ListenAt>),
    /// Capture packets there, or nowhere, and note it in the settings.
    SetCapture(Option<CaptureSpec>),
    /// Other things go wrong with the connections of this listener from now on.
    Fault(ListenerKey),
    /// This goes wrong with a connection, or nothing any more.
    FaultConnection(usize, Option<Fault>),
    /// Write the request log there, or nowhere, and note it in the settings; the log of before is
    /// closed once the new one is open.
    SetLog(Option<LogSpec>),
    /// Close a connection; the reply is [`status::closing`](super::status::closing).
    Close(usize),
    /// Describe a connection; the reply is [`status::connection`](super::status::connection).
    ShowConnection(usize),
    /// Read a file of commands, the first of which are for this listener, and [`apply`](super::execute::apply) it.
    Include(ListenerKey, PathBuf),
    /// Look the name of a server of this listener up.
    Resolve(ListenerKey, ServerId),
    /// This listener remembers so many clients from now on; [`settle`](super::execute::settle) sees to it.
    ClientsMax(ListenerKey),
    /// There may be this many pairs from now on.
    ConnMax(usize),
    /// This many connects may be under way from now on.
    PendingMax(usize),
    /// Pairs have other limits of silence from now on.
    Limits,
    /// The connections of each client of this listener are counted anew.
    Recount(ListenerKey),
    /// Tell whose socket has a descriptor; the reply is [`status::socket`](super::status::socket).
    ShowSocket(i32),
    /// Tell how pen is doing; the page of the original is [`page::page`](super::page::page), which also
    /// goes to the file of `web_stats`.
    Status(StatusForm),
    /// Let viewers in there, or nowhere, and note it in the settings; the reply is the address, with the
    /// port that the system chose where it was to choose.
    StatusListen(Option<ListenAt>),
    /// Users of the control port by TCP must know the word in this file, or none; note it in the
    /// settings.
    Token(Option<PathBuf>),
    /// An operator has changed a server: it is told to whoever hears of events.
    ServerChanged(ListenerKey, ServerId, OfServer<'static>),
    /// Tell whoever asks what happens from now on.
    Subscribe(Subscription),
    /// The status page goes to another file: one that cannot be written is refused, and it is the one of
    /// before that counts.
    WebStats(Option<PathBuf>),
    /// Write the configuration to a file, by default that of the start.
    Write(Option<PathBuf>),
    /// Read again what pen was started with, and apply what has changed.
    Reload,
    /// Let this listener listen where it does for what its protocol needs, TCP or UDP. If that
    /// cannot be, it has the protocol of before.
    Reopen(ListenerKey, Protocol),
    /// Close the sockets of this listener, which was removed.
    RemoveListener(ListenerKey),
    /// Answer each request here, in place of servers; only before the loop runs.
    Dummy,
    /// Peers are probed in another way from now on.
    Keepalive,
    /// End.
    Exit,
}

/// An effect, and the file and line that ask for it.
pub type Asked = (Rc<Path>, usize, Effect);
