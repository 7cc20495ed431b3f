//! The overview as metrics, in the text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! A family of metrics stands in one piece, with its help and its type once; the order never changes.

use std::fmt::{Display, Write};

use super::overview::{Overview, Seen, Standing};
use super::status::STATES;
use crate::balance::Listener;
use crate::balance::listeners::Dropped;

/// The media type of what is written here.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up, until pen starts anew.
    Counter,
}

/// A label and its value.
type Label<'a> = (&'static str, &'a str);

/// The text that is written.
struct Metrics {
    text: String,
}

/// A family of which samples are written.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Overview<'_> {
    /// As metrics.
    pub fn prometheus(self) -> String {
        let mut metrics = Metrics { text: String::new() };
        metrics.process(self);
        metrics.ended(self);
        metrics.listeners(self);
        metrics.refused(self);
        metrics.dropped(self);
        metrics.servers(self);
        metrics.failures(self);
        metrics.text
    }
}

impl Metrics {
    fn family(&mut self, name: &'static str, kind: Kind, help: &str, write: &mut dyn FnMut(&mut Family<'_>)) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing into a string does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        write(&mut Family { text: &mut self.text, name });
    }

    fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.one(name, Kind::Gauge, help, &value);
    }

    fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.one(name, Kind::Counter, help, &value);
    }

    /// A family of one sample.
    fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: &dyn Display) {
        self.family(name, kind, help, &mut |family| family.sample(&[], value));
    }

    fn process(&mut self, seen: Overview<'_>) {
        let process = seen.process;
        self.family("pen_build_info", Kind::Gauge, "Always 1; the version of pen is a label.", &mut |family| {
            family.sample(&[("version", Overview::VERSION)], 1);
        });
        self.gauge("pen_start_time_seconds", "When pen was started, since the epoch.", process.started.unix);
        let healthy = u8::from(seen.health().is_ok());
        self.gauge("pen_healthy", "1 if pen serves: it lets clients in, and every listener has a server.", healthy);
        let draining = u8::from(process.standing != Standing::Serving);
        self.gauge("pen_draining", "1 if pen lets nobody in any more.", draining);
        self.gauge("pen_connections", "Connections of clients that are open.", process.pairs);
        self.gauge("pen_connections_leaving", "Those of them that are sent away.", process.leaving);
        self.gauge("pen_connections_max", "How many there may be.", seen.listeners.common.conn_max);
        self.gauge("pen_sockets", "Sockets that pen has open.", process.sockets);
        self.gauge("pen_rings", "Buffers that hold bytes for somebody who does not take them yet.", process.rings);
        self.gauge("pen_pipes", "Pipes in which bytes wait for somebody.", process.pipes);
        self.gauge("pen_control_sessions", "Users of the control port.", process.control_sessions);
        self.gauge("pen_viewers", "Those who look at the status port.", process.viewers);
        let help = "Lines of the request log that are lost.";
        self.counter("pen_log_lines_lost_total", help, process.log_lines_lost);
        self.counter("pen_messages_lost_total", "Messages that nobody read in time.", process.messages_lost);
        self.counter("pen_dumps_lost_total", "Dumps that nobody read in time.", process.dumps_lost);
    }

    fn ended(&mut self, seen: Overview<'_>) {
        let help = "Connections that are over, by how they ended.";
        self.family("pen_connections_closed_total", Kind::Counter, help, &mut |family| {
            seen.process.closed.iter().for_each(|(why, count)| family.sample(&[("reason", why)], count));
        });
    }

    /// One sample of each listener.
    fn of_listeners(
        &mut self,
        seen: Overview<'_>,
        (name, kind, help): (&'static str, Kind, &str),
        value: &dyn Fn(&Listener) -> u64,
    ) {
        self.family(name, kind, help, &mut |family| {
            for (_, listener) in seen.listeners.iter() {
                family.sample(&[("listener", &listener.name)], value(listener));
            }
        });
    }

    fn listeners(&mut self, seen: Overview<'_>) {
        use Kind::{Counter, Gauge};
        let healthy = ("pen_listener_healthy", Gauge, "1 if the listener has a server that can be used.");
        self.family(healthy.0, healthy.1, healthy.2, &mut |family| {
            for (_, listener) in seen.listeners.iter() {
                family.sample(&[("listener", &listener.name)], u8::from(seen.serves(listener)));
            }
        });
        let open = ("pen_listener_connections", Gauge, "Connections that came in here and are open.");
        self.of_listeners(seen, open, &|listener| listener.pairs as u64);
        let pending = ("pen_listener_pending", Gauge, "Those of them that have no server yet.");
        self.of_listeners(seen, pending, &|listener| listener.pending as u64);
        let clients = ("pen_listener_clients", Gauge, "Clients that are remembered.");
        self.of_listeners(seen, clients, &|listener| listener.balancer.clients.len() as u64);
        let most = ("pen_listener_clients_max", Gauge, "How many are remembered at most.");
        self.of_listeners(seen, most, &|listener| listener.balancer.settings.clients_max as u64);
        let idlers = ("pen_listener_idlers", Gauge, "Connections to servers that are ready ahead.");
        self.of_listeners(seen, idlers, &|listener| listener.balancer.idlers_ready as u64);
        let accepted = ("pen_listener_accepted_total", Counter, "Connections that came in here.");
        self.of_listeners(seen, accepted, &|listener| listener.balancer.traffic.begun);
        let unserved = ("pen_listener_unserved_total", Counter, "Those of them that no server could serve.");
        self.of_listeners(seen, unserved, &|listener| listener.balancer.unserved);
        let help = "Bytes carried: up is from clients to servers, down the other way.";
        self.family("pen_listener_bytes_total", Counter, help, &mut |family| {
            for (_, listener) in seen.listeners.iter() {
                let traffic = listener.balancer.traffic;
                family.sample(&[("listener", &listener.name), ("direction", "up")], traffic.up);
                family.sample(&[("listener", &listener.name), ("direction", "down")], traffic.down);
            }
        });
    }

    fn refused(&mut self, seen: Overview<'_>) {
        let help = "Connections refused: by client_acl, and at the limits client_max and client_rate.";
        self.family("pen_listener_refused_total", Kind::Counter, help, &mut |family| {
            for (_, listener) in seen.listeners.iter() {
                let refused = listener.balancer.refusals;
                for (reason, count) in
                    [("acl", refused.by_list), ("connections", refused.connections), ("rate", refused.rate)]
                {
                    family.sample(&[("listener", &listener.name), ("reason", reason)], count);
                }
            }
        });
    }

    fn dropped(&mut self, seen: Overview<'_>) {
        let help = "Datagrams that could not be passed on.";
        self.family("pen_listener_datagrams_dropped_total", Kind::Counter, help, &mut |family| {
            for (_, listener) in seen.listeners.iter() {
                let Dropped { no_server, full, too_long, lacking, bad_header } = listener.dropped;
                let counts = [
                    ("no_server", no_server),
                    ("full", full),
                    ("too_long", too_long),
                    ("lacking", lacking),
                    ("bad_header", bad_header),
                ];
                for (reason, count) in counts {
                    family.sample(&[("listener", &listener.name), ("reason", reason)], count);
                }
            }
        });
    }

    /// Samples of each server.
    fn of_servers(
        &mut self,
        seen: Overview<'_>,
        (name, kind, help): (&'static str, Kind, &str),
        write: &dyn Fn(&mut Family<'_>, &[Label<'_>; 2], &Seen<'_>),
    ) {
        self.family(name, kind, help, &mut |family| {
            for (_, listener) in seen.listeners.iter() {
                for server in seen.servers(listener) {
                    let id = server.id.to_string();
                    write(family, &[("listener", &listener.name), ("server", &id)], &server);
                }
            }
        });
    }

    fn servers(&mut self, seen: Overview<'_>) {
        use Kind::{Counter, Gauge};
        let known = ("pen_server_info", Gauge, "Always 1; the name and the address of the server are labels.");
        self.of_servers(seen, known, &|family, labels, one| {
            let (name, address) = (one.server.name.as_deref().unwrap_or_default(), one.address());
            family.sample(&[labels[0], labels[1], ("name", name), ("address", &address)], 1);
        });
        let up = ("pen_server_up", Gauge, "1 if any client may be sent to the server.");
        self.of_servers(seen, up, &|family, labels, one| family.sample(labels, u8::from(one.is_up())));
        let state = ("pen_server_state", Gauge, "1 for the state that the server is in.");
        self.of_servers(seen, state, &|family, labels, one| {
            for state in STATES {
                family.sample(&[labels[0], labels[1], ("state", state)], u8::from(one.state == state));
            }
        });
        let left = ("pen_server_blacklisted_seconds", Gauge, "How long the server is still left out.");
        self.of_servers(seen, left, &|family, labels, one| family.sample(labels, one.left_out.as_secs_f64()));
        let failed =
            ("pen_server_failed_time_seconds", Gauge, "When the server last failed, since the epoch; 0: never.");
        self.of_servers(seen, failed, &|family, labels, one| family.sample(labels, one.server.failed_at));
        let open = ("pen_server_connections", Gauge, "Connections of clients to the server.");
        self.of_servers(seen, open, &|family, labels, one| family.sample(labels, one.server.clients()));
        let most = ("pen_server_connections_max", Gauge, "How many there may be; 0: any number.");
        self.of_servers(seen, most, &|family, labels, one| family.sample(labels, one.server.max));
        let idlers = ("pen_server_idlers", Gauge, "Connections to the server that are opened ahead.");
        self.of_servers(seen, idlers, &|family, labels, one| family.sample(labels, one.server.idlers));
        let connects = ("pen_server_connects_total", Counter, "Connects to the server that were made.");
        self.of_servers(seen, connects, &|family, labels, one| family.sample(labels, one.server.counts.connects));
        let checks = ("pen_server_checks_total", Counter, "Checks of the server.");
        self.of_servers(seen, checks, &|family, labels, one| family.sample(labels, one.server.health.checks));
        let bad = ("pen_server_checks_failed_total", Counter, "Checks that the server failed.");
        self.of_servers(seen, bad, &|family, labels, one| family.sample(labels, one.server.health.failures));
        let help = "Bytes carried: up is to the server, down from it.";
        self.of_servers(seen, ("pen_server_bytes_total", Counter, help), &|family, labels, one| {
            family.sample(&[labels[0], labels[1], ("direction", "up")], one.server.sent);
            family.sample(&[labels[0], labels[1], ("direction", "down")], one.server.received);
        });
    }

    fn failures(&mut self, seen: Overview<'_>) {
        let failures = ("pen_server_failures_total", Kind::Counter, "Connects to the server that failed.");
        self.of_servers(seen, failures, &|family, labels, one| {
            let counts = one.server.counts;
            for (reason, count) in
                [("refused", counts.refused), ("timeout", counts.timed_out), ("other", counts.failed)]
            {
                family.sample(&[labels[0], labels[1], ("reason", reason)], count);
            }
        });
    }
}

impl Family<'_> {
    fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.write(labels, &value);
    }

    fn write(&mut self, labels: &[Label<'_>], value: &dyn Display) {
        self.text.push_str(self.name);
        for (place, (label, value)) in labels.iter().enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            self.escaped(value);
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        // Writing into a string does not fail.
        let _ = writeln!(self.text, "{end} {value}");
    }

    fn escaped(&mut self, value: &str) {
        for letter in value.chars() {
            match letter {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                letter => self.text.push(letter),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::control::overview::testing::Pen;

    #[test]
    fn every_family_is_one_piece_with_help_and_type() {
        let pen = Pen::busy();
        let text = pen.overview().prometheus();
        for line in [
            "pen_start_time_seconds 1700000008",
            "pen_healthy 1",
            "pen_draining 0",
            "pen_connections 1",
            "pen_connections_closed_total{reason=\"done\"} 17",
            "pen_dumps_lost_total 3",
            "pen_listener_accepted_total{listener=\"main\"} 1",
            "pen_listener_accepted_total{listener=\"tls\"} 0",
            "pen_listener_bytes_total{listener=\"main\",direction=\"down\"} 9",
            "pen_listener_refused_total{listener=\"tls\",reason=\"rate\"} 0",
            "pen_server_info{listener=\"main\",server=\"0\",name=\"web1\",address=\"10.0.0.1:80\"} 1",
            "pen_server_info{listener=\"tls\",server=\"0\",name=\"\",address=\"/t/<b>&\\\"'\\\\\"} 1",
            "pen_server_up{listener=\"main\",server=\"1\"} 0",
            "pen_server_state{listener=\"main\",server=\"1\",state=\"blacklisted\"} 1",
            "pen_server_state{listener=\"main\",server=\"1\",state=\"up\"} 0",
            "pen_server_blacklisted_seconds{listener=\"main\",server=\"1\"} 30",
            "pen_server_connects_total{listener=\"main\",server=\"0\"} 1",
            "pen_server_failures_total{listener=\"main\",server=\"1\",reason=\"timeout\"} 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        }
        let mut families = Vec::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                families.push(help.split(' ').next().unwrap());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(families.last(), Some(&name), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                assert_eq!(families.last(), Some(&name), "{line}");
            }
        }
        let mut once = families.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), families.len(), "{families:?}");
    }
}
