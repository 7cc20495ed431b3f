//! The one error that ends a program: a sentence for stderr and an exit status.

use std::fmt;

/// Why a program cannot go on; the exit status follows sysexits(3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The command line is wrong: exit status 64 (`EX_USAGE`).
    Usage,
    /// A server, name, file of commands or command is wrong: exit status 78 (`EX_CONFIG`).
    Config,
    /// A service cannot be reached: exit status 69 (`EX_UNAVAILABLE`).
    Unavailable,
    /// Anything else, such as an address that is in use: exit status 1.
    System,
}

/// An error that ends the program. Reads as a sentence without its full stop, and names the
/// culprit: `cannot listen on 0.0.0.0:80: permission denied`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Usage, message: message.into() }
    }

    /// The configuration is wrong.
    pub fn config(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Config, message: message.into() }
    }

    /// Nobody answers.
    pub fn unavailable(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Unavailable, message: message.into() }
    }

    /// The system refused something.
    pub fn system(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::System, message: message.into() }
    }

    /// What sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit status, as in sysexits(3).
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage => 64,
            ErrorKind::Config => 78,
            ErrorKind::Unavailable => 69,
            ErrorKind::System => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Text of an I/O error as a sentence has it: lower case, without the error number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::from("unknown error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_those_of_sysexits() {
        let table =
            [(Error::usage("x"), 64), (Error::config("x"), 78), (Error::unavailable("x"), 69), (Error::system("x"), 1)];
        for (error, status) in table {
            assert_eq!(error.exit_status(), status);
        }
    }

    #[test]
    fn a_reason_reads_as_the_end_of_a_sentence() {
        let refused = std::io::Error::from_raw_os_error(13);
        assert_eq!(reason(&refused), "permission denied");
    }
}
