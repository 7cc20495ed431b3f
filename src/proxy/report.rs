//! What the operator asks to see: the status page, statistics, whose socket it is, and the
//! configuration as a file.

use std::path::{Path, PathBuf};

use super::Proxy;
use super::ending::CLOSE_REASONS;
use super::pair::Phase;
use super::transfers::Tie;
use super::upgrade::Upgrade;
use crate::balance::{ClientId, ListenerKey, Traffic};
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::features::PAGES;
use crate::control::command::StatusForm;
use crate::control::history::Sample;
use crate::control::overview::{Overview, Process, Standing};
use crate::control::page::page;
use crate::control::status::{self, ConnectionStatus};
use crate::control::written::{as_file, written};
use crate::net::{Net, Stream};

impl<N: Net> Proxy<N> {
    /// Takes the samples of the history that are due: nothing has happened yet in this turn.
    pub(super) fn note_history(&mut self) {
        if !self.history.is_due(self.now.moment) {
            return;
        }
        self.started.get_or_insert(self.now);
        let all = self.listeners.all().map(|(_, listener)| listener.balancer.traffic);
        let sample = Sample { connections: self.connections(), traffic: all.fold(Traffic::default(), Traffic::and) };
        let intervals = self.history.catch_up(self.now.moment, sample);
        if intervals > 0 {
            self.listeners.note_lately(intervals);
        }
    }

    /// How pen is doing.
    pub(super) fn status(&mut self, form: StatusForm) -> Result<String, String> {
        match form {
            StatusForm::Page => self.status_page(),
            StatusForm::Text => Ok(self.statistics().iter().map(|text| format!("{}\n", text.trim_end())).collect()),
            StatusForm::Json | StatusForm::Prometheus if !PAGES.is_there() => Err(PAGES.lack()),
            StatusForm::Json => Ok(self.with_overview(|seen| seen.json())),
            StatusForm::Prometheus => Ok(self.with_overview(|seen| seen.prometheus())),
        }
    }

    /// What somebody makes of all there is to see.
    pub(super) fn with_overview<T>(&self, make: impl FnOnce(Overview<'_>) -> T) -> T {
        let process = self.process();
        let (listeners, history, recent) = (&self.listeners, &self.history, self.recent());
        make(Overview { now: self.now, process: &process, listeners, history, recent })
    }

    /// What the loop knows of itself.
    pub(super) fn process(&self) -> Process {
        let standing = match self.upgrade {
            Upgrade::HandedOver => Standing::HandedOver,
            Upgrade::None | Upgrade::Starting(_) if self.draining_since.is_some() => Standing::Draining,
            Upgrade::None | Upgrade::Starting(_) => Standing::Serving,
        };
        let lost = self.net.lost();
        let of_servers = self.pairs.iter().filter(|(_, pair)| match pair.phase {
            Phase::Connecting { .. } | Phase::Relaying { .. } => true,
            Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } | Phase::Farewell => false,
        });
        let of_pairs = self.pairs.len() + of_servers.count();
        let listening = self.listening.sockets().count() + usize::from(self.control.socket().is_some());
        let listening = listening + usize::from(self.viewers.socket().is_some());
        let sessions = self.control.sessions();
        let idlers: usize = self.listeners.all().map(|(at, _)| self.idlers.count(at)).sum();
        Process {
            pid: self.control.pid,
            started: self.started.unwrap_or(self.now),
            standing,
            pairs: self.connections(),
            leaving: self.leaving,
            sockets: of_pairs + self.udp.len() + listening + sessions + self.viewers.count() + idlers,
            rings: self.pool.lent(),
            pipes: self.pool.lent_pipes(),
            control_sessions: sessions,
            viewers: self.viewers.count(),
            closed: CLOSE_REASONS.into_iter().zip(self.closed).collect(),
            log_lines_lost: self.reqlog.lines_lost(),
            messages_lost: lost.messages,
            dumps_lost: lost.dumps,
        }
    }

    fn statistics(&self) -> Vec<String> {
        let time = self.net.local_time(self.now.unix);
        let pairs = self.pairs.iter().map(|(number, pair)| self.status_of(number, pair));
        let pairs = pairs.chain(self.association_statuses());
        status::statistics(&self.listeners, pairs, self.now, &time)
    }

    /// Says what USR1 asks for, or writes the page if there is a file for it.
    pub(super) fn say_statistics(&mut self) {
        if self.listeners.common.web_stats.is_some() {
            if let Err(why) = self.status_page() {
                self.say(Severity::Warning, &why);
            }
            return;
        }
        for text in self.statistics() {
            self.net.say(Severity::Notice, &text);
        }
    }

    /// The status page, which also goes to its file if it has one.
    pub(super) fn status_page(&mut self) -> Result<String, String> {
        let time = self.net.local_time(self.now.unix);
        let pairs: Vec<ConnectionStatus> = self
            .pairs
            .iter()
            .map(|(number, pair)| self.status_of(number, pair))
            .chain(self.association_statuses())
            .collect();
        let text = page(&self.listeners, &pairs, self.now, &time);
        if let Some(path) = &self.listeners.common.web_stats {
            let path = path.clone();
            self.write_file(&path, text.as_bytes())?;
        }
        Ok(text)
    }

    /// Whether the status page can be written; there is nothing to reply.
    pub(super) fn may_write_page(&mut self) -> Result<String, String> {
        let Some(path) = &self.listeners.common.web_stats else { return Ok(String::new()) };
        let fail = |error| format!("web_stats: cannot write {}: {}", path.display(), reason(&error));
        self.net.may_write_file(path).map(|()| String::new()).map_err(fail)
    }

    /// Writes the configuration, by default to the file of the start.
    pub(super) fn write_configuration(&mut self, path: Option<PathBuf>) -> Result<String, String> {
        let path = path.or_else(|| self.control.config.clone());
        let path = path.ok_or("no file, and pen was started without -F")?;
        let blocks = written(&self.listeners).map_err(|error| error.to_string())?;
        let mut text = format!("# Generated by pen {}\n", self.net.local_time(self.now.unix));
        text.push_str(&as_file(&blocks));
        self.write_file(&path, text.as_bytes()).map(|()| String::new())
    }

    fn write_file(&mut self, path: &Path, bytes: &[u8]) -> Result<(), String> {
        let written = self.net.write_file(path, bytes);
        written.map_err(|error| format!("cannot write {}: {}", path.display(), reason(&error)))
    }

    /// Counts the connections of each client of a listener anew.
    pub(super) fn recount_clients(&mut self, at: ListenerKey) {
        let open = self
            .pairs
            .iter()
            .filter(|(_, pair)| pair.listener == at && pair.tie == Tie::None)
            .filter_map(|(_, pair)| pair.client_id);
        let open: Vec<ClientId> = open.chain(self.clients_of_associations(at)).collect();
        let balancer = &mut self.listeners[at].balancer;
        balancer.follow_settings();
        balancer.clients.recount(open.into_iter());
    }

    /// The reply to `socket`.
    pub(super) fn owner_of(&self, descriptor: i32) -> String {
        let has = |stream: &N::Stream| stream.descriptor() == descriptor;
        let owner = self.pairs.iter().find(|(_, pair)| {
            let server = match &pair.phase {
                Phase::Connecting { server, .. } | Phase::Relaying { server, .. } => Some(&server.stream),
                Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } | Phase::Farewell => None,
            };
            has(&pair.client.stream) || server.is_some_and(has)
        });
        let owner = owner.map(|(number, _)| number).or_else(|| self.association_with(descriptor));
        status::socket(descriptor, owner)
    }
}
