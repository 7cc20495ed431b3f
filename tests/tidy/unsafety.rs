//! Every `unsafe` says why it is sound, and an unsafe block holds a call or two, no more.

use super::source::{Finding, Source};

/// The most lines between the braces of an unsafe block.
const BLOCK_MAX: usize = 3;

pub fn check(source: &Source) -> Vec<Finding> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut findings = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.text == "unsafe") {
        if !says_why(&lines, token.line) {
            let what = "no 'SAFETY:' sentence above: say why this is sound";
            findings.push(source.finding(token.line, what));
        }
        if source.tokens.get(at + 1).is_some_and(|next| next.text == "{") {
            let inside = source.tokens[source.closing(at + 1)].line - token.line;
            let inside = inside.saturating_sub(1);
            if inside > BLOCK_MAX {
                let what =
                    format!("an unsafe block of {inside} lines, {BLOCK_MAX} are allowed: take the safe part out");
                findings.push(source.finding(token.line, what));
            }
        }
    }
    findings
}

/// True if the comment above line `number`, or above the statement that it belongs to, gives
/// the reason.
fn says_why(lines: &[&str], number: usize) -> bool {
    let mut above = lines[..number - 1].iter().rev().map(|line| line.trim()).peekable();
    let is_comment = |line: &str| line.starts_with("//");
    let ends_statement = |line: &str| line.is_empty() || line.ends_with([';', '{', '}']);
    while above.next_if(|line| !is_comment(line) && !ends_statement(line)).is_some() {}
    above.take_while(|line| is_comment(line)).any(|line| line.contains("SAFETY: ") || line.contains("# Safety"))
}

#[test]
fn unsafe_without_a_reason_is_found() {
    let table = [
        ("fn f() {\n    // SAFETY: the descriptor is open.\n    unsafe { close(3) };\n}", 0),
        (
            "fn f() {\n    // SAFETY: the descriptor is open,\n    // and ours.\n    let x =\n        unsafe { close(3) };\n}",
            0,
        ),
        ("fn f() {\n    unsafe { close(3) };\n}", 1),
        ("fn f() {\n    // It is fine.\n    unsafe { close(3) };\n}", 1),
        ("fn f() {\n    // SAFETY: the first is.\n    unsafe { close(3) };\n    unsafe { close(4) };\n}", 1),
        ("// SAFETY: far away.\n\nfn f() {\n    unsafe { close(3) };\n}", 1),
        ("/// Closes.\n///\n/// # Safety\n/// The descriptor is the caller's.\nunsafe fn f() {}", 0),
        ("unsafe impl Send for X {}", 1),
    ];
    for (text, count) in table {
        let findings = check(&Source::new("src/sys/x.rs", text));
        assert_eq!(findings.len(), count, "{text}: {findings:?}");
    }
}

#[test]
fn an_unsafe_block_that_is_too_long_is_found() {
    for (lines, count) in [(1, 0), (3, 0), (4, 1)] {
        let text = format!("// SAFETY: it is.\nunsafe {{\n{}}}", "x();\n".repeat(lines));
        assert_eq!(check(&Source::new("src/sys/x.rs", &text)).len(), count, "{lines}");
    }
}
