//! Servers whose names have no address yet.
//!
//! A name is asked for until there is an answer; until then its server is down. Each question has
//! a number of its own, so that an answer to an old one is not taken for a new one.

use std::net::IpAddr;
use std::time::Duration;

use super::Proxy;
use crate::balance::{Balancer, ServerId};
use crate::base::diag::Severity;
use crate::base::operand::Host;
use crate::base::time::Moment;
use crate::net::{Net, NoAddress};

/// How long to wait before asking again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The names that are looked up.
#[derive(Debug, Default)]
pub struct Names {
    open: Vec<Question>,
    last_request: usize,
}

#[derive(Debug)]
struct Question {
    id: ServerId,
    name: String,
    state: Asked,
    /// The operator knows that there is no address.
    has_told: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// By this request.
    Now(usize),
    /// Not before this moment.
    Later(Moment),
}

impl Names {
    /// The questions that a balancer begins with: its servers without an address are asked for in
    /// the first turn.
    pub fn new(balancer: &Balancer) -> Names {
        let unknown = balancer.servers.all().filter(|(_, server)| server.endpoints.is_empty());
        let open = unknown.filter_map(|(id, server)| match &server.host {
            Host::Name(name) => Some(Question {
                id,
                name: name.clone(),
                state: Asked::Later(Moment::default()),
                // The start has told.
                has_told: true,
            }),
            Host::Addr(_) | Host::Unix(_) => None,
        });
        Names { open: open.collect(), last_request: 0 }
    }

    /// A number that no other question has.
    pub(super) fn new_request(&mut self) -> usize {
        self.last_request += 1;
        self.last_request
    }

    /// When to ask again.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let due = self.open.iter().filter_map(|question| match question.state {
            Asked::Later(moment) => Some(moment),
            Asked::Now(_) => None,
        });
        due.min()
    }
}

impl<N: Net> Proxy<N> {
    /// Looks up the name that a server has now, in place of one that it had before.
    pub(super) fn look_up_server(&mut self, id: ServerId) {
        self.names.open.retain(|question| question.id != id);
        let Some(server) = self.balancer.servers.server(id) else { return };
        let Host::Name(name) = &server.host else { return };
        let question = Question { id, name: name.clone(), state: Asked::Later(self.now.moment), has_told: false };
        self.names.open.push(question);
    }

    /// Asks for what is due.
    pub(super) fn ask_names(&mut self) {
        for index in 0..self.names.open.len() {
            let is_due = matches!(self.names.open[index].state, Asked::Later(due) if due <= self.now.moment);
            if is_due {
                let request = self.names.new_request();
                let question = &mut self.names.open[index];
                question.state = Asked::Now(request);
                self.net.resolve(request, &question.name);
            }
        }
    }

    /// An answer came.
    pub(super) fn resolved(&mut self, request: usize, answer: Result<Vec<IpAddr>, NoAddress>) {
        let first =
            answer.as_ref().map_err(|why| *why).and_then(|found| found.first().copied().ok_or(NoAddress::NoSuchName));
        if self.session_resolved(request, first) {
            return;
        }
        let open = &mut self.names.open;
        let Some(place) = open.iter().position(|question| question.state == Asked::Now(request)) else { return };
        let id = open[place].id;
        let is_current = match self.balancer.servers.server(id).map(|server| &server.host) {
            Some(Host::Name(name)) => *name == open[place].name,
            Some(Host::Addr(_) | Host::Unix(_)) | None => false,
        };
        if !is_current {
            open.remove(place);
            return;
        }
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                let question = open.remove(place);
                self.balancer.servers.resolved(id, addresses);
                if question.has_told {
                    let text = format!("{} has an address now", self.name_of(id));
                    self.say(Severity::Notice, &text);
                }
            }
            Ok(_) | Err(_) => {
                let question = &mut open[place];
                question.state = Asked::Later(self.now.moment + ASK_AGAIN);
                if !std::mem::replace(&mut question.has_told, true) {
                    let text = format!("{} has no address; asking again every 30 s", self.name_of(id));
                    self.say(Severity::Warning, &text);
                }
            }
        }
    }
}
