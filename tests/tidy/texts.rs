//! What the manuals and CHANGES must say: every flag and every command that there is, none
//! that is not, and what is new since the last release.

use std::collections::BTreeSet;

/// A text of the repository.
pub fn text(path: &str) -> String {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(top.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the `.It` lines of a section name with `macro_name`, each with its line. Reads mdoc(7):
/// the words after the macro up to the next one, commas between them separating the names.
pub fn heads(page: &str, section: &str, macro_name: &str) -> Vec<(String, usize)> {
    let heads = lines_of(page, section).filter_map(|(line, number)| Some((line.strip_prefix(".It ")?, number)));
    heads.flat_map(|(words, number)| named(words, macro_name).into_iter().map(move |name| (name, number))).collect()
}

/// Each single word that a section marks with `macro_name`, wherever it stands.
pub fn mentions(page: &str, section: &str, macro_name: &str) -> Vec<String> {
    let marked = lines_of(page, section).filter_map(|(line, _)| line.strip_prefix('.'));
    let names = marked.flat_map(|words| named(words, macro_name));
    names.flat_map(|name| name.split(' ').map(String::from).collect::<Vec<_>>()).collect()
}

/// The lines of a section, with their numbers.
fn lines_of<'a>(page: &'a str, section: &str) -> impl Iterator<Item = (&'a str, usize)> {
    let title = format!(".Sh {section}");
    let inside = page.lines().zip(1..).skip_while(move |(line, _)| *line != title).skip(1);
    inside.take_while(|(line, _)| !line.starts_with(".Sh "))
}

/// The names that `macro_name` gives within the words of one line.
fn named(words: &str, macro_name: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name: Vec<&str> = Vec::new();
    let mut is_on = false;
    for word in words.split_whitespace().chain(["Ns"]) {
        let is_macro = is_macro(word);
        if (is_macro || word == ",") && !name.is_empty() {
            names.push(name.join(" "));
            name.clear();
        }
        if is_macro {
            is_on = word == macro_name;
        } else if is_on && word != "," {
            name.push(word);
        }
    }
    names
}

/// Macros have two letters, the first large: `Ar`, `Op`, `Ns`.
fn is_macro(word: &str) -> bool {
    matches!(word.as_bytes(), [first, second] if first.is_ascii_uppercase() && second.is_ascii_lowercase())
}

/// What is in the table and in no manual, and the other way round; `named` are the names of the
/// manuals, each with where it stands.
pub fn differences(kind: &str, table: &[String], named: &[(String, String)]) -> Vec<String> {
    let described: BTreeSet<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let missing = table.iter().filter(|name| !described.contains(name.as_str()));
    let mut found: Vec<String> =
        missing.map(|name| format!("{kind} '{name}' is in no manual: describe it in an .It of its own\n")).collect();
    for (name, place) in named {
        if !table.contains(name) {
            found.push(format!("{place}: {kind} '{name}' does not exist: take it out, or add it to the table\n"));
        }
    }
    found
}

/// Lines of a manual that come out otherwise than they were meant: such as have no word, and those in
/// which one quotation stands within another, as `Dq` takes all that follows it on its line (mdoc(7)).
pub fn slips_of_manual(page: &str) -> Vec<usize> {
    let mut is_literal = false;
    let mut found = Vec::new();
    for (line, number) in page.lines().zip(1..) {
        is_literal = line.starts_with(".Bd") || is_literal && !line.starts_with(".Ed");
        let is_empty = !line.starts_with('.') && !line.contains(|letter: char| letter.is_alphanumeric());
        let quotations = line.split(' ').filter(|word| word.trim_start_matches('.') == "Dq").count();
        if !is_literal && is_empty || line.starts_with('.') && quotations > 1 {
            found.push(number);
        }
    }
    found
}

/// What is wrong with CHANGES; `None` if its first section is open and says something.
pub fn fault_of_changes(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("## "));
    let Some(first) = lines.next() else {
        return Some("CHANGES has no section: begin one, '## VERSION, unreleased'");
    };
    if !first.ends_with(", unreleased") {
        return Some("the first section of CHANGES is closed: begin one above it, '## VERSION, unreleased'");
    }
    let is_empty = lines.take_while(|line| !line.starts_with("## ")).all(|line| line.trim().is_empty());
    is_empty.then_some("the open section of CHANGES is empty: say what a user can notice")
}

#[test]
fn the_heads_of_a_manual_are_read() {
    let page = ".Sh OPTIONS\n.It Fl a , -ascii\n.It Fl b Ar seconds , Fl -blacklist Ar seconds\ntext\n.Fl q\n\
                .Sh COMMANDS\n.It Ic no acl Ar n\n.It Ic hash , no hash , prio\n\
                .It Ic client_acl Oo Ar n Oc , Ic control_acl Op Ar n\n.It Ic log Ns Ar x\n.It text\n.Sh MORE\n.It Fl z , Ic z\n";
    let words = |heads: Vec<(String, usize)>| -> Vec<String> {
        heads.into_iter().map(|(name, line)| format!("{line} {name}")).collect()
    };
    assert_eq!(words(heads(page, "OPTIONS", "Fl")), ["2 a", "2 -ascii", "3 b", "3 -blacklist"]);
    let commands = ["7 no acl", "8 hash", "8 no hash", "8 prio", "9 client_acl", "9 control_acl", "10 log"];
    assert_eq!(words(heads(page, "COMMANDS", "Ic")), commands);
    assert_eq!(heads(page, "NO SUCH SECTION", "Ic"), []);
    assert_eq!(mentions(page, "OPTIONS", "Fl"), ["a", "-ascii", "b", "-blacklist", "q"]);
    assert_eq!(mentions(".Sh X\n.Fl U , w\nthe\n.Fl A E\nand .Fl no\n", "X", "Fl"), ["U", "w", "A", "E"]);
}

#[test]
fn slips_of_a_manual_are_found() {
    let page = "word\n@@\n.Bd -literal\n}\n\n.Ed\n.Pq Dq A , Dq B\n.Dq A\n.Pp\n\n";
    assert_eq!(slips_of_manual(page), [2, 7, 10]);
}

#[test]
fn a_manual_that_differs_from_its_table_is_found() {
    let table = ["a", "b", "no b"].map(String::from);
    let named = |names: &[&str]| -> Vec<(String, String)> {
        names.iter().map(|name| (String::from(*name), String::from("man/x.1:7"))).collect()
    };
    assert!(differences("flag", &table, &named(&["a", "b", "no b", "a"])).is_empty());
    let found = differences("flag", &table, &named(&["a", "no b", "c"]));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("flag 'b' is in no manual"), "{found:?}");
    assert!(found[1].starts_with("man/x.1:7: flag 'c' does not exist"), "{found:?}");
}

#[test]
fn changes_without_an_open_section_are_found() {
    let table = [
        ("# Changes\n\n## 1.1.0, unreleased\n\n- x\n\n## 1.0.0, 2026-12-01\n", None),
        ("# Changes\n\n## 1.0.0, 2026-12-01\n\n- x\n\n## 0.9, unreleased\n- y\n", Some("the first section")),
        ("# Changes\n\n## 1.1.0, unreleased\n\n## 1.0.0, 2026-12-01\n\n- x\n", Some("the open section")),
        ("# Changes\n", Some("CHANGES has no section")),
    ];
    for (text, start) in table {
        let fault = fault_of_changes(text);
        let agrees = fault.is_some() == start.is_some() && fault.unwrap_or("").starts_with(start.unwrap_or(""));
        assert!(agrees, "{text}: {fault:?}");
    }
}
