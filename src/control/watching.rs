//! Commands about watching connections, and about making them go wrong: their words, and what becomes
//! of them.

use std::path::PathBuf;
use std::time::Duration;

use super::command::SECONDS_MAX;
use super::effect::{Effect, Outcome};
use super::execute::line_of;
use super::read::{connection_number, once};
use super::words::{Problem, Words, unsigned};
use crate::balance::settings::{CaptureSpec, Common, Fault};
use crate::balance::{Balancer, ListenerKey};

/// The least size of a file of a capture: what one full chunk comes to, and its head.
const SIZE_MIN: u32 = 4096;
/// The most files of a capture.
const FILES_MAX: u32 = 1000;
/// The longest delay, a minute.
const DELAY_MAX: u32 = 60_000;

/// A command about watching connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Watching {
    /// Tells where packets are captured, or captures them there.
    Capture(Option<CaptureSpec>),
    /// Ends the capture.
    NoCapture,
    /// Tells whether secrets are shown, or sets it.
    Secrets(Option<bool>),
    /// Tells what goes wrong with the connections of a listener.
    ShowFault,
    /// Lets something go wrong with them, or with a single one; or nothing any more.
    Fault(Option<usize>, Option<Fault>),
}

pub(super) fn capture(words: &mut Words<'_>) -> Result<Watching, Problem> {
    let Some(path) = words.next() else { return Ok(Watching::Capture(None)) };
    let mut spec = CaptureSpec { path: PathBuf::from(path), size: None, seconds: None, rotate: None };
    while let Some(key) = words.next() {
        match key {
            "size" => {
                once(&mut spec.size, key, u64::from(unsigned(words.need("a number of bytes")?, SIZE_MIN, u32::MAX)?))?
            }
            "seconds" => once(&mut spec.seconds, key, unsigned(words.need("a number")?, 1, SECONDS_MAX)?)?,
            "rotate" => once(&mut spec.rotate, key, unsigned(words.need("a number of files")?, 2, FILES_MAX)?)?,
            _ => return Err(Problem::NotOneOf(String::from(key), "size, seconds or rotate")),
        }
    }
    if spec.rotate.is_some() && spec.size.is_none() && spec.seconds.is_none() {
        return Err(Problem::Missing("size or seconds, when to go on with the next file,"));
    }
    Ok(Watching::Capture(Some(spec)))
}

pub(super) fn secrets(words: &mut Words<'_>) -> Result<Watching, Problem> {
    match words.next() {
        None => Ok(Watching::Secrets(None)),
        Some("show") => Ok(Watching::Secrets(Some(true))),
        Some("hide") => Ok(Watching::Secrets(Some(false))),
        Some(other) => Err(Problem::NotOneOf(String::from(other), "show or hide")),
    }
}

pub(super) fn fault(words: &mut Words<'_>) -> Result<Watching, Problem> {
    let Some(mut word) = words.next() else { return Ok(Watching::ShowFault) };
    let mut connection = None;
    if word == "connection" {
        connection = Some(connection_number(words)?);
        word = words.need("what is to go wrong")?;
    }
    let fault = match word {
        "delay" => {
            let time = unsigned(words.need("a number of milliseconds")?, 1, DELAY_MAX)?;
            Fault::Delay(Duration::from_millis(u64::from(time)))
        }
        "reset" => match words.next() {
            None => Fault::Reset(0),
            Some("after") => Fault::Reset(bytes(words, 0)?),
            Some(other) => return Err(Problem::NotOneOf(String::from(other), "after")),
        },
        "throttle" => Fault::Throttle(unsigned(words.need("a number of bytes a second")?, 1, u32::MAX)?),
        "truncate" => Fault::Truncate(bytes(words, 0)?),
        "blackhole" => Fault::Blackhole,
        _ => return Err(Problem::NotOneOf(String::from(word), "delay, reset, throttle, truncate or blackhole")),
    };
    Ok(Watching::Fault(connection, Some(fault)))
}

fn bytes(words: &mut Words<'_>, low: u32) -> Result<u64, Problem> {
    unsigned(words.need("a number of bytes")?, low, u32::MAX).map(u64::from)
}

pub(super) fn no_fault(words: &mut Words<'_>) -> Result<Watching, Problem> {
    match words.next() {
        None => Ok(Watching::Fault(None, None)),
        Some("connection") => Ok(Watching::Fault(Some(connection_number(words)?), None)),
        Some(other) => Err(Problem::NotOneOf(String::from(other), "connection")),
    }
}

/// Executes one of these commands, for this listener.
pub(super) fn carry_out(common: &mut Common, balancer: &mut Balancer, at: ListenerKey, command: Watching) -> Outcome {
    match command {
        Watching::Capture(None) => {
            Outcome::tells(line_of(&common.capture.as_ref().map_or_else(String::new, shown_capture)))
        }
        Watching::Capture(spec) => Outcome::asks(Effect::SetCapture(spec)),
        Watching::NoCapture => Outcome::asks(Effect::SetCapture(None)),
        Watching::Secrets(shows) => {
            common.shows_secrets = shows.unwrap_or(common.shows_secrets);
            Outcome::tells(if common.shows_secrets { "show\n" } else { "hide\n" })
        }
        Watching::ShowFault => {
            Outcome::tells(line_of(&balancer.settings.fault.map_or_else(String::new, |fault| fault.to_string())))
        }
        Watching::Fault(Some(number), fault) => Outcome::asks(Effect::FaultConnection(number, fault)),
        Watching::Fault(None, fault) => {
            balancer.settings.fault = fault;
            Outcome::asks(Effect::Fault(at))
        }
    }
}

/// A capture as its command has it.
pub(super) fn shown_capture(spec: &CaptureSpec) -> String {
    let limits =
        [("size", spec.size), ("seconds", spec.seconds.map(u64::from)), ("rotate", spec.rotate.map(u64::from))];
    let limits = limits.iter().filter_map(|(key, value)| value.map(|value| format!(" {key} {value}")));
    limits.fold(spec.path.display().to_string(), |text, limit| text + &limit)
}
