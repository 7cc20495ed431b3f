//! What pen says about itself, in words, and how urgent it is.
//!
//! The event loop writes these to stderr in the foreground and to syslog otherwise; the pure
//! parts say nothing.

use std::fmt;

/// The level of `debug` from which on it is told in words what bytes say.
pub const WORDS: u32 = 3;

/// How urgent a diagnostic is: the severities of syslog (RFC 5424 section 6.2.1) that pen uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Something asked for could not be done.
    Error,
    /// Something an operator should look at.
    Warning,
    /// A normal but notable event: a server failed or came back, a log was reopened.
    Notice,
    /// Every event, as `-d` asks for.
    Debug,
}

impl Severity {
    /// The numerical severity of RFC 5424 section 6.2.1.
    pub fn number(self) -> u8 {
        match self {
            Severity::Error => 3,
            Severity::Warning => 4,
            Severity::Notice => 5,
            Severity::Debug => 7,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
            Severity::Debug => "debug",
        })
    }
}

/// How the bytes of a dump are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DumpForm {
    /// Text as it is, anything else in columns.
    #[default]
    Auto,
    /// Always text, other bytes as dots: `-a`, `ascii`.
    Ascii,
    /// Always columns: `no ascii`.
    Columns,
}
