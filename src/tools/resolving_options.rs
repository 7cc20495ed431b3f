//! The command line of webresolve and splitwr, which have the same options, and the files of the
//! system that it leads to.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::time::Duration;

use super::flags::{Flag, Word, Words, number, text};
use crate::base::error::{Error, reason};
use crate::dns::settings::{PORT, Policy, SERVERS_MAX, System, read_resolv_conf};
use crate::sys::dns::zone_number;

/// How many lookups may be under way at most, and without `-j`.
const AT_ONCE_MAX: i64 = 10_000;
const AT_ONCE: i64 = 1_000;

/// The flags of both programs.
pub const FLAGS: [Flag; 9] = [
    Flag { letter: 'c', argument: "file", what: "keeps what name servers said in this file" },
    Flag { letter: 'f', argument: "", what: "takes only names that lead back to the address" },
    Flag { letter: 'H', argument: "file", what: "reads this in place of /etc/hosts" },
    Flag { letter: 'j', argument: "n", what: "asks for so many addresses at once (1000)" },
    Flag { letter: 'n', argument: "server", what: "asks this name server, address or address:port; may be repeated" },
    Flag { letter: 'R', argument: "file", what: "reads this in place of /etc/resolv.conf" },
    Flag { letter: 'r', argument: "n", what: "asks each name server so often (2)" },
    Flag { letter: 't', argument: "seconds", what: "waits so long each time (5)" },
    Flag { letter: 'v', argument: "", what: "tells at the end what became of the addresses" },
];

/// What the command line asks for.
#[derive(Debug)]
pub enum Plan {
    /// Print this and end.
    Print(String),
    /// Work.
    Work(Options),
}

/// How to work.
#[derive(Debug)]
pub struct Options {
    /// What the program is called in messages.
    pub program: &'static str,
    /// How to ask.
    pub policy: Policy,
    /// The name servers.
    pub servers: Vec<SocketAddr>,
    /// A file like hosts(5) that was asked for; without one /etc/hosts, which a machine may lack.
    pub hosts: Option<PathBuf>,
    /// `-c`
    pub cache: Option<PathBuf>,
    /// `-v`
    pub tell: bool,
    /// The logs.
    pub files: Vec<OsString>,
}

/// What was found on the command line; what was not, comes from resolv.conf.
#[derive(Debug, Default)]
struct Found {
    cache: Option<PathBuf>,
    verify: bool,
    hosts: Option<PathBuf>,
    at_once: Option<i64>,
    servers: Vec<SocketAddr>,
    resolv_conf: Option<PathBuf>,
    tries: Option<i64>,
    timeout: Option<i64>,
    tell: bool,
    files: Vec<OsString>,
}

/// Reads the command line, whose first word is the program, and resolv.conf. `usage` is what follows
/// `usage:` in `--help`.
pub fn plan(
    program: &'static str,
    usage: &'static str,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Plan, Error> {
    let mut words = Words::new(program, usage, &FLAGS, args);
    let mut found = Found::default();
    while let Some(word) = words.word()? {
        match word {
            Word::Set('f') => found.verify = true,
            Word::Set(_) => found.tell = true,
            Word::Value(letter, value) => found.set(letter, value)?,
            Word::Operand(file) => found.files.push(file),
            Word::Print(text) => return Ok(Plan::Print(text)),
        }
    }
    found.settle(program).map(Plan::Work)
}

impl Found {
    fn set(&mut self, letter: char, value: OsString) -> Result<(), Error> {
        match letter {
            'c' => self.cache = Some(value.into()),
            'H' => self.hosts = Some(value.into()),
            'R' => self.resolv_conf = Some(value.into()),
            'j' => self.at_once = Some(number('j', value, 1, AT_ONCE_MAX)?),
            'r' => self.tries = Some(number('r', value, 1, 100)?),
            't' => self.timeout = Some(number('t', value, 1, 300)?),
            _ => {
                let value = text('n', value)?;
                let server = server(&value).ok_or_else(|| {
                    Error::usage(format!("-n: '{}' is not an address, or an address and a port", value.escape_debug()))
                })?;
                self.servers.push(server);
                if self.servers.len() > SERVERS_MAX {
                    return Err(Error::usage(format!("-n: more than {SERVERS_MAX} name servers")));
                }
            }
        }
        Ok(())
    }

    fn settle(self, program: &'static str) -> Result<Options, Error> {
        let system = self.system()?;
        let servers = match self.servers.is_empty() {
            false => self.servers,
            true => system.servers.iter().filter_map(|(ip, zone)| socket_address(*ip, zone.as_deref())).collect(),
        };
        if servers.is_empty() {
            return Err(Error::config("no name server: those of resolv.conf are at interfaces that are not there"));
        }
        let whole = |number: i64| u32::try_from(number).expect("it is within its bounds");
        let policy = Policy {
            servers: servers.len(),
            at_once: whole(self.at_once.unwrap_or(AT_ONCE)) as usize,
            timeout: self.timeout.map_or(system.timeout, |seconds| Duration::from_secs(u64::from(whole(seconds)))),
            tries: self.tries.map_or(system.tries, whole),
            rotate: system.rotate,
            verify: self.verify,
        };
        Ok(Options {
            program,
            policy,
            servers,
            hosts: self.hosts,
            cache: self.cache,
            tell: self.tell,
            files: self.files,
        })
    }

    /// What resolv.conf says; that there is none is as good as an empty one, unless it was asked for.
    fn system(&self) -> Result<System, Error> {
        let path = self.resolv_conf.clone().unwrap_or_else(|| PathBuf::from("/etc/resolv.conf"));
        match std::fs::read(&path) {
            Ok(text) => Ok(read_resolv_conf(&text)),
            Err(_) if self.resolv_conf.is_none() => Ok(read_resolv_conf(b"")),
            Err(error) => Err(Error::config(format!("cannot read {}: {}", path.display(), reason(&error)))),
        }
    }
}

/// `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`, each IPv6 address also with a
/// zone, as in `fe80::1%eth0`.
fn server(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Some(address).filter(|address| address.port() > 0);
    }
    let (ip, port) = match word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ip, "")) => (ip, PORT),
        Some((ip, port)) => (ip, port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?),
        None => (word, PORT),
    };
    let (ip, zone) = ip.split_once('%').map_or((ip, None), |(ip, zone)| (ip, Some(zone)));
    let mut address = socket_address(ip.parse().ok()?, zone)?;
    address.set_port(port);
    Some(address)
}

/// The port for names at an address with its zone; `None` if there is no such zone.
fn socket_address(ip: IpAddr, zone: Option<&str>) -> Option<SocketAddr> {
    match (ip, zone) {
        (IpAddr::V6(ip), Some(zone)) => Some(SocketAddrV6::new(ip, PORT, 0, zone_number(zone)?).into()),
        (IpAddr::V4(_), Some(_)) => None,
        (ip, None) => Some(SocketAddr::new(ip, PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, String> {
        let args = format!("webresolve -R /dev/null {line}");
        match plan("webresolve", "webresolve [options] [file ...]", args.split_whitespace().map(OsString::from)) {
            Ok(Plan::Work(options)) => Ok(options),
            Ok(Plan::Print(text)) => Err(text),
            Err(error) => Err(format!("{}: {error}", error.exit_status())),
        }
    }

    #[test]
    fn options_override_resolv_conf() {
        let options = options("-j 7 -r3 -t 9 -fv -c x -n 192.0.2.1 -n [::1]:5353 log other").unwrap();
        let policy =
            Policy { servers: 2, at_once: 7, timeout: Duration::from_secs(9), tries: 3, rotate: false, verify: true };
        assert_eq!(options.policy, policy);
        assert_eq!(options.servers, ["192.0.2.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
        assert_eq!(options.files, ["log", "other"]);
        assert!(options.tell && options.cache == Some(PathBuf::from("x")));
    }

    #[test]
    fn without_options_the_system_decides() {
        let options = options("").unwrap();
        let policy = Policy {
            servers: 1,
            at_once: 1000,
            timeout: Duration::from_secs(5),
            tries: 2,
            rotate: false,
            verify: false,
        };
        assert_eq!(options.policy, policy);
        assert_eq!(options.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert!(options.hosts.is_none() && options.files.is_empty() && options.cache.is_none() && !options.tell);
    }

    #[test]
    fn name_servers_have_addresses_and_maybe_ports() {
        let table = [
            ("192.0.2.1", Some("192.0.2.1:53")),
            ("192.0.2.1:5353", Some("192.0.2.1:5353")),
            ("2001:db8::1", Some("[2001:db8::1]:53")),
            ("[2001:db8::1]", Some("[2001:db8::1]:53")),
            ("[2001:db8::1]:5353", Some("[2001:db8::1]:5353")),
            ("[fe80::1%7]:5353", Some("[fe80::1%7]:5353")),
            ("fe80::1%7", Some("[fe80::1%7]:53")),
            ("fe80::1%no-such-interface", None),
            ("192.0.2.1%7", None),
            ("192.0.2.1:0", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:x", None),
            ("192.0.2.1:70000", None),
            ("[::1]x", None),
            ("[::1]:0", None),
            ("ns.example.com", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(server(word), expected.map(|expected| expected.parse().unwrap()), "{word:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            ("-j 0", "64: -j: 0 is not within 1 to 10000"),
            ("-j x", "64: -j: 'x' is not a number"),
            ("-t 301", "64: -t: 301 is not within 1 to 300"),
            ("-r", "64: missing argument for option '-r'; try 'webresolve --help'"),
            ("-x", "64: invalid option '-x'; try 'webresolve --help'"),
            ("-n ns1", "64: -n: 'ns1' is not an address, or an address and a port"),
            ("-R /nonexistent", "78: cannot read /nonexistent: no such file or directory"),
        ];
        for (line, message) in table {
            assert_eq!(options(line).map(|_| ()), Err(String::from(message)), "{line}");
        }
        let nine = options(&"-n 192.0.2.1 ".repeat(SERVERS_MAX + 1)).unwrap_err();
        assert_eq!(nine, "64: -n: more than 8 name servers");
        assert!(options("--help").unwrap_err().starts_with("usage: webresolve [options] [file ...]\n"));
    }
}
