//! The files, written from the tables.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use pen::control::command::{CHECK_KINDS, COMMANDS, SERVER_DUTIES, SERVER_KEYS};
use pen::daemon::options::{FLAGS, Flag, Id, Value};

/// Options of penctl with their values and what they do.
const PENCTL: [(&str, &str, &str); 4] = [
    ("--token", "FILE", "has the word that pen wants"),
    ("--timeout", "SECONDS", "how long pen has to answer"),
    ("--help", "", "prints help"),
    ("--version", "", "prints the version"),
];

/// What penctl does by itself.
const OWN: [(&str, &str); 3] = [
    ("-", "takes commands from standard input"),
    ("health", "tells whether pen serves"),
    ("top", "shows a live table of servers"),
];

/// Options of `penctl PEN top`.
const TOP: &str = "--once -n --every --sort";

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/completions")).join(name)
}

/// The flags that are there.
fn flags() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| !matches!(flag.id, Id::Refused | Id::Obsolete))
}

/// How a flag is written: `-b`, `--blacklist`.
fn spellings(flag: &Flag) -> Vec<String> {
    flag.short.map(|short| format!("-{short}")).into_iter().chain(flag.long.map(|long| format!("--{long}"))).collect()
}

/// The name of what it takes.
fn value(flag: &Flag) -> Option<&'static str> {
    match flag.value {
        Value::None => None,
        Value::Text(name) | Value::Number(name, _, _) => Some(name),
    }
}

/// The flags whose value is a file, a directory, a user, a command.
fn taking(names: &[&str]) -> Vec<String> {
    flags().filter(|flag| value(flag).is_some_and(|name| names.contains(&name))).flat_map(spellings).collect()
}

/// First words of commands, each once, `no` included.
fn words() -> Vec<&'static str> {
    let mut words: Vec<&str> =
        COMMANDS.iter().filter(|row| row.exists()).map(|row| row.name.split(' ').next().unwrap_or(row.name)).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// What may follow the first word: for `no` the commands that can be taken back, else the words of the
/// row's arguments that stand for themselves.
fn followers(first: &str) -> Vec<String> {
    match first {
        "server" => {
            let duties = SERVER_DUTIES.iter().map(|(word, _)| *word);
            return SERVER_KEYS.into_iter().chain(duties).map(String::from).collect();
        }
        "check" => {
            let words = CHECK_KINDS.split([',', ' ']).filter(|word| !word.is_empty() && *word != "or");
            return words.map(String::from).collect();
        }
        _ => {}
    }
    let rows = COMMANDS.iter().filter(|row| row.exists());
    let mut words: Vec<String> = if first == "no" {
        rows.filter_map(|row| row.name.strip_prefix("no ")).map(String::from).collect()
    } else {
        let own = rows.filter(|row| row.name == first);
        let split = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let literal =
            |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        own.flat_map(|row| row.arguments.split(split).filter(literal).map(String::from)).collect()
    };
    words.sort_unstable();
    words.dedup();
    words
}

/// Quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

const NOTE: &str = "# Made from pen's own tables (tests/completions/files.rs); do not edit.\n";

fn bash() -> String {
    let mut text = format!("# bash completion for pen and penctl\n{NOTE}\n");
    let options: Vec<String> = flags().flat_map(spellings).collect();
    let either = |names: Vec<String>| names.join("|");
    let others: Vec<String> = flags()
        .filter(|flag| value(flag).is_some_and(|name| !["FILE", "LOG", "DIR", "USER", "COMMAND"].contains(&name)))
        .flat_map(spellings)
        .collect();
    write!(
        text,
        "_pen() {{\n    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}\n    COMPREPLY=()\n    \
         case $prev in\n    {files})\n        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n        return\n        ;;\n    \
         {directories})\n        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n        return\n        ;;\n    \
         {users})\n        mapfile -t COMPREPLY < <(compgen -u -- \"$cur\")\n        return\n        ;;\n    \
         {commands})\n        mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$cur\")\n        return\n        ;;\n    \
         {others})\n        return\n        ;;\n    esac\n    \
         if [[ $cur == -* ]]; then\n        mapfile -t COMPREPLY < <(compgen -W '{options}' -- \"$cur\")\n    \
         else\n        mapfile -t COMPREPLY < <(compgen -A hostname -- \"$cur\")\n    fi\n}}\n\n",
        files = either(taking(&["FILE", "LOG"])),
        directories = either(taking(&["DIR"])),
        users = either(taking(&["USER"])),
        commands = either(taking(&["COMMAND"])),
        others = either(others),
        words = words().join(" "),
        options = options.join(" "),
    )
    .unwrap();
    text.push_str(&bash_penctl());
    text.push_str("complete -F _pen pen\ncomplete -o filenames -F _penctl penctl\n");
    text
}

fn bash_penctl() -> String {
    let mut text =
        String::from("_penctl() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n");
    text.push_str("    local at=1 words=\n    COMPREPLY=()\n");
    text.push_str("    # Where the pen is named, behind the options and what they take.\n");
    text.push_str("    while ((at < COMP_CWORD)); do\n        case ${COMP_WORDS[at]} in\n");
    text.push_str("        --token | --timeout) ((at += 2)) ;;\n        -*) ((at += 1)) ;;\n        *) break ;;\n        esac\n    done\n");
    text.push_str("    # A colon is a word of its own where COMP_WORDBREAKS has it.\n");
    text.push_str("    local first=$((at + 1))\n");
    text.push_str("    while [[ ${COMP_WORDS[first]-} == : ]]; do ((first += 2)); done\n");
    let options: Vec<&str> = PENCTL.iter().map(|(option, _, _)| *option).collect();
    write!(
        text,
        "    if ((COMP_CWORD < first)); then\n        case $prev in\n        --timeout) return ;;\n        esac\n        \
         if [[ $cur == -* && $prev != --token ]]; then\n            mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\")\n        \
         else\n            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n        fi\n        return\n    fi\n",
        options.join(" ")
    )
    .unwrap();
    let own = OWN.iter().map(|(word, _)| *word);
    let firsts: Vec<&str> = words().into_iter().chain(own).collect();
    write!(
        text,
        "    if ((COMP_CWORD == first)); then\n        words='{}'\n    else\n        case ${{COMP_WORDS[first]}} in\n",
        firsts.join(" ")
    )
    .unwrap();
    for word in words() {
        let followers = followers(word);
        if !followers.is_empty() {
            writeln!(text, "        {word}) words='{}' ;;", followers.join(" ")).unwrap();
        }
    }
    writeln!(text, "        top) words='{TOP}' ;;\n        health) words=--timeout ;;").unwrap();
    text.push_str("        include | log | web_stats | write | control_token)\n");
    text.push_str("            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n            return\n            ;;\n");
    text.push_str("        esac\n    fi\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n\n");
    text
}

fn zsh_pen() -> String {
    let mut text = format!("#compdef pen\n{NOTE}\n_arguments -s -S \\\n");
    for flag in flags() {
        let names = spellings(flag);
        let action = match value(flag) {
            None => "",
            Some("FILE" | "LOG") => ":file:_files",
            Some("DIR") => ":directory:_files -/",
            Some("USER") => ":user:_users",
            Some(_) => ":value: ",
        };
        let help = flag.help.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
        for name in &names {
            writeln!(text, "    {} \\", quoted(&format!("*{name}[{help}]{action}"))).unwrap();
        }
    }
    text.push_str("    '*:address:_hosts'\n");
    text
}

fn zsh_penctl() -> String {
    let mut text = format!("#compdef penctl\n{NOTE}\nlocal -a known\nknown=(\n");
    for row in COMMANDS.iter().filter(|row| row.exists() && !row.name.contains(' ')) {
        writeln!(text, "    {}", quoted(&format!("{}:{}", row.name, row.what.replace(':', "\\:")))).unwrap();
    }
    writeln!(text, "    'no:Takes a command back.'").unwrap();
    for (word, what) in OWN {
        writeln!(text, "    {}", quoted(&format!("{word}:{what}"))).unwrap();
    }
    text.push_str(
        ")\n\n_penctl_words() {\n    if ((CURRENT == 1)); then\n        _describe command known\n        return\n",
    );
    text.push_str("    fi\n    case $words[1] in\n");
    for word in words() {
        let followers = followers(word);
        if !followers.is_empty() {
            writeln!(text, "    {word}) compadd -- {} ;;", followers.join(" ")).unwrap();
        }
    }
    writeln!(text, "    top) compadd -- {TOP} ;;\n    health) compadd -- --timeout ;;").unwrap();
    text.push_str(
        "    include | log | web_stats | write | control_token) _files ;;\n    esac\n}\n\n_arguments -S \\\n",
    );
    for (option, value, what) in PENCTL {
        let action = match value {
            "" => "",
            "FILE" => ":file:_files",
            _ => ":value: ",
        };
        writeln!(text, "    {} \\", quoted(&format!("{option}[{what}]{action}"))).unwrap();
    }
    text.push_str("    '1:pen:_files' \\\n    '*::command:_penctl_words'\n");
    text
}

fn fish_pen() -> String {
    let mut text = format!("# fish completion for pen\n{NOTE}\ncomplete -c pen -f\n");
    for flag in flags() {
        text.push_str("complete -c pen");
        if let Some(short) = flag.short {
            write!(text, " -s {short}").unwrap();
        }
        if let Some(long) = flag.long {
            write!(text, " -l {long}").unwrap();
        }
        match value(flag) {
            None => {}
            Some("FILE" | "LOG") => text.push_str(" -r -F"),
            Some("DIR") => text.push_str(" -x -a '(__fish_complete_directories)'"),
            Some("USER") => text.push_str(" -x -a '(__fish_complete_users)'"),
            Some("COMMAND") => write!(text, " -x -a '{}'", words().join(" ")).unwrap(),
            Some(_) => text.push_str(" -x"),
        }
        writeln!(text, " -d {}", quoted(flag.help).replace("'\\''", "\\'")).unwrap();
    }
    text
}

fn fish_penctl() -> String {
    let mut text = format!("# fish completion for penctl\n{NOTE}\n");
    text.push_str("# The words behind the options and the pen, the one under the cursor not counted.\n");
    text.push_str("function __penctl_words\n    set -l tokens (commandline -opc)\n    set -e tokens[1]\n");
    text.push_str("    while set -q tokens[1]\n        switch $tokens[1]\n            case --token --timeout\n");
    text.push_str("                set -e tokens[1]\n                set -e tokens[1]\n            case '-*'\n");
    text.push_str(
        "                set -e tokens[1]\n            case '*'\n                break\n        end\n    end\n",
    );
    text.push_str("    printf '%s\\n' $tokens\nend\n\n");
    text.push_str("function __penctl_at\n    test (count (__penctl_words)) -eq $argv[1]\nend\n\n");
    text.push_str("function __penctl_after\n    set -l words (__penctl_words)\n    test (count $words) -ge 2; and test $words[2] = $argv[1]\nend\n\n");
    for (option, value, what) in PENCTL {
        let takes = match value {
            "" => "",
            "FILE" => " -r -F",
            _ => " -x",
        };
        let long = option.trim_start_matches('-');
        writeln!(text, "complete -c penctl -n '__penctl_at 0' -l {long}{takes} -d '{what}'").unwrap();
    }
    text.push_str("complete -c penctl -n 'not __penctl_at 0' -f\n");
    for row in COMMANDS.iter().filter(|row| row.exists() && !row.name.contains(' ')) {
        let what = quoted(row.what).replace("'\\''", "\\'");
        writeln!(text, "complete -c penctl -n '__penctl_at 1' -a {} -d {what}", row.name).unwrap();
    }
    writeln!(text, "complete -c penctl -n '__penctl_at 1' -a no -d 'Takes a command back.'").unwrap();
    for (word, what) in OWN {
        writeln!(text, "complete -c penctl -n '__penctl_at 1' -a '{word}' -d '{what}'").unwrap();
    }
    for word in words() {
        let followers = followers(word);
        if !followers.is_empty() {
            writeln!(text, "complete -c penctl -n '__penctl_after {word}' -a '{}'", followers.join(" ")).unwrap();
        }
    }
    writeln!(text, "complete -c penctl -n '__penctl_after top' -a '{TOP}'").unwrap();
    writeln!(text, "complete -c penctl -n '__penctl_after health' -a '--timeout'").unwrap();
    for word in ["include", "log", "web_stats", "write", "control_token"] {
        writeln!(text, "complete -c penctl -n '__penctl_after {word}' -F").unwrap();
    }
    text
}

#[test]
fn the_files_are_what_the_tables_say() {
    let files = [
        ("pen.bash", bash()),
        ("_pen", zsh_pen()),
        ("_penctl", zsh_penctl()),
        ("pen.fish", fish_pen()),
        ("penctl.fish", fish_penctl()),
    ];
    for (name, text) in files {
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(path("")).unwrap();
            fs::write(path(name), text).unwrap();
            continue;
        }
        let there = fs::read_to_string(path(name)).unwrap_or_default();
        assert!(there == text, "contrib/completions/{name} is out of date: BLESS=1 cargo test --test completions");
    }
}

#[test]
fn what_follows_a_word_is_known() {
    for (first, expected) in [
        ("pid", ""),
        ("tcp_fastclose", "both down off up"),
        ("ascii", "auto"),
        ("acl", "deny file permit"),
        ("events", "connections lines listener process seconds servers"),
    ] {
        assert_eq!(followers(first).join(" "), expected, "{first}");
    }
    assert!(followers("no").contains(&String::from("hash")));
}

#[test]
fn all_keys_of_server_and_all_kinds_of_checks_are_offered() {
    use pen::base::operand::Services;
    let keys = followers("server");
    for (key, value) in [
        ("address", "127.0.0.1"),
        ("port", "80"),
        ("max", "1"),
        ("hard", "1"),
        ("weight", "1"),
        ("prio", "-1"),
        ("check", "tcp"),
        ("acl", "none"),
        ("proxy_protocol", "v2"),
        ("source", "off"),
        ("transparent", "on"),
        ("name", "web"),
        ("blacklist", "5"),
        ("enable", ""),
        ("disable", ""),
        ("drain", ""),
    ] {
        assert!(keys.contains(&String::from(key)), "{key}");
        let line = format!("server 0 {key} {value}");
        assert!(pen::control::command::parse(line.trim(), &Services::default()).is_ok(), "{line}");
    }
    assert_eq!(keys.len(), 16, "a new key belongs into this test: {keys:?}");
    let kinds = "tcp http smtp ftp pop3 imap ldap dns redis mysql send expect none";
    assert_eq!(followers("check").join(" "), kinds);
}
