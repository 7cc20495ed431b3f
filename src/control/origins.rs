//! Whom clients are: who is trusted to say so, and how servers are told.

use super::command::{Command, Trust, Trustee};
use super::execute::Outcome;
use super::words::{Problem, Words};
use crate::balance::acl::{Acls, Subnet, parse_list};
use crate::balance::trusted::Trusted;
use crate::balance::{Balancer, Settings};
use crate::base::proxy_version::ProxyVersion;

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
        _ => unreachable!("these are all"),
    }
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
