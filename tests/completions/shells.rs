//! The files in the shells that they are for.

use std::process::Command;

use crate::support::process::{Ended, Process};
use crate::support::report::{is_installed, not_tested_here};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/completions");

fn run(shell: &str, words: &[&str]) -> Ended {
    let mut command = Command::new(shell);
    command.args(words).current_dir(DIRECTORY);
    Process::run(command)
}

/// What bash offers for a line whose words are these, the last one under the cursor.
fn bash(words: &[&str]) -> Vec<String> {
    let function = format!("_{}", words[0]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "set -u; . ./pen.bash; COMP_WORDS=({}); COMP_CWORD={}; {function}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1
    );
    let ended = run("bash", &["--norc", "-c", &script]);
    assert!(ended.status.success() && ended.stderr.is_empty(), "{words:?}: {ended:?}");
    let mut found: Vec<String> = ended.stdout.lines().filter(|line| !line.is_empty()).map(String::from).collect();
    found.sort();
    found
}

#[test]
fn bash_completes_options_commands_and_files() {
    if !is_installed("bash") {
        return not_tested_here("bash_completes_options_commands_and_files", "no bash");
    }
    let table: [(&[&str], &[&str]); 17] = [
        (&["pen", "--contr"], &["--control", "--control-dir", "--control-mode"]),
        (&["pen", "-F", "pen.b"], &["pen.bash"]),
        (&["pen", "-l", "_penc"], &["_penctl"]),
        (&["pen", "-b", ""], &[]),
        (&["pen", "-u", "roo"], &["root"]),
        (&["pen", "-O", "round"], &["roundrobin"]),
        (&["penctl", "--t"], &["--timeout", "--token"]),
        (&["penctl", "--token", "pen.b"], &["pen.bash"]),
        (&["penctl", "_penc"], &["_penctl"]),
        (&["penctl", "ctl", "half"], &["half_closed_timeout"]),
        (&["penctl", "--token", "f", "localhost", ":", "8888", "to"], &["top"]),
        (&["penctl", "ctl", "no", "round"], &["roundrobin"]),
        (&["penctl", "ctl", "server", "0", "na"], &["name"]),
        (&["penctl", "ctl", "server", "0", "proxy"], &["proxy_protocol"]),
        (&["penctl", "ctl", "check", "htt"], &["http"]),
        (&["penctl", "ctl", "tcp_fastclose", ""], &["both", "down", "off", "up"]),
        (&["penctl", "ctl", "write", "pen.f"], &["pen.fish"]),
    ];
    for (words, expected) in table {
        assert_eq!(bash(words), expected, "{words:?}");
    }
}

#[test]
fn fish_completes_options_commands_and_files() {
    if !is_installed("fish") {
        return not_tested_here("fish_completes_options_commands_and_files", "no fish");
    }
    let table: [(&str, &[&str]); 7] = [
        ("pen --contr", &["--control", "--control-dir", "--control-mode"]),
        ("penctl ctl half", &["half_closed_timeout"]),
        ("penctl --token f localhost:8888 to", &["top"]),
        ("penctl ctl no round", &["roundrobin"]),
        ("penctl ctl server 0 na", &["name"]),
        ("penctl ctl server 0 tran", &["transparent"]),
        ("penctl ctl tcp_fastclose ", &["both", "down", "off", "up"]),
    ];
    for (line, expected) in table {
        let script = format!("source pen.fish; source penctl.fish; complete -C '{line}'");
        let ended = run("fish", &["--no-config", "-c", &script]);
        assert!(ended.status.success(), "{line}: {ended:?}");
        let mut found: Vec<&str> = ended.stdout.lines().map(|line| line.split('\t').next().unwrap_or(line)).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{line}: {ended:?}");
    }
}

#[test]
fn zsh_reads_the_files_and_offers_commands() {
    if !is_installed("zsh") {
        return not_tested_here("zsh_reads_the_files_and_offers_commands", "no zsh");
    }
    // What zsh itself would show is caught; the menus are its own.
    let script = "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D
        _arguments() { print -r -- ${(M)@:#--token*} }
        _describe() { print -r -- ${(PM)2:#half*} }
        compadd() { print -r -- $@ }
        zsh -n _pen; zsh -n _penctl
        print -r -- $_comps[pen] $_comps[penctl]
        source ./_penctl
        words=(ha); CURRENT=1; _penctl_words
        words=(tcp_fastclose ''); CURRENT=2; _penctl_words";
    let ended = run("zsh", &["-f", "-c", script]);
    assert!(ended.status.success(), "{ended:?}");
    let offered = "_pen _penctl\n--token[has the word that pen wants]:file:_files\n\
                   half_closed_timeout:Resets connections with one end that were silent so long; 0 for none.\n\
                   -- both down off up\n";
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), (offered, ""));
}
