//! What `--help` says: the table of flags as people read it.

use super::options::{FLAGS, Id, Value};

/// What `--help` prints.
pub fn help() -> String {
    let mut text = String::from(
        "usage: pen [options] [host:]port|/path/to/socket [server ...]\n\
         \x20      pen --demo\n\n\
         A server is host[:port[:max[:hard[:weight[:prio]]]]], with IPv6 in brackets.\n\n",
    );
    for flag in FLAGS.iter().filter(|flag| !matches!(flag.id, Id::Obsolete | Id::Refused)) {
        let names = match (flag.short, flag.long) {
            (Some(short), Some(long)) => format!("-{short}, --{long}"),
            (Some(short), None) => format!("-{short}"),
            (None, long) => format!("    --{}", long.unwrap_or_default()),
        };
        let value = match flag.value {
            Value::None => "",
            Value::Text(name) | Value::Number(name, ..) => name,
        };
        let default = if flag.default.is_empty() { String::new() } else { format!(" [{}]", flag.default) };
        let left = format!("{names} {value}");
        text.push_str(&format!("  {left:<27} {}{default}\n", flag.help));
    }
    text.push_str("\nexample:\n  pen smtp mailhost1:smtp mailhost2:25 mailhost3\n\nSee pen(1).\n");
    text
}
