//! For whom a command is: one listener, or the whole process.
//!
//! A command for the process is refused where another listener than the first is meant: there it
//! would look as if it held for that one.

/// Commands that are for the process, by their names without "no".
const PROCESS: [&str; 30] = [
    "ascii",
    "capture",
    "close",
    "coalesce",
    "conn_max",
    "connection",
    "control",
    "control_acl",
    "control_token",
    "debug",
    "drain",
    "dummy",
    "epoll",
    "events",
    "exit",
    "keepalive",
    "kqueue",
    "log",
    "pid",
    "poll",
    "reload",
    "secrets",
    "select",
    "socket",
    "status",
    "status_acl",
    "status_listen",
    "trace",
    "web_stats",
    "write",
];

/// Commands that say themselves for whom they are, and are understood everywhere.
const ANYWHERE: [&str; 4] = ["listener", "listeners", "on", "pool"];

/// For whom a command is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// One listener: its servers, clients, access lists and settings.
    Listener,
    /// The process.
    Process,
    /// What its own words say.
    Itself,
}

/// For whom the command of this name is.
pub fn scope_of(name: &str) -> Scope {
    match name.strip_prefix("no ").unwrap_or(name) {
        name if PROCESS.contains(&name) => Scope::Process,
        name if ANYWHERE.contains(&name) => Scope::Itself,
        _ => Scope::Listener,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::command::COMMANDS;

    #[test]
    fn the_list_has_names_of_commands_in_order() {
        assert!(PROCESS.is_sorted());
        for name in PROCESS.into_iter().chain(ANYWHERE) {
            assert!(COMMANDS.iter().any(|row| row.name == name), "{name}");
        }
        for (name, scope) in [
            ("server", Scope::Listener),
            ("no log", Scope::Process),
            ("no acl", Scope::Listener),
            ("no listener", Scope::Itself),
        ] {
            assert_eq!(scope_of(name), scope, "{name}");
        }
    }
}
