//! What a command names of the file system.

use std::path::{Path, PathBuf};

use super::command::{Command, LogSpec, LogTo};
use super::watching::Watching;
use crate::base::operand::Host;

impl Command {
    /// The files that the command has pen read or write, and the Unix sockets that it has pen make or connect to, if
    /// its words name any.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Command::On { command, .. } => command.paths(),
            Command::AclFile { path, .. } | Command::AclLoaded { path, .. } => vec![path],
            Command::Include(path) => vec![path],
            Command::ControlToken(path) => path.iter().map(PathBuf::as_path).collect(),
            Command::Listen(there) | Command::Listener { there, .. } => {
                there.iter().filter_map(|at| socket_of(&at.spec.host)).collect()
            }
            Command::Log(Some(LogSpec { to: LogTo::File(path), .. })) => vec![path],
            Command::Server { changes, .. } => changes.address.iter().filter_map(socket_of).collect(),
            Command::StatusListen(there) => there.iter().filter_map(|at| socket_of(&at.spec.host)).collect(),
            Command::Watching(Watching::Capture(Some(spec))) => vec![&spec.path],
            Command::WebStats(path) => path.iter().flatten().map(PathBuf::as_path).collect(),
            Command::Write(path) => path.iter().map(PathBuf::as_path).collect(),
            _ => Vec::new(),
        }
    }
}

fn socket_of(host: &Host) -> Option<&Path> {
    match host {
        Host::Unix(path) => Some(path),
        _ => None,
    }
}
