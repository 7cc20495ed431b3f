//! The events of late, for those who look later: a small ring.

use std::collections::VecDeque;

use super::line::cut;
use crate::base::diag::Severity;

/// How many events are kept.
pub const RECENT_MAX: usize = 64;

/// An event as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happened {
    /// When, in seconds since 1970-01-01 00:00:00 UTC.
    pub unix: u64,
    /// How urgent it is.
    pub severity: Severity,
    /// Its name.
    pub name: &'static str,
    /// The listener that it is about.
    pub listener: Option<String>,
    /// It in words.
    pub text: String,
}

/// The events of late that an operator should know of: all but those of single connections. The
/// oldest make room.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<Happened>);

impl Recent {
    /// Keeps one.
    pub fn add(&mut self, mut event: Happened) {
        if self.0.len() >= RECENT_MAX {
            self.0.pop_front();
        }
        cut(&mut event.text);
        self.0.push_back(event);
    }

    /// All of them, the latest last.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Happened> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::line::VALUE_MAX;

    #[test]
    fn the_oldest_make_room_and_long_texts_are_cut() {
        let mut recent = Recent::default();
        for unix in 0..RECENT_MAX as u64 + 3 {
            let (severity, name, listener) = (Severity::Notice, "said", None);
            recent.add(Happened { unix, severity, name, listener, text: "ä".repeat(VALUE_MAX) });
        }
        assert_eq!(recent.iter().count(), RECENT_MAX);
        assert_eq!(recent.iter().next().unwrap().unix, 3);
        assert!(recent.iter().all(|event| event.text.len() == VALUE_MAX));
    }
}
