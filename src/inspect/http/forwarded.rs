//! X-Forwarded-For and X-Forwarded-Proto: a request's head as the server gets it.

use super::head::{field, is_forwarded, lines};
use crate::base::addr::ClientAddr;

/// Who sends the requests of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// Its address.
    pub client: ClientAddr,
    /// Whether what it says itself of whom a request is from is kept.
    pub is_trusted: bool,
}

impl Sender {
    /// Appends a head that was read without complaint, with what tells the server of the sender as
    /// its last lines. Every line ends in CR LF, whatever it ended in before, so that no reader can
    /// take two for one.
    pub fn write_head(self, head: &[u8], out: &mut Vec<u8>) {
        let mut said: Vec<&[u8]> = Vec::new();
        let mut has_proto = false;
        for (number, line) in lines(head).enumerate() {
            let name = match field(line) {
                Ok((name, value)) if number > 0 && is_forwarded(name) => {
                    if !self.is_trusted {
                        continue;
                    }
                    if name.eq_ignore_ascii_case(b"x-forwarded-for") {
                        said.extend(Some(value).filter(|value| !value.is_empty()));
                        continue;
                    }
                    name
                }
                _ => b"",
            };
            has_proto |= name.eq_ignore_ascii_case(b"x-forwarded-proto");
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        if !has_proto {
            out.extend_from_slice(b"X-Forwarded-Proto: http\r\n");
        }
        out.extend_from_slice(b"X-Forwarded-For: ");
        for value in said {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        let client = match self.client {
            ClientAddr::Inet(ip) => ip.to_string(),
            // As RFC 7239 section 6.2 has it.
            ClientAddr::Unix => String::from("unknown"),
        };
        out.extend_from_slice(client.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
}
