//! splitwr: whole logs with names in place of addresses.
//!
//! The logs are read twice: first for their addresses, which are asked for all together, and once
//! everything is answered to write them. Memory is for addresses, not for lines.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use super::output::{Output, Stop, end, print, stop};
use super::pieces::{Cutter, Piece};
use super::resolving::Names;
use super::resolving_options::{Options, Plan, plan};
use crate::base::error::{Error, reason};
use crate::dns::book::Known;
use crate::sys::dns::standard_output;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// A log, which is what it was when it was opened: lines that are added later are not in it.
struct Log {
    name: String,
    file: File,
    size: u64,
    is_compressed: bool,
}

/// Runs splitwr and returns its exit status, which are those of webresolve.
pub fn run(args: impl IntoIterator<Item = OsString>, err: &mut impl Write) -> u8 {
    let result = plan("splitwr", "splitwr [options] file ...", args).map_err(Stop::from).and_then(|plan| match plan {
        Plan::Print(text) => print(&text, &mut io::stdout()),
        Plan::Work(options) => work(&options, err),
    });
    end("splitwr", result, err)
}

fn work(options: &Options, err: &mut impl Write) -> Result<(), Stop> {
    if options.files.is_empty() {
        return Err(super::flags::wrong("splitwr", "no log").into());
    }
    let mut logs = options.files.iter().map(Log::open).collect::<Result<Vec<Log>, Error>>()?;
    let mut names = Names::open(options, usize::MAX)?;
    for log in &mut logs {
        ask(log, &mut names)?;
    }
    while names.open_lookups() > 0 {
        names.turn(None)?;
    }
    let result = write(&mut logs, &mut names);
    let closed = names.close(err);
    result.and(closed.map_err(Stop::from))
}

/// Asks for the addresses of a log, and sees to the answers meanwhile.
fn ask(log: &mut Log, names: &mut Names) -> Result<(), Error> {
    let mut cutter = Cutter::default();
    let mut chunk = vec![0; CHUNK];
    let mut reader = log.reader()?;
    loop {
        let count = log.read(&mut reader, &mut chunk)?;
        let mut look = |piece: Piece<'_>| {
            if let Some((address, _)) = piece.address()
                && names.book().find(address).is_none()
            {
                names.look(address);
            }
        };
        if count == 0 {
            cutter.end(&mut look);
            return Ok(());
        }
        cutter.feed(&chunk[..count], &mut look);
        names.turn(Some(Duration::ZERO))?;
    }
}

/// Writes the logs with what is known.
fn write(logs: &mut [Log], names: &mut Names) -> Result<(), Stop> {
    let mut out = Output::new(standard_output().map_err(stop)?);
    let mut is_within = false;
    for log in logs {
        if is_within {
            out.write(b"\n")?;
        }
        let mut cutter = Cutter::default();
        let mut chunk = vec![0; CHUNK];
        let mut reader = log.reader()?;
        loop {
            let count = log.read(&mut reader, &mut chunk)?;
            let mut result = Ok(());
            let mut put = |piece: Piece<'_>| {
                if result.is_ok() {
                    result = put(piece, names, &mut out);
                }
            };
            if count == 0 {
                is_within = cutter.end(&mut put);
                result?;
                break;
            }
            cutter.feed(&chunk[..count], &mut put);
            result?;
        }
    }
    out.flush()
}

fn put(piece: Piece<'_>, names: &mut Names, out: &mut Output<File>) -> Result<(), Stop> {
    if let Some((address, length)) = piece.address()
        && let Some(Known::Name(name)) = names.book().find(address)
    {
        out.write(name.as_bytes())?;
        return out.write(&piece.text[length..]);
    }
    out.write(piece.text)
}

impl Log {
    fn open(path: &OsString) -> Result<Log, Error> {
        let path = Path::new(path);
        let name = path.display().to_string();
        let fail = |error: io::Error| Error::system(format!("cannot open {name}: {}", reason(&error)));
        // Opening a pipe would wait for its writer.
        let is_file = std::fs::metadata(path).map_err(fail)?.is_file();
        if !is_file {
            return Err(Error::system(format!("cannot read {name} twice: it is not a file; webresolve needs none")));
        }
        let file = File::open(path).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
        Ok(Log { name, file, size, is_compressed })
    }

    /// Reads from the beginning.
    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        let fail = |error| Error::system(format!("cannot read {}: {}", self.name, reason(&error)));
        let mut file = self.file.try_clone().map_err(fail)?;
        file.rewind().map_err(fail)?;
        let file = file.take(self.size);
        Ok(if self.is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
    }

    fn read(&self, reader: &mut impl Read, chunk: &mut [u8]) -> Result<usize, Error> {
        loop {
            match reader.read(chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    return result
                        .map_err(|error| Error::system(format!("cannot read {}: {}", self.name, reason(&error))));
                }
            }
        }
    }
}
