//! Commands: no line makes the parser or the listeners panic, what is said of it is clean text,
//! a command that is refused changes nothing, and a file is applied whole or not at all.

use std::io;
use std::path::Path;

use pen::balance::{Common, Listeners, MAIN, Settings};
use pen::base::operand::Services;
use pen::base::time::Now;
use pen::control::command::parse;
use pen::control::config::read_file;
use pen::control::execute::{Around, apply, execute};

const AROUND: Around<'_> = Around { pid: 1, control: "" };

/// Judges what becomes of this input, up to the first byte that is no UTF-8.
pub fn check(input: &[u8]) {
    let text = input.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let services = Services::parse("pop3 110/tcp\nhttp 80/tcp www\n");
    let now = Now { unix: 1_795_369_321, ..Now::default() };

    let new = || Listeners::new(Common::default(), Settings::default());
    let mut pen = new();
    for line in text.split('\n').take(50) {
        match parse(line, &services) {
            Err(error) => check_line(&error.to_string()),
            Ok(None) => {}
            Ok(Some(command)) => {
                let before = (pen.common.clone(), pen.main().balancer.settings.clone());
                let outcome = execute(&mut pen, MAIN, command, now, &AROUND);
                match outcome.reply {
                    Ok(reply) => check_text(&reply),
                    Err(reason) => {
                        check_line(&reason);
                        assert_eq!((&pen.common, &pen.main().balancer.settings), (&before.0, &before.1));
                        assert!(outcome.effects.is_empty());
                    }
                }
            }
        }
    }

    // The same text as a file, which is what every file that it includes holds as well.
    let read = |path: &Path| match path.to_str() {
        Some("absent") => Err(io::Error::from(io::ErrorKind::NotFound)),
        _ => Ok(text.chars().take(1000).collect()),
    };
    match read_file(Path::new("file"), "main", &services, &mut { read }) {
        Err(error) => check_line(&error.to_string()),
        Ok(lines) => {
            let mut pen = new();
            match apply(&mut pen, lines, now, &AROUND) {
                Ok(batch) => check_text(&batch.text),
                Err(error) => {
                    check_line(&error.to_string());
                    assert_eq!(pen.common, Common::default());
                    assert_eq!(pen.main().balancer.settings, Settings::default());
                    assert_eq!(pen.main().balancer.servers.len(), 0);
                }
            }
        }
    }
}

fn check_line(text: &str) {
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
}

fn check_text(text: &str) {
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().for_each(|line| assert!(!line.chars().any(char::is_control), "{text:?}"));
}
