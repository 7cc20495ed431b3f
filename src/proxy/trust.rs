//! What a user of the control port may do: who knows the word, and whose files are touched.
//!
//! A command that names a file has pen read or write it as pen's user, and one that names a Unix socket
//! has pen make it or connect to it. So that is for somebody who could do it without pen, or within
//! directories that were allowed at the start.

use std::path::{Path, PathBuf};

use super::Proxy;
use super::control::Control;
use crate::base::error::reason;
use crate::control::command::{Command, Watching};
use crate::control::subscription::{Subscription, Topic};
use crate::control::token::{is_same, split_token, token_of};
use crate::net::Net;

/// Whether commands that name files are obeyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// All: it is pen's own user, at a Unix socket, or the command line.
    Full,
    /// Those whose files are in the directories that were allowed.
    Limited,
    /// The same, and what shows more than pen tells everybody: they knew the word.
    Known,
}

/// Why somebody may not see what passes.
const FOR_FEW: &str =
    "only for pen's own user at a Unix socket, or by TCP for those who know the word of control_token";

/// A word that was read, and its file; or none.
#[derive(Debug)]
pub(super) struct NewToken {
    path: Option<PathBuf>,
    token: Option<Box<[u8]>>,
}

impl<N: Net> Control<N> {
    /// The command of a line, for somebody who knows the word or need not; `None` for others.
    pub(super) fn command_of<'a>(&self, line: &'a [u8], by_unix_socket: bool) -> Option<&'a [u8]> {
        let (said, command) = split_token(line);
        match &self.token {
            Some(token) if !by_unix_socket => is_same(said.unwrap_or_default(), token).then_some(command),
            _ => Some(command),
        }
    }
}

impl<N: Net> Proxy<N> {
    /// Why a command is not for somebody with this trust, if it is not.
    pub(super) fn check_trust(&self, command: &Command, trust: Trust) -> Result<(), String> {
        if trust == Trust::Full {
            return Ok(());
        }
        match command {
            Command::Watching(Watching::Secrets(Some(true))) if trust == Trust::Limited => Err(String::from(FOR_FEW)),
            Command::Subscribe(Subscription { topic: Topic::Trace(_), .. }) if trust == Trust::Limited => {
                Err(String::from(FOR_FEW))
            }
            Command::ControlToken(None) => Err(String::from("only for pen's own user at a Unix socket")),
            Command::Write(None) => self.control.config.as_deref().map_or(Ok(()), |path| self.check_path(path)),
            command => command.paths().into_iter().try_for_each(|path| self.check_path(path)),
        }
    }

    fn check_path(&self, path: &Path) -> Result<(), String> {
        let real = self.net.real_path(path).map_err(|error| format!("{}: {}", path.display(), reason(&error)))?;
        if self.control.directories.iter().any(|directory| real.starts_with(directory)) {
            return Ok(());
        }
        let path = path.display();
        Err(format!("{path} is in no directory of --control-dir; others are for pen's own user at a Unix socket"))
    }

    /// Users of the control port by TCP must know the word in this file from now on, or none.
    pub(super) fn set_token(&mut self, path: Option<PathBuf>) -> Result<String, String> {
        let token = self.prepare_token(path)?;
        self.use_token(token);
        Ok(String::new())
    }

    /// Reads the word.
    pub(super) fn prepare_token(&mut self, path: Option<PathBuf>) -> Result<NewToken, String> {
        let token = match &path {
            None => None,
            Some(path) => {
                let fail = |why: &str| format!("{}: {why}", path.display());
                let text = self.net.read_commands(path).map_err(|error| fail(&reason(&error)))?;
                Some(token_of(&text).map_err(|why| fail(&why))?)
            }
        };
        Ok(NewToken { path, token })
    }

    /// It is the one from now on.
    pub(super) fn use_token(&mut self, NewToken { path, token }: NewToken) {
        self.control.token = token;
        self.listeners.common.control_token = path;
    }
}
