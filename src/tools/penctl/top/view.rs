//! The table of `penctl top`: what is known of the servers at two times, and the lines that show it.
//!
//! Pure: whoever shows them knows the terminal.

use crate::tools::penctl::metrics;

/// What the rows are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// Listener and number.
    Server,
    /// Open connections.
    Connections,
    /// Connections in a second.
    Rate,
    /// Bytes in a second.
    Bytes,
    /// Failures.
    Failures,
}

/// All keys, with the letter and the word for each.
pub const KEYS: [(Key, u8, &str); 5] = [
    (Key::Server, b's', "server"),
    (Key::Connections, b'c', "connections"),
    (Key::Rate, b'r', "rate"),
    (Key::Bytes, b'b', "bytes"),
    (Key::Failures, b'f', "failures"),
];

/// A server at one time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Server {
    listener: String,
    number: String,
    name: String,
    address: String,
    state: String,
    connections: f64,
    connects: f64,
    up: f64,
    down: f64,
    failures: f64,
}

/// A pen at one time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Shot {
    version: String,
    connections: f64,
    connections_max: f64,
    is_draining: bool,
    is_healthy: bool,
    accepted: f64,
    /// Bytes to servers, and to clients.
    bytes: [f64; 2],
    servers: Vec<Server>,
}

impl Shot {
    /// Reads the metrics of a pen.
    pub fn read(text: &str) -> Shot {
        let mut shot = Shot::default();
        for sample in metrics::read(text) {
            let value = sample.value;
            match sample.name {
                "pen_build_info" => shot.version = String::from(sample.label("version")),
                "pen_connections" => shot.connections = value,
                "pen_connections_max" => shot.connections_max = value,
                "pen_draining" => shot.is_draining = value > 0.0,
                "pen_healthy" => shot.is_healthy = value > 0.0,
                "pen_listener_accepted_total" => shot.accepted += value,
                "pen_listener_bytes_total" => shot.bytes[usize::from(sample.label("direction") == "down")] += value,
                name if name.starts_with("pen_server_") => shot.server(&sample),
                _ => {}
            }
        }
        shot
    }

    fn server(&mut self, sample: &metrics::Sample<'_>) {
        let (listener, number) = (sample.label("listener"), sample.label("server"));
        let is_it = |server: &Server| server.listener == listener && server.number == number;
        let place = self.servers.iter().position(is_it).unwrap_or_else(|| {
            let (listener, number) = (String::from(listener), String::from(number));
            self.servers.push(Server { listener, number, ..Server::default() });
            self.servers.len() - 1
        });
        let (server, value) = (&mut self.servers[place], sample.value);
        match sample.name {
            "pen_server_info" => {
                (server.name, server.address) =
                    (String::from(sample.label("name")), String::from(sample.label("address")));
            }
            "pen_server_state" if value > 0.0 => server.state = String::from(sample.label("state")),
            "pen_server_connections" => server.connections = value,
            "pen_server_connects_total" => server.connects = value,
            "pen_server_bytes_total" if sample.label("direction") == "up" => server.up = value,
            "pen_server_bytes_total" => server.down = value,
            "pen_server_failures_total" => server.failures += value,
            _ => {}
        }
    }

    fn same<'a>(&'a self, server: &Server) -> Option<&'a Server> {
        self.servers.iter().find(|before| before.listener == server.listener && before.number == server.number)
    }
}

/// A row with its rates, which are not known where there was nothing before.
struct Row<'a> {
    server: &'a Server,
    rates: Option<[f64; 3]>,
}

/// What is shown: a pen now, and before, with the seconds in between.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Now.
    pub shot: &'a Shot,
    /// Before.
    pub before: Option<(&'a Shot, f64)>,
    /// By what the rows are sorted.
    pub key: Key,
    /// Where the pen is.
    pub pen: &'a str,
}

impl View<'_> {
    /// The lines: one on the whole pen, the heads, and one for each server.
    pub fn lines(&self) -> Vec<String> {
        let rows = self.rows();
        let mut table = vec![
            ["LISTENER", "SERVER", "ADDRESS", "STATE", "CONN", "CONN/S", "UP/S", "DOWN/S", "FAILED"].map(String::from),
        ];
        table.extend(rows.iter().map(|row| {
            let server = row.server;
            let rate =
                |place: usize, show: fn(f64) -> String| row.rates.map_or(String::from("-"), |rates| show(rates[place]));
            let name = if server.name.is_empty() {
                server.number.clone()
            } else {
                format!("{} {}", server.number, server.name)
            };
            [
                server.listener.clone(),
                name,
                server.address.clone(),
                server.state.clone(),
                format!("{}", server.connections),
                rate(0, count),
                rate(1, bytes),
                rate(2, bytes),
                format!("{}", server.failures),
            ]
        }));
        let widths: Vec<usize> =
            (0..9).map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
        let mut lines = vec![self.summary()];
        for row in &table {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0..=3 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            lines.push(String::from(cells.collect::<Vec<_>>().join("  ").trim_end()));
        }
        lines
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let rates = |server: &Server| {
            let (before, seconds) = self.before?;
            let before = before.same(server)?;
            // Another server in its place has begun anew.
            let rate = |now: f64, then: f64| (now - then).max(0.0) / seconds;
            Some([rate(server.connects, before.connects), rate(server.up, before.up), rate(server.down, before.down)])
        };
        let mut rows: Vec<Row<'_>> =
            self.shot.servers.iter().map(|server| Row { server, rates: rates(server) }).collect();
        let weight = |row: &Row<'_>| {
            let [rate, up, down] = row.rates.unwrap_or_default();
            match self.key {
                Key::Server => 0.0,
                Key::Connections => row.server.connections,
                Key::Rate => rate,
                Key::Bytes => up + down,
                Key::Failures => row.server.failures,
            }
        };
        // The greatest first; those that are equal stay in their order.
        rows.sort_by(|one, other| weight(other).total_cmp(&weight(one)));
        rows
    }

    fn summary(&self) -> String {
        let shot = self.shot;
        let standing = match () {
            () if shot.is_draining => "draining",
            () if shot.is_healthy => "serving",
            () => "not healthy",
        };
        let mut text = format!(
            "pen {} at {}: {standing}, {} of {} connections",
            shot.version, self.pen, shot.connections, shot.connections_max
        );
        if let Some((before, seconds)) = self.before {
            let rate = |now: f64, then: f64| (now - then).max(0.0) / seconds;
            let ([up, down], [up_then, down_then]) = (shot.bytes, before.bytes);
            text.push_str(&format!(
                ", {}/s, {}/s up, {}/s down",
                count(rate(shot.accepted, before.accepted)),
                bytes(rate(up, up_then)),
                bytes(rate(down, down_then))
            ));
        }
        text
    }
}

/// A number for people: with one digit behind the point where it is small.
fn count(value: f64) -> String {
    if value < 9.95 && value > 0.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Bytes for people.
fn bytes(value: f64) -> String {
    let mut value = value;
    for unit in ["", "K", "M", "G", "T"] {
        if value < 999.5 {
            return format!("{}{unit}", count(value));
        }
        value /= 1024.0;
    }
    format!("{value:.0}P")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(connects: u32, down: u32) -> Shot {
        Shot::read(&format!(
            "pen_build_info{{version=\"1.0.0\"}} 1\npen_healthy 1\npen_draining 0\npen_connections 3\n\
             pen_connections_max 500\npen_listener_accepted_total{{listener=\"main\"}} {connects}\n\
             pen_listener_bytes_total{{listener=\"main\",direction=\"down\"}} {down}\n\
             pen_server_info{{listener=\"main\",server=\"0\",name=\"\",address=\"10.0.0.1:80\"}} 1\n\
             pen_server_info{{listener=\"main\",server=\"1\",name=\"web\",address=\"10.0.0.2:80\"}} 1\n\
             pen_server_state{{listener=\"main\",server=\"0\",state=\"up\"}} 1\n\
             pen_server_state{{listener=\"main\",server=\"0\",state=\"blacklisted\"}} 0\n\
             pen_server_state{{listener=\"main\",server=\"1\",state=\"blacklisted\"}} 1\n\
             pen_server_connections{{listener=\"main\",server=\"1\"}} 3\n\
             pen_server_connects_total{{listener=\"main\",server=\"1\"}} {connects}\n\
             pen_server_bytes_total{{listener=\"main\",server=\"1\",direction=\"down\"}} {down}\n\
             pen_server_failures_total{{listener=\"main\",server=\"0\",reason=\"refused\"}} 2\n\
             pen_server_failures_total{{listener=\"main\",server=\"0\",reason=\"other\"}} 1\n"
        ))
    }

    #[test]
    fn servers_are_shown_with_their_rates() {
        let (before, now) = (shot(10, 1_000), shot(30, 5_097_000));
        let view = View { shot: &now, before: Some((&before, 2.0)), key: Key::Server, pen: "ctl" };
        let expected = [
            "pen 1.0.0 at ctl: serving, 3 of 500 connections, 10/s, 0/s up, 2.4M/s down",
            "LISTENER  SERVER  ADDRESS      STATE        CONN  CONN/S  UP/S  DOWN/S  FAILED",
            "main      0       10.0.0.1:80  up              0       0     0       0       3",
            "main      1 web   10.0.0.2:80  blacklisted     3      10     0    2.4M       0",
        ];
        assert_eq!(view.lines(), expected);
        let first = View { before: None, ..view };
        assert!(first.lines()[3].ends_with("     3       -     -       -       0"), "{:?}", first.lines());
    }

    #[test]
    fn rows_are_sorted_by_the_key() {
        let (before, now) = (shot(10, 0), shot(30, 5));
        for (key, first) in [
            (Key::Server, "0"),
            (Key::Connections, "1 web"),
            (Key::Rate, "1 web"),
            (Key::Bytes, "1 web"),
            (Key::Failures, "0"),
        ] {
            let view = View { shot: &now, before: Some((&before, 1.0)), key, pen: "ctl" };
            assert!(view.lines()[2].starts_with(&format!("main      {first} ")), "{key:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.2"),
            (9.94, "9.9"),
            (9.96, "10"),
            (999.0, "999"),
            (1023.0, "1.0K"),
            (1024.0 * 1024.0 * 15.0, "15M"),
        ] {
            assert_eq!(bytes(value), text, "{value}");
        }
    }
}
