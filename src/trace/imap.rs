//! IMAP: commands, responses, the size of literals (RFC 9051, 7888).

use super::dump::Direction;
use super::lines::{Body, LINE_KEPT, Line, is_one_of, word, word_start};
use super::told::Told;

const COMMANDS: [&str; 45] = [
    "APPEND",
    "AUTHENTICATE",
    "CAPABILITY",
    "CHECK",
    "CLOSE",
    "COMPRESS",
    "COPY",
    "CREATE",
    "DELETE",
    "DELETEACL",
    "ENABLE",
    "EXAMINE",
    "EXPUNGE",
    "FETCH",
    "GETACL",
    "GETMETADATA",
    "GETQUOTA",
    "GETQUOTAROOT",
    "ID",
    "IDLE",
    "LIST",
    "LISTRIGHTS",
    "LOGIN",
    "LOGOUT",
    "LSUB",
    "MOVE",
    "MYRIGHTS",
    "NAMESPACE",
    "NOOP",
    "NOTIFY",
    "RENAME",
    "SEARCH",
    "SELECT",
    "SETACL",
    "SETMETADATA",
    "SETQUOTA",
    "SORT",
    "STARTTLS",
    "STATUS",
    "STORE",
    "SUBSCRIBE",
    "THREAD",
    "UID",
    "UNSELECT",
    "UNSUBSCRIBE",
];
/// The longest tag that is remembered.
const TAG_MAX: usize = 64;

/// One direction.
#[derive(Default, Debug)]
struct Side {
    line: Line,
    /// A literal within the line.
    literal: Option<Body>,
    /// Bytes of the line up to and with its last literal, as far as they are kept.
    literals_to: usize,
}

/// A connection as far as it has come.
#[derive(Debug)]
pub struct Imap {
    up: Side,
    down: Side,
    /// The tag of a login that goes on.
    login: Option<Vec<u8>>,
    /// The tag of the command that begins TLS.
    wants_tls: Option<Vec<u8>>,
    /// What comes first may be in the middle of something.
    is_synced: bool,
}

impl Side {
    /// Takes bytes up to the end of a line, literals included; how many, and whether it is whole.
    fn take(&mut self, chunk: &mut [u8], told: &Told<'_>, secret: impl Fn(&[u8]) -> Option<usize>) -> (usize, bool) {
        let mut used = 0;
        while used < chunk.len() {
            if let Some(literal) = &mut self.literal {
                let (count, is_whole) = literal.take(&chunk[used..]);
                if self.line.is_secret() {
                    told.veil(&mut chunk[used..used + count]);
                }
                used += count;
                if is_whole {
                    self.literal = None;
                }
                continue;
            }
            let (count, is_whole) = self.line.take(&mut chunk[used..], told, &secret);
            used += count;
            if !is_whole {
                break;
            }
            let Some(size) = literal_size(&self.line.text()[self.literals_to..]) else { return (used, true) };
            self.literal = (size > 0).then(|| Body::counted(size));
            self.line.resume();
            self.literals_to = self.line.length();
        }
        (used, false)
    }

    fn clear(&mut self) {
        self.line.clear();
        self.literals_to = 0;
    }
}

impl Imap {
    /// One that begins, or one whose beginning was missed.
    pub fn new(is_fresh: bool) -> Imap {
        Imap { up: Side::default(), down: Side::default(), login: None, wants_tls: None, is_synced: is_fresh }
    }

    /// Takes a chunk; how much of it is IMAP, if TLS begins.
    pub fn take(&mut self, direction: Direction, chunk: &mut [u8], told: &mut Told<'_>) -> Option<usize> {
        let mut used = 0;
        while used < chunk.len() {
            let (count, is_whole) = match direction {
                Direction::Up => {
                    let (is_answer, is_synced) = (self.login.is_some(), self.is_synced);
                    let secret = |line: &[u8]| if is_answer { Some(0) } else { secret_from(line, is_synced) };
                    self.up.take(&mut chunk[used..], told, secret)
                }
                Direction::Down => {
                    let is_challenge = self.login.is_some() || !self.is_synced;
                    let secret = |line: &[u8]| (is_challenge && line.starts_with(b"+ ")).then_some(2);
                    self.down.take(&mut chunk[used..], told, secret)
                }
            };
            used += count;
            if is_whole {
                match direction {
                    Direction::Up => self.end_command(told),
                    Direction::Down if self.end_response(told) => return Some(used),
                    Direction::Down => {}
                }
            }
        }
        None
    }

    fn end_command(&mut self, told: &mut Told<'_>) {
        let line = self.up.line.text();
        let (tag, verb) = (word(line, 0), word(line, 1));
        let is_command = is_one_of(verb, &COMMANDS) || (self.is_synced && is_tag(tag));
        if self.login.is_some() || is_one_of(line, &["DONE"]) || is_command {
            told.line(&self.up.line.shown(told));
        } else {
            told.unknown(self.up.line.length());
        }
        if self.login.is_none() && tag.len() <= TAG_MAX && is_command {
            self.is_synced = true;
            if is_one_of(verb, &["AUTHENTICATE"]) {
                self.login = Some(tag.to_vec());
            } else if is_one_of(verb, &["STARTTLS"]) {
                self.wants_tls = Some(tag.to_vec());
            }
        }
        self.up.clear();
    }

    /// A line of the server is whole; true if TLS begins.
    fn end_response(&mut self, told: &mut Told<'_>) -> bool {
        let line = self.down.line.text();
        let tag = word(line, 0);
        let is_final = is_tag(tag) && is_one_of(word(line, 1), &["OK", "NO", "BAD"]);
        if matches!(tag, b"*" | b"+") || is_final {
            told.line(&self.down.line.shown(told));
        } else {
            told.unknown(self.down.line.length());
        }
        let mut begins_tls = false;
        if is_final {
            self.is_synced = true;
            if self.login.as_deref() == Some(tag) {
                self.login = None;
            }
            if self.wants_tls.as_deref() == Some(tag) {
                self.wants_tls = None;
                begins_tls = is_one_of(word(line, 1), &["OK"]);
            }
        }
        self.down.clear();
        begins_tls
    }
}

fn is_tag(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_graphic() && !b"+*(){%\\\"".contains(byte))
}

/// The size of the literal that a line ends with: `{123}`, `{123+}`, `~{123}`.
fn literal_size(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let start = inner.iter().rposition(|byte| *byte == b'{')?;
    let digits = inner[start + 1..].strip_suffix(b"+").unwrap_or(&inner[start + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn secret_from(line: &[u8], is_synced: bool) -> Option<usize> {
    let verb = word(line, 1);
    if is_one_of(verb, &["AUTHENTICATE"]) {
        return word_start(line, 3);
    }
    if is_one_of(verb, &["LOGIN"]) {
        let user = word_start(line, 2)?;
        let end = match line[user] {
            // What is no simple word is veiled with the password.
            b'{' => return Some(user),
            b'"' => quote_end(&line[user + 1..]).map(|end| user + 2 + end),
            _ => line[user..].iter().position(|byte| *byte == b' ').map(|end| user + end),
        };
        return match end {
            Some(end) => (line.len() > end + 1).then_some(end + 1),
            // So long that its end is not kept.
            None => (line.len() > LINE_KEPT - 3).then_some(LINE_KEPT - 3),
        };
    }
    // The answer to a challenge is one word.
    let first = word(line, 0);
    let may_be_tag = line.len() > first.len() || first.len() < 8;
    (!is_synced && !may_be_tag).then_some(0)
}

/// Where a quoted text ends: at its closing quote.
fn quote_end(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|&byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}
