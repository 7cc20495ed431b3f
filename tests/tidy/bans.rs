//! What may appear only in some parts, and what may not appear at all.

use super::source::{Finding, Source};

/// What is looked for.
enum Thing {
    /// Words that follow each other within a path, also in a group of imports.
    Path(&'static [&'static str]),
    /// Tokens that follow each other.
    Tokens(&'static [&'static str]),
}

/// Where it may be.
enum Place {
    Only(&'static [&'static str]),
    NotIn(&'static [&'static str]),
    Nowhere,
}

use Place::{NotIn, Nowhere, Only};
use Thing::{Path, Tokens};

/// The parts that meet the world, each in its way.
const OUTER: &[&str] = &["sys", "daemon", "tools", "bin"];

const CLOCK: &str = "time is read by Net::wait alone: take a Now as an argument";
const SOCKETS: &str = "sockets enter through Net: use its Stream or Listener";
const PRINT: &str = "only the programs print: return the text, or use Net::say";
const LOOP: &str = "not in the event loop: own the value, or be generic over its type";
const LEFT: &str = "unfinished: do it now";
const UNWRAP: &str = "handle the error, or say with expect() why there is none";

/// The rows of the table.
const BANS: [(Thing, Place, &str); 38] = [
    (Tokens(&["unsafe"]), Only(&["sys"]), "unsafe code is in sys alone"),
    (Tokens(&["unsafe_code"]), Only(&["sys"]), "unsafe code is in sys alone, and allowed there alone"),
    (Path(&["libc"]), Only(&["sys"]), "calls of the system are in sys alone"),
    (Path(&["mio"]), Only(&["sys"]), "the event engine is in sys alone: use Net"),
    (Path(&["Instant", "now"]), Only(&["sys"]), CLOCK),
    (Path(&["SystemTime", "now"]), Only(&["sys"]), CLOCK),
    (Tokens(&[".", "elapsed", "("]), Only(&["sys"]), CLOCK),
    (Path(&["std", "fs"]), Only(&["sys", "daemon", "tools"]), "files are opened in sys, daemon and tools alone"),
    (Path(&["std", "process"]), Only(OUTER), "return an error instead"),
    (Path(&["std", "thread"]), Only(&["sys", "tools"]), "pen is one thread"),
    (Path(&["thread", "spawn"]), Only(&["sys", "tools"]), "pen is one thread"),
    (Path(&["std", "env"]), Only(OUTER), "take the value as an argument"),
    (Path(&["TcpStream"]), Only(OUTER), SOCKETS),
    (Path(&["TcpListener"]), Only(OUTER), SOCKETS),
    (Path(&["UdpSocket"]), Only(OUTER), SOCKETS),
    (Path(&["UnixStream"]), Only(OUTER), SOCKETS),
    (Path(&["UnixListener"]), Only(OUTER), SOCKETS),
    (Path(&["UnixDatagram"]), Only(OUTER), SOCKETS),
    (Tokens(&["println", "!"]), Only(OUTER), PRINT),
    (Tokens(&["eprintln", "!"]), Only(OUTER), PRINT),
    (Tokens(&["print", "!"]), Only(OUTER), PRINT),
    (Tokens(&["eprint", "!"]), Only(OUTER), PRINT),
    (Tokens(&["stdin", "("]), Only(OUTER), PRINT),
    (Tokens(&["stdout", "("]), Only(OUTER), PRINT),
    (Tokens(&["stderr", "("]), Only(OUTER), PRINT),
    (Path(&["Rc"]), NotIn(&["proxy"]), LOOP),
    (Path(&["Arc"]), NotIn(&["proxy"]), LOOP),
    (Path(&["RefCell"]), NotIn(&["proxy"]), LOOP),
    (Path(&["Mutex"]), NotIn(&["proxy"]), LOOP),
    (Tokens(&["dyn"]), NotIn(&["proxy"]), LOOP),
    (Tokens(&[".", "unwrap", "("]), Nowhere, UNWRAP),
    (Tokens(&[".", "unwrap_err", "("]), Nowhere, UNWRAP),
    (Path(&["Result", "unwrap"]), Nowhere, UNWRAP),
    (Path(&["Option", "unwrap"]), Nowhere, UNWRAP),
    (Tokens(&["todo", "!"]), Nowhere, LEFT),
    (Tokens(&["unimplemented", "!"]), Nowhere, LEFT),
    (Tokens(&["dbg", "!"]), Nowhere, LEFT),
    (Tokens(&["static", "mut"]), Nowhere, "no global state: pass it in"),
];

pub fn check(source: &Source) -> Vec<Finding> {
    let part = source.part();
    let paths = source.paths();
    let mut findings = Vec::new();
    for (thing, place, advice) in &BANS {
        let fits = match place {
            Only(parts) => parts.contains(&part),
            NotIn(parts) => !parts.contains(&part),
            Nowhere => false,
        };
        let name = thing.name();
        if fits {
            continue;
        }
        let mut lines = match thing {
            Tokens(sequence) => source.lines_of(sequence),
            Path(words) => {
                let has = |path: &[&str]| path.windows(words.len()).any(|window| window == *words);
                paths.iter().filter(|(path, _)| has(path)).map(|(_, line)| *line).collect()
            }
        };
        lines.dedup();
        findings.extend(lines.into_iter().map(|line| source.finding(line, format!("{name} in {part}: {advice}"))));
    }
    findings
}

impl Thing {
    fn name(&self) -> String {
        match self {
            Path(words) => words.join("::"),
            Tokens(tokens) => tokens.concat(),
        }
    }
}

/// Marks that somebody meant to come back, in code, comments and tests.
pub fn unfinished(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let mut words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        if let Some(word) = words.find(|word| MARKS.contains(word)) {
            findings.push(source.finding(number + 1, format!("{word}: {LEFT}")));
        }
    }
    findings
}

const MARKS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

#[test]
fn what_is_out_of_place_is_found() {
    type Row = (&'static str, &'static str, &'static [(usize, &'static str)]);
    let table: [Row; 27] = [
        ("src/proxy/mod.rs", "\nunsafe { x() }", &[(2, "unsafe in proxy")]),
        ("src/sys/net.rs", "unsafe { libc::close(3) };\nInstant::now();", &[]),
        ("src/base/x.rs", "use libc::close;", &[(1, "libc in base")]),
        ("src/daemon/mod.rs", "let x = mio::Poll::new();", &[(1, "mio in daemon")]),
        ("src/proxy/timers.rs", "use std::time::Instant;\nlet t = Instant::now();", &[(2, "Instant::now in proxy")]),
        ("src/balance/x.rs", "std::time::SystemTime::now()", &[(1, "SystemTime::now in balance")]),
        ("src/balance/x.rs", "since.elapsed()", &[(1, ".elapsed( in balance")]),
        ("src/logs/x.rs", "use std::{\n    fs,\n    io,\n};", &[(2, "std::fs in logs")]),
        ("src/logs/x.rs", "use std::fs::{self, File};", &[(1, "std::fs in logs")]),
        ("src/daemon/mod.rs", "std::fs::read(\"x\")", &[]),
        ("src/control/x.rs", "std::process::exit(1)", &[(1, "std::process in control")]),
        ("src/daemon/x.rs", "use std::thread;", &[(1, "std::thread in daemon")]),
        ("src/proxy/x.rs", "use std::net::{IpAddr, TcpStream};", &[(1, "TcpStream in proxy")]),
        ("src/net.rs", "use std::net::{IpAddr, SocketAddr};", &[]),
        (
            "src/balance/x.rs",
            "println!(\"x\");\neprintln!(\"y\");",
            &[(1, "println! in balance"), (2, "eprintln! in balance")],
        ),
        ("src/bin/pen.rs", "eprintln!(\"pen: {error}\");", &[]),
        ("src/proxy/x.rs", "io::stderr().write_all(b\"x\")", &[(1, "stderr( in proxy")]),
        ("src/proxy/x.rs", "fn f(x: &dyn Fn()) {}\nuse std::rc::Rc;", &[(2, "Rc in proxy"), (1, "dyn in proxy")]),
        ("src/proxy/x.rs", "let x = RefCell::new(1);", &[(1, "RefCell in proxy")]),
        ("src/daemon/x.rs", "fn f(x: &dyn Fn()) {}", &[]),
        (
            "src/daemon/x.rs",
            "x.unwrap();\ny.unwrap_or(1);\nz\n    .unwrap()",
            &[(1, ".unwrap( in daemon"), (4, ".unwrap( in daemon")],
        ),
        ("src/daemon/x.rs", "x.map(Option::unwrap)", &[(1, "Option::unwrap in daemon")]),
        ("src/daemon/x.rs", "todo!()", &[(1, "todo! in daemon")]),
        ("src/daemon/x.rs", "unimplemented!();\ndbg!(x);", &[(1, "unimplemented! in daemon"), (2, "dbg! in daemon")]),
        ("src/base/x.rs", "#[cfg(test)]\nmod tests { fn t() { x.unwrap(); println!(); } }", &[]),
        ("src/base/x.rs", "// Instant::now() and x.unwrap()\nlet x = \"libc::close\";", &[]),
        ("src/base/x.rs", "/// ```\n/// x.unwrap()\n/// ```\nfn x() {}", &[]),
    ];
    for (path, text, expected) in table {
        let findings = check(&Source::new(path, text));
        let found: Vec<_> = findings.iter().map(|finding| (finding.line, finding.what.as_str())).collect();
        let agrees = |(found, expected): (&(usize, &str), &(usize, &str))| {
            found.0 == expected.0 && found.1.starts_with(&format!("{}: ", expected.1))
        };
        let same = found.len() == expected.len() && found.iter().zip(expected).all(agrees);
        assert!(same, "{path}: {text}: found {found:?}, expected {expected:?}");
    }
}

#[test]
fn every_row_of_the_table_is_found_where_it_must_not_be_and_nowhere_else() {
    for (thing, place, _) in &BANS {
        let text = match thing {
            Path(words) => format!("{};", words.join("::")),
            Tokens(tokens) => tokens.join(" "),
        };
        let (wrong, right) = match place {
            Only(parts) => ("base", parts.first()),
            NotIn(parts) => (parts[0], Some(&"base")),
            Nowhere => ("sys", None),
        };
        let named = |finding: &Finding| finding.what.starts_with(&format!("{} in ", thing.name()));
        let found = |part: &str| check(&Source::new(&format!("src/{part}/x.rs"), &text)).iter().any(named);
        assert!(found(wrong), "{text} is not found in {wrong}");
        assert!(right.is_none_or(|part| !found(part)), "{text} is found in {right:?}");
    }
}

#[test]
fn unfinished_work_is_found() {
    let table = [
        ("// TODO: more", Some(1)),
        ("x\n/* FIXME */", Some(2)),
        ("/// XXX what is this", Some(1)),
        ("let todo = 1; // a mastodon", None),
        ("const TODO_LIST: u8 = 1;", None),
        ("#[cfg(test)]\nmod tests {\n // TODO\n}", Some(3)),
    ];
    for (text, line) in table {
        let findings = unfinished(&Source::new("src/base/x.rs", text));
        assert_eq!(findings.first().map(|finding| finding.line), line, "{text}");
    }
}
