//! How active checks are written down, and read.

use super::command::Command;
use super::execute::Outcome;
use super::read::operand;
use super::words::{Problem, Words, unsigned};
use crate::balance::{OwnCheck, Settings};
use crate::base::operand::{Services, parse_port};
use crate::check::{Check, Kind, MYSQL_USER, decoded};

/// The words of all kinds, for messages.
pub const KINDS: &str = "tcp, http, smtp, ftp, pop3, imap, ldap, dns, redis, mysql, send, expect or none";

/// The longest name of a user, and of a host (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 255;

/// `check [none | KIND ... [port PORT]]`.
pub(super) fn command(words: &mut Words<'_>) -> Result<Command, Problem> {
    let Some(first) = words.next() else { return Ok(Command::Check(None)) };
    if first == "none" {
        return Ok(Command::Check(Some(None)));
    }
    check(first, words).map(|check| Command::Check(Some(Some(check))))
}

/// The value of the key `check` of a server: the same in one word, or `default`.
pub(super) fn own(value: &str, services: &Services) -> Result<OwnCheck, Problem> {
    let mut words = Words::new(value, services);
    let own = match words.need("a check")? {
        "default" => OwnCheck::AsListener,
        "none" => OwnCheck::None,
        first => OwnCheck::Own(check(first, &mut words)?),
    };
    words.end()?;
    Ok(own)
}

fn check(first: &str, words: &mut Words<'_>) -> Result<Check, Problem> {
    let kind = match first {
        "tcp" => Kind::Tcp,
        "smtp" => Kind::Smtp,
        "ftp" => Kind::Ftp,
        "pop3" => Kind::Pop3,
        "imap" => Kind::Imap,
        "ldap" => Kind::Ldap,
        "redis" => Kind::Redis,
        "dns" => Kind::Dns(name(words.need("a name to ask for")?)?),
        "mysql" => Kind::Mysql(optional(words).map_or_else(|| Ok(MYSQL_USER.into()), plain)?),
        "http" => http(words)?,
        "send" => {
            let send = bytes(words.need("what to send")?)?;
            match words.need("expect")? {
                "expect" => Kind::Talk { send: Some(send), expect: bytes(words.need("what to expect")?)? },
                other => return Err(Problem::NotOneOf(String::from(other), "expect")),
            }
        }
        "expect" => Kind::Talk { send: None, expect: bytes(words.need("what to expect")?)? },
        other => return Err(Problem::NotOneOf(String::from(other), KINDS)),
    };
    let port = match words.clone().next() {
        Some("port") => {
            words.next();
            let word = words.need("a port")?;
            Some(parse_port(word, words.services).map_err(|error| operand(word, error))?)
        }
        Some(_) | None => None,
    };
    Ok(Check { kind, port })
}

/// `[PATH [HOST|- [STATUS]]]`.
fn http(words: &mut Words<'_>) -> Result<Kind, Problem> {
    let path = optional(words).map_or_else(|| Ok("/".into()), plain)?;
    if !path.starts_with('/') {
        return Err(Problem::NotOneOf(String::from(path), "a path, which begins with a slash"));
    }
    let host = optional(words).filter(|host| *host != "-").map(plain).transpose()?;
    let status = optional(words).map(|word| unsigned(word, 100, 999)).transpose()?;
    let status = status.map(|status| u16::try_from(status).expect("the range is one of u16"));
    Ok(Kind::Http { path, host, status })
}

/// The next word, unless the port begins there.
fn optional<'a>(words: &mut Words<'a>) -> Option<&'a str> {
    words.clone().next().filter(|word| *word != "port")?;
    words.next()
}

/// A word that goes into what is said: nothing in it could end a line.
fn plain(word: &str) -> Result<Box<str>, Problem> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_graphic()) && word.len() <= NAME_MAX;
    if is_plain {
        Ok(word.into())
    } else {
        Err(Problem::NotOneOf(String::from(word), "printable ASCII, 255 bytes at most"))
    }
}

/// A name to ask a name server for (RFC 1035 section 2.3.4); a dot alone is the root.
fn name(word: &str) -> Result<Box<str>, Problem> {
    let labels = word.strip_suffix('.').unwrap_or(word);
    let is_name = labels.is_empty() || labels.split('.').all(|label| (1..=63).contains(&label.len()));
    if !is_name || labels.len() > 253 {
        return Err(Problem::NotOneOf(String::from(word), "a name: labels of 1 to 63 bytes with dots between"));
    }
    plain(word)
}

fn bytes(word: &str) -> Result<Box<[u8]>, Problem> {
    let found = decoded(word).filter(|bytes| !bytes.is_empty());
    found.ok_or_else(|| Problem::NotOneOf(String::from(word), "bytes, with \\r \\n \\t \\s \\\\ and \\xHH"))
}

/// Sets how servers are checked if that is to be set, and tells it.
pub(super) fn set_check(settings: &mut Settings, check: Option<Option<Check>>) -> Outcome {
    settings.check = check.unwrap_or_else(|| settings.check.take());
    Outcome::tells(format!("{}\n", shown(settings.check.as_ref())))
}

pub(super) fn shown(check: Option<&Check>) -> String {
    check.map_or(String::from("none"), Check::words)
}

/// The value of the key `check` of a server.
pub(super) fn shown_own(own: &OwnCheck) -> String {
    match own {
        OwnCheck::AsListener => String::from("default"),
        OwnCheck::None => String::from("none"),
        OwnCheck::Own(check) => check.words(),
    }
}
