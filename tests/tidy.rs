//! The architecture and the style of `src/`, as far as a program can check them.
//!
//! Every check names the file and the line and says what to do. Each is tried on small wrong
//! examples as well, so that it is known to fail when it should.

mod tidy {
    pub mod arrows;
    pub mod bans;
    pub mod differences;
    pub mod lengths;
    pub mod maps;
    pub mod names;
    pub mod source;
    pub mod texts;
    pub mod unsafety;
}

use pen::control::command::COMMANDS;
use pen::daemon::options::{FLAGS, Flag, Id};
use tidy::source::{Finding, Source};
use tidy::{arrows, bans, differences, lengths, maps, names, source, texts, unsafety};

/// Runs one check on all of `src/` and fails with everything it found.
fn check(what: &str, check: impl Fn(&Source) -> Vec<Finding>) {
    let findings: Vec<String> = source::all().iter().flat_map(check).map(|finding| format!("  {finding}\n")).collect();
    assert!(findings.is_empty(), "{what}: {} found\n{}", findings.len(), findings.concat());
}

#[test]
fn all_of_the_source_is_looked_at() {
    let paths: Vec<&str> = source::all().iter().map(|source| source.path.as_str()).collect();
    for path in ["src/lib.rs", "src/net.rs", "src/base/mod.rs", "src/base/addr.rs", "src/bin/pen.rs"] {
        assert!(paths.contains(&path), "{path} is not among {paths:?}");
    }
}

#[test]
fn each_part_uses_only_the_parts_it_may() {
    check("arrows between parts", arrows::check);
}

#[test]
fn the_world_is_reached_only_where_it_belongs() {
    check("things out of place", bans::check);
}

#[test]
fn nothing_depends_on_the_order_of_a_hash_map() {
    check("hash maps", maps::check);
}

#[test]
fn nothing_unfinished_is_left() {
    check("unfinished work", bans::unfinished);
}

#[test]
fn names_say_what_things_are() {
    check("names", names::check);
}

#[test]
fn files_and_functions_are_short() {
    check("lengths", lengths::check);
}

#[test]
fn every_unsafe_is_small_and_says_why_it_is_sound() {
    check("unsafe", unsafety::check);
}

#[test]
fn changes_begin_with_an_open_section() {
    assert_eq!(texts::fault_of_changes(&texts::text("CHANGES")), None);
}

#[test]
fn the_manuals_have_no_line_that_comes_out_otherwise() {
    let manuals = std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("man")).unwrap();
    for manual in manuals {
        let path = manual.unwrap().path();
        let slips = texts::slips_of_manual(&std::fs::read_to_string(&path).unwrap());
        assert!(slips.is_empty(), "{} {slips:?}", path.display());
    }
}

#[test]
fn each_difference_names_tests_that_there_are() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = |path: &str| std::fs::read_to_string(top.join(path)).ok();
    let found = differences::faults(&texts::text("doc/differences.md"), source);
    assert!(found.is_empty(), "\n{}", found.concat());
}

#[test]
fn the_tests_that_are_said_to_show_something_are_there() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = |path: &str| std::fs::read_to_string(top.join(path)).ok();
    let text = texts::text("doc/reliability.md");
    assert!(text.contains(".rs`: `"), "it names no test");
    let found = differences::missing_tests(&text, source);
    assert!(found.is_empty(), "\n{}", found.concat());
}

/// The names that a manual has, each with where it stands.
fn with_places(path: &str, names: Vec<(String, usize)>) -> Vec<(String, String)> {
    names.into_iter().map(|(name, line)| (name, format!("{path}:{line}"))).collect()
}

/// The spellings of a flag as mdoc(7) writes them after `Fl`: `b`, `-blacklist`.
fn spellings(flag: &Flag) -> Vec<String> {
    flag.short.map(String::from).into_iter().chain(flag.long.map(|long| format!("-{long}"))).collect()
}

#[test]
fn the_manual_has_every_flag_and_no_other() {
    let page = texts::text("man/pen.1");
    let (absent, present): (Vec<&Flag>, Vec<&Flag>) =
        FLAGS.iter().partition(|flag| matches!(flag.id, Id::Refused | Id::Obsolete));
    let present: Vec<String> = present.into_iter().flat_map(spellings).collect();
    let described = with_places("man/pen.1", texts::heads(&page, "OPTIONS", "Fl"));
    let mut found = texts::differences("flag", &present, &described);
    // What pen 0.34.1 has and this pen does not is told where people who come from it look.
    let told = texts::mentions(&page, "COMPATIBILITY", "Fl");
    let missing = absent.into_iter().flat_map(spellings).filter(|name| !told.contains(name));
    found.extend(missing.map(|name| format!("flag '{name}' is not there: say so under COMPATIBILITY\n")));
    assert!(found.is_empty(), "\n{}", found.concat());
}

/// The manual of a log tool has every flag of its table, and those that every tool has.
#[cfg(feature = "tools")]
fn check_manual_of_tool(path: &str, flags: &[pen::tools::flags::Flag]) {
    let common = ["-help", "-version"].map(String::from);
    let table: Vec<String> = flags.iter().map(|flag| flag.letter.to_string()).chain(common).collect();
    let described = with_places(path, texts::heads(&texts::text(path), "DESCRIPTION", "Fl"));
    let found = texts::differences("flag", &table, &described);
    assert!(found.is_empty(), "\n{}", found.concat());
}

#[cfg(feature = "tools")]
#[test]
fn the_manuals_of_webresolve_and_splitwr_have_every_flag_and_no_other() {
    check_manual_of_tool("man/webresolve.1", &pen::tools::resolving_options::FLAGS);
    check_manual_of_tool("man/splitwr.1", &pen::tools::resolving_options::FLAGS);
}

#[test]
#[cfg(feature = "tools")]
fn the_manuals_of_the_log_tools_have_every_flag_and_no_other() {
    use pen::tools::{mergelogs, penlog, penlogd};
    let tools = [
        ("man/mergelogs.1", &mergelogs::FLAGS[..]),
        ("man/penlog.1", &penlog::FLAGS[..]),
        ("man/penlogd.1", &penlogd::FLAGS[..]),
    ];
    for (path, flags) in tools {
        let table = flags.iter().map(|flag| flag.letter.to_string());
        let table: Vec<String> = table.chain(["-help", "-version"].map(String::from)).collect();
        let page = texts::text(path);
        let section = if texts::heads(&page, "OPTIONS", "Fl").is_empty() { "DESCRIPTION" } else { "OPTIONS" };
        let described = with_places(path, texts::heads(&page, section, "Fl"));
        let found = texts::differences("flag", &table, &described);
        assert!(found.is_empty(), "{path}\n{}", found.concat());
    }
}

#[test]
fn the_manual_has_every_way_in_which_a_connection_ends() {
    let page = texts::text("man/pen.1");
    for reason in pen::proxy::ending::CLOSE_REASONS {
        let is_told = page.lines().any(|line| line.split(' ').take(2).eq([".Dq", reason]));
        assert!(is_told, "{reason}: describe it at pen_connections_closed_total");
    }
}

#[test]
fn the_manuals_have_every_command_and_no_other() {
    let table: Vec<String> = COMMANDS.iter().filter(|row| row.exists()).map(|row| String::from(row.name)).collect();
    let mut described = Vec::new();
    for path in ["man/pen.1", "man/penctl.1"] {
        described.extend(with_places(path, texts::heads(&texts::text(path), "COMMANDS", "Ic")));
    }
    let found = texts::differences("command", &table, &described);
    assert!(found.is_empty(), "\n{}", found.concat());
}
