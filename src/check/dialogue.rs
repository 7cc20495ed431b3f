//! One check under way: what was heard, what to say, and what it comes to.

use super::binary;
use super::lines::{self, Outcome};
use super::{Check, Kind};

/// Bytes of a server that are kept: no answer that is waited for is longer.
const KEPT_MAX: usize = 16 * 1024;

/// A conversation with a server.
#[derive(Clone, Debug)]
pub struct Dialogue {
    kind: Kind,
    /// Where the server is, for protocols that say so.
    host: String,
    heard: Vec<u8>,
    step: Step,
    verdict: Option<Result<(), String>>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The answer that decides is waited for.
    Asking,
    /// It is known, and the server is told good bye.
    Leaving,
    /// Nothing more is said.
    Over,
}

impl Dialogue {
    /// A conversation with a server at this host; `id` tells its question from others.
    pub fn new(check: &Check, host: &str, id: u16) -> Dialogue {
        let mut dialogue = Dialogue {
            kind: check.kind.clone(),
            host: String::from(host),
            heard: Vec::new(),
            step: Step::Asking,
            verdict: None,
        };
        if matches!(dialogue.kind, Kind::Dns(_)) {
            dialogue.heard.extend(id.to_be_bytes());
        }
        dialogue
    }

    /// What it comes to, once that is known: why not, as the end of a sentence.
    pub fn verdict(&self) -> Option<&Result<(), String>> {
        self.verdict.as_ref()
    }

    /// True if nothing more is said: the connection may be closed.
    pub fn is_over(&self) -> bool {
        self.step == Step::Over
    }

    /// The connection stands: what to say first.
    pub fn begin(&mut self) -> Vec<u8> {
        match &self.kind {
            Kind::Tcp => {
                self.decide(Ok(()), Step::Over);
                Vec::new()
            }
            Kind::Http { path, host, .. } => lines::http_request(path, host.as_deref().unwrap_or(&self.host)),
            Kind::Ldap => binary::LDAP_BIND.to_vec(),
            Kind::Redis => b"PING\r\n".to_vec(),
            Kind::Dns(name) => {
                let id = u16::from_be_bytes([self.heard[0], self.heard[1]]);
                binary::dns_question(name, id)
            }
            Kind::Talk { send, .. } => send.as_ref().map_or_else(Vec::new, |bytes| bytes.to_vec()),
            Kind::Smtp | Kind::Ftp | Kind::Pop3 | Kind::Imap | Kind::Mysql(_) => Vec::new(),
        }
    }

    /// The server has said something, by a datagram all at once; what to say to that.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.step == Step::Over {
            return Vec::new();
        }
        if matches!(self.kind, Kind::Dns(_)) {
            // Each datagram stands for itself; before it is the number of the question.
            self.heard.truncate(2);
        }
        let room = KEPT_MAX.saturating_sub(self.heard.len());
        self.heard.extend(&bytes[..bytes.len().min(room)]);
        let outcome = match self.step {
            Step::Asking => self.judge(),
            Step::Leaving => self.leave(),
            Step::Over => Outcome::More,
        };
        match outcome {
            Outcome::More if self.heard.len() >= KEPT_MAX && self.step == Step::Asking => {
                self.decide(Err(String::from("it says something else, and a lot of it")), Step::Over);
                Vec::new()
            }
            Outcome::More => Vec::new(),
            Outcome::Good(farewell) => self.part(Ok(()), farewell),
            Outcome::Bad(why, farewell) => self.part(Err(why), farewell),
            Outcome::Say(words) => words,
            Outcome::Gone => {
                self.step = Step::Over;
                Vec::new()
            }
        }
    }

    /// The server has ended the connection.
    pub fn end(&mut self) {
        if self.verdict.is_none() {
            self.verdict = Some(Err(String::from("it ended the connection without an answer")));
        }
        self.step = Step::Over;
    }

    /// The verdict is known: says good bye if there is one. A server that sends a page ends by itself,
    /// and takes a client that goes before for one who has lost patience.
    fn part(&mut self, verdict: Result<(), String>, farewell: Vec<u8>) -> Vec<u8> {
        self.heard.clear();
        let waits = !farewell.is_empty() || matches!(self.kind, Kind::Http { .. });
        self.decide(verdict, if waits { Step::Leaving } else { Step::Over });
        farewell
    }

    fn decide(&mut self, verdict: Result<(), String>, step: Step) {
        self.verdict = self.verdict.take().or(Some(verdict));
        self.step = step;
    }

    fn judge(&mut self) -> Outcome {
        match &self.kind {
            Kind::Tcp => Outcome::Good(Vec::new()),
            Kind::Http { status, .. } => lines::http(&self.heard, *status),
            Kind::Smtp => lines::greeting(&self.heard, b"220", "QUIT\r\n"),
            Kind::Ftp => lines::greeting(&self.heard, b"220", "QUIT\r\n"),
            Kind::Pop3 => lines::greeting(&self.heard, b"+OK", "QUIT\r\n"),
            Kind::Imap => lines::imap(&self.heard),
            Kind::Redis => lines::redis(&self.heard),
            Kind::Ldap => binary::ldap(&self.heard),
            Kind::Dns(_) => binary::dns(&self.heard),
            Kind::Mysql(user) => binary::mysql(&mut self.heard, user),
            Kind::Talk { expect, .. } => lines::talk(&self.heard, expect),
        }
    }

    /// What is said after the farewell; a protocol where the server ends has nothing to wait for
    /// but that.
    fn leave(&mut self) -> Outcome {
        match &self.kind {
            Kind::Smtp | Kind::Ftp => lines::goodbye(&self.heard, b"221"),
            Kind::Pop3 => lines::goodbye(&self.heard, b"+OK"),
            Kind::Redis => lines::goodbye(&self.heard, b"+OK"),
            Kind::Imap => lines::imap_goodbye(&self.heard),
            Kind::Tcp | Kind::Http { .. } | Kind::Ldap | Kind::Dns(_) | Kind::Mysql(_) | Kind::Talk { .. } => {
                Outcome::More
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::Random;

    /// Has a conversation with a server that says these things, each after pen has spoken; what pen
    /// said, whether it is over, and the verdict.
    fn talk(kind: Kind, says: &[&[u8]]) -> (Vec<String>, bool, Option<Result<(), String>>) {
        let mut dialogue = Dialogue::new(&Check { kind, port: None }, "192.0.2.1", 7);
        let mut said = vec![dialogue.begin()];
        for bytes in says {
            // Byte by byte it comes to the same as in one piece.
            let answers: Vec<u8> = bytes.iter().flat_map(|byte| dialogue.hear(&[*byte])).collect();
            said.push(answers);
        }
        let said = said.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        (said, dialogue.is_over(), dialogue.verdict().cloned())
    }

    fn good(kind: Kind, says: &[&[u8]], expected: &[&str]) {
        let (said, is_over, verdict) = talk(kind.clone(), says);
        assert_eq!(
            (said, is_over, verdict),
            (expected.iter().map(|text| text.to_string()).collect(), true, Some(Ok(())))
        );
        let whole: Vec<Vec<u8>> = {
            let mut dialogue = Dialogue::new(&Check { kind, port: None }, "192.0.2.1", 7);
            std::iter::once(dialogue.begin()).chain(says.iter().map(|bytes| dialogue.hear(bytes))).collect()
        };
        let whole: Vec<String> = whole.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert_eq!(whole, expected);
    }

    fn http(status: Option<u16>) -> Kind {
        Kind::Http { path: "/up".into(), host: None, status }
    }

    #[test]
    fn each_protocol_is_ended_as_it_should_be() {
        good(Kind::Smtp, &[b"220-hello\r\n220 there\r\n", b"221 bye\r\n"], &["", "QUIT\r\n", ""]);
        good(Kind::Ftp, &[b"220 hello\r\n", b"221-so\r\n221 long\r\n"], &["", "QUIT\r\n", ""]);
        good(Kind::Pop3, &[b"+OK ready\r\n", b"+OK bye\r\n"], &["", "QUIT\r\n", ""]);
        good(Kind::Imap, &[b"* OK ready\r\n", b"* BYE out\r\npen OK done\r\n"], &["", "pen LOGOUT\r\n", ""]);
        good(Kind::Redis, &[b"+PONG\r\n", b"+OK\r\n"], &["PING\r\n", "QUIT\r\n", ""]);
        good(Kind::Redis, &[b"-NOAUTH first\r\n", b"+OK\r\n"], &["PING\r\n", "QUIT\r\n", ""]);
        good(Kind::Tcp, &[], &[""]);
        let talk = Kind::Talk { send: Some(b"hi\n"[..].into()), expect: b"lo"[..].into() };
        good(talk, &[b"hello\n"], &["hi\n", ""]);
    }

    #[test]
    fn a_page_is_good_by_its_status() {
        let request =
            "GET /up HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: pen\r\nAccept: */*\r\nConnection: close\r\n\r\n";
        for (status, says, expected) in [
            (None, "HTTP/1.1 200 OK\r\n", Some(Ok(()))),
            (None, "HTTP/1.0 302 Found\r\n", Some(Ok(()))),
            (None, "HTTP/1.1 503 No\r\n", Some(Err("it answers with status 503"))),
            (Some(404), "HTTP/1.1 404 No\r\n", Some(Ok(()))),
            (Some(404), "HTTP/1.1 200 OK\r\n", Some(Err("it answers with status 200"))),
            (None, "SSH-2.0-OpenSSH\r\n", Some(Err("it does not answer as HTTP"))),
            (None, "HTTP/1.1 2", None),
        ] {
            let (said, _, verdict) = talk(http(status), &[says.as_bytes()]);
            assert_eq!(said[0], request);
            assert_eq!(verdict, expected.map(|verdict| verdict.map_err(String::from)), "{says}");
        }
    }

    #[test]
    fn a_page_is_asked_for_at_a_host() {
        for (server, host) in
            [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "[2001:db8::1]"), ("/run/web.sock", "localhost")]
        {
            let mut dialogue = Dialogue::new(&Check { kind: http(None), port: None }, server, 0);
            let said = String::from_utf8(dialogue.begin()).unwrap();
            assert!(said.contains(&format!("\r\nHost: {host}\r\n")), "{said}");
        }
    }

    #[test]
    fn what_is_not_ready_is_told_and_left_in_order() {
        let (said, is_over, verdict) = talk(Kind::Smtp, &[b"421 later\r\n"]);
        assert_eq!((said[1].as_str(), is_over), ("QUIT\r\n", false));
        assert_eq!(verdict, Some(Err(String::from("it greets with '421 later'"))));
        let mut dialogue = Dialogue::new(&Check { kind: Kind::Pop3, port: None }, "", 0);
        dialogue.end();
        let verdict = dialogue.verdict().cloned();
        assert_eq!(verdict, Some(Err(String::from("it ended the connection without an answer"))));
    }

    #[test]
    fn whatever_a_server_says_there_is_an_end_of_it() {
        let mut random = Random::new(3);
        let kinds = [
            Kind::Tcp,
            http(None),
            Kind::Smtp,
            Kind::Ftp,
            Kind::Pop3,
            Kind::Imap,
            Kind::Ldap,
            Kind::Dns("a.test".into()),
            Kind::Redis,
            Kind::Mysql("pen".into()),
            Kind::Talk { send: None, expect: b"never this"[..].into() },
        ];
        for round in 0..2_000 {
            let kind = kinds[round % kinds.len()].clone();
            let mut dialogue = Dialogue::new(&Check { kind, port: None }, "h", 1);
            dialogue.begin();
            for _ in 0..random.below(20) {
                let length = random.below(2_000) as usize;
                let bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
                dialogue.hear(&bytes);
                assert!(dialogue.heard.len() <= KEPT_MAX);
            }
            dialogue.end();
            assert!(dialogue.is_over() && dialogue.verdict().is_some());
        }
    }
}
