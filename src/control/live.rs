//! The live page of the status port: whole without JavaScript, and with it kept up to date from
//! `status.json`, by the members that its elements name.
//!
//! It needs nothing from outside, and its policy lets it load and run nothing else. What the script
//! writes must look as it does here: both have the same few forms of numbers.

use std::fmt::Write;

use super::history::{INTERVAL, INTERVALS, per_second};
use super::http::{Answer, Code, utc};
use super::overview::{Overview, Seen, severity};
use super::page::escaped;
use crate::balance::{Listener, Traffic};

const STYLE: &str = include_str!("live.css");
const SCRIPT: &str = include_str!("live.js");

/// What the page may do: nothing but what is in it, and asking where it came from. The numbers are the
/// SHA-256 of the style and of the script (Content Security Policy Level 3, section 2.3.1).
const FIELDS: &str = "Content-Security-Policy: default-src 'none'; \
    style-src 'sha256-caYqplz1T/FlByRlUrMSOV+ti+N6b841ndL7wtxbVQ0='; \
    script-src 'sha256-vMIiUxmtLBNozq42fM/44U15T5TkXxvl050gpCdjI6Q='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
    Referrer-Policy: no-referrer\r\n";

/// The most rows of a table: the page is for people.
const ROWS_MAX: usize = 1000;

/// The size of a chart, in its own units: a sample a unit.
const WIDTH: usize = INTERVALS;
const HEIGHT: usize = 40;

/// The page.
pub fn page(seen: Overview<'_>) -> Answer {
    let mut page = Html(String::with_capacity(32 * 1024));
    page.head(seen);
    page.tiles(seen);
    page.charts(seen);
    for (place, (_, listener)) in seen.listeners.iter().enumerate() {
        page.listener(seen, place, listener);
    }
    page.events(seen);
    page.foot();
    Answer { code: Code::Ok, media_type: "text/html; charset=utf-8", fields: FIELDS, body: page.0 }
}

/// A form of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// With its thousands apart.
    Count,
    /// With one digit behind the point.
    Decimal,
    /// In the greatest unit that fits.
    Bytes,
    /// The same in a second.
    Rate,
    /// Seconds, in the greatest two units that fit.
    Duration,
}

impl Form {
    /// As the script calls it.
    fn name(self) -> &'static str {
        match self {
            Form::Count => "count",
            Form::Decimal => "decimal",
            Form::Bytes => "bytes",
            Form::Rate => "rate",
            Form::Duration => "duration",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Form::Count => thousands(value as u64),
            Form::Decimal if value == 0.0 => String::from("0"),
            Form::Decimal => format!("{value:.1}"),
            Form::Bytes => bytes(value),
            Form::Rate => format!("{}/s", bytes(value)),
            Form::Duration => duration(value as u64),
        }
    }
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(mut value: f64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    while value >= 999.5 && unit < UNITS.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if minutes == 0 => format!("{seconds} s"),
        () if hours == 0 => format!("{minutes} min"),
        () if days == 0 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

struct Html(String);

impl Html {
    fn put(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = self.0.write_fmt(text);
        self.0.push('\n');
    }

    fn head(&mut self, seen: Overview<'_>) {
        let (version, pid) = (Overview::VERSION, seen.process.pid);
        let standing = seen.process.standing.word();
        let (class, state, title) = match seen.health() {
            Ok(()) => ("up", String::from(standing), standing),
            Err(why) => ("trouble", escaped(&why), "trouble"),
        };
        let shape = escaped(&shape(seen));
        let uptime = value("uptime", Form::Duration, seen.uptime().as_secs() as f64);
        self.put("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        self.put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        self.line(format_args!("<title>pen: {title}</title>"));
        self.put("<link rel=\"icon\" href=\"data:,\">\n");
        self.put("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n<style>");
        self.put(STYLE);
        self.put("</style>\n</head>\n");
        self.line(format_args!("<body data-shape=\"{shape}\">\n<header>\n<h1>pen</h1>"));
        self.line(format_args!("<p id=\"health\" class=\"state {class}\" role=\"status\">{state}</p>"));
        self.line(format_args!("<p class=\"soft\">version {version}, process {pid}, up {uptime}</p>"));
        self.put("</header>\n<main>\n");
    }

    fn tiles(&mut self, seen: Overview<'_>) {
        let lately = seen.history.lately();
        let Traffic { begun, up, down } = seen.traffic();
        let open = value("connections", Form::Count, seen.process.pairs as f64);
        let most = value("connections_max", Form::Count, seen.listeners.common.conn_max as f64);
        self.put("<dl>\n");
        self.tile("Connections", &format!("{open} <small>of {most}</small>"));
        let new = value("rates.accepted", Form::Decimal, per_second(lately.begun));
        let all = value("accepted", Form::Count, begun as f64);
        self.tile("New each second", &format!("{new} <small>{all} in all</small>"));
        for (what, path, rate, total) in [("up", "up", lately.up, up), ("down", "down", lately.down, down)] {
            let name = if what == "up" { "To servers" } else { "From servers" };
            let rate = value(&format!("rates.{path}"), Form::Rate, per_second(rate));
            let total = value(path, Form::Bytes, total as f64);
            self.tile(name, &format!("{rate} <small>{total} in all</small>"));
        }
        self.put("</dl>\n");
    }

    fn tile(&mut self, name: &str, what: &str) {
        self.line(format_args!("<div><dt>{name}</dt><dd>{what}</dd></div>"));
    }

    fn charts(&mut self, seen: Overview<'_>) {
        let history = || seen.history.intervals();
        let rate = |bytes: u64| bytes as f64 / INTERVAL.as_secs_f64();
        self.put("<div class=\"charts\">\n");
        let open: Vec<f64> = history().map(|interval| interval.connections as f64).collect();
        self.chart("Connections", "connections", Form::Count, &open);
        let up: Vec<f64> = history().map(|interval| rate(interval.traffic.up)).collect();
        self.chart("To servers", "up", Form::Rate, &up);
        let down: Vec<f64> = history().map(|interval| rate(interval.traffic.down)).collect();
        self.chart("From servers", "down", Form::Rate, &down);
        self.put("</div>\n");
    }

    fn chart(&mut self, title: &str, of: &str, form: Form, values: &[f64]) {
        let most = values.iter().copied().fold(0.0, f64::max);
        let now = form.show(values.last().copied().unwrap_or(0.0));
        let (line, area) = points(values, most);
        let (most, form) = (form.show(most), form.name());
        self.line(format_args!("<figure data-of=\"{of}\" data-form=\"{form}\" data-title=\"{title}\">"));
        self.line(format_args!(
            "<figcaption><span>{title} <b class=\"now\">{now}</b></span>\
             <span>max <b class=\"most\">{most}</b></span></figcaption>"
        ));
        self.line(format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{title} in the last five minutes: now {now}, at most {most}\">\
             <polygon points=\"{area}\"/><polyline points=\"{line}\"/></svg>"
        ));
        self.put("<div class=\"ends\"><span>5 min ago</span><span>now</span></div>\n</figure>\n");
    }

    fn listener(&mut self, seen: Overview<'_>, place: usize, listener: &Listener) {
        let at = format!("listeners.{place}");
        let (name, addresses) = (escaped(&listener.name), escaped(&listener.at.join(" ")));
        let open = value(&format!("{at}.connections"), Form::Count, listener.pairs as f64);
        self.line(format_args!(
            "<h2 id=\"listener-{place}\">Listener {name} <small><span data-at=\"{at}.addresses\" \
             data-form=\"list\">{addresses}</span> · {open} open</small></h2>"
        ));
        self.line(format_args!(
            "<table role=\"table\" aria-labelledby=\"listener-{place}\">\n<thead role=\"rowgroup\">"
        ));
        self.put("<tr role=\"row\">");
        for (column, class) in COLUMNS {
            let _ = write!(self.0, "<th role=\"columnheader\" scope=\"col\"{class}>{column}</th>");
        }
        self.put("</tr>\n</thead>\n<tbody role=\"rowgroup\">\n");
        for (number, server) in seen.servers(listener).take(ROWS_MAX).enumerate() {
            self.server(&format!("{at}.servers.{number}"), &server);
        }
        self.put("</tbody>\n</table>\n");
        match seen.servers(listener).count() {
            0 => self.put("<p class=\"soft\">It has no servers.</p>\n"),
            all if all > ROWS_MAX => self.line(format_args!("<p class=\"soft\">And {} more.</p>", all - ROWS_MAX)),
            _ => {}
        }
    }

    fn server(&mut self, at: &str, seen: &Seen<'_>) {
        let server = seen.server;
        let id = escaped(&seen.id.to_string());
        let name = server.name.as_deref().map_or(id.clone(), |name| format!("{} ({id})", escaped(name)));
        let (address, state) = (escaped(&seen.address()), seen.state);
        let left = seen.left_out.as_secs_f64().ceil() as u64;
        let left = if state == "blacklisted" { format!(" {}", duration(left)) } else { String::new() };
        self.line(format_args!("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">{name}</th>"));
        self.line(format_args!("<td role=\"cell\" class=\"left wide\" data-label=\"Address\">{address}</td>"));
        self.line(format_args!(
            "<td role=\"cell\" class=\"left wide\" data-label=\"State\">\
             <span class=\"state {state}\" data-state=\"{at}\">{state}{left}</span></td>"
        ));
        let most = if server.max > 0 { format!(" of {}", thousands(u64::from(server.max))) } else { String::new() };
        let open = value(&format!("{at}.connections"), Form::Count, f64::from(server.clients()));
        self.cell("Connections", &format!("{open}{most}"));
        let lately = server.lately.traffic;
        let rate = |path: &str, form, count| value(&format!("{at}.rates.{path}"), form, per_second(count));
        self.cell("New/s", &rate("connects", Form::Decimal, lately.begun));
        self.cell("To server", &rate("up", Form::Rate, lately.up));
        self.cell("From server", &rate("down", Form::Rate, lately.down));
        self.cell("Connects", &value(&format!("{at}.connects"), Form::Count, server.counts.connects as f64));
        let failures = server.counts.refused + server.counts.timed_out + server.counts.failed;
        let failures = thousands(failures);
        self.cell("Failures", &format!("<span data-failures=\"{at}.failures\">{failures}</span>"));
        self.put("</tr>\n");
    }

    fn cell(&mut self, label: &str, what: &str) {
        self.line(format_args!("<td role=\"cell\" data-label=\"{label}\"><span>{what}</span></td>"));
    }

    fn events(&mut self, seen: Overview<'_>) {
        self.put("<h2>Events <small>of late, in UTC</small></h2>\n<ol class=\"events\" id=\"events\">\n");
        for event in seen.recent.iter().rev() {
            let (at, text) = (utc(event.unix), escaped(&event.text));
            let (stamp, class) = (at.replace(' ', "T"), severity(event.severity));
            self.line(format_args!(
                "<li><time datetime=\"{stamp}Z\">{at}</time><span class=\"{class}\">{text}</span></li>"
            ));
        }
        let hidden = if seen.recent.iter().next().is_some() { " hidden" } else { "" };
        self.line(format_args!("</ol>\n<p class=\"soft\" id=\"quiet\"{hidden}>Nothing has happened yet.</p>"));
    }

    fn foot(&mut self) {
        self.put("</main>\n<footer><a href=\"status.json\">JSON</a><a href=\"metrics\">Metrics</a>");
        self.put("<a href=\"health\">Health</a></footer>\n<script>");
        self.put(SCRIPT);
        self.put("</script>\n</body>\n</html>\n");
    }
}

/// The columns of servers, and their classes.
const COLUMNS: [(&str, &str); 9] = [
    ("Server", ""),
    ("Address", " class=\"left\""),
    ("State", " class=\"left\""),
    ("Connections", ""),
    ("New/s", ""),
    ("To server", ""),
    ("From server", ""),
    ("Connects", ""),
    ("Failures", ""),
];

/// A number that the script keeps up to date from a member of `status.json`.
fn value(at: &str, form: Form, value: f64) -> String {
    let (name, text) = (form.name(), form.show(value));
    format!("<span data-at=\"{at}\" data-form=\"{name}\">{text}</span>")
}

/// What the page is made for: if that changes, a new one is needed.
fn shape(seen: Overview<'_>) -> String {
    let listeners = seen.listeners.iter().map(|(_, listener)| {
        let servers: Vec<String> = seen.servers(listener).map(|server| server.id.to_string()).collect();
        format!("{}:{}", listener.name, servers.join(","))
    });
    listeners.collect::<Vec<_>>().join(";")
}

/// The line of a chart, and the area below it.
fn points(values: &[f64], most: f64) -> (String, String) {
    let from = WIDTH + 1 - values.len();
    let scale = (HEIGHT - 3) as f64 / if most > 0.0 { most } else { 1.0 };
    let point = |(place, value): (usize, &f64)| {
        let height = (HEIGHT - 1) as f64 - scale * value;
        format!("{},{height:.1}", from + place)
    };
    let line = values.iter().enumerate().map(point).collect::<Vec<_>>().join(" ");
    let area = if values.is_empty() { String::new() } else { format!("{from},{HEIGHT} {line} {WIDTH},{HEIGHT}") };
    (line, area)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::overview::testing::Pen;

    #[test]
    fn numbers_have_their_forms() {
        let table = [
            (Form::Count, 0.0, "0"),
            (Form::Count, 999.0, "999"),
            (Form::Count, 1_000.0, "1,000"),
            (Form::Count, 1_234_567.0, "1,234,567"),
            (Form::Decimal, 0.0, "0"),
            (Form::Decimal, 3.5, "3.5"),
            (Form::Bytes, 0.0, "0 B"),
            (Form::Bytes, 999.4, "999 B"),
            (Form::Bytes, 999.5, "1.0 kB"),
            (Form::Bytes, 99_949.0, "99.9 kB"),
            (Form::Bytes, 99_960.0, "100 kB"),
            (Form::Rate, 1_500_000.0, "1.5 MB/s"),
            (Form::Bytes, 1.8e19, "18.0 EB"),
            (Form::Duration, 59.0, "59 s"),
            (Form::Duration, 60.0, "1 min"),
            (Form::Duration, 7_385.0, "2 h 3 min"),
            (Form::Duration, 180_000.0, "2 d 2 h"),
        ];
        for (form, value, text) in table {
            assert_eq!(form.show(value), text);
        }
    }

    #[test]
    fn a_chart_fits_into_its_frame() {
        assert_eq!(points(&[], 0.0), (String::new(), String::new()));
        assert_eq!(points(&[0.0], 0.0).0, "150,39.0");
        let (line, area) = points(&[0.0, 5.0, 10.0], 10.0);
        assert_eq!(line, "148,39.0 149,20.5 150,2.0");
        assert_eq!(area, format!("148,40 {line} 150,40"));
        assert!(points(&[1.0; INTERVALS], 1.0).0.starts_with("1,2.0 2,2.0 "));
    }

    #[test]
    fn the_page_shows_everything_and_nothing_gets_out_of_its_place() {
        let pen = Pen::busy();
        let Answer { body, .. } = page(pen.overview());
        for part in [
            "<title>pen: serving</title>",
            "<body data-shape=\"main:0,1;tls:0,1\">",
            "<p id=\"health\" class=\"state up\" role=\"status\">serving</p>",
            "process 4711, up <span data-at=\"uptime\" data-form=\"duration\">12 s</span>",
            "<span data-at=\"rates.down\" data-form=\"rate\">1.0 kB/s</span>",
            "<polyline points=\"149,20.5 150,2.0\"/>",
            "Listener tls <small><span data-at=\"listeners.1.addresses\" data-form=\"list\">443</span>",
            "scope=\"row\">web1 (0)</th>",
            "data-label=\"Address\">/t/&lt;b&gt;&amp;&quot;&#39;\\</td>",
            "<span class=\"state blacklisted\" data-state=\"listeners.0.servers.1\">blacklisted 30 s</span>",
            "<span data-at=\"listeners.0.servers.0.connections\" data-form=\"count\">1</span> of 3",
            "<time datetime=\"2023-11-14T22:13:39Z\">2023-11-14 22:13:39</time><span class=\"warning\">server 1 (2001",
            "failed: &lt;b&gt;no\nroute&lt;/b&gt;</span></li>",
            "id=\"quiet\" hidden>",
            "<span data-failures=\"listeners.0.servers.1.failures\">1</span>",
        ] {
            assert!(body.contains(part), "{part}\n{body}");
        }
        assert!(!body.contains("<b>&") && !body.contains("style="), "{body}");
    }

    #[test]
    fn the_policy_allows_this_style_and_this_script_and_no_other() {
        let expected = FIELDS.split('\'').filter_map(|word| word.strip_prefix("sha256-")).collect::<Vec<_>>();
        assert_eq!(expected, [base64(&sha256(STYLE.as_bytes())), base64(&sha256(SCRIPT.as_bytes()))]);
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</") && !text.contains("<!--") && !text.contains("http"), "it stands in a page");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-4; RFC 4648.
        let digest = base64(&sha256(b"abc"));
        assert_eq!(digest, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = (0..3).fold(0, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
            for place in 0..4 {
                let digit = DIGITS[(word >> (18 - 6 * place) & 63) as usize] as char;
                text.push(if place <= chunk.len() { digit } else { '=' });
            }
        }
        text
    }

    fn sha256(message: &[u8]) -> Vec<u8> {
        let primes = || (2_u32..).filter(|n| (2..*n).all(|d| !n.is_multiple_of(d)));
        let fraction = |root: f64| ((root - root.floor()) * 4_294_967_296.0) as u32;
        let mut hash: Vec<u32> = primes().take(8).map(|prime| fraction(f64::from(prime).sqrt())).collect();
        let keys: Vec<u32> = primes().take(64).map(|prime| fraction(f64::from(prime).cbrt())).collect();
        let mut padded = [message, &[0x80]].concat();
        while padded.len() % 64 != 56 {
            padded.push(0);
        }
        padded.extend((8 * message.len() as u64).to_be_bytes());
        for block in padded.chunks(64) {
            let mut words: Vec<u32> =
                block.chunks(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
            for at in 16..64 {
                let (early, late) = (words[at - 15], words[at - 2]);
                let early = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
                let late = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
                words.push(words[at - 16].wrapping_add(early).wrapping_add(words[at - 7]).wrapping_add(late));
            }
            let mut h: Vec<u32> = hash.clone();
            for at in 0..64 {
                let mixed = h[4].rotate_right(6) ^ h[4].rotate_right(11) ^ h[4].rotate_right(25);
                let choice = (h[4] & h[5]) ^ (!h[4] & h[6]);
                let first = [h[7], mixed, choice, keys[at], words[at]].into_iter().fold(0, u32::wrapping_add);
                let mixed = h[0].rotate_right(2) ^ h[0].rotate_right(13) ^ h[0].rotate_right(22);
                let majority = (h[0] & h[1]) ^ (h[0] & h[2]) ^ (h[1] & h[2]);
                h.rotate_right(1);
                h[4] = h[4].wrapping_add(first);
                h[0] = first.wrapping_add(mixed).wrapping_add(majority);
            }
            hash.iter_mut().zip(h).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
        }
        hash.into_iter().flat_map(u32::to_be_bytes).collect()
    }
}
