//! What happens in a pen, as an operator hears of it: the type, and its two forms as text.
//!
//! Pure. As a sentence an event goes to stderr or syslog, as a list of `key=value` to whoever has
//! asked for `events`. The loop makes an event only where somebody hears of it.

mod connection;

use super::line::Line;
use super::subscription::Class;
use crate::balance::{Listener, ServerId};
use crate::base::addr::Endpoint;
use crate::base::diag::Severity;
pub use connection::OfConnection;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum What<'a> {
    /// To a connection, which has this number.
    Connection(usize, OfConnection<'a>),
    /// To a server.
    Server(ServerId, OfServer<'a>),
    /// To the process, or to nobody in particular.
    Process(OfProcess<'a>),
}

/// What happens to a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OfServer<'a> {
    /// It failed, and is left out for so many seconds.
    Failed {
        /// What the system said.
        why: &'a str,
        /// Seconds; 0 if it is not left out.
        blacklisted: u64,
    },
    /// It had failed, and has taken a connection.
    Back,
    /// An operator has added it.
    Added,
    /// An operator has removed it.
    Removed,
    /// An operator lets it serve everybody.
    Enabled,
    /// An operator lets it serve nobody.
    Disabled,
    /// An operator lets it serve those whom it had before.
    Draining,
    /// It drains, and nobody is left.
    Drained,
    /// It was removed, nobody is left, and it is forgotten.
    Gone {
        /// What it was called in sentences.
        called: &'a str,
    },
    /// Its name has an address now.
    Resolved,
    /// Its name has no address.
    Unresolved,
    /// A connection that was opened ahead has ended before anybody used it.
    IdlerLost,
    /// A check came to an end.
    Checked {
        /// Its words.
        check: &'a str,
        /// Why it failed, if it did.
        why: Option<&'a str>,
        /// The server is up or down from now on by that, and was not before.
        turns: bool,
    },
    /// It was down by its checks, and has none any more.
    Unchecked,
}

/// What happens to the process.
#[derive(Clone, Debug)]
pub enum OfProcess<'a> {
    /// A client has reached a limit of its own, or a proxy does not say who it is; and so have others
    /// of whom nothing was said.
    ClientRefused {
        /// A client or a proxy.
        who: &'a str,
        /// The client.
        from: &'a Endpoint,
        /// Which limit.
        why: &'a str,
        /// How many others.
        more: u64,
    },
    /// A command came to the control port.
    Command {
        /// From whom.
        from: &'a Endpoint,
        /// Its words.
        command: &'a str,
    },
    /// What pen was started with was read again, and so many lines differ from those of before.
    Reloaded {
        /// How many.
        changes: usize,
    },
    /// It was read again, but not applied.
    ReloadFailed {
        /// Why.
        why: &'a str,
    },
    /// The request log cannot be written.
    LogFailing {
        /// What the system said.
        why: &'a str,
    },
    /// It is written again.
    LogWorking {
        /// Lines that are lost.
        lost: u64,
    },
    /// There is no memory for buffers.
    NoBuffers,
    /// There is memory for them again.
    BuffersAgain {
        /// How often there was none.
        times: u64,
    },
    /// Anything else that is said to the operator.
    Said {
        /// How urgent it is.
        severity: Severity,
        /// The sentence.
        text: &'a str,
    },
}

impl What<'_> {
    /// How urgent it is. What is of [`Severity::Debug`] is only made where somebody hears of it.
    pub fn severity(&self) -> Severity {
        match self {
            What::Connection(..) | What::Server(_, OfServer::IdlerLost | OfServer::Checked { turns: false, .. }) => {
                Severity::Debug
            }
            What::Server(_, OfServer::Checked { why: Some(_), .. }) => Severity::Warning,
            What::Process(OfProcess::Command { .. }) => Severity::Debug,
            What::Server(_, OfServer::Failed { .. } | OfServer::Unresolved) => Severity::Warning,
            What::Server(..) => Severity::Notice,
            What::Process(OfProcess::NoBuffers) => Severity::Warning,
            What::Process(OfProcess::ReloadFailed { .. } | OfProcess::LogFailing { .. }) => Severity::Error,
            What::Process(OfProcess::Said { severity, .. }) => *severity,
            What::Process(_) => Severity::Notice,
        }
    }

    /// For whom it is.
    pub fn class(&self) -> Class {
        match self {
            What::Connection(..) => Class::Connections,
            What::Server(..) => Class::Servers,
            What::Process(_) => Class::Process,
        }
    }

    /// Its name, which stays what it is from one release to the next.
    pub fn name(&self) -> &'static str {
        match self {
            What::Connection(_, what) => what.name(),
            What::Server(_, what) => what.name(),
            What::Process(what) => what.name(),
        }
    }

    /// It in words, at this listener if it is about one.
    pub fn sentence(&self, at: Option<&Listener>) -> String {
        match self {
            What::Connection(number, what) => format!("connection {number}: {}", what.sentence(at)),
            What::Server(id, what) => what.sentence(&called(at, *id)),
            What::Process(what) => what.sentence(),
        }
    }

    /// It as a line of `key=value`, with its newline.
    pub fn line(&self, unix: u64, at: Option<&Listener>) -> String {
        let mut line = Line::begin(unix, self.name());
        if let Some(at) = at {
            line.put("listener", &at.name);
        }
        match self {
            What::Connection(number, what) => {
                line.put("connection", number);
                what.put(&mut line, at);
            }
            What::Server(id, what) => {
                line.server(at, *id);
                what.put(&mut line);
            }
            What::Process(what) => what.put(&mut line),
        }
        line.end()
    }
}

impl OfServer<'_> {
    fn name(&self) -> &'static str {
        match self {
            OfServer::Failed { .. } => "server-failed",
            OfServer::Back => "server-back",
            OfServer::Added => "server-added",
            OfServer::Removed => "server-removed",
            OfServer::Enabled => "server-enabled",
            OfServer::Disabled => "server-disabled",
            OfServer::Draining => "server-draining",
            OfServer::Drained => "server-drained",
            OfServer::Gone { .. } => "server-gone",
            OfServer::Resolved => "server-resolved",
            OfServer::Unresolved => "server-unresolved",
            OfServer::IdlerLost => "idler-lost",
            OfServer::Checked { why: Some(_), turns: true, .. } => "server-down",
            OfServer::Checked { why: None, turns: true, .. } => "server-up",
            OfServer::Checked { why: Some(_), turns: false, .. } => "check-failed",
            OfServer::Checked { why: None, turns: false, .. } => "check-passed",
            OfServer::Unchecked => "server-unchecked",
        }
    }

    fn put(&self, line: &mut Line) {
        match self {
            OfServer::Failed { why, blacklisted } => {
                line.put("why", why);
                line.put("blacklisted", blacklisted);
            }
            OfServer::Checked { check, why, .. } => {
                if let Some(why) = why {
                    line.put("why", why);
                }
                line.put("check", check);
            }
            _ => {}
        }
    }

    fn sentence(&self, server: &str) -> String {
        match self {
            OfServer::Failed { why, blacklisted: 0 } => format!("{server} failed: {why}"),
            OfServer::Failed { why, blacklisted } => format!("{server} failed: {why}; blacklisted for {blacklisted} s"),
            OfServer::Back => format!("{server} is back"),
            OfServer::Added => format!("{server} was added"),
            OfServer::Removed => format!("{server} was removed"),
            OfServer::Enabled => format!("{server} was enabled"),
            OfServer::Disabled => format!("{server} was disabled"),
            OfServer::Draining => format!("{server} is to drain"),
            OfServer::Drained => format!("{server} has drained: nobody is connected to it"),
            OfServer::Gone { called } => format!("{called} is gone: nobody is connected to it"),
            OfServer::Resolved => format!("{server} has an address now"),
            OfServer::Unresolved => format!("{server} has no address; asking again every 30 s"),
            OfServer::IdlerLost => format!("{server}: a connection opened ahead has ended"),
            OfServer::Checked { check, why: None, turns: true } => format!("{server} is up again (check {check})"),
            OfServer::Checked { check, why: Some(why), turns: true } => {
                format!("{server} is down: {why} (check {check})")
            }
            OfServer::Checked { check, why: None, turns: false } => format!("{server} has passed check {check}"),
            OfServer::Checked { check, why: Some(why), turns: false } => {
                format!("{server} has failed check {check}: {why}")
            }
            OfServer::Unchecked => format!("{server} is taken for up: it is not checked any more"),
        }
    }
}

impl OfProcess<'_> {
    fn name(&self) -> &'static str {
        match self {
            OfProcess::ClientRefused { .. } => "client-refused",
            OfProcess::Command { .. } => "command",
            OfProcess::Reloaded { .. } => "reloaded",
            OfProcess::ReloadFailed { .. } => "reload-failed",
            OfProcess::LogFailing { .. } => "log-failing",
            OfProcess::LogWorking { .. } => "log-working",
            OfProcess::NoBuffers => "no-buffers",
            OfProcess::BuffersAgain { .. } => "buffers-again",
            OfProcess::Said { .. } => "said",
        }
    }

    fn sentence(&self) -> String {
        match self {
            OfProcess::ClientRefused { who, from, why, more } => {
                let more = if *more > 0 { format!("; {more} more were refused before") } else { String::new() };
                format!("{who} {from} is refused: {why}{more}")
            }
            OfProcess::Command { from, command } => format!("control: {from}: {command}"),
            OfProcess::Reloaded { changes: 0 } => String::from("reload: nothing has changed"),
            OfProcess::Reloaded { changes: 1 } => String::from("reload: 1 line has changed"),
            OfProcess::Reloaded { changes } => format!("reload: {changes} lines have changed"),
            OfProcess::ReloadFailed { why } => format!("reload: {why}"),
            OfProcess::LogFailing { why } => {
                format!("cannot write the log: {why}; lines are lost until that is mended")
            }
            OfProcess::LogWorking { lost } => format!("the log is written again; lines lost: {lost}"),
            OfProcess::NoBuffers => {
                String::from("no memory for buffers: what a peer does not take yet stays in the kernel")
            }
            OfProcess::BuffersAgain { times } => {
                format!("there is memory for buffers again; {times} times there was none")
            }
            OfProcess::Said { text, .. } => String::from(*text),
        }
    }

    fn put(&self, line: &mut Line) {
        match self {
            OfProcess::ClientRefused { who, from, why, more } => {
                line.put("who", who);
                line.put("from", from);
                line.put("why", why);
                line.put("more", more);
            }
            OfProcess::Command { from, command } => {
                line.put("from", from);
                line.put("command", command);
            }
            OfProcess::Reloaded { changes } => line.put("changes", changes),
            OfProcess::ReloadFailed { why } | OfProcess::LogFailing { why } => line.put("why", why),
            OfProcess::LogWorking { lost } => line.put("lost", lost),
            OfProcess::NoBuffers => {}
            OfProcess::BuffersAgain { times } => line.put("times", times),
            OfProcess::Said { severity, text } => {
                line.put("severity", severity);
                line.put("text", text);
            }
        }
    }
}

/// A server as sentences call it.
fn called(at: Option<&Listener>, id: ServerId) -> String {
    at.map_or_else(|| format!("server {id}"), |at| at.name_of(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Common, Listeners, MAIN, Server, Settings};
    use crate::base::operand::{ServerSpec, Services};

    fn listeners() -> Listeners {
        let mut listeners = Listeners::new(Common::default(), Settings::default());
        let spec = ServerSpec::parse("192.0.2.1:80", &Services::default()).unwrap();
        let mut server = Server::new(&spec, 80);
        server.name = Some("web1".into());
        listeners.main_mut().balancer.servers.set(ServerId::Regular(0), server).unwrap();
        listeners
    }

    #[test]
    fn an_event_is_a_sentence_and_a_line() {
        let listeners = listeners();
        let at = Some(&listeners[MAIN]);
        let from = Endpoint::inet("127.0.0.1:4000".parse().unwrap());
        let server = ServerId::Regular(0);
        let table = [
            (
                What::Connection(7, OfConnection::Accepted { from: &from, refused: false }),
                at,
                "connection 7: accepted 127.0.0.1:4000",
                "event=accepted listener=main connection=7 from=127.0.0.1:4000",
            ),
            (
                What::Connection(7, OfConnection::Closed { server: Some(server), why: "done", up: 1, down: 2 }),
                at,
                "connection 7: closed, done; 1 bytes up, 2 down",
                "event=closed listener=main connection=7 server=0 name=web1 address=192.0.2.1:80 why=done up=1 down=2",
            ),
            (
                What::Server(server, OfServer::Failed { why: "connection refused", blacklisted: 30 }),
                at,
                "server 0 (192.0.2.1:80) failed: connection refused; blacklisted for 30 s",
                "event=server-failed listener=main server=0 name=web1 address=192.0.2.1:80 why=\"connection refused\" \
                 blacklisted=30",
            ),
            (
                What::Server(server, OfServer::Checked { check: "tcp", why: Some("no answer in time"), turns: true }),
                at,
                "server 0 (192.0.2.1:80) is down: no answer in time (check tcp)",
                "event=server-down listener=main server=0 name=web1 address=192.0.2.1:80 why=\"no answer in time\" \
                 check=tcp",
            ),
            (
                What::Process(OfProcess::Said { severity: Severity::Notice, text: "a \"b\" \\ \x1b" }),
                None,
                "a \"b\" \\ \x1b",
                "event=said severity=notice text=\"a \\\"b\\\" \\\\ .\"",
            ),
        ];
        for (what, at, sentence, line) in table {
            assert_eq!(what.sentence(at), sentence);
            assert_eq!(what.line(1_764_133_200, at), format!("time=2025-11-26T05:00:00Z {line}\n"));
        }
    }
}
