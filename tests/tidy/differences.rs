//! What `doc/differences.md` must say: its sections count from 1, and each names tests that
//! there are.

/// What is wrong with the text. `source` brings a file of the repository, if it is there.
pub fn faults(text: &str, source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    let sections = text.split("\n### ").skip(1).map(|section| section.split("\n## ").next().unwrap_or(section));
    for (section, number) in sections.zip(1..) {
        let title = section.lines().next().unwrap_or("");
        if !title.starts_with(&format!("{number}. ")) {
            found.push(format!("'{title}' should be section {number}: numbers never change, and none is left out\n"));
        }
        let tests: Vec<(&str, &str)> = section.lines().filter_map(test_named_by).collect();
        if tests.is_empty() {
            found.push(format!("'{title}' names no test that shows it\n"));
        }
        for (path, name) in tests {
            let is_there = source(path).is_some_and(|text| text.contains(&format!("fn {name}(")));
            if !is_there {
                found.push(format!("'{title}' names the test {name}, which is not in {path}\n"));
            }
        }
    }
    found
}

/// Which tests a text names that there are not, wherever in it, as `` `FILE`: `NAME` `` with any number of names.
pub fn missing_tests(text: &str, source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        for (at, _) in line.match_indices(".rs`: `") {
            let path = line[..at + 3].rsplit('`').next().unwrap_or("");
            let text = source(path);
            let mut rest = &line[at + 6..];
            while let Some((name, after)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
                if !text.as_ref().is_some_and(|text| text.contains(&format!("fn {name}("))) {
                    found.push(format!("the test {name} is not in {path}\n"));
                }
                rest = after.strip_prefix(", ").unwrap_or("");
            }
        }
    }
    found
}

/// The file and the name in a line such as ``- Test: `tests/pen/x.rs`: `some_name`.``
fn test_named_by(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("- Test: ").or_else(|| line.strip_prefix("  - "))?;
    let (path, rest) = line.strip_prefix('`')?.split_once("`: `")?;
    Some((path, rest.split_once('`')?.0))
}

#[test]
fn tests_that_are_not_there_are_found() {
    let source = |path: &str| (path == "tests/a.rs").then(|| String::from("fn it_works() {}\nfn it_ends() {}\n"));
    let good =
        "| x | `tests/a.rs`: `it_works`, `it_ends` |\n| `tests/b.rs` | `it` |\n| y | `tests/a.rs`: `it_ends` |\n";
    assert_eq!(missing_tests(good, source), [] as [String; 0]);
    for (old, new) in
        [("`it_works`", "`it_work`"), ("`it_ends` |\n| `t", "`it_end` |\n| `t"), ("y | `tests/a", "y | `tests/b")]
    {
        assert_eq!(missing_tests(&good.replace(old, new), source).len(), 1, "{new}");
    }
}

#[test]
fn sections_without_a_test_that_there_is_are_found() {
    let source = |path: &str| (path == "tests/a.rs").then(|| String::from("fn it_works() {}\nfn it_ends() {}\n"));
    let good = "# D\n\n## A\n\n### 1. One\n\n- C pen: `x`: `y`.\n- Test: `tests/a.rs`: `it_works`.\n\n## B\n\n### 2. Two\n\n\
                - Tests:\n  - `tests/a.rs`: `it_works`\n  - `tests/a.rs`: `it_ends`\n\n## C\n\n| `b1` | x |\n";
    assert_eq!(faults(good, source), [] as [String; 0]);
    let table = [
        (good.replace("### 2.", "### 3."), "'3. Two' should be section 2"),
        (good.replace("- Test: `tests/a.rs`: `it_works`.", "- Test: to be named."), "'1. One' names no test"),
        (good.replace("`it_ends`", "`it_end`"), "'2. Two' names the test it_end, which is not in tests/a.rs"),
        (
            good.replace("  - `tests/a.rs`: `it_works`", "  - `tests/b.rs`: `it_works`"),
            "'2. Two' names the test it_works",
        ),
    ];
    for (text, start) in table {
        let found = faults(&text, source);
        assert!(found.len() == 1 && found[0].starts_with(start), "{start}: {found:?}");
    }
}
