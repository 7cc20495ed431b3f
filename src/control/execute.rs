//! Applies commands to the listeners, and says what the event loop must do besides.
//!
//! Pure. A command that is refused changes nothing. What only the loop can do is an [`Effect`];
//! if that fails, the loop answers with a refusal in place of the reply.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::checks::set_check;
use super::command::{Command, ListenAt, LogSpec, Mode, Number};
use super::config::{ConfigError, Line};
pub use super::effect::{Asked, Effect, Outcome, reply_text};
use super::numbers::{
    client_rate, fast_close, set_ftp, set_idlers, set_number, set_protocol, set_queue, udp_responses,
};
use super::origins::obey;
use super::servers::{change_server, remove_server};
pub use super::snapshot::Snapshot;
use super::status;
use super::watching::{self, Watching};
use crate::balance::acl::{AclError, Acls, ListName};
use crate::balance::{Balancer, Common, ListenerKey, Listeners, MAIN, Settings};
use crate::base::keepalive::Keepalive;
use crate::base::time::Now;

/// What replies tell of pen besides its listeners.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The process id.
    pub pid: u32,
    /// The address of the control port as it was given; empty if there is none.
    pub control: &'a str,
}

/// Executes one command, for this listener.
pub fn execute(listeners: &mut Listeners, at: ListenerKey, command: Command, now: Now, around: &Around<'_>) -> Outcome {
    let before = may_contradict(&command).then(|| Snapshot::of(listeners));
    let outcome = carry_out(listeners, at, command, now, around);
    if let (Some(before), Some(why)) = (before, contradiction(listeners, at)) {
        before.restore(listeners);
        return Outcome::refused(why);
    }
    match settle_all(listeners) {
        Ok(()) => outcome,
        Err(reason) => Outcome::refused(reason),
    }
}

/// True if a command may ask for what cannot be together with what is, or mend that.
fn may_contradict(command: &Command) -> bool {
    match command {
        Command::Protocol(protocol) => protocol.is_some(),
        Command::ProxyProtocol(version) => version.is_some(),
        Command::Server { changes, .. } => {
            changes.address.is_some() || changes.proxy_protocol.is_some() || changes.transparent.is_some()
        }
        Command::Transparent(_) | Command::RemoveServer(_) | Command::Watching(Watching::Fault(None, _)) => true,
        _ => false,
    }
}

/// Why the settings of a listener cannot be, with one another or on this system.
fn contradiction(listeners: &Listeners, at: ListenerKey) -> Option<String> {
    let balancer = &listeners[at].balancer;
    let is_refused = listeners.common.is_never_transparent && balancer.is_transparent_anywhere();
    balancer.contradiction().or_else(|| is_refused.then(|| String::from(NO_FOREIGN)))
}

/// Why servers cannot see the clients' own addresses; under `-u` pen has the right only if it was
/// known at the start that it is needed.
const NO_FOREIGN: &str = "transparent needs the capability CAP_NET_RAW or CAP_NET_ADMIN, which pen does not have; \
                          with -u it is kept if transparent is set at the start";

/// What a file of commands comes to.
#[derive(Debug, Default)]
pub struct Batch {
    /// The replies, one after the other.
    pub text: String,
    /// What is to be done, and where it was asked for.
    pub effects: Vec<Asked>,
}

/// Executes a file of commands, all or none: if one is refused, all is as it was. The client tables
/// are as they were in any case, until [`settle`].
pub fn apply(listeners: &mut Listeners, lines: Vec<Line>, now: Now, around: &Around<'_>) -> Result<Batch, ConfigError> {
    let before = Snapshot::of(listeners);
    let mut batch = Batch::default();
    // Listeners whose settings cannot be together, and since which line: later ones may mend that.
    let mut odd: Vec<(ListenerKey, Rc<Path>, usize)> = Vec::new();
    for Line { file, number, listener, command } in lines {
        let at = match &command {
            // It names its listener itself, which may not be there yet.
            Command::Listener { .. } => Ok(MAIN),
            _ => find(listeners, &listener),
        };
        let key = at.as_ref().ok().copied().filter(|_| may_contradict(&command));
        let outcome = match at {
            Ok(at) => carry_out(listeners, at, command, now, around),
            Err(refusal) => refusal,
        };
        if let Some(at) = key {
            let is_odd = contradiction(listeners, at).is_some();
            match odd.iter().position(|(other, ..)| *other == at) {
                None if is_odd => odd.push((at, Rc::clone(&file), number)),
                Some(place) if !is_odd => drop(odd.remove(place)),
                _ => {}
            }
        }
        match outcome.reply {
            Ok(reply) => batch.text.push_str(&reply),
            Err(reason) => {
                before.restore(listeners);
                return Err(ConfigError::at(&file, number, &reason));
            }
        }
        batch.effects.extend(outcome.effects.into_iter().map(|effect| (Rc::clone(&file), number, effect)));
    }
    if let Some((at, file, number)) = odd.first() {
        let why = contradiction(listeners, *at).unwrap_or_default();
        before.restore(listeners);
        return Err(ConfigError::at(file, *number, &why));
    }
    Ok(batch)
}

/// Lets all client tables follow their settings.
pub fn settle_all(listeners: &mut Listeners) -> Result<(), String> {
    let keys: Vec<ListenerKey> = listeners.iter().map(|(at, _)| at).collect();
    keys.into_iter().try_for_each(|at| settle(listeners, at))
}

/// Lets the client table follow its setting: last of all, because clients that leave it do not
/// come back. Without memory for that the setting follows the table, and why is returned.
pub fn settle(listeners: &mut Listeners, at: ListenerKey) -> Result<(), String> {
    let balancer = &mut listeners[at].balancer;
    balancer.follow_settings();
    let (max, wanted) = (balancer.clients.max(), balancer.settings.clients_max);
    if max != wanted && balancer.clients.resize(wanted).is_err() {
        balancer.settings.clients_max = max;
        return Err(format!("clients_max {wanted}: out of memory"));
    }
    Ok(())
}

/// For which listener a command is that was read for the one named `section`, and what it is then:
/// `on` names another one, and `listener` the one that further commands are for.
pub fn direct(listeners: &Listeners, section: &mut String, command: Command) -> Result<(ListenerKey, Command), String> {
    let (name, command) = match command {
        Command::On { listener, command } => (listener, *command),
        Command::Listener { name, there, is_pool } => {
            section.clone_from(&name);
            // It may not be there yet.
            return Ok((MAIN, Command::Listener { name, there, is_pool }));
        }
        other => (section.clone(), other),
    };
    let at = listeners.find(&name).ok_or_else(|| no_listener(&name))?;
    Ok((at, command))
}

/// The listener of this name, or that there is none.
fn find(listeners: &Listeners, name: &str) -> Result<ListenerKey, Outcome> {
    listeners.find(name).ok_or_else(|| Outcome::refused(no_listener(name)))
}

fn no_listener(name: &str) -> String {
    format!("there is no listener '{name}'")
}

/// Goes on with a listener: adds it if it is not there, and lets it listen at these addresses, if
/// any are given.
fn go_on_with(listeners: &mut Listeners, name: &str, there: Vec<ListenAt>, is_pool: bool) -> Outcome {
    match listeners.find(name) {
        None if is_pool => match listeners.add(name) {
            Ok(at) => {
                listeners[at].is_pool = true;
                Outcome::quiet()
            }
            Err(error) => Outcome::refused(error.to_string()),
        },
        Some(at) if is_pool && !listeners[at].is_pool => {
            Outcome::refused(format!("'{name}' is a listener with addresses, and no pool"))
        }
        Some(at) if listeners[at].is_pool && !there.is_empty() => {
            Outcome::refused(format!("'{name}' is a pool, and listens nowhere"))
        }
        Some(_) if there.is_empty() => Outcome::quiet(),
        Some(at) => Outcome::asks(Effect::Listen(at, there)),
        None if there.is_empty() => {
            Outcome::refused(format!("there is no listener '{name}' yet: 'listener {name} ADDRESS' adds it"))
        }
        None => match listeners.add(name) {
            Ok(at) => Outcome::asks(Effect::Listen(at, there)),
            Err(error) => Outcome::refused(error.to_string()),
        },
    }
}

fn remove_listener(listeners: &mut Listeners, name: &str) -> Outcome {
    match find(listeners, name) {
        Ok(MAIN) => Outcome::refused("the first listener stays; 'listen' moves it"),
        Ok(at) => {
            listeners.remove(at);
            Outcome::asks(Effect::RemoveListener(at))
        }
        Err(refusal) => refusal,
    }
}

fn carry_out(listeners: &mut Listeners, at: ListenerKey, command: Command, now: Now, around: &Around<'_>) -> Outcome {
    let (common, balancer) = listeners.parts(at);
    match command {
        Command::Acl { list, entry } => change_list(balancer, &list, |acls, index| acls.add(index, entry)),
        Command::AclLoaded { list, path, entries } => {
            change_list(balancer, &list, |acls, index| acls.load(index, &path, &entries))
        }
        Command::AclFile { path, .. } => Outcome::refused(format!("{} was not read", path.display())),
        Command::ClearAcl(list) => change_list(balancer, &list, Acls::clear),
        Command::ClientAcl(list) => set_list(&balancer.acls, &mut balancer.settings.client_acl, list),
        Command::ClientRate(rate) => client_rate(&mut balancer.settings, at, rate),
        Command::Check(check) => set_check(&mut balancer.settings, check),
        Command::Control => Outcome::tells(line_of(around.control)),
        Command::ControlAcl(list) => set_list(&balancer.acls, &mut common.control_acl, list),
        Command::Dump(form) => set(&mut common.dump_form, form),
        Command::SharePorts => set(&mut common.shares_ports, true),
        Command::NoEffect => Outcome::quiet(),
        Command::Exit => exit(common),
        Command::Watching(command) => watching::carry_out(common, balancer, at, command),
        Command::FastClose(when) => fast_close(&mut balancer.settings, when),
        Command::Ftp(change) => set_ftp(&mut balancer.settings.ftp, change),
        Command::Keepalive(how) => probe(common, how),
        Command::Listen(there) => listen(listeners, at, there),
        Command::Listener { name, there, is_pool } => go_on_with(listeners, &name, there, is_pool),
        Command::Listeners => Outcome::tells(status::listeners(listeners)),
        Command::NoListener(name) => remove_listener(listeners, &name),
        Command::On { listener, command } => match find(listeners, &listener) {
            Ok(at) => carry_out(listeners, at, *command, now, around),
            Err(refusal) => refusal,
        },
        Command::Log(log) => move_log(common, log),
        Command::Modes => Outcome::tells(status::modes(&balancer.settings.modes)),
        Command::Number(Number::Idlers, value) => set_idlers(balancer, value),
        Command::Number(number, value) => set_number(common, &mut balancer.settings, at, number, value),
        Command::Pid => Outcome::tells(format!("{}\n", around.pid)),
        Command::Protocol(protocol) => set_protocol(&mut balancer.settings, at, protocol),
        Command::Queue(queue) => set_queue(&mut balancer.settings, queue),
        Command::Recent(within) => Outcome::tells(status::recent(balancer, within, now)),
        Command::RemoveServer(server) => remove_server(balancer, at, &server),
        Command::Server { at: server, changes } => change_server(balancer, at, &server, *changes, now),
        Command::Servers => Outcome::tells(status::servers(balancer, now.moment)),
        Command::StatusAcl(list) => set_list(&balancer.acls, &mut common.status_acl, list),
        Command::StatusListen(there) => listen_for_viewers(common, there),
        Command::Switch(mode, on) => set(mode_of(&mut balancer.settings, mode), on),
        Command::UdpResponses(count) => udp_responses(&mut balancer.settings, count),
        command @ (Command::ProxyProtocol(_) | Command::Source(_) | Command::Trust(..)) => obey(balancer, command),
        command @ (Command::Route(_) | Command::Transparent(_)) => obey(balancer, command),
        Command::WebStats(path) => set_web_stats(common, path),
        Command::Close(_) | Command::Connection(_) | Command::Dummy | Command::Include(_) | Command::NoLog => {
            ask_loop(at, command)
        }
        Command::ControlToken(_) | Command::Socket(_) => ask_loop(at, command),
        Command::Reload | Command::Status(_) | Command::Subscribe(_) | Command::Write(_) => ask_loop(at, command),
        Command::NoStatusListen => ask_loop(at, command),
    }
}

fn probe(common: &mut Common, how: Option<Keepalive>) -> Outcome {
    common.keepalive = how;
    Outcome::asks(Effect::Keepalive)
}

fn exit(common: &Common) -> Outcome {
    match common.may_exit {
        true => Outcome::asks(Effect::Exit),
        false => Outcome::refused("Exit is not enabled; restart with -X flag"),
    }
}

/// A command that the loop carries out alone.
fn ask_loop(at: ListenerKey, command: Command) -> Outcome {
    Outcome::asks(match command {
        Command::Close(number) => Effect::Close(number),
        Command::Connection(number) => Effect::ShowConnection(number),
        Command::ControlToken(path) => Effect::Token(path),
        Command::Dummy => Effect::Dummy,
        Command::Include(path) => Effect::Include(at, path),
        Command::NoLog => Effect::SetLog(None),
        Command::NoStatusListen => Effect::StatusListen(None),
        Command::Reload => Effect::Reload,
        Command::Socket(descriptor) => Effect::ShowSocket(descriptor),
        Command::Status(form) => Effect::Status(form),
        Command::Subscribe(subscription) => Effect::Subscribe(subscription),
        Command::Write(path) => Effect::Write(path),
        // Without saying which: the code that shows any of them takes 35 kB.
        _ => unreachable!("other commands are carried out here"),
    })
}

fn set<T>(place: &mut T, value: T) -> Outcome {
    *place = value;
    Outcome::quiet()
}

/// Changes an access list; a name that is new gets one.
fn change_list<F>(balancer: &mut Balancer, list: &ListName, change: F) -> Outcome
where
    F: FnOnce(&mut Acls, usize) -> Result<(), AclError>,
{
    let acls = &mut balancer.acls;
    match acls.find_or_name(list).and_then(|index| change(acls, index)) {
        Ok(()) => Outcome::quiet(),
        Err(error) => Outcome::refused(error.to_string()),
    }
}

fn listen(listeners: &Listeners, at: ListenerKey, there: Vec<ListenAt>) -> Outcome {
    match there.is_empty() {
        true => Outcome::tells(line_of(&listeners[at].at.join(" "))),
        false => Outcome::asks(Effect::Listen(at, there)),
    }
}

fn move_log(common: &Common, log: Option<LogSpec>) -> Outcome {
    match log {
        None => Outcome::tells(line_of(common.log.as_deref().unwrap_or_default())),
        Some(log) => Outcome { reply: Ok(line_of(&log.text)), effects: vec![Effect::SetLog(Some(log))] },
    }
}

fn listen_for_viewers(common: &Common, there: Option<ListenAt>) -> Outcome {
    match there {
        None => Outcome::tells(line_of(common.status_at.as_deref().unwrap_or_default())),
        there => Outcome::asks(Effect::StatusListen(there)),
    }
}

/// Sets where the status page goes if that is to be set, and tells it.
fn set_web_stats(common: &mut Common, path: Option<Option<PathBuf>>) -> Outcome {
    let before = path.map(|path| std::mem::replace(&mut common.web_stats, path));
    let effects = before.filter(|_| common.web_stats.is_some()).map(Effect::WebStats);
    let reply = Ok(line_of(&shown_path(common.web_stats.as_deref())));
    Outcome { reply, effects: effects.into_iter().collect() }
}

/// Sets which access list is asked if there is one to set, and tells which it is then.
fn set_list(acls: &Acls, place: &mut usize, list: Option<ListName>) -> Outcome {
    if let Some(list) = list {
        match acls.find(&list) {
            Ok(index) => *place = index,
            Err(error) => return Outcome::refused(error.to_string()),
        }
    }
    Outcome::tells(format!("{}\n", acls.name(*place)))
}

fn shown_path(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

/// A text as a line; nothing at all if there is nothing to tell.
pub(super) fn line_of(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

fn mode_of(settings: &mut Settings, mode: Mode) -> &mut bool {
    let modes = &mut settings.modes;
    match mode {
        Mode::Hash => &mut modes.hash,
        Mode::Prio => &mut modes.prio,
        Mode::RoundRobin => &mut modes.roundrobin,
        Mode::Stubborn => &mut modes.stubborn,
        Mode::Weight => &mut modes.weight,
        Mode::Least => &mut modes.least,
        Mode::TwoChoices => &mut modes.p2c,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::balance::Server;
    use crate::balance::ServerId;
    use crate::base::addr::{ClientAddr, Endpoint};
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Moment;
    use crate::control::command::{LogTo, parse};
    use crate::control::config::read_file;
    use crate::control::event::OfServer;

    const NOW: Now = Now { moment: Moment::from_nanos(1_000_000_000_000), unix: 1_700_000_000 };
    const AROUND: Around<'_> = Around { pid: 4711, control: "127.0.0.1:21001" };

    /// One listener with two servers, as the table of the original's replies has it.
    fn pen() -> Listeners {
        let mut pen = Listeners::new(Common::default(), Settings::default());
        pen.main_mut().at.push(String::from("21000"));
        for (index, text) in (0..).zip(["127.0.0.1:21010", "127.0.0.1:21011"]) {
            let spec = ServerSpec::parse(text, &Services::default()).unwrap();
            main(&mut pen).servers.set(ServerId::Regular(index), Server::new(&spec, 21_000)).unwrap();
        }
        pen
    }

    fn main(pen: &mut Listeners) -> &mut Balancer {
        &mut pen.main_mut().balancer
    }

    fn run(pen: &mut Listeners, line: &str) -> Outcome {
        let command = parse(line, &Services::default()).unwrap().unwrap();
        execute(pen, MAIN, command, NOW, &AROUND)
    }

    fn reply(pen: &mut Listeners, line: &str) -> String {
        reply_text(run(pen, line).reply)
    }

    #[test]
    fn what_cannot_be_together_is_refused_whoever_comes_last() {
        const WHY: &str = "error: proxy_protocol v1 has no datagrams: for protocol udp it is v2\n";
        let mut pen = pen();
        assert_eq!(reply(&mut pen, "proxy_protocol v1"), "v1\n");
        assert_eq!(reply(&mut pen, "protocol udp"), WHY);
        assert_eq!(reply(&mut pen, "protocol"), "tcp\n");
        assert_eq!(reply(&mut pen, "proxy_protocol v2"), "v2\n");
        assert_eq!(reply(&mut pen, "protocol udp"), "udp\n");
        assert_eq!(reply(&mut pen, "proxy_protocol v1"), WHY);
        assert_eq!(reply(&mut pen, "proxy_protocol"), "v2\n");
        let of_server = WHY.replace("error: ", "error: server 1: ");
        assert_eq!(reply(&mut pen, "server 1 proxy_protocol v1"), of_server);
        assert_eq!(main(&mut pen).servers.server(ServerId::Regular(1)).unwrap().proxy_protocol, None);
        // In a file the end counts.
        let mut obey = |text: &str| {
            let lines = read_file(Path::new("f"), "main", &Services::default(), &mut |_| Ok(String::from(text)));
            apply(&mut pen, lines.unwrap(), NOW, &AROUND).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(obey("proxy_protocol v1\nserver 0 proxy_protocol v1\nprotocol tcp\n"), Ok(()));
        assert_eq!(obey("protocol udp\nserver 0 proxy_protocol off\nproxy_protocol v2\n"), Ok(()));
        let refused = obey("blacklist 7\nproxy_protocol v1\nblacklist 8\n").unwrap_err();
        assert_eq!(refused, format!("f:2: {}", WHY.trim_start_matches("error: ").trim_end()));
        assert_eq!((reply(&mut pen, "proxy_protocol"), reply(&mut pen, "blacklist")), ("v2\n".into(), "30\n".into()));
    }

    #[test]
    fn replies_are_those_of_the_original() {
        let mut pen = pen();
        // One after the other: a query shows what was set before.
        let table = [
            ("acl 1 permit 127.0.0.1", ""),
            ("no acl 1", ""),
            ("ascii", ""),
            ("no ascii", ""),
            ("blacklist", "30\n"),
            ("blacklist 7", "7\n"),
            ("blacklist", "7\n"),
            ("client_acl", "0\n"),
            ("client_acl 1", "1\n"),
            ("clients_max", "2048\n"),
            ("clients_max 3000", "3000\n"),
            ("coalesce", "75\n"),
            ("coalesce 0", "0\n"),
            ("coalesce", "0\n"),
            ("conn_max", "500\n"),
            ("conn_max 600", "600\n"),
            ("control", "127.0.0.1:21001\n"),
            ("control_acl", "0\n"),
            ("control_acl 4", "4\n"),
            ("debug", "0\n"),
            ("debug 1", "1\n"),
            ("drain", "300\n"),
            ("drain 60", "60\n"),
            ("drain", "60\n"),
            ("epoll", ""),
            ("half_closed_timeout", "3600\n"),
            ("half_closed_timeout 0", "0\n"),
            ("hash", ""),
            ("mode", "hash no roundrobin no stubborn no weight no prio\n"),
            ("no hash", ""),
            ("ftp_ports", "any\n"),
            ("ftp_ports 50000-50999", "50000-50999\n"),
            ("no ftp_ports", "any\n"),
            ("ftp_address", "none\n"),
            ("ftp_address 192.0.2.1", "192.0.2.1\n"),
            ("no ftp_address", "none\n"),
            ("ftp_auth", "on\n"),
            ("ftp_auth off", "off\n"),
            ("protocol", "tcp\n"),
            ("ftp", "ftp\n"),
            ("no ftp", "tcp\n"),
            ("protocol ftp", "ftp\n"),
            ("udp_requests", "0\n"),
            ("udp_requests 1", "1\n"),
            ("udp_responses", "none\n"),
            ("udp_responses 1", "1\n"),
            ("udp_responses", "1\n"),
            ("no udp_responses", "none\n"),
            ("udp_timeout", "180\n"),
            ("udp_timeout 60", "60\n"),
            ("protocol", "ftp\n"),
            ("idle_timeout", "Idle timeout: 0 seconds\n"),
            ("idle_timeout 5", "Idle timeout: 5 seconds\n"),
            ("idlers", "Idlers: 0/0\n"),
            ("idlers 5", "Idlers: 0/5\n"),
            ("listen", "21000\n"),
            ("log", ""),
            ("no log", ""),
            ("pending_max 50", ""),
            ("pending_max", "50\n"),
            ("pid", "4711\n"),
            ("recent", ""),
            ("server 0 port 21010 max 3 hard 4 weight 5 prio 6 acl 0 blacklist 0", ""),
            ("server 2 address ::1 port 21012", ""),
            ("server 3 address /run/x", ""),
            (
                "servers",
                "0 addr 127.0.0.1 port 21010 conn 0 max 3 hard 4 weight 5 prio 6 sx 0 rx 0\n\
                 1 addr 127.0.0.1 port 21011 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n\
                 2 addr ::1 port 21012 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n\
                 3 addr /run/x port 1 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n",
            ),
            ("socket_buffers", "0\n"),
            ("socket_buffers 64", "64\n"),
            ("source 127.0.0.9", ""),
            ("no source", ""),
            ("reuseport", ""),
            ("stuck_timeout", "900\n"),
            ("stuck_timeout 30", "30\n"),
            ("timeout", "5\n"),
            ("timeout 3", "3\n"),
            ("tracking", "0\n"),
            ("tracking 7", "7\n"),
            ("exit", "error: Exit is not enabled; restart with -X flag\n"),
        ];
        for (line, expected) in table {
            assert_eq!(reply(&mut pen, line), expected, "{line}");
        }
    }

    #[test]
    fn settings_take_the_values_that_commands_give_them() {
        let mut pen = pen();
        let lines = "acl 3 deny 192.0.2.0/24\nascii\nblacklist 1\nclient_acl 3\nclients_max 4\nconn_max 5\ncoalesce 14\n\
                     control_acl 6\ndebug 2\ndrain 11\nhalf_closed_timeout 12\nidle_timeout 7\nstuck_timeout 13\npending_max 8\nsource ::1\ntimeout 9\ntracking 10\n\
                     hash\nroundrobin\nstubborn\nweight\nprio";
        for line in lines.lines() {
            assert!(run(&mut pen, line).reply.is_ok(), "{line}");
        }
        let Listeners { common, .. } = pen.clone();
        let settings = pen.main().balancer.settings.clone();
        let seconds = Duration::from_secs;
        assert_eq!((settings.blacklist, settings.connect_timeout), (seconds(1), seconds(9)));
        assert_eq!((settings.tracking, settings.idle_timeout), (seconds(10), seconds(7)));
        assert_eq!((settings.half_closed_timeout, settings.stuck_timeout), (seconds(12), seconds(13)));
        assert_eq!((common.drain, common.coalesce), (seconds(11), Duration::from_micros(14)));
        assert_eq!((settings.client_acl, common.control_acl), (3, 6));
        assert_eq!((settings.clients_max, common.conn_max, settings.pending_max), (4, 5, 8));
        assert_eq!((common.debug, settings.source), (2, Some("::1".parse().unwrap())));
        assert_eq!(common.dump_form, crate::base::diag::DumpForm::Ascii);
        assert_eq!(reply(&mut pen, "mode"), "hash roundrobin stubborn weight prio\n");
        assert_eq!(main(&mut pen).clients.max(), 4);
        assert!(!main(&mut pen).acls.check(3, ClientAddr::Inet("192.0.2.77".parse().unwrap())));
        for mode in ["hash", "roundrobin", "stubborn", "weight", "prio"] {
            run(&mut pen, &format!("no {mode}"));
        }
        assert_eq!(reply(&mut pen, "mode"), "no hash no roundrobin no stubborn no weight no prio\n");
        run(&mut pen, "no acl 3");
        assert!(main(&mut pen).acls.check(3, ClientAddr::Inet("192.0.2.77".parse().unwrap())));
        for (line, form) in
            [("no ascii", crate::base::diag::DumpForm::Columns), ("ascii auto", crate::base::diag::DumpForm::Auto)]
        {
            run(&mut pen, line);
            assert_eq!(pen.common.dump_form, form);
        }
    }

    #[test]
    fn transparent_is_refused_where_the_system_does() {
        let mut pen = pen();
        run(&mut pen, "transparent");
        run(&mut pen, "no transparent");
        pen.common.is_never_transparent = true;
        let refused = Err(String::from(NO_FOREIGN));
        assert_eq!(run(&mut pen, "transparent").reply, refused);
        assert_eq!(run(&mut pen, "server 1 address 10.0.0.9 transparent on").reply, refused);
        assert!(!main(&mut pen).is_transparent_anywhere());
        assert_eq!(run(&mut pen, "server 0 address 10.0.0.9 transparent off max 3").reply, Ok(String::new()));
    }

    #[test]
    fn what_only_the_loop_can_do_is_an_effect() {
        let mut pen = pen();
        pen.common.may_exit = true;
        let log = LogSpec { to: LogTo::File(PathBuf::from("x")), text: String::from("x") };
        let table = [
            ("close 3", "", Effect::Close(3)),
            ("connection 3", "", Effect::ShowConnection(3)),
            ("conn_max 9", "9\n", Effect::ConnMax(9)),
            ("exit", "", Effect::Exit),
            ("idle_timeout 3", "Idle timeout: 3 seconds\n", Effect::Limits),
            ("half_closed_timeout 3", "3\n", Effect::Limits),
            ("stuck_timeout 3", "3\n", Effect::Limits),
            ("include x", "", Effect::Include(MAIN, PathBuf::from("x"))),
            ("keepalive 9", "", Effect::Keepalive),
            ("no keepalive", "", Effect::Keepalive),
            ("log x", "x\n", Effect::SetLog(Some(log))),
            ("no log", "", Effect::SetLog(None)),
            ("pending_max 3", "", Effect::PendingMax(3)),
            ("server 0 address host1", "", Effect::Resolve(MAIN, ServerId::Regular(0))),
            ("server 0 drain", "", Effect::ServerChanged(MAIN, ServerId::Regular(0), OfServer::Draining)),
            ("server 0 enable weight 2", "", Effect::ServerChanged(MAIN, ServerId::Regular(0), OfServer::Enabled)),
            ("server 0 disable", "", Effect::ServerChanged(MAIN, ServerId::Regular(0), OfServer::Disabled)),
            ("server 9 address ::1", "", Effect::ServerChanged(MAIN, ServerId::Regular(9), OfServer::Added)),
            ("no server 9", "", Effect::ServerChanged(MAIN, ServerId::Regular(9), OfServer::Removed)),
        ];
        for (line, text, effect) in table {
            let expected = Outcome { reply: Ok(String::from(text)), effects: vec![effect] };
            assert_eq!(run(&mut pen, line), expected, "{line}");
        }
        let outcome = run(&mut pen, "listen 127.0.0.1:81");
        assert_eq!(outcome.reply.unwrap(), "");
        assert!(matches!(&outcome.effects[..], [Effect::Listen(MAIN, there)] if there[0].text == "127.0.0.1:81"));
        assert_eq!(pen.common.log, None, "the loop notes it once the log is open");
    }

    #[test]
    fn a_server_changes_for_later_connections_only() {
        let mut pen = pen();
        let id = ServerId::Regular(0);
        let mut server = main(&mut pen).servers.server_mut(id).unwrap();
        (server.connections, server.sent) = (3, 17);
        drop(server);
        run(&mut pen, "server 0 blacklist 60");
        let server = main(&mut pen).servers.server(id).unwrap();
        assert!(server.is_blacklisted(NOW.moment + Duration::from_secs(59)));
        assert!(!server.is_blacklisted(NOW.moment + Duration::from_secs(60)));
        run(&mut pen, "server 0 address 127.0.0.1");
        assert!(main(&mut pen).servers.server(id).unwrap().is_blacklisted(NOW.moment), "it is the same machine");
        run(&mut pen, "server 0 blacklist 0");
        assert!(!main(&mut pen).servers.server(id).unwrap().is_blacklisted(NOW.moment));
        run(&mut pen, "server 0 blacklist 60");
        run(&mut pen, "server 0 address 127.0.0.2");
        let server = main(&mut pen).servers.server(id).unwrap();
        assert!(!server.is_blacklisted(NOW.moment), "another machine is not to blame");
        assert_eq!(server.endpoints, [Endpoint::inet("127.0.0.2:21010".parse().unwrap())]);
        assert_eq!((server.connections, server.sent), (3, 17));
        run(&mut pen, "server 0 acl 4 port 80");
        let server = main(&mut pen).servers.server(id).unwrap();
        assert_eq!(server.endpoints, [Endpoint::inet("127.0.0.2:80".parse().unwrap())]);
        assert_eq!(server.acl, Some(4));
    }

    #[test]
    fn a_new_server_needs_an_address_first_and_a_port_to_be_used() {
        let mut pen = pen();
        let outcome = run(&mut pen, "server 5 max 3");
        assert_eq!(reply_text(outcome.reply), "error: server 5 has no address yet\n");
        assert_eq!(main(&mut pen).servers.len(), 2);
        run(&mut pen, "server 5 address 127.0.0.1 max 3");
        let id = ServerId::Regular(5);
        assert!(main(&mut pen).servers.server(id).unwrap().is_unresolved());
        run(&mut pen, "server 5 port 80");
        assert!(!main(&mut pen).servers.server(id).unwrap().is_unresolved());
        run(&mut pen, "server 65534 address /run/x");
        assert!(!main(&mut pen).servers.server(ServerId::Regular(65_534)).unwrap().is_unresolved());
    }

    fn apply_text(pen: &mut Listeners, text: &str) -> Result<Batch, String> {
        let lines = read_file(Path::new("pen.cfg"), "main", &Services::default(), &mut |_| Ok(String::from(text)));
        apply(pen, lines.unwrap(), NOW, &AROUND).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_of_commands_is_applied_in_order() {
        let mut pen = pen();
        let batch = apply_text(&mut pen, "blacklist 9\nmode\nno log\nserver 0 address host1\nblacklist");
        let Batch { text, effects } = batch.unwrap();
        assert_eq!(text, "9\nno hash no roundrobin no stubborn no weight no prio\n9\n");
        let asked = |number, effect| (Rc::from(Path::new("pen.cfg")), number, effect);
        assert_eq!(effects, [asked(3, Effect::SetLog(None)), asked(4, Effect::Resolve(MAIN, ServerId::Regular(0)))]);
    }

    #[test]
    fn a_file_with_a_command_that_is_refused_changes_nothing() {
        let mut pen = pen();
        for n in 1..=3 {
            main(&mut pen).admit(ClientAddr::Inet([127, 0, 0, n].into()), 1024, NOW);
        }
        let servers = reply(&mut pen, "servers");
        let text = "blacklist 9\nacl 1 deny 127.0.0.1\nclients_max 1\nserver 0 port 1\nserver 7 address ::1\n\nexit\n";
        let error = apply_text(&mut pen, text).unwrap_err();
        assert_eq!(error, "pen.cfg:7: Exit is not enabled; restart with -X flag");
        assert_eq!(main(&mut pen).settings, Settings::default());
        assert_eq!(reply(&mut pen, "servers"), servers);
        assert_eq!((main(&mut pen).clients.len(), main(&mut pen).clients.max()), (3, 2048));
        assert!(main(&mut pen).acls.entries(1).is_empty());
    }

    fn effects(batch: &Batch) -> Vec<Effect> {
        batch.effects.iter().map(|(_, _, effect)| effect.clone()).collect()
    }

    #[test]
    fn each_listener_has_servers_and_settings_of_its_own() {
        let mut pen = pen();
        let text = "listener tls 127.0.0.1:443 [::1]:443\nserver 0 address 192.0.2.1 port 8443\nblacklist 7\nhash\n\
                    clients_max 5\nlistener\nblacklist 9\non tls tracking 3\nconn_max 77\n";
        let outcome = apply_text(&mut pen, text).unwrap();
        let at = pen.find("tls").unwrap();
        assert!(
            matches!(&effects(&outcome)[..], [Effect::Listen(key, there), Effect::ServerChanged(new, ServerId::Regular(0), OfServer::Added),
                Effect::ClientsMax(own), Effect::ConnMax(77)]
                if *key == at && *new == at && there.len() == 2 && *own == at)
        );
        settle_all(&mut pen).unwrap();
        let (tls, own) = (&pen[at].balancer, &pen.main().balancer);
        assert_eq!((tls.settings.blacklist.as_secs(), own.settings.blacklist.as_secs()), (7, 9));
        assert_eq!((tls.settings.modes.hash, own.settings.modes.hash), (true, false));
        assert_eq!((tls.settings.tracking.as_secs(), own.settings.tracking.as_secs()), (3, 0));
        assert_eq!((tls.clients.max(), own.clients.max()), (5, 2048));
        assert_eq!((tls.servers.len(), own.servers.len()), (1, 2));
        assert_eq!(pen.common.conn_max, 77);
        pen[at].at = vec![String::from("443"), String::from("444")];
        assert!(reply(&mut pen, "on tls servers").starts_with("0 addr 192.0.2.1 port 8443 "));
        assert_eq!(reply(&mut pen, "on tls listen"), "443 444\n");
        assert_eq!(run(&mut pen, "listener tls"), Outcome::quiet());
        let listed = "main conn 0 pending 0 servers 2 addr 21000\ntls conn 0 pending 0 servers 1 addr 443 444\n";
        assert_eq!(reply(&mut pen, "listeners"), listed);
        let three = ServerId::Regular(3);
        assert_eq!(
            run(&mut pen, "on tls server 3 address host3 port 80").effects,
            [Effect::Resolve(at, three), Effect::ServerChanged(at, three, OfServer::Added)]
        );
    }

    #[test]
    fn a_listener_that_cannot_be_is_refused_by_its_name() {
        let mut pen = pen();
        let table = [
            ("on tls servers", "error: there is no listener 'tls'\n"),
            ("no listener tls", "error: there is no listener 'tls'\n"),
            ("listener tls", "error: there is no listener 'tls' yet: 'listener tls ADDRESS' adds it\n"),
            ("no listener main", "error: the first listener stays; 'listen' moves it\n"),
        ];
        for (line, refusal) in table {
            assert_eq!(reply(&mut pen, line), refusal, "{line}");
        }
        run(&mut pen, "listener tls 443");
        let at = pen.find("tls").unwrap();
        assert_eq!(run(&mut pen, "no listener tls").effects, [Effect::RemoveListener(at)]);
        assert_eq!(reply(&mut pen, "on tls servers"), "error: there is no listener 'tls'\n");
    }

    #[test]
    fn a_file_that_is_refused_leaves_the_listeners_as_they_were() {
        let mut pen = pen();
        run(&mut pen, "listener a 80");
        run(&mut pen, "listener b 81");
        let (a, b) = (pen.find("a").unwrap(), pen.find("b").unwrap());
        let text = "no listener a\nlistener b 82\nblacklist 3\nlistener c 83\nlistener a 84\ndebug 2\n";
        let error = apply_text(&mut pen, &text.replace("debug 2", "listener\ndebug 2\nexit")).unwrap_err();
        assert_eq!(error, "pen.cfg:8: Exit is not enabled; restart with -X flag");
        assert_eq!((pen.find("a"), pen.find("b"), pen.find("c")), (Some(a), Some(b), None));
        assert_eq!((pen[b].balancer.settings.blacklist.as_secs(), pen.common.debug), (30, 0));
        assert_eq!(pen.all().count(), 3);
        // The same without the mistake: a name that was given up can be given again.
        let outcome = apply_text(&mut pen, &text.replace("debug 2\n", "")).unwrap();
        let new = pen.find("a").unwrap();
        assert_ne!(new, a);
        assert!(matches!(&effects(&outcome)[..], [Effect::RemoveListener(old), Effect::Listen(..), Effect::Listen(..),
            Effect::Listen(last, _)] if (*old, *last) == (a, new)));
    }
}
