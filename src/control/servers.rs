//! Servers come, change and go.

use super::command::{ServerChanges, ServerRef};
use super::event::OfServer;
use super::execute::{Effect, Outcome};
use crate::balance::acl::Acls;
use crate::balance::{Balancer, Duty, Health, ListenerKey, Server, ServerId};
use crate::base::operand::{Host, ServerSpec};
use crate::base::time::Now;

/// Changes a server for later connections, or puts a new one into the table. A new one needs an
/// address, and is not used before it has a port.
pub(super) fn change_server(
    balancer: &mut Balancer,
    at: ListenerKey,
    which: &ServerRef,
    changes: ServerChanges,
    now: Now,
) -> Outcome {
    change_or_refuse(balancer, at, which, &changes, now).unwrap_or_else(Outcome::refused)
}

fn change_or_refuse(
    balancer: &mut Balancer,
    at: ListenerKey,
    which: &ServerRef,
    changes: &ServerChanges,
    now: Now,
) -> Result<Outcome, String> {
    let (id, named) = match which {
        ServerRef::Id(id) => (*id, None),
        ServerRef::Name(name) => match (balancer.servers.find(name), &changes.address) {
            (Some(id), _) => (id, None),
            (None, Some(_)) => (balancer.servers.vacant().ok_or("there is no number left")?, Some(name)),
            (None, None) => return Err(format!("there is no server '{name}'")),
        },
    };
    let acl = list_of(&balancer.acls, changes)?;
    if let Some(Some(name)) = &changes.name
        && let Some(other) = balancer.servers.find(name).filter(|other| *other != id)
    {
        return Err(format!("server {other} is called '{name}'"));
    }
    // One that leaves is gone for everybody but its last connections.
    let duty = balancer.servers.server(id).map(|server| server.duty).filter(|duty| *duty != Duty::Leaving);
    if duty.is_none() {
        let host = changes.address.clone().ok_or_else(|| format!("server {id} has no address yet"))?;
        let spec = ServerSpec { host, port: None, max: 0, hard: 0, weight: 0, prio: 0 };
        balancer.servers.set(id, Server::new(&spec, 0)).map_err(|error| error.to_string())?;
    }
    let mut server = balancer.servers.server_mut(id).expect("it was there or has just been put there");
    if let Some(name) = named {
        server.name = Some(name.clone());
    }
    server.acl = acl.unwrap_or(server.acl);
    change(&mut server, changes, now);
    let reply = match changes.duty {
        Some(Duty::Draining | Duty::Disabled) => left(server.connections),
        Some(Duty::Enabled | Duty::Leaving) | None => String::new(),
    };
    let mut effects = match changes.address {
        Some(Host::Name(_)) => vec![Effect::Resolve(at, id)],
        Some(Host::Addr(_) | Host::Unix(_)) | None => Vec::new(),
    };
    effects.extend(news(duty, changes).map(|what| Effect::ServerChanged(at, id, what)));
    Ok(Outcome { reply: Ok(reply), effects })
}

/// What operators hear of a change: that it is new, or that its duty, which was this one, has changed.
fn news(before: Option<Duty>, changes: &ServerChanges) -> Option<OfServer<'static>> {
    let Some(before) = before else { return Some(OfServer::Added) };
    match changes.duty.filter(|duty| *duty != before)? {
        Duty::Enabled => Some(OfServer::Enabled),
        Duty::Disabled => Some(OfServer::Disabled),
        Duty::Draining => Some(OfServer::Draining),
        Duty::Leaving => None,
    }
}

/// The index of the access list that is to be the server's, if that changes.
fn list_of(acls: &Acls, changes: &ServerChanges) -> Result<Option<Option<usize>>, String> {
    match &changes.acl {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(list)) => acls.find(list).map(|index| Some(Some(index))).map_err(|error| error.to_string()),
    }
}

fn change(server: &mut Server, changes: &ServerChanges, now: Now) {
    if let Some(port) = changes.port {
        server.set_port(port);
    }
    if let Some(host) = changes.address.clone().filter(|host| *host != server.host) {
        // Another machine is not to blame for what this one did.
        server.blacklisted_until = None;
        server.health = Health::default();
        server.set_host(host);
    }
    server.max = changes.max.unwrap_or(server.max);
    server.hard = changes.hard.unwrap_or(server.hard);
    server.weight = changes.weight.unwrap_or(server.weight);
    server.prio = changes.prio.unwrap_or(server.prio);
    server.source = changes.source.unwrap_or(server.source);
    server.transparent = changes.transparent.unwrap_or(server.transparent);
    server.proxy_protocol = changes.proxy_protocol.unwrap_or(server.proxy_protocol);
    if let Some(name) = &changes.name {
        server.name.clone_from(name);
    }
    if let Some(check) = &changes.check {
        server.check.clone_from(check);
    }
    if let Some(duty) = changes.duty {
        server.set_duty(duty, now.moment);
    }
    if let Some(time) = changes.blacklist {
        let until = (!time.is_zero()).then(|| now.moment + time);
        server.blacklist(until, now.moment);
    }
}

/// Takes a server out of the table.
pub(super) fn remove_server(balancer: &mut Balancer, at: ListenerKey, which: &ServerRef) -> Outcome {
    let (id, called) = match which {
        ServerRef::Id(id) => (Some(*id), id.to_string()),
        ServerRef::Name(name) => (balancer.servers.find(name), format!("'{name}'")),
    };
    let there = |id: &ServerId| balancer.servers.server(*id).is_some_and(|server| server.duty != Duty::Leaving);
    match id.filter(there) {
        Some(id) => Outcome {
            reply: Ok(left(balancer.remove_server(id))),
            effects: vec![Effect::ServerChanged(at, id, OfServer::Removed)],
        },
        None => Outcome::refused(format!("there is no server {called}")),
    }
}

/// What the operator may want to wait for.
fn left(connections: u32) -> String {
    match connections {
        0 => String::new(),
        1 => String::from("1 connection left\n"),
        more => format!("{more} connections left\n"),
    }
}
