//! Words that say nothing, in the names of functions, types, constants, modules and files.

use super::source::{Finding, Source};

/// Words that may not be part of a name, singular or plural.
const EMPTY_WORDS: [&str; 8] = ["handler", "manager", "context", "helper", "util", "data", "info", "misc"];
/// Words that a name may not begin with.
const EMPTY_STARTS: [&str; 3] = ["do", "my", "get"];
/// What a name follows.
const DECLARES: [&str; 10] =
    ["fn", "struct", "enum", "union", "trait", "type", "mod", "const", "static", "macro_rules"];

pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let file = source.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or("");
    findings.extend(fault(file).map(|fault| source.finding(1, format!("file {file}: {fault}"))));
    let words: Vec<_> = source.tokens.iter().filter(|token| token.text != "!").collect();
    for pair in words.windows(2) {
        let [declares, name] = pair else { continue };
        if !DECLARES.contains(&declares.text.as_str()) || !name.is_word() {
            continue;
        }
        if let Some(fault) = fault(&name.text) {
            findings.push(source.finding(name.line, format!("{} {}: {fault}", declares.text, name.text)));
        }
    }
    findings
}

/// What is wrong with a name.
fn fault(name: &str) -> Option<String> {
    let words = words(name);
    let is_empty = |word: &&String| {
        let word = word.strip_suffix('s').unwrap_or(word);
        EMPTY_WORDS.contains(&word)
    };
    if let Some(word) = words.iter().find(is_empty) {
        return Some(format!("'{word}' says nothing: name what it is or does"));
    }
    let first = words.first()?;
    let starts_badly = words.len() > 1 && EMPTY_STARTS.contains(&first.as_str());
    starts_badly.then(|| format!("'{first}_' says nothing: begin with what it does or is"))
}

/// The words of `snake_case`, `SCREAMING_CASE` and `CamelCase` names, in small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_ascii_uppercase() && was_small) {
            words.push(String::new());
        }
        if letter != '_' {
            words.last_mut().expect("there is always a last word").push(letter.to_ascii_lowercase());
        }
        was_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn names_that_say_nothing_are_found() {
    let table = [
        ("src/base/x.rs", "fn event_handler() {}", Some("fn event_handler: 'handler'")),
        ("src/base/x.rs", "struct PairManager;", Some("struct PairManager: 'manager'")),
        ("src/base/x.rs", "enum Contexts {}", Some("enum Contexts: 'contexts'")),
        ("src/base/x.rs", "trait Helper {}", Some("trait Helper: 'helper'")),
        ("src/base/x.rs", "mod utils;", Some("mod utils: 'utils'")),
        ("src/base/x.rs", "type ServerData = u8;", Some("type ServerData: 'data'")),
        ("src/base/x.rs", "const SERVER_INFO: u8 = 1;", Some("const SERVER_INFO: 'info'")),
        ("src/base/x.rs", "macro_rules! helper { () => {} }", Some("macro_rules helper: 'helper'")),
        ("src/base/x.rs", "pub(crate) const fn get_port() {}", Some("fn get_port: 'get_'")),
        ("src/base/x.rs", "fn do_relay() {}", Some("fn do_relay: 'do_'")),
        ("src/base/x.rs", "struct MyServer;", Some("struct MyServer: 'my_'")),
        ("src/base/utils.rs", "", Some("file utils: 'utils'")),
        ("src/base/x.rs", "fn get() {}\nstruct Metadata;\nfn update() {}\nfn done() {}", None),
        ("src/base/x.rs", "fn informs() {}\ntype Database = u8;\nlet info = 1;", None),
        ("src/base/x.rs", "#[cfg(test)]\nmod tests { fn no_data_is_lost() {} }", None),
    ];
    for (path, text, expected) in table {
        let findings = check(&Source::new(path, text));
        let found = findings.first().map(|finding| finding.what.as_str());
        let agrees = found.is_some() == expected.is_some() && found.unwrap_or("").starts_with(expected.unwrap_or(""));
        assert!(agrees, "{text}: found {found:?}, expected {expected:?}");
    }
}
