//! Nothing iterates over a hash map: its order is random, and a run could not be replayed.
//!
//! A map is held under a name of its own, and only looked up by it. Not checked where nothing
//! is replayed: in `sys` and in the tools.

use super::source::{Finding, Source, Token};

const MAPS: [&str; 2] = ["HashMap", "HashSet"];

/// What may be asked of a map: nothing here depends on its order.
const LOOKUPS: [&str; 15] = [
    "get",
    "get_mut",
    "contains",
    "contains_key",
    "entry",
    "insert",
    "replace",
    "take",
    "remove",
    "remove_entry",
    "len",
    "is_empty",
    "clear",
    "capacity",
    "reserve",
];

pub fn check(source: &Source) -> Vec<Finding> {
    if matches!(source.part(), "sys" | "tools") {
        return Vec::new();
    }
    let text = |at: usize| source.tokens.get(at).map_or("", |token| token.text.as_str());
    let mut holders = Vec::new();
    let mut findings = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| MAPS.contains(&token.text.as_str())) {
        let is_import = matches!(text(at + 1), ";" | "," | "}");
        match Holder::before(&source.tokens[..at]) {
            Some(holder) => holders.push(holder),
            None if is_import || text(at + 1) == "::" => {}
            None => findings.push(source.finding(token.line, format!("{}: hold it as 'name: {0}'", token.text))),
        }
    }
    for (at, token) in source.tokens.iter().enumerate() {
        let is_field = at > 0 && text(at - 1) == ".";
        if !holders.contains(&Holder { name: &token.text, is_field }) {
            continue;
        }
        let is_lookup = text(at + 1) == "." && LOOKUPS.contains(&text(at + 2));
        let is_named = matches!(text(at + 1), ":" | "=" | "," | "}");
        if !is_lookup && !is_named {
            let what = format!("{} is a hash map, whose order is random: only look things up in it", token.text);
            findings.push(source.finding(token.line, what));
        }
    }
    findings
}

/// What holds a map: a field, or a variable.
#[derive(PartialEq, Eq)]
struct Holder<'a> {
    name: &'a str,
    is_field: bool,
}

impl Holder<'_> {
    /// The one that the tokens give to the map which follows them: `name: &mut HashMap`,
    /// `let name = HashMap`, also with the path of the module.
    fn before(tokens: &[Token]) -> Option<Holder<'_>> {
        let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let path = ["&", "mut", "::", "std", "collections"];
        let at = tokens.iter().rposition(|token| !path.contains(&token.text.as_str())).filter(|at| *at > 1)?;
        let is_let = word(at - 2) == "let" || (word(at - 2) == "mut" && at > 2 && word(at - 3) == "let");
        let name = word(at - 1);
        match word(at) {
            "=" if is_let => Some(Holder { name, is_field: false }),
            ":" => Some(Holder { name, is_field: !is_let && enclosing(&tokens[..at]) == Some("{") }),
            _ => None,
        }
    }
}

/// The bracket that is open at the end of the tokens.
fn enclosing(tokens: &[Token]) -> Option<&str> {
    let mut depth = 0;
    for token in tokens.iter().rev() {
        match token.text.as_str() {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" if depth == 0 => return Some(&token.text),
            "(" | "[" | "{" => depth -= 1,
            _ => {}
        }
    }
    None
}

#[test]
fn a_map_that_is_iterated_over_is_found() {
    let table = [
        ("use std::collections::{BTreeMap, HashMap};\nuse std::collections::HashSet;", None),
        ("struct X { seen: HashMap<u8, u8> }\nfn f(x: &X) { x.seen.get(&1); x.seen.len(); }", None),
        ("struct X { seen: HashMap<u8, u8> }\nfn f() -> X { X { seen: HashMap::new() } }", None),
        ("let seen = HashMap::new();\nseen.insert(1, 2);\nX { seen }", None),
        ("struct X { seen: HashMap<u8, u8> }\nfn f(x: &X) { x.seen.iter() }", Some(2)),
        ("struct X { seen: HashSet<u8> }\nfn f(x: &X) {\n x.seen.retain(|x| true) }", Some(3)),
        ("struct X { seen: std::collections::HashMap<u8, u8> }\n\nfn f(x: &X) { x.seen.keys() }", Some(3)),
        ("struct X { seen: HashMap<u8, u8> }\nfn f(x: &X) { for y in &x.seen { y } }", Some(2)),
        ("struct X { seen: HashMap<u8, u8> }\nfn f(x: &X) { g(&x.seen) }", Some(2)),
        ("fn f(seen: &mut HashMap<u8, u8>) {\n seen.drain() }", Some(2)),
        ("fn f() {\nlet mut seen = HashMap::new();\nseen.into_iter() }", Some(3)),
        ("struct X { seen: HashMap<u8, u8> }\nfn f(x: &X, seen: Vec<u8>) { seen.iter() }", None),
        ("fn f() { let seen: HashMap<u8, u8> = g();\nseen.values() }", Some(2)),
        ("fn f() -> HashMap<u8, u8> {}", Some(1)),
        ("struct X { all: Vec<HashMap<u8, u8>> }", Some(1)),
        ("type Seen = HashMap<u8, u8>;\n", Some(1)),
    ];
    for (text, line) in table {
        let findings = check(&Source::new("src/balance/x.rs", text));
        assert_eq!(findings.first().map(|finding| finding.line), line, "{text}: {findings:?}");
    }
    assert!(check(&Source::new("src/sys/x.rs", "for x in HashMap::new() { seen.iter() }")).is_empty());
}
