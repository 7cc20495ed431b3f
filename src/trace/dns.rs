//! DNS over TCP: questions, and what was answered (RFC 1035, RFC 7766).

use std::io::Write;

use super::dump::Direction;
use super::told::Told;

/// Bytes of a message that are kept: its head, and a name of any length.
const MESSAGE_KEPT: usize = 600;
/// The head of a message (RFC 1035 section 4.1.1).
const HEAD: usize = 12;

/// A connection as far as it has come.
#[derive(Default, Debug)]
pub struct Dns {
    up: Messages,
    down: Messages,
}

/// One direction.
#[derive(Default, Debug)]
struct Messages {
    /// The two bytes of the length, and the beginning of the message.
    kept: Vec<u8>,
    /// Bytes that are to come, once the length is known.
    left: usize,
    is_lost: bool,
}

impl Dns {
    /// Takes a chunk.
    pub fn take(&mut self, direction: Direction, chunk: &[u8], told: &mut Told<'_>) {
        let messages = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        messages.is_lost = false;
        let mut rest = chunk;
        while !rest.is_empty() {
            let count = messages.take(rest, told);
            rest = &rest[count..];
        }
    }
}

impl Messages {
    fn take(&mut self, bytes: &[u8], told: &mut Told<'_>) -> usize {
        if self.is_lost {
            told.unknown(bytes.len());
            return bytes.len();
        }
        if self.kept.len() < 2 {
            self.kept.push(bytes[0]);
            if let [high, low] = self.kept[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                if self.left < HEAD {
                    self.kept.clear();
                    self.is_lost = true;
                    told.unknown(1);
                }
            }
            return 1;
        }
        let count = self.left.min(bytes.len());
        let room = MESSAGE_KEPT + 2 - self.kept.len();
        self.kept.extend_from_slice(&bytes[..count.min(room)]);
        self.left -= count;
        if self.left == 0 {
            told.line(&message(&self.kept[2..]));
            self.kept = Vec::new();
        }
        count
    }
}

/// True if bytes look like the first question of a client; at least fourteen tell.
pub fn is_start(bytes: &[u8]) -> bool {
    let [high, low, _, _, flags, more, 0, 1, 0, 0, 0, 0, 0, 0..=2, ..] = *bytes else { return false };
    u16::from_be_bytes([high, low]) >= 17 && flags & 0xf8 == 0 && more & 0x0f == 0
}

/// A message in words.
fn message(message: &[u8]) -> Vec<u8> {
    let number = |place: usize| u16::from_be_bytes([message[place], message[place + 1]]);
    let (id, flags, questions, answers) = (number(0), number(2), number(4), number(6));
    let is_answer = flags & 0x8000 != 0;
    let mut out = Vec::new();
    let what = match ((flags >> 11) & 15, is_answer) {
        (0, false) => "question",
        (0, true) => "answer",
        (4, _) => "notify",
        (5, false) => "update",
        (5, true) => "answer to an update",
        (_, false) => "request",
        (_, true) => "response",
    };
    write!(out, "{id} {what}").expect("writing to memory does not fail");
    if questions > 0 {
        out.push(b' ');
        let end = write_name(&mut out, message, HEAD);
        if let Some([high, low, ..]) = end.and_then(|end| message.get(end..)) {
            write!(out, " {}", type_name(u16::from_be_bytes([*high, *low]))).expect("writing to memory does not fail");
        }
    }
    if is_answer {
        let noun = if answers == 1 { "answer" } else { "answers" };
        let code = code_name(flags & 15);
        write!(out, ", {code}, {answers} {noun}").expect("writing to memory does not fail");
        if flags & 0x0200 != 0 {
            out.extend_from_slice(b", cut short");
        }
    }
    out
}

/// Appends a name; where it ends. The first of a message points nowhere.
fn write_name(out: &mut Vec<u8>, message: &[u8], mut place: usize) -> Option<usize> {
    let start = out.len();
    loop {
        let length = usize::from(*message.get(place)?);
        if length == 0 {
            break;
        }
        if length > 63 || out.len() - start > 255 {
            out.extend_from_slice(b"?");
            return None;
        }
        let label = message.get(place + 1..place + 1 + length)?;
        out.extend(label.iter().map(|byte| if *byte == b' ' { b'.' } else { *byte }));
        out.push(b'.');
        place += 1 + length;
    }
    if out.len() == start {
        out.push(b'.');
    }
    Some(place + 1)
}

fn type_name(number: u16) -> String {
    let name = match number {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        _ => return format!("TYPE{number}"),
    };
    String::from(name)
}

fn code_name(code: u16) -> String {
    let name = match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        _ => return format!("RCODE{code}"),
    };
    String::from(name)
}
