//! LDAP: messages, cut out of the stream, and where it turns to TLS (RFC 4511).
//!
//! What is secret in a message is veiled as it comes. Of a message only its beginning is kept, and
//! told once all of it has passed.

use super::ber::header;
use super::dump::Direction;
use super::ldap_secrets::Walk;
use super::ldap_text;
use super::told::Told;

/// Bytes of a message that are kept.
const MESSAGE_KEPT: usize = 4096;

/// The operation that begins TLS (RFC 4511 section 4.14).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;

/// A connection as far as it has come.
#[derive(Default, Debug)]
pub struct Ldap {
    up: Messages,
    down: Messages,
    /// TLS was asked for.
    wants_tls: bool,
}

/// One direction.
#[derive(Default, Debug)]
struct Messages {
    /// The beginning of a message.
    kept: Vec<u8>,
    /// Bytes of the message that are to come, once its length is known.
    left: usize,
    walk: Walk,
    /// What came is no LDAP: the next chunk may be.
    is_lost: bool,
}

impl Ldap {
    /// Takes a chunk; how much of it is LDAP, if TLS begins.
    pub fn take(&mut self, direction: Direction, chunk: &mut [u8], told: &mut Told<'_>) -> Option<usize> {
        let messages = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        messages.is_lost = false;
        let mut used = 0;
        while used < chunk.len() {
            let (count, is_whole) = messages.take(&mut chunk[used..], told);
            used += count;
            if !is_whole {
                continue;
            }
            told.line(&ldap_text::message(&messages.kept));
            let begins_tls = match ldap_text::operation(&messages.kept) {
                Some(request) if request.tag == EXTENDED_REQUEST => {
                    self.wants_tls = request.elements().next().is_some_and(|name| name.content == START_TLS);
                    false
                }
                Some(response) if response.tag == EXTENDED_RESPONSE => {
                    let code = response.elements().next().and_then(|code| code.number());
                    std::mem::take(&mut self.wants_tls) && code == Some(0)
                }
                _ => false,
            };
            messages.kept.clear();
            messages.kept.shrink_to(0);
            if begins_tls {
                return Some(used);
            }
        }
        None
    }
}

impl Messages {
    /// Takes some bytes; how many, and whether they end a message.
    fn take(&mut self, chunk: &mut [u8], told: &mut Told<'_>) -> (usize, bool) {
        if self.is_lost {
            told.unknown(chunk.len());
            return (chunk.len(), false);
        }
        if self.left == 0 {
            return (self.take_header(chunk, told), false);
        }
        let count = self.left.min(chunk.len());
        let part = &mut chunk[..count];
        self.walk.take(part, told);
        let room = MESSAGE_KEPT - self.kept.len();
        self.kept.extend_from_slice(&part[..count.min(room)]);
        self.left -= count;
        (count, self.left == 0)
    }

    /// Takes what tells the length of a message, and the tag of its number.
    fn take_header(&mut self, chunk: &[u8], told: &mut Told<'_>) -> usize {
        for (place, &byte) in chunk.iter().enumerate() {
            if let Some((_, length, _)) = header(&self.kept) {
                if byte == 0x02 {
                    self.left = length;
                    self.walk = Walk::new(length);
                    return place;
                }
                self.lose(place, told);
                return place;
            }
            self.kept.push(byte);
            let may_be = self.kept[0] == 0x30 && self.kept.len() <= 6;
            let is_long_enough = header(&self.kept).is_none_or(|(_, length, _)| length >= 5);
            let is_number = self.kept.get(1).is_none_or(|first| (1..=0x84).contains(first) && *first != 0x80);
            if !(may_be && is_long_enough && is_number) {
                self.lose(place + 1, told);
                return place + 1;
            }
        }
        chunk.len()
    }

    /// This is no LDAP.
    fn lose(&mut self, count: usize, told: &mut Told<'_>) {
        told.unknown(count);
        self.kept.clear();
        self.is_lost = true;
    }
}

/// True if bytes look like the beginning of a message; at least seven tell.
pub fn is_start(bytes: &[u8]) -> bool {
    let Some((0x30, length, start)) = header(bytes) else { return false };
    let Some((0x02, id_length @ 1..=4, id_header)) = header(&bytes[start..]) else { return false };
    let operation = bytes.get(start + id_header + id_length);
    length >= 5 && operation.is_some_and(|tag| ldap_text::name(*tag).is_some())
}
