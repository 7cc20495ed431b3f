//! The status page, in the layout of the original, pen 0.34.1, so that scripts which read it go on
//! working. What the original does not have stands at the end of each row.
//!
//! Everything that somebody has typed or sent is escaped.

use std::fmt::{Display, Write};

use super::status::{ConnectionStatus, shown_host, shown_port, state_of};
use crate::balance::{Balancer, Client, Listeners, MAIN, Server, ServerId};
use crate::base::time::Now;

/// The most rows of clients and of connections: the page is for people.
const ROWS_MAX: usize = 10_000;

const SERVERS: &[&str] = &[
    "server",
    "address",
    "status",
    "port",
    "connections",
    "max soft",
    "max hard",
    "sent",
    "received",
    "weight",
    "prio",
    "name",
    "state",
];
const CLIENTS: &[&str] = &["client", "address", "age(secs)", "last server", "connects", "sent", "received"];
const CONNECTIONS: &[&str] =
    &["connection", "downfd", "upfd", "pending data down", "pending data up", "client", "server"];

/// The page. `time` is the time of day as people read it.
pub fn page(listeners: &Listeners, connections: &[ConnectionStatus], now: Now, time: &str) -> String {
    let main = &listeners.main().balancer;
    let mut page = Page(String::new());
    page.line(&"<html>\n<head>\n<title>Pen status page</title>\n</head>");
    page.line(&"<body bgcolor=\"#ffffff\"><h1>Pen status page</h1>");
    page.line(&format_args!("Time {time}, {} servers, {} current<p>", main.servers.len(), main.current()));
    page.listener(main, now);
    for (_, listener) in listeners.iter().filter(|(at, _)| *at != MAIN) {
        let (servers, current) = (listener.balancer.servers.len(), listener.balancer.current());
        let (name, at) = (escaped(&listener.name), escaped(&listener.at.join(" ")));
        page.line(&format_args!("<h2>Listener {name}</h2>At {at}, {servers} servers, {current} current<p>"));
        page.listener(&listener.balancer, now);
    }
    let last = connections.last().map_or(0, |status| status.number);
    let (most, used) = (listeners.common.conn_max, connections.len());
    page.text(&"<h2>Active connections</h2>");
    page.text(&format_args!("Number of connections: {most} max, {used} used, {last} last<p>"));
    page.table(CONNECTIONS);
    connections.iter().take(ROWS_MAX).for_each(|status| page.connection(status));
    page.line(&"</table>\n</body>\n</html>");
    page.0
}

struct Page(String);

impl Page {
    fn text(&mut self, text: &dyn Display) {
        // Writing into a string does not fail.
        let _ = write!(self.0, "{text}");
    }

    fn line(&mut self, text: &dyn Display) {
        let _ = writeln!(self.0, "{text}");
    }

    /// The beginning of a table: its heads.
    fn table(&mut self, heads: &[&str]) {
        self.line(&"<table bgcolor=\"#c0c0c0\">\n<tr>");
        heads.iter().for_each(|head| self.line(&format_args!("<td bgcolor=\"#80f080\">{head}</td>")));
        self.line(&"</tr>");
    }

    fn row(&mut self, cells: &[&dyn Display]) {
        self.line(&"<tr>");
        cells.iter().for_each(|cell| self.line(&format_args!("<td>{}</td>", escaped(&cell.to_string()))));
        self.line(&"</tr>");
    }

    fn listener(&mut self, balancer: &Balancer, now: Now) {
        if let Some(fault) = balancer.settings.fault {
            self.line(&format_args!("Fault on purpose: {fault}<p>"));
        }
        self.table(SERVERS);
        balancer.servers.iter().for_each(|(id, server)| self.server(id, server, now));
        self.line(&"</table>");
        let most = balancer.settings.clients_max;
        self.text(&format_args!("<h2>Active clients</h2>Max number of clients: {most}<p>"));
        self.table(CLIENTS);
        let clients = balancer.clients.iter().take(ROWS_MAX);
        clients.for_each(|(id, client)| self.client(id.slot(), client, now));
        self.line(&"</table>");
    }

    fn server(&mut self, id: ServerId, server: &Server, now: Now) {
        let Server { failed_at, connections, max, hard, sent, received, weight, prio, .. } = server;
        let (host, port) = (shown_host(server), shown_port(server));
        let name = server.name.as_deref().unwrap_or_default();
        let state = state_of(server, now.moment);
        let cells: [&dyn Display; 13] =
            [&id, &host, failed_at, &port, connections, max, hard, sent, received, weight, prio, &name, &state];
        self.row(&cells);
    }

    fn client(&mut self, slot: usize, client: &Client, now: Now) {
        let age = now.moment.since(client.seen()).as_secs();
        let server = client.server().map_or(String::from("none"), |index| index.to_string());
        let (connects, sent, received) = (client.connects(), client.sent(), client.received());
        self.row(&[&slot, &client.address(), &age, &server, &connects, &sent, &received]);
    }

    fn connection(&mut self, status: &ConnectionStatus) {
        let ConnectionStatus { number, down_fd, up_fd, pending_down, pending_up, .. } = status;
        let client = status.client.map_or(String::from("none"), |slot| slot.to_string());
        let server = status.server.map_or(String::from("none"), |id| id.to_string());
        self.row(&[number, down_fd, up_fd, pending_down, pending_up, &client, &server]);
    }
}

/// A text as it may stand between tags and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Common, Settings};
    use crate::base::addr::ClientAddr;
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Moment;
    use crate::control::status::State;

    const NOW: Now = Now { moment: Moment::from_nanos(9_000_000_000), unix: 1_700_000_000 };

    fn busy() -> (Listeners, ConnectionStatus) {
        let mut listeners = Listeners::new(Common::default(), Settings::default());
        let balancer = &mut listeners.main_mut().balancer;
        for (index, text) in (0..).zip(["127.0.0.1:21010:3:4:5:6", "/tmp/<b>&\"'"]) {
            let spec = ServerSpec::parse(text, &Services::default()).unwrap();
            balancer.servers.set(ServerId::Regular(index), Server::new(&spec, 80)).unwrap();
        }
        balancer.servers.server_mut(ServerId::Regular(0)).unwrap().name = Some("web1".into());
        let then = Now { moment: Moment::from_nanos(2_000_000_000), ..NOW };
        let client = balancer.admit(ClientAddr::Inet([127, 0, 0, 3].into()), 1, then).client;
        balancer.connected(ServerId::Regular(0), client, then);
        balancer.account(ServerId::Regular(0), client, 5, 9);
        let status = ConnectionStatus {
            number: 2,
            listener: None,
            state: State::Connected { server_ended: false, client_ended: false },
            down_fd: 8,
            up_fd: 9,
            pending_down: 10,
            pending_up: 20,
            client: Some(0),
            server: Some(ServerId::Regular(0)),
        };
        (listeners, status)
    }

    /// The rows of the page, cells separated by bars.
    fn rows(page: &str) -> Vec<String> {
        let rows = page.split("<tr>\n").skip(1).map(|row| row.split("</tr>").next().unwrap());
        let cell = |line: &str| line.split('>').nth(1).unwrap().trim_end_matches("</td").to_owned();
        rows.map(|row| row.lines().map(cell).collect::<Vec<_>>().join("|")).collect()
    }

    #[test]
    fn the_page_has_the_layout_of_the_original() {
        let (listeners, status) = busy();
        let page = page(&listeners, &[status], NOW, "2026-11-22 17:39:50");
        let start = "<html>\n<head>\n<title>Pen status page</title>\n</head>\n\
            <body bgcolor=\"#ffffff\"><h1>Pen status page</h1>\nTime 2026-11-22 17:39:50, 2 servers, 0 current<p>\n\
            <table bgcolor=\"#c0c0c0\">\n<tr>\n<td bgcolor=\"#80f080\">server</td>\n";
        assert!(page.starts_with(start), "{page}");
        let middle = "</table>\n<h2>Active clients</h2>Max number of clients: 2048<p><table bgcolor=\"#c0c0c0\">\n";
        assert!(page.contains(middle), "{page}");
        let middle = "</table>\n<h2>Active connections</h2>Number of connections: 500 max, 1 used, 2 last<p>\
            <table bgcolor=\"#c0c0c0\">\n";
        assert!(page.contains(middle), "{page}");
        assert!(page.ends_with("</tr>\n</table>\n</body>\n</html>\n"));
        let expected = [
            "server|address|status|port|connections|max soft|max hard|sent|received|weight|prio|name|state",
            "0|127.0.0.1|0|21010|0|3|4|5|9|5|6|web1|up",
            "1|/tmp/&lt;b&gt;&amp;&quot;&#39;|0|1|0|0|0|0|0|0|0||up",
            "client|address|age(secs)|last server|connects|sent|received",
            "0|127.0.0.3|7|0|1|9|5",
            "connection|downfd|upfd|pending data down|pending data up|client|server",
            "2|8|9|10|20|0|0",
        ];
        assert_eq!(rows(&page), expected);
    }
}
