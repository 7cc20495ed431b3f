//! A line of `key=value`, the form in which subscribers are told of something.

use std::fmt::{Display, Write};

use crate::balance::{Listener, ServerId};
use crate::base::bytes::veiled;
use crate::base::time::utc;

/// The longest value of a key, in bytes; what is longer is cut.
pub const VALUE_MAX: usize = 1_000;

/// A line that is being written.
#[derive(Debug)]
pub struct Line(String);

impl Line {
    /// A line that begins with the time and the name of an event.
    pub fn begin(unix: u64, event: &str) -> Line {
        Line(format!("time={} event={event}", utc(unix)))
    }

    /// Adds a key. The value stands in quotes if it is empty or has anything but visible ASCII without
    /// quotes and backslashes; within quotes, these two stand behind a backslash, and a dot for each
    /// character that is hidden.
    pub fn put(&mut self, key: &str, value: &dyn Display) {
        let Line(line) = self;
        let mut value = value.to_string();
        cut(&mut value);
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        // Writing to a String cannot fail.
        if !value.is_empty() && value.bytes().all(is_plain) {
            let _ = write!(line, " {key}={value}");
            return;
        }
        let _ = write!(line, " {key}=\"");
        for c in value.chars() {
            match c {
                '"' | '\\' => line.extend(['\\', c]),
                c => line.push(veiled(c)),
            }
        }
        line.push('"');
    }

    /// Adds a server of a listener: its number, its name if it has one, its address.
    pub fn server(&mut self, at: Option<&Listener>, id: ServerId) {
        self.put("server", &id);
        if let Some(server) = at.and_then(|at| at.balancer.servers.server(id)) {
            if let Some(name) = &server.name {
                self.put("name", name);
            }
            self.put("address", &server.place());
        }
    }

    /// The whole line with its newline.
    pub fn end(self) -> String {
        self.0 + "\n"
    }
}

/// Cuts a value that is too long, between characters.
pub(super) fn cut(value: &mut String) {
    if value.len() > VALUE_MAX {
        let end = (0..=VALUE_MAX).rev().find(|end| value.is_char_boundary(*end));
        value.truncate(end.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Common, Listeners, Server, Settings};
    use crate::base::operand::{ServerSpec, Services};

    #[test]
    fn the_address_of_a_server_is_the_one_that_an_operator_would_write() {
        for (text, address) in [
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("web.example:80", "web.example:80"),
            ("/run/web", "/run/web"),
        ] {
            let mut listeners = Listeners::new(Common::default(), Settings::default());
            let server = Server::new(&ServerSpec::parse(text, &Services::default()).unwrap(), 0);
            listeners.main_mut().balancer.servers.set(ServerId::Regular(3), server).unwrap();
            let mut line = Line::begin(0, "e");
            line.server(Some(listeners.main()), ServerId::Regular(3));
            assert_eq!(line.end(), format!("time=1970-01-01T00:00:00Z event=e server=3 address={address}\n"));
        }
    }

    #[test]
    fn a_value_stands_in_quotes_where_it_would_not_be_one_word() {
        let table = [
            ("a", "a"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a=b", "a=b"),
            ("\"", "\"\\\"\""),
            ("\\", "\"\\\\\""),
            ("a\nb\u{9b}\u{202e}c", "\"a.b..c\""),
            ("ä", "\"ä\""),
        ];
        for (value, shown) in table {
            let mut line = Line::begin(0, "e");
            line.put("key", &value);
            assert_eq!(line.end(), format!("time=1970-01-01T00:00:00Z event=e key={shown}\n"));
        }
        for (length, kept) in [(VALUE_MAX - 1, VALUE_MAX - 1), (VALUE_MAX, VALUE_MAX), (VALUE_MAX + 1, VALUE_MAX)] {
            let mut value = "x".repeat(length);
            cut(&mut value);
            assert_eq!(value.len(), kept);
        }
        let mut line = Line::begin(0, "e");
        line.put("key", &"ä".repeat(VALUE_MAX));
        assert_eq!(line.end().len(), "time=1970-01-01T00:00:00Z event=e key=\"\"\n".len() + VALUE_MAX);
    }
}
