//! Which bytes of an LDAP message are secret: a walk through its elements as they come.
//!
//! Secret are the passwords and the credentials of binds (RFC 4511 section 4.2), those of the
//! operation that changes a password (RFC 3062), and the values of attributes that hold passwords.

use super::ber::header;
use super::lines::is_one_of;
use super::told::Told;

/// Attributes whose values are secret, without their options.
const SECRET: [&str; 7] = [
    "userPassword",
    "unicodePwd",
    "authPassword",
    "sambaNTPassword",
    "sambaLMPassword",
    "krbPrincipalKey",
    "olcRootPW",
];
/// The operation that changes a password.
const CHANGE_PASSWORD: &[u8] = b"1.3.6.1.4.1.4203.1.11.1";

const BIND: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const ENTRY: u8 = 0x64;
const MODIFY: u8 = 0x66;
const ADD: u8 = 0x68;
const COMPARE: u8 = 0x6e;
const EXTENDED: u8 = 0x77;

/// How deep an element is walked into; what is deeper has no secrets.
const DEPTH_MAX: usize = 8;
/// Bytes of a name that are kept.
const NAME_KEPT: usize = 48;
const HEADER_MAX: usize = 6;

/// An element that was walked into.
#[derive(Clone, Copy, Default, Debug)]
struct Frame {
    tag: u8,
    /// Bytes in it that were not given to an element within yet.
    left: usize,
    /// Elements within so far.
    count: usize,
    /// All within is secret.
    is_secret: bool,
    /// The name that stood last was one of a secret.
    has_secret_name: bool,
}

/// How far a message was walked.
#[derive(Default, Debug)]
pub struct Walk {
    frames: [Frame; DEPTH_MAX],
    depth: usize,
    header: [u8; HEADER_MAX],
    header_length: usize,
    /// The operation.
    operation: u8,
    /// Bytes of a simple element that are to come.
    left: usize,
    is_secret: bool,
    /// The simple element is collected as a name.
    is_name: bool,
    name: Vec<u8>,
    /// It is not what it seemed to be; all that comes is secret, or nothing.
    broken: Option<bool>,
}

impl Walk {
    /// One through the content of a message of this length.
    pub fn new(length: usize) -> Walk {
        let mut walk = Walk { depth: 1, ..Walk::default() };
        walk.frames[0] = Frame { tag: 0x30, left: length, ..Frame::default() };
        walk
    }

    /// Goes on through these bytes, and veils those of them that are secret.
    pub fn take(&mut self, bytes: &mut [u8], told: &Told<'_>) {
        let mut used = 0;
        while used < bytes.len() {
            if let Some(is_secret) = self.broken {
                if is_secret {
                    told.veil_all(&mut bytes[used..]);
                }
                return;
            }
            if self.left > 0 {
                let count = self.left.min(bytes.len() - used);
                let part = &mut bytes[used..used + count];
                if self.is_name {
                    let room = NAME_KEPT - self.name.len();
                    self.name.extend_from_slice(&part[..count.min(room)]);
                }
                if self.is_secret {
                    told.veil_all(part);
                }
                used += count;
                self.left -= count;
                if self.left == 0 {
                    self.end_simple();
                }
                continue;
            }
            self.header[self.header_length] = bytes[used];
            self.header_length += 1;
            used += 1;
            let found = header(&self.header[..self.header_length]);
            match found {
                Some((tag, length, _)) => self.begin(tag, length),
                None if self.header_length == HEADER_MAX => self.give_up(),
                None => {}
            }
        }
    }

    fn give_up(&mut self) {
        self.broken = Some(matches!(self.operation, BIND | EXTENDED));
    }

    /// An element begins.
    fn begin(&mut self, tag: u8, length: usize) {
        let whole = self.header_length + length;
        self.header_length = 0;
        let depth = self.depth;
        let Some(frame) = depth.checked_sub(1).map(|top| &mut self.frames[top]) else { return self.give_up() };
        if whole > frame.left {
            return self.give_up();
        }
        frame.left -= whole;
        let (parent, place) = (*frame, frame.count);
        frame.count += 1;
        if depth == 1 && place == 1 {
            self.operation = tag;
        }
        let is_secret = parent.is_secret || self.is_secret_at(tag, depth, place, &parent);
        if self.is_walked_into(tag, depth, place) && depth < DEPTH_MAX {
            self.frames[depth] = Frame { tag, left: length, is_secret, ..Frame::default() };
            self.depth += 1;
            self.leave_ended();
            return;
        }
        self.is_secret = is_secret;
        self.is_name = !is_secret
            && match tag {
                0x04 => parent.tag == 0x30 && depth >= 3,
                0x80 => self.operation == EXTENDED && depth == 2,
                _ => false,
            };
        self.name.clear();
        self.left = length;
        if length == 0 {
            self.end_simple();
        }
    }

    fn is_secret_at(&self, tag: u8, depth: usize, place: usize, parent: &Frame) -> bool {
        match (self.operation, depth) {
            (BIND, 2) => place >= 2 && tag != 0xa3,
            (BIND, 3) => place >= 1,
            (BIND_RESPONSE, 2) => tag == 0x87,
            (EXTENDED, 2) => tag == 0x81 && parent.has_secret_name,
            (ENTRY | MODIFY | ADD | COMPARE, 3..) => parent.has_secret_name,
            _ => false,
        }
    }

    fn is_walked_into(&self, tag: u8, depth: usize, place: usize) -> bool {
        match (self.operation, depth) {
            (_, 1) => place == 1 && tag & 0x20 != 0,
            (BIND, 2) => tag == 0xa3,
            (ENTRY | MODIFY | ADD | COMPARE, _) => matches!(tag, 0x30 | 0x31),
            _ => false,
        }
    }

    fn end_simple(&mut self) {
        if self.is_name && self.depth > 0 {
            let name = self.name.split(|byte| *byte == b';').next().unwrap_or_default();
            let is_secret = if self.operation == EXTENDED { name == CHANGE_PASSWORD } else { is_one_of(name, &SECRET) };
            self.frames[self.depth - 1].has_secret_name = is_secret;
        }
        (self.is_secret, self.is_name) = (false, false);
        self.leave_ended();
    }

    fn leave_ended(&mut self) {
        while self.depth > 0 && self.frames[self.depth - 1].left == 0 {
            self.depth -= 1;
        }
    }
}
