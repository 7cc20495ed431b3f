//! How long files and functions may be.

use super::source::{Finding, Source};

/// The most lines of a file, tests not counted.
const FILE_MAX: usize = 400;
/// The most lines of a function, from its `fn` to its closing brace.
const FUNCTION_MAX: usize = 60;
/// The most lines of a program: it only calls into the library.
const PROGRAM_MAX: usize = 40;

pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let most = if source.part() == "bin" { PROGRAM_MAX } else { FILE_MAX };
    let lines = source.text.lines().count().saturating_sub(source.test_lines);
    if lines > most {
        let what = format!("{lines} lines without the tests, {most} are allowed: split the file by what it is about");
        findings.push(source.finding(1, what));
    }
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let Some(end) = end_of_function(source, at) else { continue };
        let lines = end - token.line + 1;
        if lines > FUNCTION_MAX {
            let name = &source.tokens[at + 1].text;
            let what =
                format!("{name} has {lines} lines, {FUNCTION_MAX} are allowed: take steps out of it and name them");
            findings.push(source.finding(token.line, what));
        }
    }
    findings
}

/// The last line of the function at token `at`; `None` if it has no body or is a type.
fn end_of_function(source: &Source, mut at: usize) -> Option<usize> {
    if !source.tokens.get(at + 1)?.is_word() {
        return None;
    }
    loop {
        match source.tokens.get(at)?.text.as_str() {
            "(" | "[" => at = source.closing(at),
            "{" => return Some(source.tokens[source.closing(at)].line),
            ";" => return None,
            _ => {}
        }
        at += 1;
    }
}

#[test]
fn a_file_that_is_too_long_is_found() {
    let tests = "#[cfg(test)]\nmod tests {\n\n\n\n}\n";
    let table = [
        ("src/base/x.rs", 400, true),
        ("src/base/x.rs", 401, false),
        ("src/bin/x.rs", 40, true),
        ("src/bin/x.rs", 41, false),
    ];
    for (path, lines, is_allowed) in table {
        let text = "x();\n".repeat(lines) + tests;
        assert_eq!(check(&Source::new(path, &text)).is_empty(), is_allowed, "{path}: {lines}");
    }
}

#[test]
fn a_function_that_is_too_long_is_found() {
    let function = |lines: usize| format!("fn f(x: [u8; 2]) -> [u8; 2] {{\n{}}}\n", "x();\n".repeat(lines - 2));
    assert!(check(&Source::new("src/base/x.rs", &function(60))).is_empty());
    let findings = check(&Source::new("src/base/x.rs", &format!("\nfn short();\n{}", function(61))));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].line, 3);
    assert!(findings[0].what.starts_with("f has 61 lines"), "{}", findings[0]);
    let in_test = format!("#[cfg(test)]\nmod tests {{\n{}}}", function(61));
    assert!(check(&Source::new("src/base/x.rs", &in_test)).is_empty());
    let callback = format!("type F = fn(u8);\nconst X: [u8; 3] = [\n{}];", "1,\n".repeat(80));
    assert!(check(&Source::new("src/base/x.rs", &callback)).is_empty());
}
