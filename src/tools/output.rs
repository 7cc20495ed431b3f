//! How the log tools write, and how they end: whoever closes the pipe has seen enough.

use std::io::{self, BufWriter, Write};

use crate::base::error::{Error, reason};

/// Why a tool stops before its input has ended.
#[derive(Debug)]
pub enum Stop {
    /// Nobody reads the output any more. That is no error: `mergelogs ... | head`.
    Closed,
    /// Something went wrong, which is said.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Standard output, or whatever takes its place, behind a large buffer.
pub struct Output<W: Write>(BufWriter<W>);

impl<W: Write> Output<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Output<W> {
        Output(BufWriter::with_capacity(256 * 1024, out))
    }

    /// Writes these bytes, now or later.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.0.write_all(bytes).map_err(stop)
    }

    /// Writes what is still in the buffer.
    pub fn flush(&mut self) -> Result<(), Stop> {
        self.0.flush().map_err(stop)
    }
}

/// Prints a text, such as that of `--help`.
pub fn print(text: &str, out: &mut impl Write) -> Result<(), Stop> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(stop)
}

/// Why a tool stops whose output cannot be written.
pub fn stop(error: io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::Closed,
        _ => Stop::Failed(Error::system(format!("cannot write the output: {}", reason(&error)))),
    }
}

/// Ends a tool: says on `err` what went wrong, if anything did, and gives the exit status.
pub fn end(program: &str, result: Result<(), Stop>, err: &mut impl Write) -> u8 {
    match result {
        Ok(()) | Err(Stop::Closed) => 0,
        Err(Stop::Failed(error)) => {
            // Standard error may be closed as well; the exit status still tells.
            let _ = writeln!(err, "{program}: {error}");
            error.exit_status()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output on which every write fails in this way.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
        for (kind, status, message) in [
            (io::ErrorKind::BrokenPipe, 0, ""),
            (io::ErrorKind::StorageFull, 1, "x: cannot write the output: no storage space\n"),
        ] {
            let mut out = Output::new(Failing(kind));
            let mut err = Vec::new();
            out.write(b"line\n").unwrap();
            assert_eq!(end("x", out.flush(), &mut err), status);
            assert_eq!(String::from_utf8(err).unwrap(), message);
        }
    }
}
