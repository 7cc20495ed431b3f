//! POP3: commands, answers, the size of mails (RFC 1939, 2449, 2595, 5034).

use super::asked::Asked;
use super::dump::Direction;
use super::lines::{Body, Line, begins_one_of, is_one_of, tell_body, word, word_start};
use super::told::Told;

const COMMANDS: [&str; 17] = [
    "APOP", "AUTH", "CAPA", "DELE", "LANG", "LIST", "NOOP", "PASS", "QUIT", "RETR", "RSET", "STAT", "STLS", "TOP",
    "UIDL", "USER", "UTF8",
];

/// What the server was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Plain,
    /// A body follows if it says yes.
    Lines,
    Auth,
    Tls,
}

/// A connection as far as it has come.
#[derive(Debug)]
pub struct Pop3 {
    command: Line,
    answer: Line,
    /// Lines that belong to an answer.
    body: Option<Body>,
    asked: Asked<Question>,
    /// What comes first may be in the middle of something.
    is_synced: bool,
}

impl Pop3 {
    /// One that begins, or one whose beginning was missed.
    pub fn new(is_fresh: bool) -> Pop3 {
        let mut asked = Asked::default();
        if is_fresh {
            // The greeting.
            asked.push(Question::Plain);
        }
        Pop3 { command: Line::default(), answer: Line::default(), body: None, asked, is_synced: is_fresh }
    }

    /// Takes a chunk; how much of it is POP3, if TLS begins.
    pub fn take(&mut self, direction: Direction, chunk: &mut [u8], told: &mut Told<'_>) -> Option<usize> {
        match direction {
            Direction::Up => {
                self.take_commands(chunk, told);
                None
            }
            Direction::Down => self.take_answers(chunk, told),
        }
    }

    fn take_commands(&mut self, chunk: &mut [u8], told: &mut Told<'_>) {
        let mut used = 0;
        while used < chunk.len() {
            let (is_answer, is_synced) = (self.asked.last() == Some(Question::Auth), self.is_synced);
            let secret = |line: &[u8]| if is_answer { Some(0) } else { secret_from(line, is_synced) };
            let (count, is_whole) = self.command.take(&mut chunk[used..], told, secret);
            used += count;
            if !is_whole {
                return;
            }
            self.end_command(is_answer, told);
            self.command.clear();
        }
    }

    fn end_command(&mut self, is_answer: bool, told: &mut Told<'_>) {
        let line = self.command.text();
        let (verb, has_argument) = (word(line, 0), word_start(line, 1).is_some());
        if is_answer {
            return told.line(&self.command.shown(told));
        }
        let is_verb = matches!(verb.len(), 3..=4) && verb.iter().all(u8::is_ascii_alphanumeric);
        if !is_verb || (!self.is_synced && !is_one_of(verb, &COMMANDS)) {
            return told.unknown(self.command.length());
        }
        self.is_synced = true;
        let has_lines = is_one_of(verb, &["RETR", "TOP", "CAPA"])
            || (!has_argument && is_one_of(verb, &["LIST", "UIDL", "AUTH", "LANG"]));
        self.asked.push(match () {
            () if has_lines => Question::Lines,
            () if is_one_of(verb, &["AUTH"]) => Question::Auth,
            () if is_one_of(verb, &["STLS"]) => Question::Tls,
            () => Question::Plain,
        });
        told.line(&self.command.shown(told));
    }

    fn take_answers(&mut self, chunk: &mut [u8], told: &mut Told<'_>) -> Option<usize> {
        let mut used = 0;
        while used < chunk.len() {
            if let Some(body) = &mut self.body {
                let (count, is_whole) = body.take(&chunk[used..]);
                used += count;
                if is_whole {
                    tell_body(body.bytes, told);
                    self.body = None;
                }
                continue;
            }
            let (count, is_whole) = self.answer.take(&mut chunk[used..], told, challenge_from);
            used += count;
            if is_whole {
                let begins_tls = self.end_answer(told);
                self.answer.clear();
                if begins_tls {
                    return Some(used);
                }
            }
        }
        None
    }

    /// A line of the server is whole; true if TLS begins.
    fn end_answer(&mut self, told: &mut Told<'_>) -> bool {
        let line = self.answer.text();
        let is_yes = is_one_of(word(line, 0), &["+OK"]);
        let is_challenge = line == b"+" || line.starts_with(b"+ ");
        if !is_yes && !is_challenge && !is_one_of(word(line, 0), &["-ERR"]) {
            told.unknown(self.answer.length());
            return false;
        }
        told.line(&self.answer.shown(told));
        if is_challenge {
            return false;
        }
        self.is_synced = true;
        match self.asked.pop() {
            Some(Question::Lines) if is_yes => self.body = Some(Body::to_dot()),
            Some(Question::Tls) => return is_yes,
            Some(Question::Plain | Question::Auth | Question::Lines) | None => {}
        }
        false
    }
}

fn challenge_from(line: &[u8]) -> Option<usize> {
    line.starts_with(b"+ ").then_some(2)
}

fn secret_from(line: &[u8], is_synced: bool) -> Option<usize> {
    let verb = word(line, 0);
    if is_one_of(verb, &["PASS"]) {
        return word_start(line, 1);
    }
    if is_one_of(verb, &["APOP", "AUTH"]) {
        return word_start(line, 2);
    }
    (!is_synced && !begins_one_of(verb, &COMMANDS) && !verb.is_empty()).then_some(0)
}
