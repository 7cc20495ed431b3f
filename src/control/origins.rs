//! Whom clients are: who is trusted to say so, how servers are told, and where they go by what they
//! say first.

use std::net::IpAddr;

use super::command::Command;
use super::execute::Outcome;
use super::read::listener_name;
use super::words::{Problem, Words};
use crate::balance::acl::{Acls, ListName, Subnet, parse_list};
use crate::balance::routes::{Hosts, ROUTES_MAX, Route, What};
use crate::balance::trusted::Trusted;
use crate::balance::{Balancer, Listeners, Settings};
use crate::base::proxy_version::ProxyVersion;

/// What becomes of the routes of a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteChange {
    /// They are told.
    Tell,
    /// There is this one, in place of one for the same clients.
    Set(Route),
    /// There is none for these clients.
    Remove(What),
    /// There is none.
    Clear,
}

/// What somebody is trusted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// What X-Forwarded-For and the like say.
    Http,
    /// Whom the header of the PROXY protocol names.
    Proxy,
}

/// Who is trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trustee {
    /// Those in a subnet.
    Net(Subnet),
    /// Those whom an access list permits.
    List(ListName),
}

/// The words for those who are trusted in something.
pub(super) fn trust(what: Trust, words: &mut Words<'_>) -> Result<Command, Problem> {
    let trustee = words.next().map(trustee).transpose()?;
    Ok(Command::Trust(what, trustee.map(Some)))
}

/// A subnet, or the number or name of a list, which has neither dots nor colons.
fn trustee(word: &str) -> Result<Trustee, Problem> {
    if word.contains(['.', ':', '/']) {
        return Subnet::parse(word, None).map(Trustee::Net).map_err(Problem::Acl);
    }
    parse_list(word).map(Trustee::List).map_err(Problem::Acl)
}

/// The word for a version of the PROXY protocol.
pub(super) fn version(word: &str, all: &'static str) -> Result<ProxyVersion, Problem> {
    let found = ProxyVersion::ALL.into_iter().find(|(name, _)| *name == word);
    found.map(|(_, version)| version).ok_or_else(|| Problem::NotOneOf(String::from(word), all))
}

/// The value of the key `proxy_protocol` of a server.
pub(super) fn version_of_server(word: &str) -> Result<Option<Option<ProxyVersion>>, Problem> {
    match word {
        "default" => Ok(None),
        "off" => Ok(Some(None)),
        _ => Ok(Some(Some(version(word, "v1, v2, off or default")?))),
    }
}

/// Does what one of these commands says.
pub(super) fn obey(balancer: &mut Balancer, command: Command) -> Outcome {
    match command {
        Command::Source(source) => {
            balancer.settings.source = source;
            Outcome::quiet()
        }
        Command::ProxyProtocol(version) => set_proxy_protocol(&mut balancer.settings, version),
        Command::Trust(what, trustee) => set_trust(balancer, what, trustee),
        Command::Transparent(on) => {
            balancer.settings.transparent = on;
            Outcome::quiet()
        }
        Command::Route(change) => change_routes(&mut balancer.settings.routes, change),
        _ => unreachable!("these are all"),
    }
}

/// The value of the key `source` of a server.
pub(super) fn source_of_server(word: &str) -> Result<Option<Option<IpAddr>>, Problem> {
    match word {
        "default" => Ok(None),
        "off" => Ok(Some(None)),
        _ => {
            let ip: IpAddr = word.parse().map_err(|_| Problem::NotAnAddress(String::from(word)))?;
            Ok(Some(Some(ip.to_canonical())))
        }
    }
}

/// The value of the key `transparent` of a server.
pub(super) fn transparency_of_server(word: &str) -> Result<Option<bool>, Problem> {
    match word {
        "default" => Ok(None),
        "off" => Ok(Some(false)),
        "on" => Ok(Some(true)),
        _ => Err(Problem::NotOneOf(String::from(word), "on, off or default")),
    }
}

/// The words after `route`.
pub(super) fn route(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::Route(RouteChange::Tell)) };
    let what = what(word, words)?;
    Ok(Command::Route(RouteChange::Set(Route { what, to: listener_name(words)?.into() })))
}

/// Why a route that is added while pen runs is refused: in a file its listener may still come.
pub fn leads_nowhere(listeners: &Listeners, command: &Command) -> Option<String> {
    match command {
        Command::On { command, .. } => leads_nowhere(listeners, command),
        Command::Route(RouteChange::Set(route)) if listeners.find(&route.to).is_none() => {
            Some(format!("route {route}: there is no listener '{}'", route.to))
        }
        _ => None,
    }
}

/// The words after `no route`.
pub(super) fn no_route(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::Route(RouteChange::Clear)) };
    Ok(Command::Route(RouteChange::Remove(what(word, words)?)))
}

fn what(word: &str, words: &mut Words<'_>) -> Result<What, Problem> {
    let hosts =
        |word: &str| Hosts::parse(word).ok_or_else(|| Problem::NotOneOf(String::from(word), "a host, or *. and one"));
    match word {
        "sni" => hosts(words.need("the name of a host")?).map(What::Sni),
        "host" => hosts(words.need("the name of a host")?).map(What::Host),
        "alpn" => {
            let protocol = words.need("the name of a protocol")?;
            let is_short = protocol.len() <= 255;
            is_short
                .then(|| What::Alpn(protocol.into()))
                .ok_or_else(|| Problem::NotOneOf(String::from(protocol), "a protocol"))
        }
        "tls" => Ok(What::Tls),
        "http" => Ok(What::Http),
        "ssh" => Ok(What::Ssh),
        _ => Err(Problem::NotOneOf(String::from(word), "sni, alpn, tls, host, http or ssh")),
    }
}

fn change_routes(routes: &mut Vec<Route>, change: RouteChange) -> Outcome {
    match change {
        RouteChange::Tell => Outcome::tells(routes.iter().map(|route| format!("{route}\n")).collect::<String>()),
        RouteChange::Clear => {
            routes.clear();
            Outcome::quiet()
        }
        RouteChange::Remove(what) => match routes.iter().position(|route| route.what == what) {
            Some(place) => {
                routes.remove(place);
                Outcome::quiet()
            }
            None => Outcome::refused(format!("there is no route for {what}")),
        },
        RouteChange::Set(route) => {
            match routes.iter().position(|known| known.what == route.what) {
                Some(place) => routes[place] = route,
                None if routes.len() < ROUTES_MAX => routes.push(route),
                None => return Outcome::refused(format!("there are {ROUTES_MAX} routes already")),
            }
            Outcome::quiet()
        }
    }
}

/// The value of the key `source` of a server, as a command has it.
pub(super) fn shown_source_of_server(source: Option<Option<IpAddr>>) -> String {
    source.map_or(String::from("default"), |ip| ip.map_or(String::from("off"), |ip| ip.to_string()))
}

/// The value of the key `transparent` of a server, as a command has it.
pub(super) fn shown_transparency(on: Option<bool>) -> &'static str {
    on.map_or("default", |on| if on { "on" } else { "off" })
}

/// Sets who is trusted if that is to be set, and tells it.
fn set_trust(balancer: &mut Balancer, what: Trust, trustee: Option<Option<Trustee>>) -> Outcome {
    let acls = &balancer.acls;
    let place = match what {
        Trust::Http => &mut balancer.settings.http_trust,
        Trust::Proxy => &mut balancer.settings.proxy_accept,
    };
    match trustee {
        None => {}
        Some(None) => *place = None,
        Some(Some(Trustee::Net(net))) => *place = Some(Trusted::Net(net)),
        Some(Some(Trustee::List(list))) => match acls.find(&list) {
            Ok(index) => *place = Some(Trusted::List(index)),
            Err(error) => return Outcome::refused(error.to_string()),
        },
    }
    Outcome::tells(format!("{}\n", place.map_or(String::from("none"), |trusted| shown(acls, trusted))))
}

/// Those who are trusted as a command names them.
pub(super) fn shown(acls: &Acls, trusted: Trusted) -> String {
    match trusted {
        Trusted::Net(net) => net.to_string(),
        Trusted::List(list) => acls.name(list).to_string(),
    }
}

/// Sets how servers are told whom a connection is from if that is to be set, and tells it.
fn set_proxy_protocol(settings: &mut Settings, version: Option<Option<ProxyVersion>>) -> Outcome {
    settings.proxy_protocol = version.unwrap_or(settings.proxy_protocol);
    Outcome::tells(format!("{}\n", settings.proxy_protocol.map_or("none", ProxyVersion::name)))
}

/// The value of the key `proxy_protocol` of a server, as a command has it.
pub(super) fn shown_version_of_server(version: Option<Option<ProxyVersion>>) -> &'static str {
    version.map_or("default", |version| version.map_or("off", ProxyVersion::name))
}
