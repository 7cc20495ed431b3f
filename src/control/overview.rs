//! How pen is doing, for programs and for people who look from outside: one view of all there is to
//! see, of which JSON, metrics and the live page are renderings.
//!
//! It is a view: nothing is copied that need not be, and nothing is counted here.

use std::time::Duration;

use super::history::{History, per_second};
use super::json::Json;
use super::recent::Recent;
use super::status::{shown_host, shown_port, state_of};
use crate::balance::listeners::Dropped;
use crate::balance::{Listener, Listeners, Refusals, Server, ServerId, Traffic};
use crate::base::diag::Severity;
use crate::base::operand::Host;
use crate::base::time::Now;

/// Whether pen lets clients in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It does.
    Serving,
    /// It is to end, and those who are there may finish.
    Draining,
    /// Another process has taken over, and those who are there may finish.
    HandedOver,
}

impl Standing {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Serving => "serving",
            Standing::Draining => "draining",
            Standing::HandedOver => "handed over",
        }
    }
}

/// What the event loop knows of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When it began, as an overview's `now` would have been then.
    pub started: Now,
    /// Whether it lets clients in.
    pub standing: Standing,
    /// Connections of clients, those that are sent away included.
    pub pairs: usize,
    /// Those that are sent away.
    pub leaving: usize,
    /// Sockets: listening ones, those of clients, of servers, of users of pen's own ports.
    pub sockets: usize,
    /// Buffers that hold bytes for somebody who does not take them yet.
    pub rings: usize,
    /// Pipes in which bytes wait.
    pub pipes: usize,
    /// Users of the control port.
    pub control_sessions: usize,
    /// Those who look at the status port.
    pub viewers: usize,
    /// Connections that are over, and how they ended.
    pub closed: Vec<(&'static str, u64)>,
    /// Lines of the request log that are lost.
    pub log_lines_lost: u64,
    /// Lines for the operator that are lost.
    pub messages_lost: u64,
    /// Dumps that are lost.
    pub dumps_lost: u64,
}

/// All there is to see.
#[derive(Clone, Copy, Debug)]
pub struct Overview<'a> {
    /// When.
    pub now: Now,
    /// The event loop.
    pub process: &'a Process,
    /// The listeners, with their servers.
    pub listeners: &'a Listeners,
    /// The last minutes.
    pub history: &'a History,
    /// What has happened of late.
    pub recent: &'a Recent,
}

/// A server as it is seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its number, or what it is for.
    pub id: ServerId,
    /// All about it.
    pub server: &'a Server,
    /// Whom it serves, in a word.
    pub state: &'static str,
    /// How long it is still left out.
    pub left_out: Duration,
}

impl Seen<'_> {
    /// Where it is: `192.0.2.1:80`, `[2001:db8::1]:80`, `www.example.org:80`, a path.
    pub fn address(&self) -> String {
        let (host, port) = (shown_host(self.server), shown_port(self.server));
        match &self.server.host {
            Host::Unix(_) => host,
            Host::Addr(_) | Host::Name(_) if host.contains(':') => format!("[{host}]:{port}"),
            Host::Addr(_) | Host::Name(_) => format!("{host}:{port}"),
        }
    }

    /// True if any client may be sent to it.
    pub fn is_up(&self) -> bool {
        self.state == "up"
    }
}

impl<'a> Overview<'a> {
    /// The version of this pen.
    pub const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    /// The servers of a listener: the regular ones by number, then the others.
    pub fn servers(self, listener: &'a Listener) -> impl Iterator<Item = Seen<'a>> {
        let moment = self.now.moment;
        listener.balancer.servers.all().map(move |(id, server)| {
            let left_out = server.blacklisted_until.map_or(Duration::ZERO, |until| until.since(moment));
            Seen { id, server, state: state_of(server, moment), left_out }
        })
    }

    /// Why pen does not serve, as a sentence, if it does not: it lets nobody in, or a listener has
    /// no server for its clients.
    pub fn health(self) -> Result<(), String> {
        match self.process.standing {
            Standing::Serving => {}
            Standing::Draining => return Err(String::from("pen drains, and lets nobody in any more")),
            Standing::HandedOver => return Err(String::from("another process has taken over")),
        }
        match self.listeners.iter().find(|(_, listener)| !self.serves(listener)) {
            None => Ok(()),
            Some((_, listener)) => Err(format!("listener {} has no server that can be used", listener.name)),
        }
    }

    /// True if a listener has a server for its clients. The abuse server is for others.
    pub fn serves(self, listener: &'a Listener) -> bool {
        self.servers(listener).any(|seen| seen.is_up() && seen.id != ServerId::Abuse)
    }

    /// How long the process has been there.
    pub fn uptime(self) -> Duration {
        self.now.moment.since(self.process.started.moment)
    }

    /// What was carried since the start, by all listeners that are still there.
    pub fn traffic(self) -> Traffic {
        let all = self.listeners.all().map(|(_, listener)| listener.balancer.traffic);
        all.fold(Traffic::default(), Traffic::and)
    }

    /// As JSON, one line.
    pub fn json(self) -> String {
        let mut json = Json::default();
        json.object(|json| {
            self.write_process(json);
            json.array_at("listeners", |json| {
                for (_, listener) in self.listeners.iter() {
                    json.object(|json| self.write_listener(json, listener));
                }
            });
            self.write_history(json);
            self.write_events(json);
        });
        json.finish()
    }

    fn write_process(self, json: &mut Json) {
        let process = self.process;
        json.text("version", Overview::VERSION);
        json.number("pid", process.pid);
        json.number("time", self.now.unix);
        json.number("started", process.started.unix);
        json.number("uptime", self.uptime().as_secs());
        json.text("standing", process.standing.word());
        let health = self.health();
        json.truth("healthy", health.is_ok());
        json.text_or_null("trouble", health.err().as_deref());
        json.number("connections", process.pairs);
        json.number("leaving", process.leaving);
        json.number("connections_max", self.listeners.common.conn_max);
        json.number("sockets", process.sockets);
        json.number("rings", process.rings);
        json.number("pipes", process.pipes);
        json.number("control_sessions", process.control_sessions);
        json.number("viewers", process.viewers);
        json.object_at("lost", |json| {
            json.number("log_lines", process.log_lines_lost);
            json.number("messages", process.messages_lost);
            json.number("dumps", process.dumps_lost);
        });
        write_traffic(json, "accepted", self.traffic());
        write_rates(json, "accepted", self.history.lately());
        json.object_at("closed", |json| process.closed.iter().for_each(|(why, count)| json.number(why, count)));
    }

    fn write_listener(self, json: &mut Json, listener: &'a Listener) {
        let Listener { name, at, balancer, pairs, pending, .. } = listener;
        json.text("name", name);
        json.texts("addresses", at.iter().map(String::as_str));
        json.truth("healthy", self.serves(listener));
        json.number("connections", pairs);
        json.number("pending", pending);
        json.number("pending_max", balancer.settings.pending_max);
        json.number("clients", balancer.clients.len());
        json.number("clients_max", balancer.settings.clients_max);
        json.number("idlers", balancer.idlers_ready);
        write_traffic(json, "accepted", balancer.traffic);
        let Refusals { by_list, connections, rate } = balancer.refusals;
        json.object_at("refused", |json| {
            json.number("acl", by_list);
            json.number("connections", connections);
            json.number("rate", rate);
        });
        json.number("unserved", balancer.unserved);
        let Dropped { no_server, full, too_long, lacking, bad_header } = listener.dropped;
        json.object_at("dropped", |json| {
            json.number("no_server", no_server);
            json.number("full", full);
            json.number("too_long", too_long);
            json.number("lacking", lacking);
            json.number("bad_header", bad_header);
        });
        json.array_at("servers", |json| {
            for seen in self.servers(listener) {
                json.object(|json| write_server(json, &seen));
            }
        });
    }

    fn write_events(self, json: &mut Json) {
        json.array_at("events", |json| {
            for event in self.recent.iter() {
                json.object(|json| {
                    json.number("time", event.unix);
                    json.text("severity", severity(event.severity));
                    json.text("event", event.name);
                    json.text_or_null("listener", event.listener.as_deref());
                    json.text("text", &event.text);
                });
            }
        });
    }

    fn write_history(self, json: &mut Json) {
        let history = || self.history.intervals();
        json.object_at("history", |json| {
            json.number("interval", super::history::INTERVAL.as_secs());
            json.numbers("connections", history().map(|interval| interval.connections as u64));
            json.numbers("accepted", history().map(|interval| interval.traffic.begun));
            json.numbers("up", history().map(|interval| interval.traffic.up));
            json.numbers("down", history().map(|interval| interval.traffic.down));
        });
    }
}

/// How urgent an event is, in a word.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Notice => "notice",
        Severity::Debug => "debug",
    }
}

fn write_server(json: &mut Json, seen: &Seen<'_>) {
    let server = seen.server;
    json.text("id", &seen.id.to_string());
    json.text_or_null("name", server.name.as_deref());
    json.text("address", &seen.address());
    json.text("state", seen.state);
    json.decimal("blacklisted", seen.left_out.as_secs_f64());
    json.number("connections", server.clients());
    json.number("idlers", server.idlers);
    json.number("max", server.max);
    json.number("hard", server.hard);
    json.number("weight", server.weight);
    json.number("prio", server.prio);
    write_traffic(json, "connects", server.traffic());
    write_rates(json, "connects", server.lately.traffic);
    let counts = server.counts;
    json.object_at("failures", |json| {
        json.number("refused", counts.refused);
        json.number("timeout", counts.timed_out);
        json.number("other", counts.failed);
    });
    json.number("checks", server.health.checks);
    json.number("checks_failed", server.health.failures);
    match server.failed_at {
        0 => json.number("failed", "null"),
        at => json.number("failed", at),
    }
}

/// What was carried, beginning with connections, which have another name here and there.
fn write_traffic(json: &mut Json, begun: &str, traffic: Traffic) {
    json.number(begun, traffic.begun);
    json.number("up", traffic.up);
    json.number("down", traffic.down);
}

fn write_rates(json: &mut Json, begun: &str, lately: Traffic) {
    json.object_at("rates", |json| {
        json.decimal(begun, per_second(lately.begun));
        json.decimal("up", per_second(lately.up));
        json.decimal("down", per_second(lately.down));
    });
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::balance::{Common, Settings};
    use crate::base::addr::ClientAddr;
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Moment;
    use crate::control::history::Sample;
    use crate::control::recent::Happened;

    /// What an overview is made of.
    pub struct Pen {
        pub process: Process,
        pub listeners: Listeners,
        pub history: History,
        pub recent: Recent,
    }

    pub const NOW: Now = Now { moment: Moment::from_nanos(20_000_000_000), unix: 1_700_000_020 };

    impl Pen {
        /// One client is served by the first server; the second has failed; another listener is
        /// there, and a server with a name that is hard to show.
        pub fn busy() -> Pen {
            let mut listeners = Listeners::new(Common::default(), Settings::default());
            listeners.main_mut().at.push(String::from("127.0.0.1:80"));
            let tls = listeners.add("tls").unwrap();
            listeners[tls].at.push(String::from("443"));
            for (at, texts) in
                [(crate::balance::MAIN, ["10.0.0.1:80:3:4:5:6", "[2001:db8::1]:81"]), (tls, ["/t/<b>&\"'\\", "b:1"])]
            {
                for (index, text) in (0..).zip(texts) {
                    let spec = ServerSpec::parse(text, &Services::default()).unwrap();
                    listeners[at].balancer.servers.set(ServerId::Regular(index), Server::new(&spec, 80)).unwrap();
                }
            }
            let main = &mut listeners.main_mut().balancer;
            main.servers.server_mut(ServerId::Regular(0)).unwrap().name = Some("web1".into());
            let mut admission = main.admit(ClientAddr::Inet([127, 0, 0, 3].into()), 1, NOW);
            let id = main.next_server(&mut admission.search, NOW).unwrap();
            main.connected(id, admission.client, NOW);
            main.account(id, admission.client, 5, 9);
            main.servers.server_mut(ServerId::Regular(1)).unwrap().counts.fail(crate::balance::Failure::TimedOut);
            main.failed(ServerId::Regular(1), NOW);
            let history = Pen::history();
            let started = Now { moment: Moment::from_nanos(8_000_000_000), unix: 1_700_000_008 };
            let process = Process {
                pid: 4711,
                started,
                standing: Standing::Serving,
                pairs: 1,
                leaving: 0,
                sockets: 4,
                rings: 0,
                pipes: 1,
                control_sessions: 0,
                viewers: 0,
                closed: vec![("done", 17), ("broken", 0)],
                log_lines_lost: 0,
                messages_lost: 2,
                dumps_lost: 3,
            };
            let mut recent = Recent::default();
            let text = String::from("server 1 (2001:db8::1:81) failed: <b>no\nroute</b>");
            let (severity, name, listener) = (Severity::Warning, "server-failed", Some(String::from("main")));
            recent.add(Happened { unix: 1_700_000_019, severity, name, listener, text });
            Pen { process, listeners, history, recent }
        }

        fn history() -> History {
            let mut history = History::default();
            for (second, up) in [(8, 0), (10, 100), (12, 300)] {
                let traffic = Traffic { begun: second, up, down: 10 * up };
                history.catch_up(Moment::from_nanos(second * 1_000_000_000), Sample { connections: 1, traffic });
            }
            history
        }

        pub fn overview(&self) -> Overview<'_> {
            let Pen { process, listeners, history, recent } = self;
            Overview { now: NOW, process, listeners, history, recent }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Pen;
    use super::*;
    use crate::balance::Duty;

    #[test]
    fn all_of_it_is_one_line_of_json() {
        let pen = Pen::busy();
        let json = pen.overview().json();
        let version = Overview::VERSION;
        let expected = format!(
            "{{\"version\":\"{version}\",\"pid\":4711,\"time\":1700000020,\"started\":1700000008,\"uptime\":12,\
             \"standing\":\"serving\",\"healthy\":true,\"trouble\":null,\"connections\":1,\"leaving\":0,\
             \"connections_max\":500,\"sockets\":4,\"rings\":0,\"pipes\":1,\"control_sessions\":0,\"viewers\":0,\
             \"lost\":{{\"log_lines\":0,\"messages\":2,\"dumps\":3}},\"accepted\":1,\"up\":5,\"down\":9,\
             \"rates\":{{\"accepted\":1.0,\"up\":100.0,\"down\":1000.0}},\"closed\":{{\"done\":17,\"broken\":0}},\
             \"listeners\":[{{\"name\":\"main\",\"addresses\":[\"127.0.0.1:80\"],\"healthy\":true,\"connections\":0,\
             \"pending\":0,\"pending_max\":100,\"clients\":1,\"clients_max\":2048,\"idlers\":0,\"accepted\":1,\
             \"up\":5,\"down\":9,\"refused\":{{\"acl\":0,\"connections\":0,\"rate\":0}},\"unserved\":0,\
             \"dropped\":{{\"no_server\":0,\"full\":0,\"too_long\":0,\"lacking\":0,\"bad_header\":0}},\
             \"servers\":[{{\"id\":\"0\",\"name\":\"web1\",\"address\":\"10.0.0.1:80\",\"state\":\"up\",\
             \"blacklisted\":0.0,\"connections\":1,\"idlers\":0,\"max\":3,\"hard\":4,\"weight\":5,\"prio\":6,\
             \"connects\":1,\"up\":5,\"down\":9,\"rates\":{{\"connects\":0.0,\"up\":0.0,\"down\":0.0}},\
             \"failures\":{{\"refused\":0,\"timeout\":0,\"other\":0}},\"checks\":0,\"checks_failed\":0,\"failed\":null}},\
             {{\"id\":\"1\",\"name\":null,\"address\":\"[2001:db8::1]:81\",\"state\":\"blacklisted\",\"blacklisted\":30.0,"
        );
        assert!(json.starts_with(&expected), "{json}\n{expected}");
        let failed = "\"failures\":{\"refused\":0,\"timeout\":1,\"other\":0},\"checks\":0,\"checks_failed\":0,\"failed\":1700000020}]}";
        assert!(json.contains(failed), "{json}");
        let odd =
            "{\"id\":\"0\",\"name\":null,\"address\":\"/t/\\u003cb\\u003e\\u0026\\\"\\u0027\\\\\",\"state\":\"up\"";
        assert!(json.contains(odd), "{json}");
        let end = "\"history\":{\"interval\":2,\"connections\":[1,1],\"accepted\":[2,2],\"up\":[100,200],\
                   \"down\":[1000,2000]},\"events\":[{\"time\":1700000019,\"severity\":\"warning\",\
                   \"event\":\"server-failed\",\"listener\":\"main\",\"text\":\"server 1 (2001:db8::1:81) failed: \
                   \\u003cb\\u003eno\\nroute\\u003c/b\\u003e\"}]}\n";
        assert!(json.ends_with(end), "{json}");
    }

    #[test]
    fn pen_is_healthy_while_every_listener_has_a_server() {
        let mut pen = Pen::busy();
        assert_eq!(pen.overview().health(), Ok(()));
        let tls = pen.listeners.find("tls").unwrap();
        for duty in [Duty::Disabled, Duty::Draining, Duty::Leaving] {
            pen.listeners[tls].balancer.servers.server_mut(ServerId::Regular(0)).unwrap().duty = duty;
            let trouble = pen.overview().health().unwrap_err();
            assert_eq!(trouble, "listener tls has no server that can be used", "the other one has no address yet");
        }
        let mut emergency = pen.listeners.main().balancer.servers.regular(0).unwrap().clone();
        emergency.connections = 0;
        for (id, healthy) in [(ServerId::Abuse, false), (ServerId::Emergency, true)] {
            pen.listeners[tls].balancer.servers.set(id, emergency.clone()).unwrap();
            assert_eq!(pen.overview().health().is_ok(), healthy, "{id}");
        }
        for (standing, why) in [
            (Standing::Draining, "pen drains, and lets nobody in any more"),
            (Standing::HandedOver, "another process has taken over"),
        ] {
            pen.process.standing = standing;
            assert_eq!(pen.overview().health().unwrap_err(), why);
            assert!(pen.overview().json().contains(&format!("\"healthy\":false,\"trouble\":\"{why}\"")));
        }
    }
}
