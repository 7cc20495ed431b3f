//! Which of the sockets that were passed to pen is for which place where it listens.

use std::io;

use super::names;
use super::plan::Plan;
use super::start::World;
use crate::base::addr::Endpoint;
use crate::base::error::Error;
use crate::net::{ListenOptions, Token};
use crate::proxy::listener::{Transport, listening_token};
use crate::proxy::{CONTROL_LISTENER, STATUS_LISTENER};
use crate::sys::activation::Passed;
use crate::sys::inheritance::{Use, is_at};
use crate::sys::listener::Listener;

/// The name of a socket for viewers; a listener that is called so comes first.
const STATUS: &str = "status";

/// A place where pen is to listen.
#[derive(Debug)]
struct Wanted {
    /// The name of the listener, if it is for clients; that of the status port is [`STATUS`].
    name: Option<String>,
    at: Endpoint,
    is_datagrams: bool,
    token: Token,
}

impl World {
    /// Finds out what each socket that was passed is for.
    pub(super) fn assign(&mut self, plan: &Plan) -> Result<(), Error> {
        if self.passed.is_empty() {
            return Ok(());
        }
        let for_clients = plan.listen.iter().enumerate().map(|(place, (at, there))| {
            let listener = &plan.listeners[*at];
            let is_datagrams = Transport::of(listener.balancer.settings.protocol) == Transport::Udp;
            let (name, at) = (Some(listener.name.clone()), names::endpoint(&there.spec));
            Wanted { name, at, is_datagrams, token: listening_token(place) }
        });
        let control = plan.control.as_ref().map(|there| {
            let at = names::endpoint(&there.spec);
            Wanted { name: None, at, is_datagrams: false, token: CONTROL_LISTENER }
        });
        let status = plan.status.as_ref().map(|there| {
            let (name, at) = (Some(String::from(STATUS)), names::endpoint(&there.spec));
            Wanted { name, at, is_datagrams: false, token: STATUS_LISTENER }
        });
        let wanted: Vec<Wanted> = for_clients.chain(control).chain(status).collect();
        assign(&mut self.passed, &wanted).map_err(Error::config)
    }

    /// The listener that is there already for this place: that of the old process, or one that was passed.
    pub(super) fn inherited(
        &mut self,
        at: &Endpoint,
        options: ListenOptions,
        token: Token,
    ) -> io::Result<Option<Listener>> {
        let mut passed = self.passed.iter_mut().find(|one| one.token == Some(token));
        let mut listener = passed.as_mut().and_then(|one| one.listener.take());
        if let Some(listener) = &listener {
            listener.set_backlog(options.backlog)?;
        }
        if let (None, Some(inheritance)) = (&listener, &mut self.inheritance) {
            let at = passed.map_or(at, |one| &one.at);
            let what = if token == CONTROL_LISTENER { Use::Control } else { Use::Clients };
            listener = inheritance.listener(what, at, options)?;
        }
        if let Some(listener) = &listener {
            self.net.adopt(listener, token)?;
        }
        Ok(listener)
    }
}

/// Those at an address that is wanted come first; then, in their order, those that have the name of
/// a listener with an address for which there is none yet. What is left over is a mistake.
fn assign(passed: &mut [Passed], wanted: &[Wanted]) -> Result<(), String> {
    let mut free: Vec<&Wanted> = wanted.iter().collect();
    for is_by_name in [false, true] {
        let is_for = |one: &Passed, place: &Wanted| match is_by_name {
            true => place.name.as_ref() == Some(&one.name),
            false => is_at(&one.at, &place.at),
        };
        for one in passed.iter_mut().filter(|one| one.token.is_none()) {
            let same = |place: &&Wanted| place.is_datagrams == one.is_datagrams && is_for(one, place);
            if let Some(found) = free.iter().position(same) {
                one.token = Some(free.remove(found).token);
            }
        }
    }
    // What a successor did not inherit is not there.
    let left = passed.iter().find(|one| one.token.is_none() && one.listener.is_some());
    left.map_or(Ok(()), |one| Err(unwanted(one, wanted)))
}

fn unwanted(one: &Passed, wanted: &[Wanted]) -> String {
    let kind = |is_datagrams| if is_datagrams { "datagrams" } else { "connections" };
    let other = |place: &Wanted| is_at(&one.at, &place.at) && place.is_datagrams != one.is_datagrams;
    let why = match wanted.iter().any(other) {
        true => format!("pen takes {} there", kind(!one.is_datagrams)),
        false => String::from("pen listens neither there nor by that name"),
    };
    format!("socket '{}' for {} at {}, passed by LISTEN_FDS: {why}", one.name, kind(one.is_datagrams), one.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::inet(text.parse().unwrap())
    }

    fn passed(name: &str, at: &str, is_datagrams: bool) -> Passed {
        let options = ListenOptions { backlog: 5, private: false, shared: false, datagrams: false, foreign: false };
        let listener = Listener::open(&endpoint("127.0.0.1:0"), options, None).unwrap();
        Passed { name: name.into(), at: endpoint(at), is_datagrams, listener: Some(listener), token: None }
    }

    fn wanted() -> Vec<Wanted> {
        let places = [("main", "127.0.0.1:80", false), ("main", "[::1]:80", false), ("dns", "127.0.0.1:53", true)];
        let one = |(token, (name, at, is_datagrams)): (usize, (&str, &str, bool))| Wanted {
            name: Some(name.into()),
            at: endpoint(at),
            is_datagrams,
            token: Token(token),
        };
        places.into_iter().enumerate().map(one).collect()
    }

    #[test]
    fn sockets_are_taken_where_they_are_and_else_by_name() {
        let mut all = [
            passed("main", "10.0.0.1:8080", false),
            passed("x", "127.0.0.1:80", false),
            passed("dns", "0.0.0.0:53", true),
        ];
        assign(&mut all, &wanted()).unwrap();
        let tokens: Vec<Option<usize>> = all.iter().map(|one| one.token.map(|token| token.0)).collect();
        assert_eq!(tokens, [Some(1), Some(0), Some(2)]);
    }

    #[test]
    fn what_nobody_wants_is_named() {
        let table = [
            (
                passed("web", "127.0.0.1:81", false),
                "socket 'web' for connections at 127.0.0.1:81, passed by LISTEN_FDS: pen listens neither there nor by that name",
            ),
            (
                passed("web", "127.0.0.1:80", true),
                "socket 'web' for datagrams at 127.0.0.1:80, passed by LISTEN_FDS: pen takes connections there",
            ),
        ];
        for (one, expected) in table {
            assert_eq!(assign(&mut [one], &wanted()).unwrap_err(), expected);
        }
        let mut successors = passed("web", "127.0.0.1:81", false);
        successors.listener = None;
        assign(&mut [successors], &wanted()).unwrap();
    }
}
