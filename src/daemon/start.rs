//! pen's own life: background, names, sockets, jail, user, files, the loop, and the end.
//!
//! The order is the point: what needs the system or its privileges comes before what gives them
//! up, and nobody is told that pen runs before everything is open.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::demo::Demo;
use super::options::Options;
use super::plan::{self, Plan};
use super::{complain, names};
use crate::balance::{Listeners, MAIN, legacy};
use crate::base::diag::Severity;
use crate::base::error::{Error, reason};
use crate::base::operand::{Host, Services};
use crate::control::command::ListenAt;
use crate::net::{ListenOptions, LogTarget, Net, Token};
use crate::proxy::capture::{self, Capture};
use crate::proxy::listener::{Arriving, Transport, listening_token};
use crate::proxy::memory::fit_connections;
use crate::proxy::{CONTROL_LISTENER, Ending, LISTENING_MAX, Proxy, Rights, STATUS_LISTENER, Start};
use crate::sys::activation::Passed;
use crate::sys::capability::check_foreign;
use crate::sys::console::Console;
use crate::sys::folder::read_text;
use crate::sys::inheritance::{Inheritance, is_at};
use crate::sys::listener::Listener;
use crate::sys::log::Log;
use crate::sys::net::OsNet;
use crate::sys::pid_file::PidFile;
use crate::sys::process::{self, Background, Identity, Readiness};
use crate::sys::resolve::Resolver;
use crate::sys::service::Supervisor;
use crate::sys::signal::Signals;
use crate::sys::upgrade::{Launch, Upgrader};

/// Runs pen as the options say, to its end; the exit status.
pub fn run(options: &Options) -> Result<u8, Error> {
    // Before anything else is opened.
    let inheritance = Inheritance::claim().map_err(|error| failed("take over", &error))?;
    let mut passed = Passed::claim().map_err(Error::config)?;
    for note in &options.notes {
        complain(note);
    }
    let no_background = |error| failed("go to the background", &error);
    let readiness = match &inheritance {
        _ if options.foreground => Readiness::foreground(),
        // The process that started this one is there already.
        Some(_) => Readiness::background().map_err(no_background)?,
        None => match process::background().map_err(no_background)? {
            Background::Here(readiness) => readiness,
            Background::Ended(status) => return Ok(status),
        },
    };
    let mut world = World::open(options)?;
    world.inheritance = inheritance;
    // A variable may have come farther than the sockets.
    passed.retain(|one| one.listener.is_some() || world.inheritance.is_some());
    world.passed = passed;
    let (services, now) = (&world.services, world.net.now());
    // What came by a pipe at the first start is not there for a successor, which must not go on without.
    let is_first = world.inheritance.is_none();
    let mut plan = plan::check(options, services, now, &mut |path| read_text(path, is_first))?;
    let mut servers = None;
    if plan.is_dummy {
        let dummy = Demo::dummy(&mut world.net).map_err(|error| failed("start the server of dummy", &error))?;
        for (id, at) in (0..).zip(dummy.addresses()) {
            plan.add_server(id, at)?;
        }
        servers = Some(dummy);
    }
    world.run(plan, options, readiness, servers)
}

/// The world that pen runs in, before it runs.
#[derive(Debug)]
pub struct World {
    /// Sockets, signals, time.
    pub net: OsNet,
    /// Names of ports.
    pub services: Services,
    identity: Option<Identity>,
    warnings: Vec<String>,
    supervisor: Supervisor,
    /// From the process whose place this one takes.
    pub(super) inheritance: Option<Inheritance>,
    /// From whoever supervises it.
    pub(super) passed: Vec<Passed>,
    /// How to start another process that takes the place of this one, or why not.
    launch: Result<Launch, String>,
}

impl World {
    /// Opens what needs no plan: signals, the way to the operator, the resolver, the user.
    pub fn open(options: &Options) -> Result<World, Error> {
        let services = fs::read("/etc/services").unwrap_or_default();
        let identity = options.user.as_deref().map(find_user).transpose()?;
        let signals = Signals::install().map_err(|error| failed("catch signals", &error))?;
        let mut resolver = Resolver::new(identity.clone());
        if options.chroot.is_some() {
            // From within the jail the system's names could not be looked up.
            resolver.keep().map_err(|error| failed("start the resolver", &error))?;
        }
        let net =
            OsNet::new(Console::stderr(), signals, resolver).map_err(|error| failed("wait for events", &error))?;
        let services = Services::parse(&String::from_utf8_lossy(&services));
        Ok(World {
            net,
            services,
            identity,
            warnings: Vec::new(),
            supervisor: Supervisor::find(),
            inheritance: None,
            passed: Vec::new(),
            launch: launch(options),
        })
    }

    /// Carries the plan out: opens everything, tells `readiness`, and runs until the end, perhaps with
    /// servers of its own.
    pub fn run(
        mut self,
        mut plan: Plan,
        options: &Options,
        readiness: Readiness,
        mut servers: Option<Demo<OsNet>>,
    ) -> Result<u8, Error> {
        self.warnings.extend(names::resolve(&mut self.net, &mut plan)?);
        self.warnings.extend(plan.listeners.lost_routes());
        self.assign(&plan)?;
        self.fit_connections(&mut plan)?;
        let probes = self.net.keep_alive(plan.listeners.common.keepalive, &[]);
        probes.map_err(|error| failed("set the keep-alive probes", &error))?;
        plan.listeners.seed(RandomState::new().hash_one(0));
        let backlog = plan.listeners.common.backlog;
        let mut listening = self.listen_for_clients(&mut plan, backlog)?;
        let control_at = plan.control.take();
        let mut control = self.listen_for_commands(control_at.as_ref(), options, backlog)?;
        let mut status = self.listen_for_viewers(&mut plan, backlog)?;
        let target = plan.log.as_ref().map(names::log_target);
        let syslog = (!options.foreground && !options.demo).then(Console::syslog);
        let is_transparent = plan.listeners.iter().any(|(_, listener)| listener.balancer.is_transparent_anywhere());
        self.confine(options.chroot.as_deref(), is_transparent)?;
        plan.listeners.common.is_never_transparent = check_foreign().is_err();
        let rights = self.rights(&plan, options)?;
        // What is removed again if the next step fails comes first.
        let pid_file = plan.listeners.common.pid_file.as_deref().map(create_pid_file).transpose()?;
        let log = target.map(|target| self.open_log(target)).transpose()?;
        let capture = self.open_capture(&plan)?;
        self.check_page(&plan)?;
        self.say_all(&plan)?;
        readiness.tell().map_err(|error| failed("let go of the terminal", &error))?;
        if let Some(console) = syslog {
            self.net.set_console(console);
            self.warnings.iter().for_each(|warning| self.net.say(Severity::Warning, warning));
        }
        let sockets =
            listening.iter_mut().map(|arriving| &mut arriving.socket).chain(control.as_mut()).chain(status.as_mut());
        self.take_over(&mut plan.listeners, sockets);
        self.introduce(&plan.listeners);
        self.net.set_upgrader(Upgrader::new(self.launch, pid_file));
        let control_at = control_at.map(|at| at.text).unwrap_or_default();
        let pid = std::process::id();
        let start = Start { listening, control, control_at, rights, log, capture, pid, services: self.services };
        let mut proxy = Proxy::new(self.net, plan.listeners, start);
        proxy.show_status(status);
        self.supervisor.ready();
        let ending = proxy.run_with(&mut servers);
        if !matches!(ending, Ok(Ending::Upgrade)) {
            self.supervisor.stopping();
        }
        if let Err(error) = &ending {
            proxy.net().say(Severity::Error, &failed("wait for events", error).to_string());
        }
        proxy.net().finish();
        let pid_file = proxy.net().upgrader().take_pid_file();
        drop(proxy);
        drop(pid_file);
        ending.map(|_| 0).map_err(|error| failed("wait for events", &error))
    }

    /// Raises the limit of descriptors, or lowers the number of pairs to what fits.
    fn fit_connections(&mut self, plan: &mut Plan) -> Result<(), Error> {
        let fitted = fit_connections(&mut self.net, &mut plan.listeners, plan.listen.len());
        self.warnings.extend(fitted.map_err(|error| failed("read the limit of files", &error))?);
        Ok(())
    }

    /// Opens all sockets for clients, and notes the ports that were chosen by the system.
    fn listen_for_clients(&mut self, plan: &mut Plan, backlog: u32) -> Result<Vec<Arriving<OsNet>>, Error> {
        let shared = plan.listeners.common.shares_ports;
        let mut listening = Vec::new();
        for (place, (at, there)) in plan.listen.iter().enumerate() {
            if place >= LISTENING_MAX {
                return Err(Error::config(format!("more than {LISTENING_MAX} listening addresses")));
            }
            let transport = Transport::of(plan.listeners[*at].balancer.settings.protocol);
            let datagrams = transport == Transport::Udp;
            let options = ListenOptions { backlog, private: false, shared, datagrams, foreign: false };
            let (socket, written) = self.listen(there, options, listening_token(place))?;
            listening.push(Arriving::new(*at, socket, written).carrying(transport));
        }
        for (at, _) in &plan.listen {
            let own = listening.iter().filter(|arriving| arriving.listener == *at);
            plan.listeners[*at].at = own.map(|arriving| arriving.written.clone()).collect();
        }
        Ok(listening)
    }

    /// Opens the status port, and notes its port if the system has chosen it.
    fn listen_for_viewers(&mut self, plan: &mut Plan, backlog: u32) -> Result<Option<Listener>, Error> {
        let Some(at) = plan.status.take() else { return Ok(None) };
        let options = ListenOptions { backlog, private: false, shared: false, datagrams: false, foreign: false };
        let (listener, written) = self.listen(&at, options, STATUS_LISTENER)?;
        plan.listeners.common.status_at = Some(written);
        Ok(Some(listener))
    }

    fn listen(&mut self, at: &ListenAt, options: ListenOptions, token: Token) -> Result<(Listener, String), Error> {
        let endpoint = names::endpoint(&at.spec);
        let listener = match self.inherited(&endpoint, options, token) {
            Ok(None) => self.net.listen(&endpoint, options, token),
            Ok(Some(listener)) => Ok(listener),
            Err(error) => Err(error),
        };
        let listener = listener.map_err(|error| failed(&format!("listen on {}", at.text), &error))?;
        // Port 0 is for the system to choose, and then nobody knows it but the socket.
        let text = match self.net.local(&listener) {
            Ok(local) if !is_at(&local, &endpoint) || endpoint.port() == Some(0) => local.to_string(),
            _ => at.text.clone(),
        };
        Ok((listener, text))
    }

    /// Tells the old process that all is set up, and takes over what it remembers.
    fn take_over<'a>(&mut self, listeners: &mut Listeners, sockets: impl Iterator<Item = &'a mut Listener>) {
        let Some(inheritance) = self.inheritance.take() else { return };
        let moment = self.net.now().moment;
        let remembered = match inheritance.tell() {
            Ok(bytes) => legacy::restore(listeners, &bytes, moment).map_err(|broken| broken.to_string()),
            Err(error) => Err(reason(&error)),
        };
        if let Err(why) = remembered {
            self.net.say(Severity::Warning, &format!("upgrade: clients are not remembered: {why}"));
        }
        let passed = &self.passed;
        let is_ours =
            |socket: &&mut Listener| socket.local().is_ok_and(|local| !passed.iter().any(|one| one.at == local));
        sockets.filter(is_ours).for_each(|socket| socket.own_file(true));
    }

    /// As root nobody gets a control port by accident: what it can be told to read and write is
    /// anything then.
    fn listen_for_commands(
        &mut self,
        at: Option<&ListenAt>,
        options: &Options,
        backlog: u32,
    ) -> Result<Option<Listener>, Error> {
        let Some(at) = at else { return Ok(None) };
        if process::ids().0 == 0 && self.identity.is_none() {
            self.warnings.push(String::from("no control port as root; use -u to run as another user, or -u root"));
            return Ok(None);
        }
        let (listener, _) = self.listen(
            at,
            ListenOptions { backlog, private: true, shared: false, datagrams: false, foreign: false },
            CONTROL_LISTENER,
        )?;
        if let (Host::Unix(path), Some(identity)) = (&at.spec.host, &self.identity)
            && process::ids().0 == 0
        {
            process::give_to(path, identity).map_err(|error| failed(&format!("give away {}", at.text), &error))?;
        }
        if let (Host::Unix(path), Some(mode)) = (&at.spec.host, options.control_mode) {
            let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
            set.map_err(|error| failed(&format!("set the permissions of {}", at.text), &error))?;
        }
        Ok(Some(listener))
    }

    /// What users of the control port may do. Directories are those of the jail, if there is one.
    fn rights(&self, plan: &Plan, options: &Options) -> Result<Rights, Error> {
        let real = |dir: &PathBuf| {
            // With the dot, a file that is no directory is not found.
            fs::canonicalize(dir.join("."))
                .map_err(|error| failed(&format!("find the directory {}", dir.display()), &error))
        };
        let directories = options.control_dirs.iter().map(real).collect::<Result<Vec<_>, _>>()?;
        let origin = plan.origin.clone();
        Ok(Rights { origin, config: options.config.clone(), directories, token: plan.token.clone() })
    }

    fn open_log(&mut self, target: LogTarget) -> Result<(LogTarget, <OsNet as Net>::Log), Error> {
        let log = self.net.open_log(&target).map_err(|error| failed(&format!("open the log {target}"), &error))?;
        Ok((target, log))
    }

    /// A successor goes on with the capture of the process that it takes over from.
    fn open_capture(&mut self, plan: &Plan) -> Result<Option<Capture<Log>>, Error> {
        let spec = plan.listeners.common.capture.clone();
        let is_successor = self.inheritance.is_some();
        spec.map(|spec| capture::open(&mut self.net, spec, is_successor)).transpose().map_err(Error::system)
    }

    /// Where the status page goes must be a place for it, as far as pen's user can see from its jail.
    fn check_page(&mut self, plan: &Plan) -> Result<(), Error> {
        let Some(path) = &plan.listeners.common.web_stats else { return Ok(()) };
        let may_write = self.net.may_write_file(path);
        may_write.map_err(|error| failed(&format!("write the status page {}", path.display()), &error))
    }

    /// The jail, then the user: only root can do the first.
    fn confine(&self, jail: Option<&Path>, is_transparent: bool) -> Result<(), Error> {
        if let Some(dir) = jail {
            process::jail(dir).map_err(|error| failed(&format!("chroot to {}", dir.display()), &error))?;
        }
        if let Some(identity) = &self.identity {
            let become_user = format!("become user {}", identity.name);
            identity.assume_with(is_transparent).map_err(|error| failed(&become_user, &error))?;
        }
        if is_transparent {
            check_foreign().map_err(|error| Error::system(format!("{NO_FOREIGN}: {}", reason(&error))))?;
        }
        Ok(())
    }

    /// What the operator must see before the terminal is let go: replies and warnings.
    fn say_all(&self, plan: &Plan) -> Result<(), Error> {
        let mut out = std::io::stdout();
        let said = out.write_all(plan.replies.as_bytes()).and_then(|()| out.flush());
        said.map_err(|error| failed("write the replies", &error))?;
        for warning in &self.warnings {
            complain(warning);
        }
        Ok(())
    }

    /// The first events, if events are told: where pen listens, and its servers.
    fn introduce(&mut self, listeners: &Listeners) {
        if listeners.common.debug == 0 {
            return;
        }
        let version = env!("CARGO_PKG_VERSION");
        for (at, listener) in listeners.iter() {
            let addresses = listener.at.join(" ");
            let (start, whose) = match at {
                MAIN => (format!("pen {version}"), String::new()),
                _ => (format!("listener {}", listener.name), format!(" of {}", listener.name)),
            };
            let what = if listener.is_pool { String::from("is a pool") } else { format!("listens on {addresses}") };
            self.net.say(Severity::Debug, &format!("{start} {what}"));
            for (id, server) in listener.balancer.servers.iter() {
                let (host, port) = (&server.host, server.port);
                let text = match host {
                    Host::Unix(path) => format!("server {id}{whose} is {}", path.display()),
                    Host::Addr(_) | Host::Name(_) => format!("server {id}{whose} is {host} port {port}"),
                };
                self.net.say(Severity::Debug, &text);
            }
        }
    }
}

/// What is wrong where servers cannot see the clients' own addresses.
pub const NO_FOREIGN: &str = "transparent needs the capability CAP_NET_RAW or CAP_NET_ADMIN, as root has it";

/// How a successor is started, or why there can be none: the end of a sentence.
fn launch(options: &Options) -> Result<Launch, String> {
    match () {
        () if options.demo => Err(String::from("this is a demonstration")),
        () if options.chroot.is_some() => Err(String::from("from within a jail (-j) the program cannot be reached")),
        () => Launch::of_this_process(!options.foreground)
            .map_err(|error| format!("it is not known where the program is: {}", reason(&error))),
    }
}

fn find_user(name: &str) -> Result<Identity, Error> {
    match Identity::find(name) {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => Err(Error::config(format!("there is no user '{}'", super::options::printable(name)))),
        Err(error) => Err(failed("look the user up", &error)),
    }
}

fn create_pid_file(path: &Path) -> Result<PidFile, Error> {
    PidFile::create(path).map_err(|error| failed(&format!("write the pid file {}", path.display()), &error))
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::system(format!("cannot {what}: {}", reason(error)))
}
