//! What somebody at the control port has asked to be told as it happens.
//!
//! Pure. A subscription has a topic; the loop offers each record to those whose topic it is.

use super::tracing::Trace;
use super::words::{Problem, Words, unsigned};
use super::{command::Command, read};

/// The most records that can be asked for; there is no need to count further.
const RECORDS_MAX: u32 = u32::MAX;

/// The longest time in seconds that can be asked for: a week.
const SECONDS_MAX: u32 = 604_800;

/// What is to be told, and how much of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// What about.
    pub topic: Topic,
    /// It ends after so many records.
    pub records: Option<u32>,
    /// It ends after so many seconds.
    pub seconds: Option<u32>,
}

/// What a subscription is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Topic {
    /// Events of these classes.
    Events(Interest),
    /// What passes on these connections.
    Trace(Box<Trace>),
}

impl Topic {
    /// The command that asks for it.
    pub fn name(&self) -> &'static str {
        match self {
            Topic::Events(_) => "events",
            Topic::Trace(_) => "trace",
        }
    }

    /// The listener that it is about, if it is about one.
    pub fn listener(&self) -> Option<&str> {
        match self {
            Topic::Events(interest) => interest.listener.as_deref(),
            Topic::Trace(trace) => trace.listener.as_deref(),
        }
    }
}

/// Which events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interest {
    /// Only those that are about this listener.
    pub listener: Option<String>,
    /// Only those of these classes; all if it is empty.
    pub classes: Vec<Class>,
}

/// The classes of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Single connections.
    Connections,
    /// Servers.
    Servers,
    /// The process.
    Process,
}

impl Interest {
    /// True if it has events of this class.
    pub fn has(&self, class: Class) -> bool {
        self.classes.is_empty() || self.classes.contains(&class)
    }

    /// True if it has an event of this class about this listener, or about none.
    pub fn wants(&self, class: Class, listener: Option<&str>) -> bool {
        self.has(class) && (self.listener.is_none() || self.listener.as_deref() == listener)
    }
}

/// The words after `events`.
pub(super) fn events(words: &mut Words<'_>) -> Result<Command, Problem> {
    let mut interest = Interest::default();
    let (mut records, mut seconds) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "connections" => interest.classes.push(Class::Connections),
            "servers" => interest.classes.push(Class::Servers),
            "process" => interest.classes.push(Class::Process),
            "listener" => read::once(&mut interest.listener, word, read::listener_name(words)?)?,
            _ => {
                let known = "connections, servers, process, listener, lines or seconds";
                limit(word, words, &mut records, &mut seconds, known)?
            }
        }
    }
    Ok(Command::Subscribe(Subscription { topic: Topic::Events(interest), records, seconds }))
}

/// The limits that every subscription may have: `lines N` and `seconds N`.
pub(super) fn limit(
    word: &str,
    words: &mut Words<'_>,
    records: &mut Option<u32>,
    seconds: &mut Option<u32>,
    known: &'static str,
) -> Result<(), Problem> {
    let (place, high) = match word {
        "lines" => (records, RECORDS_MAX),
        "seconds" => (seconds, SECONDS_MAX),
        _ => return Err(Problem::NotOneOf(String::from(word), known)),
    };
    read::once(place, word, unsigned(words.need("a number")?, 1, high)?)
}
