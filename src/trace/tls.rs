//! TLS: the handshake as far as it is in the clear (RFC 8446, 5246), and alerts.

use super::dump::Direction;
use super::tls_hello;
use super::told::Told;

/// Bytes of a message of the handshake that are kept.
const MESSAGE_KEPT: usize = 4096;
/// The most bytes of a record (RFC 5246 section 6.2.3).
const RECORD_MAX: usize = 16_384 + 2048;
const HEADER: usize = 5;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;

/// A connection as far as it has come.
#[derive(Default, Debug)]
pub struct Tls {
    up: Records,
    down: Records,
    /// The server wants another hello: what says that all is encrypted from there comes too early
    /// (RFC 8446 appendix D.4).
    is_retried: bool,
}

/// One direction.
#[derive(Default, Debug)]
struct Records {
    header: [u8; HEADER],
    header_length: usize,
    /// Bytes of the record that are to come.
    left: usize,
    /// A message of the handshake, without what is beyond what is kept; or an alert.
    kept: Vec<u8>,
    /// Bytes of it that were not kept.
    dropped: usize,
    is_encrypted: bool,
    /// What came is no TLS: the next chunk may be.
    is_lost: bool,
}

impl Tls {
    /// Takes a chunk.
    pub fn take(&mut self, direction: Direction, chunk: &[u8], told: &mut Told<'_>) {
        let is_retried = self.is_retried;
        let records = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        records.is_lost = false;
        let mut rest = chunk;
        while !rest.is_empty() && !records.is_encrypted && !records.is_lost {
            let count = records.take(rest, told);
            rest = &rest[count..];
            let is_whole_record = records.left == 0 && records.header_length == HEADER;
            match records.header[0] {
                _ if records.header_length < HEADER || records.is_lost => {}
                APPLICATION => records.encrypt(told),
                CHANGE_CIPHER_SPEC if is_whole_record && !is_retried => records.encrypt(told),
                ALERT if is_whole_record => {
                    told.line(&alert(&records.kept));
                    records.kept.clear();
                }
                HANDSHAKE => {
                    if let Some(message) = records.next_message() {
                        let retried = tls_hello::is_retry(&message);
                        self.is_retried |= retried;
                        told.line(&tls_hello::message(&message));
                    }
                }
                _ => {}
            }
            if is_whole_record {
                records.header_length = 0;
            }
        }
        if records.is_lost {
            told.unknown(rest.len());
        }
    }
}

impl Records {
    /// Takes a part of a record; how many bytes.
    fn take(&mut self, bytes: &[u8], told: &mut Told<'_>) -> usize {
        if self.header_length < HEADER {
            let count = (HEADER - self.header_length).min(bytes.len());
            self.header[self.header_length..self.header_length + count].copy_from_slice(&bytes[..count]);
            self.header_length += count;
            let [sort, major, _, high, low] = self.header;
            let is_possible =
                (CHANGE_CIPHER_SPEC..=APPLICATION + 1).contains(&sort) && (self.header_length < 2 || major == 3);
            self.left = usize::from(u16::from_be_bytes([high, low]));
            if !is_possible || (self.header_length == HEADER && self.left > RECORD_MAX) {
                told.unknown(count);
                (self.header_length, self.left, self.is_lost) = (0, 0, true);
                self.kept.clear();
            }
            return count;
        }
        let mut count = self.left.min(bytes.len());
        if matches!(self.header[0], HANDSHAKE | ALERT) {
            count = count.min(self.missing());
            self.keep(&bytes[..count]);
        }
        self.left -= count;
        count
    }

    /// The length of the message of the handshake that is coming, once that is known.
    fn whole(&self) -> Option<usize> {
        let [_, a, b, c, ..] = self.kept[..] else { return None };
        Some(4 + u32::from_be_bytes([0, a, b, c]) as usize)
    }

    /// How many bytes may be taken without a part of the next message.
    fn missing(&self) -> usize {
        match (self.header[0], self.whole()) {
            (HANDSHAKE, None) => 4 - self.kept.len(),
            (HANDSHAKE, Some(whole)) => whole.saturating_sub(self.kept.len() + self.dropped),
            _ => usize::MAX,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MESSAGE_KEPT - self.kept.len();
        let count = bytes.len().min(room);
        self.kept.extend_from_slice(&bytes[..count]);
        self.dropped += bytes.len() - count;
    }

    /// Takes the message of the handshake that is whole, but for what was not kept.
    fn next_message(&mut self) -> Option<Vec<u8>> {
        let whole = self.whole()?;
        if self.kept.len() + self.dropped < whole {
            return None;
        }
        self.dropped = 0;
        Some(std::mem::take(&mut self.kept))
    }

    fn encrypt(&mut self, told: &mut Told<'_>) {
        told.line(b"encrypted from here");
        *self = Records { is_encrypted: true, ..Records::default() };
    }
}

/// True if bytes look like the first record of a client.
pub fn is_start(bytes: &[u8]) -> bool {
    matches!(bytes, [HANDSHAKE, 3, 0..=4, _, _, 1, ..])
}

/// An alert in words (RFC 8446 section 6).
fn alert(content: &[u8]) -> Vec<u8> {
    let [level, what] = content else { return b"an alert that is encrypted".to_vec() };
    let level = match level {
        1 => "warning",
        2 => "fatal",
        _ => "?",
    };
    let name = match what {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "?",
    };
    format!("alert: {level}, {name} ({what})").into_bytes()
}
