//! How the arguments of each command are read: one function per row of the table that needs one.
//!
//! A function takes the words that are its own; whatever is left over is refused by its caller.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::checks;
use super::command::{CONN_MAX, Command, ListenAt, LogSpec, LogTo, SECONDS_MAX, ServerChanges, ServerRef, StatusForm};
use super::origins;
use super::words::{Problem, Words, number, unsigned};
use crate::balance::acl::{Entry, ListName, parse_list};
use crate::balance::listeners::MAIN_NAME;
use crate::balance::servers::{SERVERS_MAX, is_name};
use crate::balance::settings::{DumpForm, FastClose, Protocol, Queueing, Rate};
use crate::balance::{Duty, ServerId};
use crate::base::keepalive::{self, Keepalive};
use crate::base::operand::{ListenSpec, OperandError, Services, parse_host, parse_port};

/// The longest name of a listener, in bytes.
const LISTENER_NAME_MAX: usize = 32;

/// Clients that connected in the last five minutes are recent.
const RECENT: u32 = 300;

/// How long a client waits for a server at most, in seconds.
const QUEUE_TIME: u32 = 30;

/// The longest time in seconds within which connections of a client are counted.
const DAY: u32 = 86_400;

/// Numbers of connections are below the table's greatest size; those of associations follow.
const CONNECTION_MAX: u32 = 2 * CONN_MAX - 1;

impl ListenAt {
    /// Reads where the status port is to be. A port alone is one of this machine only.
    pub fn of_status(text: &str, services: &Services) -> Result<ListenAt, OperandError> {
        let is_port = !text.contains([':', '/']);
        let text = if is_port { format!("127.0.0.1:{text}") } else { String::from(text) };
        Ok(ListenAt { spec: ListenSpec::parse(&text, services)?, text })
    }
}

impl LogSpec {
    /// Reads the name of a request log: `host:port` for a penlogd; a file if there is a slash, or
    /// no colon.
    pub fn parse(text: &str, services: &Services) -> Result<LogSpec, OperandError> {
        let to = if text.contains('/') || !text.contains(':') {
            LogTo::File(PathBuf::from(text))
        } else {
            match ListenSpec::parse(text, services)? {
                ListenSpec { port: 0, .. } => return Err(OperandError::PortOutOfRange(String::from("0"))),
                ListenSpec { host, port } => LogTo::Network { host, port },
            }
        };
        Ok(LogSpec { to, text: String::from(text) })
    }
}

pub(super) fn acl(words: &mut Words<'_>) -> Result<Command, Problem> {
    let list = list_name(words)?;
    if words.clone().next() == Some("file") {
        words.next();
        let path = PathBuf::from(words.need("the name of a file")?);
        return Ok(Command::AclFile { list, path });
    }
    let rest: Vec<&str> = words.collect();
    if rest.is_empty() {
        return Err(Problem::Missing("permit or deny"));
    }
    Ok(Command::Acl { list, entry: Entry::parse(&rest).map_err(Problem::Acl)? })
}

pub(super) fn no_acl(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::ClearAcl(list_name(words)?))
}

fn list_name(words: &mut Words<'_>) -> Result<ListName, Problem> {
    parse_list(words.need("the number or name of a list")?).map_err(Problem::Acl)
}

pub(super) fn client_acl(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::ClientAcl(words.next().map(parse_list).transpose().map_err(Problem::Acl)?))
}

pub(super) fn control_acl(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::ControlAcl(words.next().map(parse_list).transpose().map_err(Problem::Acl)?))
}

pub(super) fn control_token(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::ControlToken(Some(PathBuf::from(words.need("the name of a file")?))))
}

pub(super) fn client_rate(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::ClientRate(None)) };
    let count = unsigned(word, 1, CONN_MAX)?;
    let seconds = match words.next() {
        None => 1,
        Some("per") => unsigned(words.need("a number of seconds")?, 1, DAY)?,
        Some(other) => return Err(Problem::NotOneOf(String::from(other), "per")),
    };
    Ok(Command::ClientRate(Some(Some(Rate { count, seconds }))))
}

pub(super) fn ascii(words: &mut Words<'_>) -> Result<Command, Problem> {
    match words.next() {
        None => Ok(Command::Dump(DumpForm::Ascii)),
        Some("auto") => Ok(Command::Dump(DumpForm::Auto)),
        Some(other) => Err(Problem::NotOneOf(String::from(other), "auto")),
    }
}

pub(super) fn close(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::Close(connection_number(words)?))
}

pub(super) fn connection(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::Connection(connection_number(words)?))
}

pub(super) fn connection_number(words: &mut Words<'_>) -> Result<usize, Problem> {
    Ok(unsigned(words.need("the number of a connection")?, 0, CONNECTION_MAX)? as usize)
}

pub(super) fn include(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::Include(PathBuf::from(words.need("the name of a file")?)))
}

pub(super) fn keepalive(words: &mut Words<'_>) -> Result<Command, Problem> {
    let mut next = |high: u32| words.next().map(|word| unsigned(word, 1, high)).transpose();
    let (time, count) = (u32::from(keepalive::SECONDS_MAX), u32::from(keepalive::COUNT_MAX));
    let (idle, interval, count) = (next(time)?, next(time)?, next(count)?);
    let seconds = |value: u32| u16::try_from(value).expect("the range is one of u16");
    let probes = |value: u32| u8::try_from(value).expect("the range is one of u8");
    let how = Keepalive { idle: idle.map(seconds), interval: interval.map(seconds), count: count.map(probes) };
    Ok(Command::Keepalive(Some(how)))
}

pub(super) fn listen(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::Listen(addresses(words)?))
}

/// `listener` alone stands for the first one.
pub(super) fn listener(words: &mut Words<'_>) -> Result<Command, Problem> {
    let name = match words.next() {
        None => String::from(MAIN_NAME),
        Some(word) => name_of_listener(word)?,
    };
    Ok(Command::Listener { name, there: addresses(words)?, is_pool: false })
}

pub(super) fn pool(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::Listener { name: listener_name(words)?, there: Vec::new(), is_pool: true })
}

pub(super) fn no_listener(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::NoListener(listener_name(words)?))
}

/// There is one at the beginning of a line, and its reader has seen to it.
pub(super) fn on(_: &mut Words<'_>) -> Result<Command, Problem> {
    Err(Problem::WithinOn)
}

/// The next word, as the name of a listener.
pub(super) fn listener_name(words: &mut Words<'_>) -> Result<String, Problem> {
    name_of_listener(words.need("the name of a listener")?)
}

fn name_of_listener(word: &str) -> Result<String, Problem> {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = matches!(word.as_bytes(), [first, rest @ ..]
        if first.is_ascii_alphabetic() && rest.iter().all(is_inner) && rest.len() < LISTENER_NAME_MAX);
    if is_name { Ok(String::from(word)) } else { Err(Problem::NotAListener(String::from(word))) }
}

/// Addresses to listen on, up to the end of the line.
fn addresses(words: &mut Words<'_>) -> Result<Vec<ListenAt>, Problem> {
    let services = words.services;
    let read = |word| match ListenSpec::parse(word, services) {
        Ok(spec) => Ok(ListenAt { spec, text: String::from(word) }),
        Err(error) => Err(operand(word, error)),
    };
    words.map(read).collect()
}

pub(super) fn log(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::Log(None)) };
    let log = LogSpec::parse(word, words.services).map_err(|error| operand(word, error))?;
    Ok(Command::Log(Some(log)))
}

pub(super) fn proxy_protocol(words: &mut Words<'_>) -> Result<Command, Problem> {
    let version = words.next().map(|word| origins::version(word, "v1 or v2")).transpose()?;
    Ok(Command::ProxyProtocol(version.map(Some)))
}

/// Without a time it is half a minute.
pub(super) fn queue(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::Queue(None)) };
    let places = unsigned(word, 1, CONN_MAX)?;
    let seconds = words.next().map_or(Ok(QUEUE_TIME), |word| unsigned(word, 1, DAY))?;
    let time = Duration::from_secs(u64::from(seconds));
    Ok(Command::Queue(Some(Some(Queueing { places, time }))))
}

pub(super) fn recent(words: &mut Words<'_>) -> Result<Command, Problem> {
    let seconds = words.next().map_or(Ok(RECENT), |word| unsigned(word, 0, SECONDS_MAX))?;
    Ok(Command::Recent(Duration::from_secs(u64::from(seconds))))
}

pub(super) fn server(words: &mut Words<'_>) -> Result<Command, Problem> {
    let at = server_ref(words)?;
    let mut changes = Box::new(ServerChanges::default());
    let mut key = words.need("a key")?;
    loop {
        match duty(key) {
            Some(duty) => once(&mut changes.duty, key, duty)?,
            None => {
                let value = words.next().ok_or_else(|| Problem::NoValue(String::from(key)))?;
                change(&mut changes, key, value, words.services)?;
            }
        }
        match words.next() {
            Some(next) => key = next,
            None => return Ok(Command::Server { at, changes }),
        }
    }
}

pub(super) fn no_server(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::RemoveServer(server_ref(words)?))
}

pub(super) fn server_ref(words: &mut Words<'_>) -> Result<ServerRef, Problem> {
    let word = words.need("the number or name of a server")?;
    match word {
        "emergency" => Ok(ServerRef::Id(ServerId::Emergency)),
        "abuse" => Ok(ServerRef::Id(ServerId::Abuse)),
        _ if word.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            Ok(ServerRef::Id(ServerId::Regular(unsigned(word, 0, SERVERS_MAX as u32 - 1)?)))
        }
        _ => Ok(ServerRef::Name(name(word)?)),
    }
}

fn name(word: &str) -> Result<Box<str>, Problem> {
    if is_name(word) { Ok(word.into()) } else { Err(Problem::NotAName(String::from(word))) }
}

/// The keys of `server` that have a value; there are no others.
pub const SERVER_KEYS: [&str; 13] = [
    "address",
    "port",
    "max",
    "hard",
    "weight",
    "prio",
    "check",
    "acl",
    "proxy_protocol",
    "source",
    "transparent",
    "name",
    "blacklist",
];

/// The keys of `server` that have no value.
pub const SERVER_DUTIES: [(&str, Duty); 3] =
    [("enable", Duty::Enabled), ("disable", Duty::Disabled), ("drain", Duty::Draining)];

fn duty(key: &str) -> Option<Duty> {
    SERVER_DUTIES.iter().find(|(word, _)| *word == key).map(|(_, duty)| *duty)
}

fn change(changes: &mut ServerChanges, key: &str, value: &str, services: &Services) -> Result<(), Problem> {
    let limit = |value| unsigned(value, 0, u32::MAX);
    match key {
        _ if !SERVER_KEYS.contains(&key) => Err(Problem::UnknownKey(String::from(key))),
        "address" => once(&mut changes.address, key, parse_host(value).map_err(|error| operand(value, error))?),
        "port" => once(&mut changes.port, key, parse_port(value, services).map_err(|error| operand(value, error))?),
        "max" => once(&mut changes.max, key, limit(value)?),
        "hard" => once(&mut changes.hard, key, limit(value)?),
        "weight" => once(&mut changes.weight, key, limit(value)?),
        "prio" => once(&mut changes.prio, key, priority(value)?),
        "check" => once(&mut changes.check, key, checks::own(value, services)?),
        "acl" if value == "none" => once(&mut changes.acl, key, None),
        "acl" => once(&mut changes.acl, key, Some(parse_list(value).map_err(Problem::Acl)?)),
        "proxy_protocol" => once(&mut changes.proxy_protocol, key, origins::version_of_server(value)?),
        "source" => once(&mut changes.source, key, origins::source_of_server(value)?),
        "transparent" => once(&mut changes.transparent, key, origins::transparency_of_server(value)?),
        "name" if value == "none" => once(&mut changes.name, key, None),
        "name" => once(&mut changes.name, key, Some(name(value)?)),
        "blacklist" => {
            let seconds = unsigned(value, 0, SECONDS_MAX)?;
            once(&mut changes.blacklist, key, Duration::from_secs(u64::from(seconds)))
        }
        _ => Err(Problem::UnknownKey(String::from(key))),
    }
}

fn priority(word: &str) -> Result<i32, Problem> {
    let value = number(word, i64::from(i32::MIN), i64::from(i32::MAX))?;
    Ok(i32::try_from(value).expect("the range is that of i32"))
}

/// Stores a value unless there is one already: a line that says two things of one key is a
/// mistake.
pub(super) fn once<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), Problem> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Problem::Twice(String::from(key))),
    }
}

pub(super) fn source(words: &mut Words<'_>) -> Result<Command, Problem> {
    let word = words.need("an address")?;
    let ip: IpAddr = word.parse().map_err(|_| Problem::NotAnAddress(String::from(word)))?;
    Ok(Command::Source(Some(ip.to_canonical())))
}

pub(super) fn socket(words: &mut Words<'_>) -> Result<Command, Problem> {
    let descriptor = unsigned(words.need("the number of a descriptor")?, 0, i32::MAX as u32)?;
    Ok(Command::Socket(i32::try_from(descriptor).expect("the range is one of i32")))
}

pub(super) fn status(words: &mut Words<'_>) -> Result<Command, Problem> {
    match words.next() {
        None => Ok(Command::Status(StatusForm::Page)),
        Some("text") => Ok(Command::Status(StatusForm::Text)),
        Some("json") => Ok(Command::Status(StatusForm::Json)),
        Some("prometheus") => Ok(Command::Status(StatusForm::Prometheus)),
        Some(other) => Err(Problem::NotOneOf(String::from(other), "text, json or prometheus")),
    }
}

pub(super) fn protocol(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::Protocol(None)) };
    match Protocol::ALL.into_iter().find(|(name, _)| *name == word) {
        Some((_, protocol)) => Ok(Command::Protocol(Some(protocol))),
        None => Err(Problem::NotOneOf(String::from(word), "tcp, ftp, http or udp")),
    }
}

pub(super) fn status_acl(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::StatusAcl(words.next().map(parse_list).transpose().map_err(Problem::Acl)?))
}

pub(super) fn status_listen(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(word) = words.next() else { return Ok(Command::StatusListen(None)) };
    let there = ListenAt::of_status(word, words.services).map_err(|error| operand(word, error))?;
    Ok(Command::StatusListen(Some(there)))
}

pub(super) fn tcp_fastclose(words: &mut Words<'_>) -> Result<Command, Problem> {
    let when = match words.next() {
        None => None,
        Some("up") => Some(FastClose::Up),
        Some("down") => Some(FastClose::Down),
        Some("both") => Some(FastClose::Both),
        Some("off") => Some(FastClose::Off),
        Some(other) => return Err(Problem::NotOneOf(String::from(other), "up, down, both or off")),
    };
    Ok(Command::FastClose(when))
}

pub(super) fn udp_responses(words: &mut Words<'_>) -> Result<Command, Problem> {
    let count = words.next().map(|word| unsigned(word, 0, CONN_MAX)).transpose()?;
    Ok(Command::UdpResponses(count.map(Some)))
}

pub(super) fn web_stats(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::WebStats(words.next().map(|path| Some(PathBuf::from(path)))))
}

pub(super) fn write(words: &mut Words<'_>) -> Result<Command, Problem> {
    Ok(Command::Write(words.next().map(PathBuf::from)))
}

pub(super) fn operand(word: &str, error: OperandError) -> Problem {
    Problem::Operand(String::from(word), error)
}
