//! Who may use whom. Reads the paths that begin with `crate::`, with enough `super::` to reach
//! the top, or, in the programs, with `pen::`.

use super::source::{Finding, Source};

/// Each part and the parts that it may use. `bin` are the programs, of a few lines each.
const PARTS: [(&str, &[&str]); 15] = [
    ("base", &[]),
    ("net", &["base"]),
    ("select", &["base"]),
    ("check", &["base"]),
    ("balance", &["base", "select", "check"]),
    ("inspect", &["base"]),
    ("trace", &["base"]),
    ("logs", &["base"]),
    ("dns", &["base"]),
    ("control", &["base", "check", "balance"]),
    ("proxy", &["base", "net", "check", "balance", "inspect", "trace", "logs", "control"]),
    ("sys", &["base", "net"]),
    ("daemon", &["base", "net", "select", "check", "balance", "inspect", "trace", "logs", "control", "proxy", "sys"]),
    ("tools", &["base", "net", "logs", "dns", "control", "sys"]),
    ("bin", &["base", "daemon", "tools"]),
];

pub fn check(source: &Source) -> Vec<Finding> {
    let part = source.part();
    if part == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = PARTS.iter().find(|row| row.0 == part) else {
        return vec![
            source.finding(1, format!("'{part}' is no part: add it to tests/tidy/arrows.rs with the parts it uses")),
        ];
    };
    let mut findings = Vec::new();
    for (path, line) in source.paths() {
        let Some(used) = part_used(source, &path) else { continue };
        if !PARTS.iter().any(|row| row.0 == used) {
            findings.push(source.finding(line, format!("'{used}' is no part: name the part that has it")));
        } else if used != part && !allowed.contains(&used) {
            let may = if allowed.is_empty() { String::from("nothing") } else { allowed.join(", ") };
            let what = format!("{part} must not use {used}, it may use {may}: move the code, or pass the value in");
            findings.push(source.finding(line, what));
        }
    }
    findings
}

/// The part that a path leads into; `None` if it stays where it is or leads out of the crate.
fn part_used<'a>(source: &Source, path: &[&'a str]) -> Option<&'a str> {
    let top = if source.part() == "bin" { "pen" } else { "crate" };
    if path.len() > 1 && path[0] == top {
        return Some(path[1]);
    }
    let ups = path.iter().take_while(|word| **word == "super").count();
    let inner = source.path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let depth = inner.strip_suffix("/mod").unwrap_or(inner).split('/').count();
    if ups >= depth { path.get(ups).copied() } else { None }
}

#[test]
fn an_arrow_that_is_not_drawn_is_found() {
    let table = [
        ("src/balance/mod.rs", "use crate::base::addr::Endpoint;\nuse crate::select::Search;", None),
        ("src/balance/mod.rs", "\nuse crate::proxy::Proxy;", Some((2, "balance must not use proxy"))),
        ("src/balance/mod.rs", "use crate::{base::addr,\n    net::Net};", Some((2, "balance must not use net"))),
        ("src/balance/mod.rs", "fn f() { crate::sys::now() }", Some((1, "balance must not use sys"))),
        ("src/balance/mod.rs", "use super::proxy::Proxy;", Some((1, "balance must not use proxy"))),
        ("src/balance/acl.rs", "use super::servers::Servers;", None),
        ("src/balance/acl.rs", "use super::super::{net::Net};", Some((1, "balance must not use net"))),
        ("src/balance/acl.rs", "use crate::balance::servers::Servers;", None),
        ("src/balance/acl.rs", "// use crate::proxy\nlet a = \"crate::proxy\";", None),
        ("src/balance/acl.rs", "#[cfg(test)]\nmod tests { use crate::proxy::x; }", None),
        ("src/proxy/mod.rs", "use crate::sys::net::OsNet;", Some((1, "proxy must not use sys"))),
        ("src/sys/net.rs", "use crate::proxy::Proxy;", Some((1, "sys must not use proxy"))),
        ("src/net.rs", "use crate::base::time::Now;", None),
        ("src/net.rs", "use super::select::x;", Some((1, "net must not use select"))),
        ("src/base/addr.rs", "use crate::net::Net;", Some((1, "base must not use net, it may use nothing"))),
        ("src/base/addr.rs", "use crate::Thing;", Some((1, "'Thing' is no part"))),
        ("src/base/addr.rs", "use crate::*;", Some((1, "'*' is no part"))),
        ("src/daemon/mod.rs", "use crate::{sys, proxy, control::command};", None),
        ("src/daemon/mod.rs", "use crate::tools::penctl;", Some((1, "daemon must not use tools"))),
        ("src/tools/penctl/mod.rs", "use crate::proxy::x;", Some((1, "tools must not use proxy"))),
        ("src/bin/pen.rs", "fn main() { pen::daemon::main() }", None),
        ("src/bin/pen.rs", "fn main() { pen::proxy::run() }", Some((1, "bin must not use proxy"))),
        ("src/extra/mod.rs", "", Some((1, "'extra' is no part"))),
        ("src/lib.rs", "pub use crate::proxy::Proxy;", None),
    ];
    for (path, text, expected) in table {
        let findings = check(&Source::new(path, text));
        let found = findings.first().map(|finding| (finding.line, finding.what.as_str()));
        match (found, expected) {
            (None, None) => {}
            (Some((line, what)), Some((expected, start))) => {
                assert!(line == expected && what.starts_with(start), "{path}: {text}: {line}: {what}");
            }
            _ => panic!("{path}: {text}: found {found:?}, expected {expected:?}"),
        }
        assert!(findings.len() < 2, "{path}: {text}");
    }
}
