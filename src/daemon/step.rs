//! What an option sets, and the command that does the same.

use std::time::Duration;

use super::options::{Id, Step};
use crate::balance::settings::{Common, DumpForm, Protocol, Settings};
use crate::control::command::{Command, Mode, Number, Watching};

impl Step {
    /// Changes the setting; a command is for others to obey.
    pub fn apply(&self, common: &mut Common, settings: &mut Settings) {
        match self {
            Step::Set(id, number) => set(common, settings, *id, *number),
            Step::Log(text) => common.log = Some(text.clone()),
            Step::PidFile(path) => common.pid_file = Some(path.clone()),
            Step::WebStats(path) => common.web_stats = Some(path.clone()),
            Step::Status(_) | Step::Command(_) => {}
        }
    }
}

impl Step {
    /// The command that does the same, after `common` has been changed; `None` for what no command
    /// can set.
    pub fn command(&self, common: &Common) -> Option<Command> {
        let Step::Set(id, number) = self else {
            return match self {
                Step::WebStats(path) => Some(Command::WebStats(Some(Some(path.clone())))),
                Step::Set(..) | Step::Log(_) | Step::PidFile(_) | Step::Status(_) | Step::Command(_) => None,
            };
        };
        let sets = |what| Some(Command::Number(what, Some(*number)));
        match id {
            Id::Ascii => Some(Command::Dump(DumpForm::Ascii)),
            Id::Blacklist => sets(Number::Blacklist),
            Id::Clients => sets(Number::ClientsMax),
            Id::Connections => sets(Number::ConnMax),
            Id::Debug => Some(Command::Number(Number::Debug, Some(common.debug))),
            Id::Hash => Some(Command::Switch(Mode::Hash, true)),
            Id::Http => Some(Command::Protocol(Some(Protocol::Http))),
            Id::RoundRobin => Some(Command::Switch(Mode::RoundRobin, true)),
            Id::ShowSecrets => Some(Command::Watching(Watching::Secrets(Some(true)))),
            Id::Stubborn => Some(Command::Switch(Mode::Stubborn, true)),
            Id::Timeout => sets(Number::Timeout),
            Id::Tracking => sets(Number::Tracking),
            Id::Udp => Some(Command::Protocol(Some(Protocol::Udp))),
            Id::Weight => Some(Command::Switch(Mode::Weight, true)),
            _ => None,
        }
    }
}

fn set(common: &mut Common, settings: &mut Settings, id: Id, number: u32) {
    let time = Duration::from_secs(u64::from(number));
    let count = usize::try_from(number).unwrap_or(usize::MAX);
    match id {
        Id::Ascii => common.dump_form = DumpForm::Ascii,
        Id::Blacklist => settings.blacklist = time,
        Id::Clients => settings.clients_max = count,
        Id::Debug => common.debug = common.debug.saturating_add(1),
        Id::Hash => settings.modes.hash = true,
        Id::Http => settings.protocol = Protocol::Http,
        Id::MultiAccept => common.multi_accept = count,
        Id::Backlog => common.backlog = number,
        Id::RoundRobin => settings.modes.roundrobin = true,
        Id::Stubborn => settings.modes.stubborn = true,
        Id::Timeout => settings.connect_timeout = time,
        Id::Tracking => settings.tracking = time,
        Id::Udp => settings.protocol = Protocol::Udp,
        Id::Weight => settings.modes.weight = true,
        Id::Connections => common.conn_max = count,
        Id::AllowExit => common.may_exit = true,
        Id::ShowSecrets => common.shows_secrets = true,
        // The rest never becomes a setting.
        Id::Emergency | Id::Foreground | Id::Chroot | Id::Log | Id::PidFile | Id::User | Id::Abuse => {}
        Id::Check | Id::ControlDir | Id::ControlMode | Id::Status | Id::WebStats => {}
        Id::Control | Id::Config | Id::Command | Id::Demo | Id::Help | Id::Version => {}
        Id::Accepted | Id::Obsolete | Id::Refused => {}
    }
}
