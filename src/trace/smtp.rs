//! SMTP and LMTP: commands, replies, the size of mails (RFC 5321, 2033, 3030, 3207, 4954).

use super::asked::Asked;
use super::dump::Direction;
use super::lines::{Body, Line, begins_one_of, is_one_of, tell_body, word, word_start};
use super::replies::Replies;
use super::told::Told;

const COMMANDS: [&str; 19] = [
    "ATRN", "AUTH", "BDAT", "BURL", "DATA", "EHLO", "ETRN", "EXPN", "HELO", "HELP", "LHLO", "MAIL", "NOOP", "QUIT",
    "RCPT", "RSET", "STARTTLS", "VRFY", "XCLIENT",
];

/// What the server was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Plain,
    Auth,
    Mail,
    Tls,
}

/// A connection as far as it has come.
#[derive(Debug)]
pub struct Smtp {
    command: Line,
    /// A mail that is being sent.
    body: Option<Body>,
    replies: Replies,
    asked: Asked<Question>,
    /// What comes first may be in the middle of something.
    is_synced: bool,
}

impl Smtp {
    /// One that begins, or one whose beginning was missed.
    pub fn new(is_fresh: bool) -> Smtp {
        let mut asked = Asked::default();
        if is_fresh {
            // The greeting.
            asked.push(Question::Plain);
        }
        Smtp { command: Line::default(), body: None, replies: Replies::default(), asked, is_synced: is_fresh }
    }

    /// Takes a chunk; how much of it is SMTP, if TLS begins.
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
            if let Some(body) = &mut self.body {
                let (count, is_whole) = body.take(&chunk[used..]);
                used += count;
                if is_whole {
                    tell_body(body.bytes, told);
                    self.body = None;
                }
                continue;
            }
            let (is_answer, is_synced) = (self.asked.last() == Some(Question::Auth), self.is_synced);
            let secret = |line: &[u8]| if is_answer { Some(0) } else { secret_from(line, is_synced) };
            let (count, is_whole) = self.command.take(&mut chunk[used..], told, secret);
            used += count;
            if is_whole {
                self.end_command(is_answer, told);
                self.command.clear();
            }
        }
    }

    fn end_command(&mut self, is_answer: bool, told: &mut Told<'_>) {
        let line = self.command.text();
        let verb = word(line, 0);
        if is_answer {
            return told.line(&self.command.shown(told));
        }
        let is_command = verb.len() >= 4 && verb.iter().all(u8::is_ascii_alphabetic);
        if !is_command || (!self.is_synced && !is_one_of(verb, &COMMANDS)) {
            return told.unknown(self.command.length());
        }
        self.is_synced = true;
        let question = match () {
            () if is_one_of(verb, &["AUTH"]) => Question::Auth,
            () if is_one_of(verb, &["DATA"]) => Question::Mail,
            () if is_one_of(verb, &["STARTTLS"]) => Question::Tls,
            () => Question::Plain,
        };
        self.asked.push(question);
        if is_one_of(verb, &["BDAT"]) {
            let size = std::str::from_utf8(word(line, 1)).ok().and_then(|size| size.parse().ok());
            self.body = size.filter(|size| *size > 0).map(Body::counted);
        }
        told.line(&self.command.shown(told));
    }

    fn take_replies(&mut self, chunk: &mut [u8], told: &mut Told<'_>) -> Option<usize> {
        let mut used = 0;
        while used < chunk.len() {
            let is_auth = self.asked.first() == Some(Question::Auth) || !self.is_synced;
            let (count, code) = self.replies.take(&mut chunk[used..], is_auth, told);
            used += count;
            match code {
                None | Some(334) => {}
                // RFC 5321 section 4.3.2: nothing else has this reply.
                Some(354) => self.body = Some(Body::to_dot()),
                Some(code) => {
                    self.is_synced = true;
                    let question = self.asked.pop();
                    if question == Some(Question::Tls) && code == 220 {
                        return Some(used);
                    }
                }
            }
        }
        None
    }
}

fn secret_from(line: &[u8], is_synced: bool) -> Option<usize> {
    let verb = word(line, 0);
    if is_one_of(verb, &["AUTH"]) {
        return word_start(line, 2);
    }
    (!is_synced && !begins_one_of(verb, &COMMANDS) && !verb.is_empty()).then_some(0)
}
