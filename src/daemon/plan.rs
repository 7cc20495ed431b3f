//! What a command line comes to: listeners that are set up, and what is to be opened.
//!
//! Everything that can be checked without asking anybody is checked here. Files of commands are
//! read, and nothing is changed: a plan that fails has never happened.

use std::path::Path;

use super::options::{Options, Step, printable};
use crate::balance::listeners::MAIN_NAME;
use crate::balance::settings::{Common, Protocol, Settings};
use crate::balance::{Duty, ListenerKey, Listeners, MAIN, OwnCheck, Server, ServerId};
use crate::base::addr::Endpoint;
use crate::base::diag::WORDS;
use crate::base::error::{Error, reason};
use crate::base::features::DECODERS;
use crate::base::operand::{Host, ListenSpec, ServerSpec, Services};
use crate::base::time::Now;
use crate::control::command::{self, Command, ListenAt, LogSpec, ServerChanges, ServerRef};
use crate::control::config::{self, ConfigError, Source};
use crate::control::execute::{Around, Effect, Outcome, apply, direct, execute, settle_all};
use crate::control::origin::{Origin, Said};
use crate::control::token::token_of;
use crate::control::written::written;

/// What is to be opened, and what is decided with.
#[derive(Debug)]
pub struct Plan {
    /// Servers, access lists and settings of each listener.
    pub listeners: Listeners,
    /// Where clients arrive, and whose they are.
    pub listen: Vec<(ListenerKey, ListenAt)>,
    /// Where commands arrive.
    pub control: Option<ListenAt>,
    /// All that was said, so that it can be read again.
    pub origin: Origin,
    /// The word that users of the control port by TCP must know.
    pub token: Option<Box<[u8]>>,
    /// Where viewers arrive.
    pub status: Option<ListenAt>,
    /// The request log.
    pub log: Option<LogSpec>,
    /// pen answers each request itself: the servers are none, and its own is still to be opened.
    pub is_dummy: bool,
    /// What the commands of `-O` reply.
    pub replies: String,
}

impl Plan {
    /// Adds a server of pen's own.
    pub fn add_server(&mut self, id: u32, at: &Endpoint) -> Result<(), Error> {
        let spec = ServerSpec::parse(&at.to_string(), &Services::default())
            .map_err(|error| Error::config(format!("server '{at}': {error}")))?;
        let added = self.listeners.main_mut().balancer.servers.set(ServerId::Regular(id), Server::new(&spec, 0));
        added.map_err(|error| Error::config(error.to_string()))
    }
}

/// Makes the plan. Options and the commands of `-O` count in the order in which they were given,
/// then comes the file of `-F`, then the operands. `read` brings the text of a file.
pub fn check(options: &Options, services: &Services, now: Now, read: &mut Source<'_>) -> Result<Plan, Error> {
    let listeners = Listeners::new(Common::default(), Settings::default());
    let (listen, control, status, token, log) = (Vec::new(), None, None, None, None);
    let said = Vec::new();
    let section = String::from(MAIN_NAME);
    let mut draft =
        Draft { listeners, section, said, listen, control, status, token, log, is_dummy: false, services, now, read };
    draft.control = options.control.as_deref().map(|text| draft.listen_at("control address", text)).transpose()?;
    let replies = draft.steps(&options.steps)?;
    if let Some(path) = &options.config {
        draft.file(path, MAIN_NAME)?;
        draft.said.push(Said::File(path.clone()));
    }
    let (first, servers) = match options.operands.split_first() {
        Some((first, servers)) => (Some(first), servers),
        None => (None, &[][..]),
    };
    if let Some(text) = first {
        let there = draft.listen_at("listening address", text)?;
        draft.said.push(Said::Command(Command::Listen(vec![there.clone()])));
        draft.listen(MAIN, vec![there]);
    }
    if draft.listen.is_empty() {
        return Err(Error::usage("no listening address; try 'pen --help'"));
    }
    let port = draft.listen.iter().find(|(at, _)| *at == MAIN).map_or(0, |(_, there)| there.spec.port);
    for (index, text) in (0..).zip(servers) {
        draft.server(ServerId::Regular(index), text, port)?;
    }
    for (id, text) in [(ServerId::Emergency, &options.emergency), (ServerId::Abuse, &options.abuse)] {
        if let Some(text) = text {
            draft.server(id, text, port)?;
        }
    }
    draft.check_together()?;
    draft.check_places()?;
    if let Some(why) = draft.listeners.unfit_for_dummy().filter(|_| draft.is_dummy) {
        return Err(Error::config(why));
    }
    let Draft { mut listeners, said, listen, control, status, token, log, is_dummy, .. } = draft;
    listeners.common.log = log.as_ref().map(|log| log.text.clone());
    listeners.common.status_at = status.as_ref().map(|there| there.text.clone());
    settle_all(&mut listeners).map_err(Error::config)?;
    // What no command can set stays as it is.
    let Common { multi_accept, backlog, may_exit, .. } = listeners.common;
    let pid_file = listeners.common.pid_file.clone();
    let common = Common { multi_accept, backlog, may_exit, pid_file, ..Common::default() };
    let loaded = written(&listeners).map_err(|error| Error::config(error.to_string()))?;
    let origin = Origin { common, said, is_dummy, loaded };
    Ok(Plan { listeners, origin, listen, control, status, token, log, is_dummy, replies })
}

struct Draft<'a> {
    listeners: Listeners,
    /// The name of the listener that commands of `-O` are for.
    section: String,
    said: Vec<Said>,
    listen: Vec<(ListenerKey, ListenAt)>,
    control: Option<ListenAt>,
    status: Option<ListenAt>,
    token: Option<Box<[u8]>>,
    log: Option<LogSpec>,
    is_dummy: bool,
    services: &'a Services,
    now: Now,
    read: &'a mut Source<'a>,
}

impl Draft<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<String, Error> {
        let mut replies = String::new();
        for step in steps {
            let (common, main) = self.listeners.parts(MAIN);
            step.apply(common, &mut main.settings);
            self.said.extend(step.command(common).map(Said::Command));
            match step {
                Step::Command(line) => {
                    replies.push_str(&self.command(line)?);
                    self.said.push(Said::Line(line.clone()));
                }
                Step::Log(text) => {
                    let log = LogSpec::parse(text, self.services);
                    let log = log.map_err(|error| Error::usage(format!("log '{}': {error}", printable(text))))?;
                    self.said.push(Said::Command(Command::Log(Some(log.clone()))));
                    self.log = Some(log);
                }
                Step::Status(text) => {
                    let there = ListenAt::of_status(text, self.services);
                    let there = there
                        .map_err(|error| Error::usage(format!("status address '{}': {error}", printable(text))))?;
                    self.said.push(Said::Command(Command::StatusListen(Some(there.clone()))));
                    self.status = Some(there);
                }
                Step::Set(..) | Step::PidFile(_) | Step::WebStats(_) => {}
            }
        }
        if self.listeners.common.debug >= WORDS && !DECODERS.is_there() {
            return Err(Error::usage(format!("option -d three times: {}", DECODERS.lack())));
        }
        self.check_together()?;
        Ok(replies)
    }

    /// What is asked for must be possible together.
    fn check_together(&self) -> Result<(), Error> {
        for (at, listener) in self.listeners.iter() {
            if let Some(why) = listener.balancer.contradiction() {
                let whose = if at == MAIN { String::new() } else { format!("listener {}: ", listener.name) };
                return Err(Error::config(format!("{whose}{why}")));
            }
        }
        Ok(())
    }

    /// The same of where pen listens, once all of that is known.
    fn check_places(&self) -> Result<(), Error> {
        let is_udp = |at: &ListenerKey| self.listeners[*at].balancer.settings.protocol == Protocol::Udp;
        let mut places = self.listen.iter();
        match places.find(|(at, there)| matches!(there.spec.host, Host::Unix(_)) && is_udp(at)) {
            Some((_, there)) => {
                let text = printable(&there.text);
                Err(Error::config(format!("cannot listen on {text}: a Unix socket has no UDP")))
            }
            None => Ok(()),
        }
    }

    /// Obeys one command of `-O`, and returns its reply.
    fn command(&mut self, line: &str) -> Result<String, Error> {
        let wrong = |what: &dyn std::fmt::Display| Error::config(format!("option -O: {what}"));
        let parsed = command::parse_for(&self.section, line, self.services).map_err(|error| wrong(&error))?;
        let Some(command) = parsed else { return Ok(String::new()) };
        let directed = direct(&self.listeners, &mut self.section, command);
        let (at, command) = directed.map_err(|reason| wrong(&reason))?;
        if let Command::Include(path) = &command {
            let listener = self.listeners[at].name.clone();
            self.file(path, &listener)?;
            return Ok(String::new());
        }
        let command = config::load(command, self.read).map_err(|error| wrong(&error))?;
        let control = self.control_text();
        let around = Around { pid: std::process::id(), control: &control };
        let outcome = execute(&mut self.listeners, at, command, self.now, &around);
        let reply = self.obey(outcome).map_err(|reason| wrong(&reason))?;
        Ok(reply)
    }

    fn file(&mut self, path: &Path, listener: &str) -> Result<(), Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::config(error.to_string());
        let lines = config::read_file(path, listener, self.services, self.read).map_err(|error| wrong(&error))?;
        let control = self.control_text();
        let around = Around { pid: std::process::id(), control: &control };
        let batch = apply(&mut self.listeners, lines, self.now, &around).map_err(|error| wrong(&error))?;
        for (file, number, effect) in batch.effects {
            self.take_down(effect).map_err(|reason| wrong(&ConfigError::at(&file, number, &reason)))?;
        }
        Ok(())
    }

    /// Takes down what the event loop will have to do, as far as it can before it runs.
    fn obey(&mut self, outcome: Outcome) -> Result<String, String> {
        let reply = outcome.reply?;
        outcome.effects.into_iter().try_for_each(|effect| self.take_down(effect))?;
        Ok(reply)
    }

    fn take_down(&mut self, effect: Effect) -> Result<(), String> {
        let not_yet = |what| Err(format!("{what}: pen does not run yet"));
        match effect {
            Effect::Listen(at, there) => self.listen(at, there),
            Effect::SetLog(log) => self.log = log,
            Effect::SetCapture(spec) => self.listeners.common.capture = spec,
            Effect::FaultConnection(..) | Effect::Close(_) | Effect::ShowConnection(_) | Effect::ShowSocket(_) => {
                return Err(String::from("there are no connections yet"));
            }
            Effect::RemoveListener(at) => {
                self.listen(at, Vec::new());
                self.listeners.let_go(at);
            }
            Effect::Dummy => self.is_dummy = true,
            Effect::Exit => return not_yet("exit"),
            Effect::Reload => return not_yet("reload"),
            Effect::Status(_) => return not_yet("status"),
            Effect::Subscribe(subscription) => return not_yet(subscription.topic.name()),
            Effect::Write(_) => return not_yet("write"),
            Effect::StatusListen(there) => self.status = there,
            Effect::Token(path) => {
                self.token = path.as_deref().map(|path| self.token(path)).transpose()?;
                self.listeners.common.control_token = path;
            }
            Effect::Include(_, path) => return Err(format!("include {}: not here", path.display())),
            Effect::Recount(at) => self.listeners[at].balancer.follow_settings(),
            // All servers without an address are looked up at the start, and the loop begins
            // with the settings that there are then.
            Effect::Resolve(..)
            | Effect::Fault(_)
            | Effect::ClientsMax(_)
            | Effect::ConnMax(_)
            | Effect::PendingMax(_)
            | Effect::Limits
            | Effect::Reopen(..)
            | Effect::ServerChanged(..)
            | Effect::WebStats(_)
            | Effect::Keepalive => {}
        }
        Ok(())
    }

    /// The word in a file.
    fn token(&mut self, path: &Path) -> Result<Box<[u8]>, String> {
        let fail = |why: &str| format!("control_token: {}: {why}", path.display());
        let text = (self.read)(path).map_err(|error| fail(&reason(&error)))?;
        token_of(&text).map_err(|why| fail(&why))
    }

    fn listen_at(&self, what: &str, text: &str) -> Result<ListenAt, Error> {
        match ListenSpec::parse(text, self.services) {
            Ok(spec) => Ok(ListenAt { spec, text: String::from(text) }),
            Err(error) => Err(Error::usage(format!("{what} '{}': {error}", printable(text)))),
        }
    }

    fn server(&mut self, id: ServerId, text: &str, default_port: u16) -> Result<(), Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::config(format!("server '{}': {error}", printable(text)));
        let spec = ServerSpec::parse(text, self.services).map_err(|error| wrong(&error))?;
        if spec.port.is_none() && default_port == 0 && !matches!(spec.host, Host::Unix(_)) {
            return Err(wrong(&"no port, and the listening address has none either"));
        }
        let server = Server::new(&spec, default_port);
        self.said.push(Said::Command(same_as(id, &server)));
        self.listeners.main_mut().balancer.servers.set(id, server).map_err(|error| wrong(&error))
    }

    /// A listener is to listen there and nowhere else.
    fn listen(&mut self, at: ListenerKey, there: Vec<ListenAt>) {
        self.listeners[at].at = there.iter().map(|there| there.text.clone()).collect();
        self.listen.retain(|(of, _)| *of != at);
        self.listen.extend(there.into_iter().map(|there| (at, there)));
    }

    fn control_text(&self) -> String {
        self.control.as_ref().map_or_else(String::new, |at| at.text.clone())
    }
}

/// The command that makes such a server.
fn same_as(id: ServerId, server: &Server) -> Command {
    let Server { host, port, max, hard, weight, prio, .. } = server;
    let changes = ServerChanges {
        address: Some(host.clone()),
        port: Some(*port),
        max: Some(*max),
        hard: Some(*hard),
        weight: Some(*weight),
        prio: Some(*prio),
        acl: Some(None),
        proxy_protocol: Some(None),
        source: Some(None),
        transparent: Some(None),
        name: Some(None),
        check: Some(OwnCheck::AsListener),
        duty: Some(Duty::Enabled),
        blacklist: None,
    };
    Command::Server { at: ServerRef::Id(id), changes: Box::new(changes) }
}

#[cfg(test)]
mod tests {
    use super::super::options::{Wish, parse};
    use super::*;
    use crate::control::command::LogTo;
    use std::ffi::OsString;
    use std::io;
    use std::time::Duration;

    const FILE: &str = "listen 127.0.0.1:81\n# a comment\nserver 0 address 10.0.0.1 port 8001\n\
                        server 1 address 10.0.0.2 port 8002 max 5\nblacklist 7\nlog file.log\nclient_acl 3\n";

    fn plan(words: &[&str]) -> Result<Plan, Error> {
        let Wish::Run(options) = parse(words.iter().map(OsString::from))? else { panic!("{words:?} is to run") };
        let services = Services::parse("http 80/tcp\npop3 110/tcp\n");
        check(&options, &services, Now::default(), &mut |path| match path.to_str() {
            Some("good.cfg") => Ok(String::from(FILE)),
            Some("bad.cfg") => Ok(String::from("blacklist 3\n\nserver 0 port x\n")),
            Some("close.cfg") => Ok(String::from("close 3\n")),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn servers(plan: &Plan) -> Vec<String> {
        plan.listeners
            .main()
            .balancer
            .servers
            .iter()
            .map(|(id, server)| format!("{id} {}:{}", server.host, server.port))
            .collect()
    }

    fn listen(plan: &Plan) -> Vec<(&str, u16)> {
        plan.listen.iter().map(|(_, there)| (there.text.as_str(), there.spec.port)).collect()
    }

    #[test]
    fn level_3_is_refused_where_there_are_no_decoders() {
        for words in [&["-ddd", "80"][..], &["-O", "debug 3", "80"], &["-O", "debug 9", "80"]] {
            let outcome = plan(words).map(|plan| plan.listeners.common.debug >= WORDS);
            let lack = || outcome.as_ref().unwrap_err().to_string().ends_with(": this pen was built without decoders");
            assert!(if DECODERS.is_there() { outcome == Ok(true) } else { lack() }, "{words:?}: {outcome:?}");
        }
        assert!(plan(&["-dd", "-O", "debug 2", "80"]).is_ok());
    }

    #[test]
    fn operands_are_where_to_listen_and_the_servers() {
        let table: [(&[&str], &str, u16, &[&str]); 5] = [
            (&["80"], "80", 80, &[]),
            (&["lbhost:http", "host1", "host2:8080"], "lbhost:http", 80, &["0 host1:80", "1 host2:8080"]),
            (&["pop3", "localhost:1110", "other:pop3"], "pop3", 110, &["0 localhost:1110", "1 other:110"]),
            (&[":::80", "[::1]:81"], ":::80", 80, &["0 ::1:81"]),
            (&["/run/pen.sock", "/run/a.sock", "b:1"], "/run/pen.sock", 0, &["0 /run/a.sock:0", "1 b:1"]),
        ];
        for (words, text, port, expected) in table {
            let plan = plan(words).unwrap();
            assert_eq!(listen(&plan), [(text, port)]);
            assert_eq!(servers(&plan), expected);
        }
    }

    #[test]
    fn special_servers_take_the_listening_port_as_well() {
        let plan = plan(&["-e", "spare", "-B", "honeypot:99", "-C", "127.0.0.1:8888", "80"]).unwrap();
        let port = |id| plan.listeners.main().balancer.servers.server(id).unwrap().port;
        assert_eq!((port(ServerId::Emergency), port(ServerId::Abuse)), (80, 99));
        assert_eq!(plan.control.unwrap().spec.port, 8888);
    }

    #[test]
    fn a_file_makes_operands_unnecessary_and_operands_win() {
        let by_file = plan(&["-F", "good.cfg"]).unwrap();
        assert_eq!(listen(&by_file), [("127.0.0.1:81", 81)]);
        assert_eq!(servers(&by_file), ["0 10.0.0.1:8001", "1 10.0.0.2:8002"]);
        assert_eq!(by_file.listeners.common.log.as_deref(), Some("file.log"));

        let both = plan(&["-F", "good.cfg", "82", "10.0.0.9"]).unwrap();
        assert_eq!(listen(&both), [("82", 82)]);
        assert_eq!(servers(&both), ["0 10.0.0.9:82", "1 10.0.0.2:8002"]);
    }

    #[test]
    fn options_count_in_order_and_the_file_after_them() {
        let seconds = Duration::from_secs;
        let table: [(&[&str], Duration); 5] = [
            (&["-b", "3", "80"], seconds(3)),
            (&["-b", "3", "-O", "blacklist 4", "80"], seconds(4)),
            (&["-O", "blacklist 4", "-b", "3", "80"], seconds(3)),
            (&["-O", "include good.cfg", "-b", "3"], seconds(3)),
            (&["-F", "good.cfg", "-b", "3", "-O", "blacklist 4"], seconds(7)),
        ];
        for (words, expected) in table {
            assert_eq!(plan(words).unwrap().listeners.main().balancer.settings.blacklist, expected, "{words:?}");
        }
    }

    #[test]
    fn settings_reach_what_they_size() {
        let plan = plan(&["-c", "7", "-O", "source 127.0.0.5", "-O", "epoll", "-o", "", "80"]).unwrap();
        assert_eq!(plan.listeners.main().balancer.clients.max(), 7);
        assert!(plan.listeners.main().balancer.settings.source.is_some());
    }

    #[test]
    fn a_log_is_a_file_or_a_network_address() {
        let to = |text: &str| plan(&["-l", text, "80"]).unwrap().log.unwrap().to;
        assert_eq!(to("pen.log"), LogTo::File("pen.log".into()));
        assert_eq!(to("/a:b"), LogTo::File("/a:b".into()));
        assert_eq!(to("loghost:10000"), LogTo::Network { host: Host::Name(String::from("loghost")), port: 10000 });
        assert_eq!(plan(&["-l", "a", "-O", "no log", "80"]).unwrap().listeners.common.log, None);
    }

    #[test]
    fn commands_on_the_command_line_reply() {
        let plan = plan(&["-O", "mode", "-h", "-O", "mode", "-O", "blacklist", "80"]).unwrap();
        let modes = "no roundrobin no stubborn no weight no prio\n";
        assert_eq!(plan.replies, format!("no hash {modes}hash {modes}30\n"));
    }

    #[test]
    fn every_mistake_names_its_culprit() {
        let table: [(&[&str], u8, &str); 22] = [
            (&[], 64, "no listening address; try 'pen --help'"),
            (&["-d"], 64, "no listening address; try 'pen --help'"),
            (&["99999", "h"], 64, "listening address '99999': port 99999 is not within 1 to 65535"),
            (&["21000x"], 64, "listening address '21000x': '21000x' is not a port or TCP service"),
            (&["-C", "x:y:z", "80"], 64, "control address 'x:y:z': 'x:y' is not a host name"),
            (&["-l", "h:99999", "80"], 64, "log 'h:99999': port 99999 is not within 1 to 65535"),
            (&["80", "h:80x"], 78, "server 'h:80x': '80x' is not a port or TCP service"),
            (&["80", "h", "::1"], 78, "server '::1': write an IPv6 address in brackets, as [::1]:80"),
            (&["80", "-e", ""], 78, "server '': no address before the port"),
            (&["80", "-B", "h:80:1:2:3:4:5"], 78, "server 'h:80:1:2:3:4:5': more than host:port:max:hard:weight:prio"),
            (&["/run/x", "h"], 78, "server 'h': no port, and the listening address has none either"),
            (&["-O", "nosuch 5", "80"], 78, "option -O: unknown command 'nosuch'"),
            (&["-o", "close 1", "80"], 78, "option -O: there are no connections yet"),
            (&["-X", "-O", "exit", "80"], 78, "option -O: exit: pen does not run yet"),
            (&["-O", "trace", "80"], 78, "option -O: trace: pen does not run yet"),
            (&["-U", "/run/x", "h:53"], 78, "cannot listen on /run/x: a Unix socket has no UDP"),
            (&["-U", "53", "h", "/run/x"], 78, "server 1: a Unix socket has no UDP"),
            (&["-U", "-e", "/run/x", "53", "h"], 78, "server emergency: a Unix socket has no UDP"),
            (
                &["-O", "listener u 53", "-O", "fault blackhole", "-O", "protocol udp", "80"],
                78,
                "option -O: fault is for connections, and protocol udp has none",
            ),
            (&["-F", "nosuch.cfg"], 78, "cannot read nosuch.cfg: entity not found"),
            (&["-F", "bad.cfg", "80"], 78, "bad.cfg:3: server: 'x': 'x' is not a port or TCP service"),
            (&["-F", "close.cfg", "80"], 78, "close.cfg:1: there are no connections yet"),
        ];
        for (words, status, message) in table {
            let error = plan(words).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.exit_status()), (message, status), "{words:?}");
        }
    }

    #[test]
    fn options_and_operands_are_for_the_first_listener_and_commands_for_the_one_named_last() {
        let words = [
            "-O",
            "listener tls 443 [::]:443",
            "-b",
            "3",
            "-O",
            "server 0 address 10.0.0.1 port 8443",
            "-O",
            "blacklist 4",
            "-O",
            "on main tracking 5",
            "-O",
            "listener",
            "-O",
            "tracking 6",
            "-F",
            "good.cfg",
            "82",
            "10.0.0.9",
        ];
        let plan = plan(&words).unwrap();
        let tls = plan.listeners.find("tls").unwrap();
        let (own, main) = (&plan.listeners[tls].balancer, &plan.listeners.main().balancer);
        assert_eq!(listen(&plan), [("443", 443), ("[::]:443", 443), ("82", 82)]);
        assert_eq!(plan.listen.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [tls, tls, MAIN]);
        assert_eq!((own.settings.blacklist.as_secs(), main.settings.blacklist.as_secs()), (4, 7));
        assert_eq!((own.settings.tracking.as_secs(), main.settings.tracking.as_secs()), (0, 6));
        assert_eq!(own.servers.regular(0).unwrap().port, 8443);
        assert_eq!(servers(&plan), ["0 10.0.0.9:82", "1 10.0.0.2:8002"]);
    }

    #[test]
    fn the_first_listener_may_listen_nowhere_if_another_does() {
        let alone = plan(&["-O", "listener tls 443"]).unwrap();
        assert_eq!(listen(&alone), [("443", 443)]);
        let error = plan(&["-O", "listener tls 443", "-O", "no listener tls"]).unwrap_err();
        assert_eq!(error.to_string(), "no listening address; try 'pen --help'");
        let error = plan(&["-O", "listener tls", "80"]).unwrap_err();
        assert!(error.to_string().starts_with("option -O: there is no listener 'tls' yet"), "{error}");
        let error = plan(&["-O", "listener tls 443", "-O", "conn_max 3", "80"]).unwrap_err();
        assert_eq!(error.to_string(), "option -O: conn_max: it is for all of pen, and not for listener tls");
        assert_eq!(error.exit_status(), 78);
    }
}
