//! FTP control connections: commands and replies (RFC 959), and where the stream turns to TLS
//! (RFC 4217).

use super::dump::Direction;
use super::lines::{Line, begins_one_of, is_one_of, word, word_start};
use super::replies::Replies;
use super::told::Told;

/// Commands whose argument is secret. Those of RFC 2228 may hold any other command, PASS too.
const SECRET: [&str; 6] = ["PASS", "ACCT", "ADAT", "MIC", "CONF", "ENC"];

/// Commands of RFC 959, 2228, 2428, 2389, 3659, 4217, and what clients send besides.
const COMMANDS: [&str; 62] = [
    "ABOR", "ACCT", "ADAT", "ALLO", "APPE", "AUTH", "CCC", "CDUP", "CLNT", "CONF", "CWD", "DELE", "ENC", "EPRT",
    "EPSV", "FEAT", "HASH", "HELP", "HOST", "LANG", "LIST", "LPRT", "LPSV", "MDTM", "MFCT", "MFF", "MFMT", "MIC",
    "MKD", "MLSD", "MLST", "MODE", "NLST", "NOOP", "OPTS", "PASS", "PASV", "PBSZ", "PORT", "PROT", "PWD", "QUIT",
    "RANG", "REIN", "REST", "RETR", "RMD", "RNFR", "RNTO", "SITE", "SIZE", "SMNT", "SPSV", "STAT", "STOR", "STOU",
    "STRU", "SYST", "TYPE", "USER", "XCUP", "XPWD",
];

/// "Interpret as command", of telnet (RFC 854).
const IAC: u8 = 255;

/// A control connection as far as it has come.
#[derive(Debug)]
pub struct Ftp {
    command: Line,
    replies: Replies,
    /// A command that begins TLS was sent.
    wants_tls: bool,
    /// What comes first may be in the middle of something.
    is_synced: bool,
}

impl Ftp {
    /// One that begins, or one whose beginning was missed.
    pub fn new(is_fresh: bool) -> Ftp {
        Ftp { command: Line::default(), replies: Replies::default(), wants_tls: false, is_synced: is_fresh }
    }

    /// Takes a chunk; how much of it is FTP, if TLS begins.
    pub fn take(&mut self, direction: Direction, chunk: &mut [u8], told: &mut Told<'_>) -> Option<usize> {
        match direction {
            Direction::Up => {
                self.take_commands(chunk, told);
                None
            }
            Direction::Down => self.take_replies(chunk, told),
        }
    }

    fn take_commands(&mut self, chunk: &mut [u8], told: &mut Told<'_>) {
        let mut used = 0;
        while used < chunk.len() {
            let is_synced = self.is_synced;
            let secret = |line: &[u8]| secret_from(line, is_synced);
            let (count, is_whole) = self.command.take(&mut chunk[used..], told, secret);
            used += count;
            if is_whole {
                self.end_command(told);
                self.command.clear();
            }
        }
    }

    fn end_command(&mut self, told: &mut Told<'_>) {
        let line = without_telnet(self.command.text());
        let verb = word(line, 0);
        let is_command = if self.is_synced { is_verb(verb) } else { is_one_of(verb, &COMMANDS) };
        if !is_command {
            return told.unknown(self.command.length());
        }
        self.is_synced = true;
        self.wants_tls |= is_one_of(verb, &["AUTH"]) && is_one_of(word(line, 1), &["TLS", "SSL", "TLS-C", "TLS-P"]);
        let shown = self.command.shown(told);
        let mut text = without_telnet(&shown).to_vec();
        if is_one_of(verb, &["PORT"])
            && let Some(address) = six_numbers(word(line, 1))
        {
            text.extend_from_slice(address.as_bytes());
        }
        told.line(&text);
    }

    fn take_replies(&mut self, chunk: &mut [u8], told: &mut Told<'_>) -> Option<usize> {
        let mut used = 0;
        while used < chunk.len() {
            let (count, code) = self.replies.take(&mut chunk[used..], true, told);
            used += count;
            if code == Some(234) && self.wants_tls {
                return Some(used);
            }
            if code.is_some_and(|code| code >= 400) {
                self.wants_tls = false;
            }
        }
        None
    }
}

/// Three or four letters, or five.
fn is_verb(verb: &[u8]) -> bool {
    (3..=5).contains(&verb.len()) && verb.iter().all(u8::is_ascii_alphabetic)
}

/// The text behind the telnet sequences at the beginning, as they come before ABOR.
fn without_telnet(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| *byte < 240).unwrap_or(line.len());
    &line[start..]
}

fn secret_from(line: &[u8], is_synced: bool) -> Option<usize> {
    let skipped = line.len() - without_telnet(line).len();
    let line = &line[skipped..];
    let verb = word(line, 0);
    if is_one_of(verb, &SECRET) {
        return word_start(line, 1).map(|from| from + skipped);
    }
    // Who knows what it is the rest of.
    (!is_synced && !begins_one_of(verb, &COMMANDS) && !line.contains(&IAC)).then_some(skipped)
}

/// The address that `h1,h2,h3,h4,p1,p2` stands for, as people write it.
fn six_numbers(argument: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(argument).ok()?;
    let numbers: Vec<u8> = text.split(',').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [a, b, c, d, high, low] = numbers[..] else { return None };
    Some(format!(" ({a}.{b}.{c}.{d} port {})", u16::from_be_bytes([high, low])))
}
