//! A source file in three views: its text, its code without comments, literals and tests, and
//! the tokens of that code. Not a parser of Rust: just enough to look for things.

use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

/// One source file.
pub struct Source {
    /// Its path from the top of the repository, with slashes.
    pub path: String,
    /// What it holds.
    pub text: String,
    /// The text with blanks in place of comments, literals and tests; line for line the same.
    pub code: String,
    /// The tokens of `code`.
    pub tokens: Vec<Token>,
    /// How many lines belong to tests.
    pub test_lines: usize,
}

/// A word, a `::` or any other single character.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
    /// Byte offset.
    at: usize,
}

impl Token {
    /// True for identifiers, keywords and numbers.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_')
    }
}

/// Something to be put right.
#[derive(PartialEq, Eq, Debug)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let mut code = without_comments_and_literals(text);
        let mut test_lines = 0;
        for (start, end) in test_items(&tokens(&code)) {
            test_lines += code[start..end].matches('\n').count() + 1;
            let blanks: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
            code.replace_range(start..end, &blanks);
        }
        let tokens = tokens(&code);
        Source { path: String::from(path), text: String::from(text), code, tokens, test_lines }
    }

    /// The part that the file belongs to: the directory or file under `src/`.
    pub fn part(&self) -> &str {
        let inner = self.path.strip_prefix("src/").expect("a path under src/");
        inner.split('/').next().map_or(inner, |part| part.strip_suffix(".rs").unwrap_or(part))
    }

    pub fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    /// The lines where these tokens come one after the other.
    pub fn lines_of(&self, sequence: &[&str]) -> Vec<usize> {
        let fits = |window: &&[Token]| window.iter().zip(sequence).all(|(token, text)| token.text == *text);
        self.tokens.windows(sequence.len()).filter(fits).map(|window| window[0].line).collect()
    }

    /// The index of the token that closes the bracket at token `open`.
    pub fn closing(&self, open: usize) -> usize {
        closing(&self.tokens, open)
    }

    /// All paths of the code, a single word being one too: `use a::{b, c::d}` gives `a::b` and
    /// `a::c::d`. With each the line of its last word.
    pub fn paths(&self) -> Vec<(Vec<&str>, usize)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            at = if self.tokens[at].is_word() { self.path_at(at, &[], &mut found) } else { at + 1 };
        }
        found
    }

    /// Reads the path or the group of paths at token `at`, and returns where it ends.
    fn path_at<'a>(&'a self, mut at: usize, start: &[&'a str], found: &mut Vec<(Vec<&'a str>, usize)>) -> usize {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let mut path = start.to_vec();
        loop {
            if text(at) == "{" {
                let end = self.closing(at);
                at += 1;
                while at < end {
                    if text(at) == "as" {
                        at += 2;
                        continue;
                    }
                    let is_start = self.tokens[at].is_word() || matches!(text(at), "{" | "*");
                    at = if is_start { self.path_at(at, &path, found) } else { at + 1 };
                }
                return end + 1;
            }
            if text(at) != "self" || path.is_empty() {
                path.push(text(at));
            }
            let continues = text(at + 1) == "::"
                && self.tokens.get(at + 2).is_some_and(|token| token.is_word() || matches!(text(at + 2), "{" | "*"));
            if !continues {
                found.push((path, self.tokens[at].line));
                return at + 1;
            }
            at += 2;
        }
    }
}

/// All of `src/`, but for the files that are modules of tests. Read once.
pub fn all() -> &'static [Source] {
    static ALL: OnceLock<Vec<Source>> = OnceLock::new();
    ALL.get_or_init(|| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = Vec::new();
        walk(top, Path::new("src"), &mut sources);
        let tests: Vec<String> = sources.iter().flat_map(test_modules).collect();
        sources.retain(|source| !tests.iter().any(|start| source.path.starts_with(start)));
        sources
    })
}

fn walk(top: &Path, directory: &Path, sources: &mut Vec<Source>) {
    let list = std::fs::read_dir(top.join(directory)).expect("a directory that can be read");
    let mut paths: Vec<_> = list.map(|entry| directory.join(entry.expect("an entry").file_name())).collect();
    paths.sort();
    for path in paths {
        if top.join(&path).is_dir() {
            walk(top, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(top.join(&path)).expect("a source file that can be read");
            sources.push(Source::new(path.to_str().expect("a path in UTF-8"), &text));
        }
    }
}

/// How the paths of the modules begin that `#[cfg(test)] mod name;` declares.
fn test_modules(source: &Source) -> Vec<String> {
    let tokens = tokens(&without_comments_and_literals(&source.text));
    let stem = source.path.strip_suffix(".rs").expect("a path of a source file");
    let directory = stem.strip_suffix("/mod").or_else(|| stem.strip_suffix("/lib")).unwrap_or(stem);
    let mut found = Vec::new();
    for (start, end) in test_items(&tokens) {
        let item: Vec<&Token> = tokens.iter().filter(|token| (start..end).contains(&token.at)).collect();
        if let [.., word, name, semicolon] = item[..]
            && word.text == "mod"
            && semicolon.text == ";"
        {
            found.push(format!("{directory}/{}.rs", name.text));
            found.push(format!("{directory}/{}/", name.text));
        }
    }
    found
}

/// From where to where the items go that have `#[cfg(test)]` above them, in bytes.
fn test_items(tokens: &[Token]) -> Vec<(usize, usize)> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut items = Vec::new();
    let mut at = 0;
    while at + mark.len() < tokens.len() {
        if !tokens[at..].iter().zip(mark).all(|(token, text)| token.text == text) {
            at += 1;
            continue;
        }
        let start = tokens[at].at;
        at += mark.len();
        while at < tokens.len() && !matches!(tokens[at].text.as_str(), ";" | "{") {
            let opens = matches!(tokens[at].text.as_str(), "(" | "[");
            at = if opens { closing(tokens, at) + 1 } else { at + 1 };
        }
        if at < tokens.len() && tokens[at].text == "{" {
            at = closing(tokens, at);
        }
        let end = tokens.get(at).map_or(tokens[tokens.len() - 1].at, |token| token.at);
        items.push((start, end + 1));
        at += 1;
    }
    items
}

/// The index of the token that closes the bracket at token `open`; the last one if none does.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

fn tokens(code: &str) -> Vec<Token> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut tokens = Vec::new();
    let (mut line, mut at) = (1, 0);
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = match first {
            _ if is_word(first) => rest.find(|letter| !is_word(letter)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        if !first.is_whitespace() {
            tokens.push(Token { text: String::from(&rest[..length]), line, at });
        }
        line += usize::from(first == '\n');
        at += length;
    }
    tokens
}

/// Puts blanks in place of comments, strings and characters. Lines and offsets stay.
fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let follows_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let length = match rest {
            [b'/', b'/', ..] => text[at..].find('\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => block_comment(rest),
            [b'"', ..] => quoted(rest, b'"'),
            [b'b' | b'c', b'r', ..] if !follows_word => raw_string(&rest[1..]).map_or(0, |length| length + 1),
            [b'r', ..] if !follows_word => raw_string(rest).unwrap_or(0),
            [b'\'', b'\\', ..] => quoted(rest, b'\''),
            [b'\'', ..] => character(&text[at..]).unwrap_or(0),
            _ => 0,
        };
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length.max(1);
    }
    String::from_utf8(code).expect("whole literals are blanked")
}

/// The length of a comment that may hold further ones.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a literal between two of `quote`, with escapes.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(at + 1)
}

/// The length of `r"..."` or `r#"..."#`; `None` for a word that begins with an r.
fn raw_string(bytes: &[u8]) -> Option<usize> {
    let hashes = bytes[1..].iter().take_while(|&&byte| byte == b'#').count();
    if bytes.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let start = 2 + hashes;
    let length = bytes[start..].windows(end.len()).position(|window| window == end)?;
    Some(start + length + end.len())
}

/// The length of `'x'`; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut letters = text[1..].chars();
    let length = letters.next()?.len_utf8();
    (letters.next() == Some('\'')).then_some(length + 2)
}

#[test]
fn comments_and_literals_are_no_code() {
    let table: [(&str, &[&str]); 10] = [
        ("a // b \"c\nd", &["// b \"c"]),
        ("a /* b /* c */ d */ e", &["/* b /* c */ d */"]),
        ("a(\"b \\\" c\", d)", &["\"b \\\" c\""]),
        ("a(r\"b\\\", c)", &["r\"b\\\""]),
        ("a(r#\"b\" c\"#, d)", &["r#\"b\" c\"#"]),
        ("a(br#\"b\"#, for_r, r#fn)", &["br#\"b\"#"]),
        ("'a' 'b' '\\'' '\"' c", &["'a'", "'b'", "'\\''", "'\"'"]),
        ("f<'a>(x: &'a str, 'é')", &["'é'"]),
        ("b'\\\\' b'x' b\"y\" z", &["'\\\\'", "'x'", "\"y\""]),
        ("\"//\" a /* \" */ b", &["\"//\"", "/* \" */"]),
    ];
    for (text, literals) in table {
        let blanked = |code: String, literal: &&str| code.replacen(literal, &" ".repeat(literal.len()), 1);
        let code = literals.iter().fold(String::from(text), blanked);
        assert_eq!(without_comments_and_literals(text), code, "{text}");
    }
}

#[test]
fn tests_are_no_code_but_what_follows_them_is() {
    let text =
        "a();\n#[cfg(test)]\n#[allow(x)]\nfn t(x: [u8; 2]) {\n    { b(); }\n}\nc();\n#[cfg(test)]\nuse d;\ne();\n";
    let source = Source::new("src/x/y.rs", text);
    let words: Vec<(&str, usize)> =
        source.tokens.iter().filter(|token| token.is_word()).map(|token| (token.text.as_str(), token.line)).collect();
    assert_eq!(words, [("a", 1), ("c", 7), ("e", 10)]);
    assert_eq!(source.test_lines, 7);
    assert_eq!(source.code.lines().count(), text.lines().count());
}

#[test]
fn modules_of_tests_are_found() {
    let table =
        [("src/x/mod.rs", "src/x/model.rs"), ("src/x/y.rs", "src/x/y/model.rs"), ("src/lib.rs", "src/model.rs")];
    for (path, module) in table {
        let source = Source::new(path, "mod other;\n#[cfg(test)]\nmod model;\n#[cfg(test)]\nmod tests { mod x; }");
        assert_eq!(test_modules(&source)[0], module);
        assert_eq!(test_modules(&source).len(), 2);
    }
}

#[test]
fn paths_are_read_out_of_groups() {
    let source = Source::new("src/x.rs", "use a::{self, b::{c, d as e}, f::*};\ng::h(i);\n::j::k::<L>();\nm! { n::o }");
    let paths: Vec<String> = source.paths().iter().map(|(path, line)| format!("{line} {}", path.join("::"))).collect();
    let expected =
        ["1 use", "1 a", "1 a::b::c", "1 a::b::d", "1 a::f::*", "2 g::h", "2 i", "3 j::k", "3 L", "4 m", "4 n::o"];
    assert_eq!(paths, expected);
}
