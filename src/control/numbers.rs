//! The settings that are numbers and the like: set if there is a value, and told.

use std::time::Duration;

use super::command::{FtpChange, Number};
use super::execute::{Effect, Outcome};
use crate::balance::settings::{Common, FastClose, FtpSettings, Protocol, Queueing, Rate};
use crate::balance::{Balancer, ListenerKey, Settings};
use crate::base::diag::WORDS;
use crate::base::features::DECODERS;

/// Sets a number if there is one to set, and tells what it is then.
pub(super) fn set_number(
    common: &mut Common,
    settings: &mut Settings,
    at: ListenerKey,
    number: Number,
    value: Option<u32>,
) -> Outcome {
    let mut effects = Vec::new();
    if let (Number::Debug, Some(level @ WORDS..)) = (number, value)
        && !DECODERS.is_there()
    {
        return Outcome::refused(format!("debug {level}: {}", DECODERS.lack()));
    }
    if let Some(value) = value {
        let seconds = Duration::from_secs(u64::from(value));
        let count = value as usize;
        match number {
            Number::Blacklist => settings.blacklist = seconds,
            Number::CheckFall => settings.check_fall = value,
            Number::CheckInterval => settings.check_interval = seconds,
            Number::CheckRise => settings.check_rise = value,
            Number::ClientIpv6 => settings.client_ipv6 = u8::try_from(value).unwrap_or(128),
            Number::ClientMax => settings.client_max = value,
            Number::ClientsMax => {
                settings.clients_max = count;
                effects.push(Effect::ClientsMax(at));
            }
            Number::Coalesce => common.coalesce = Duration::from_micros(u64::from(value)),
            Number::ConnMax => {
                common.conn_max = count;
                effects.push(Effect::ConnMax(count));
            }
            Number::Debug => common.debug = value,
            Number::Drain => common.drain = seconds,
            Number::HalfClosedTimeout => settings.half_closed_timeout = seconds,
            Number::IdleTimeout => settings.idle_timeout = seconds,
            Number::Idlers => settings.idlers = count,
            Number::RouteTimeout => settings.route_timeout = seconds,
            Number::SlowStart => settings.slow_start = seconds,
            Number::SocketBuffers => settings.socket_buffers = value * 1024,
            Number::StuckTimeout => settings.stuck_timeout = seconds,
            Number::PendingMax => {
                settings.pending_max = count;
                effects.push(Effect::PendingMax(count));
            }
            Number::Timeout => settings.connect_timeout = seconds,
            Number::Tracking => settings.tracking = seconds,
            Number::UdpRequests => settings.udp_requests = value,
            Number::UdpTimeout => settings.udp_timeout = seconds,
        }
        if matches!(number, Number::ClientIpv6 | Number::ClientMax) {
            effects.push(Effect::Recount(at));
        }
        if number.is_limit() {
            effects.push(Effect::Limits);
        }
    }
    Outcome { reply: Ok(told(common, settings, number, value.is_some())), effects }
}

/// What is said of a number, which may just have been set.
fn told(common: &Common, settings: &Settings, number: Number, was_set: bool) -> String {
    match number {
        Number::IdleTimeout => format!("Idle timeout: {} seconds\n", settings.idle_timeout.as_secs()),
        // The original says nothing here.
        Number::PendingMax if was_set => String::new(),
        _ => format!("{}\n", number_now(common, settings, number)),
    }
}

/// How many connections opened ahead there are, and are to be; the loop sees to it later.
pub(super) fn set_idlers(balancer: &mut Balancer, value: Option<u32>) -> Outcome {
    balancer.settings.idlers = value.map_or(balancer.settings.idlers, |value| value as usize);
    Outcome::tells(format!("Idlers: {}/{}\n", balancer.idlers_ready, balancer.settings.idlers))
}

fn number_now(common: &Common, settings: &Settings, number: Number) -> u64 {
    match number {
        Number::Blacklist => settings.blacklist.as_secs(),
        Number::CheckFall => u64::from(settings.check_fall),
        Number::CheckInterval => settings.check_interval.as_secs(),
        Number::CheckRise => u64::from(settings.check_rise),
        Number::ClientIpv6 => u64::from(settings.client_ipv6),
        Number::ClientMax => u64::from(settings.client_max),
        Number::ClientsMax => settings.clients_max as u64,
        Number::Coalesce => u64::try_from(common.coalesce.as_micros()).unwrap_or(u64::MAX),
        Number::ConnMax => common.conn_max as u64,
        Number::Debug => u64::from(common.debug),
        Number::Drain => common.drain.as_secs(),
        Number::HalfClosedTimeout => settings.half_closed_timeout.as_secs(),
        Number::IdleTimeout => settings.idle_timeout.as_secs(),
        Number::Idlers => settings.idlers as u64,
        Number::PendingMax => settings.pending_max as u64,
        Number::RouteTimeout => settings.route_timeout.as_secs(),
        Number::SlowStart => settings.slow_start.as_secs(),
        Number::SocketBuffers => u64::from(settings.socket_buffers / 1024),
        Number::StuckTimeout => settings.stuck_timeout.as_secs(),
        Number::Timeout => settings.connect_timeout.as_secs(),
        Number::Tracking => settings.tracking.as_secs(),
        Number::UdpRequests => u64::from(settings.udp_requests),
        Number::UdpTimeout => settings.udp_timeout.as_secs(),
    }
}

/// Sets how many connections a client may begin within a time, and tells it.
pub(super) fn client_rate(settings: &mut Settings, at: ListenerKey, rate: Option<Option<Rate>>) -> Outcome {
    let Some(rate) = rate else { return Outcome::tells(format!("{}\n", shown_rate(settings.client_rate))) };
    settings.client_rate = rate;
    Outcome::asks(Effect::Recount(at))
}

/// `5 per 10`, or `none`.
pub(super) fn shown_rate(rate: Option<Rate>) -> String {
    rate.map_or(String::from("none"), |Rate { count, seconds }| format!("{count} per {seconds}"))
}

/// Sets whether connections end with one of their sides, and tells it.
pub(super) fn fast_close(settings: &mut Settings, when: Option<FastClose>) -> Outcome {
    let Some(when) = when else { return Outcome::tells(format!("{}\n", shown_fast_close(settings.fast_close))) };
    settings.fast_close = when;
    Outcome::quiet()
}

/// The word for it.
pub(super) fn shown_fast_close(when: FastClose) -> &'static str {
    match when {
        FastClose::Off => "off",
        FastClose::Up => "up",
        FastClose::Down => "down",
        FastClose::Both => "both",
    }
}

/// Sets whether clients wait when all servers are full if that is to be set, and tells it.
pub(super) fn set_queue(settings: &mut Settings, queue: Option<Option<Queueing>>) -> Outcome {
    settings.queue = queue.unwrap_or(settings.queue);
    Outcome::tells(format!("{}\n", shown_queue(settings.queue)))
}

/// `100 30`, or `none`.
pub(super) fn shown_queue(queue: Option<Queueing>) -> String {
    queue.map_or(String::from("none"), |Queueing { places, time }| format!("{places} {}", time.as_secs()))
}

/// Sets what bytes are taken for if that is to be set, and tells it.
pub(super) fn set_protocol(settings: &mut Settings, at: ListenerKey, protocol: Option<Protocol>) -> Outcome {
    let before = settings.protocol;
    settings.protocol = protocol.unwrap_or(before);
    let is_other = (before == Protocol::Udp) != (settings.protocol == Protocol::Udp);
    let effects = if is_other { vec![Effect::Reopen(at, before)] } else { Vec::new() };
    Outcome { reply: Ok(format!("{}\n", settings.protocol.name())), effects }
}

/// Sets how many answers a datagram has if that is to be set, and tells it.
pub(super) fn udp_responses(settings: &mut Settings, count: Option<Option<u32>>) -> Outcome {
    settings.udp_responses = count.unwrap_or(settings.udp_responses);
    let shown = settings.udp_responses.map_or(String::from("none"), |count| count.to_string());
    Outcome::tells(format!("{shown}\n"))
}

/// Changes how FTP is carried if that is to be changed, and tells it.
pub(super) fn set_ftp(settings: &mut FtpSettings, change: FtpChange) -> Outcome {
    let shown = match change {
        FtpChange::Ports(ports) => {
            settings.ports = ports.unwrap_or(settings.ports);
            shown_ports(settings.ports).unwrap_or_else(|| String::from("any"))
        }
        FtpChange::Address(address) => {
            settings.address = address.unwrap_or(settings.address);
            settings.address.map_or_else(|| String::from("none"), |ip| ip.to_string())
        }
        FtpChange::Auth(auth) => {
            settings.auth = auth.unwrap_or(settings.auth);
            String::from(shown_auth(settings.auth))
        }
    };
    Outcome::tells(format!("{shown}\n"))
}

/// `50000-50999`.
pub(super) fn shown_ports(ports: Option<(u16, u16)>) -> Option<String> {
    ports.map(|(low, high)| format!("{low}-{high}"))
}

/// The word for it.
pub(super) fn shown_auth(auth: bool) -> &'static str {
    if auth { "on" } else { "off" }
}
