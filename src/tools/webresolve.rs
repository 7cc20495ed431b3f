//! webresolve: a filter that puts a host name in place of the address with which a line begins.
//!
//! One loop reads lines, asks for their addresses, and writes the lines in their order as soon as the
//! answers are there. Lines wait in a window of bounded size, and while it is full no more is read.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use super::output::{Stop, end, print, stop};
use super::pieces::{Cutter, Piece};
use super::resolving::Names;
use super::resolving_options::{Options, Plan, plan};
use crate::base::error::{Error, reason};
use crate::dns::book::Known;
use crate::sys::dns::{read_now, standard_input, standard_output, write_now};

/// How many bytes of lines may wait, and how many more each line counts for.
const WINDOW: usize = 32 * 1024 * 1024;
const LINE_COST: usize = 64;

/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 1_000_000;

/// How much is read at once, and how much may wait for somebody to read it.
const CHUNK: usize = 256 * 1024;
const UNWRITTEN_MAX: usize = 1024 * 1024;

/// Runs webresolve and returns its exit status: 0, 1 if the system refuses something, 64 for an error
/// of usage, 78 for a file of settings or a cache that is wrong.
pub fn run(args: impl IntoIterator<Item = OsString>, err: &mut impl Write) -> u8 {
    let result =
        plan("webresolve", "webresolve [options] [file ...]", args).map_err(Stop::from).and_then(|plan| match plan {
            Plan::Print(text) => print(&text, &mut io::stdout()),
            Plan::Work(options) => work(&options, err),
        });
    end("webresolve", result, err)
}

fn work(options: &Options, err: &mut impl Write) -> Result<(), Stop> {
    let mut filter = Filter::open(options)?;
    let result = filter.run();
    // What is known is kept, also if nobody reads the rest.
    let closed = filter.names.close(err);
    result.and(closed.map_err(Stop::from))
}

/// Where lines come from now.
enum Source {
    /// A descriptor; true if it may have nothing to read at times.
    Plain(File, bool),
    Compressed(Box<MultiGzDecoder<File>>),
}

/// A line that waits for its turn.
struct Waiting {
    text: Box<[u8]>,
    /// The entry of its address, and the length of the address.
    address: Option<(usize, usize)>,
}

/// The filter.
struct Filter {
    names: Names,
    files: VecDeque<OsString>,
    /// The log that is being read, and what messages call it.
    source: Option<(Source, String)>,
    cutter: Cutter,
    /// The last log ended within a line: what follows is a line of its own.
    is_within: bool,
    chunk: Vec<u8>,
    window: VecDeque<Waiting>,
    window_size: usize,
    out: File,
    out_is_file: bool,
    unwritten: Vec<u8>,
}

impl Filter {
    fn open(options: &Options) -> Result<Filter, Error> {
        let mut names = Names::open(options, ADDRESSES_MAX)?;
        let fail = |error: io::Error| Error::system(format!("cannot write the output: {}", reason(&error)));
        let out = standard_output().map_err(fail)?;
        let out_is_file = !names.net().watch_output(&out).map_err(fail)?;
        let mut files: VecDeque<OsString> = options.files.iter().cloned().collect();
        if files.is_empty() {
            files.push_back(OsString::from("-"));
        }
        Ok(Filter {
            names,
            files,
            source: None,
            cutter: Cutter::default(),
            is_within: false,
            chunk: vec![0; CHUNK],
            window: VecDeque::new(),
            window_size: 0,
            out,
            out_is_file,
            unwritten: Vec::new(),
        })
    }

    /// Works until everything is written. A log that cannot be read ends it after the lines before.
    fn run(&mut self) -> Result<(), Stop> {
        let mut failure = None;
        loop {
            let may_read = self.has_room();
            let is_open = self.source.is_some() || !self.files.is_empty();
            let mut is_busy = false;
            if is_open && may_read {
                is_busy = self.read().unwrap_or_else(|error| {
                    (self.source, failure) = (None, Some(error));
                    self.files.clear();
                    true
                });
            }
            self.write_known();
            is_busy |= self.write_out().map_err(stop)?;
            // No event tells of what was there to be read before there was room.
            is_busy |= is_open && !may_read && self.has_room();
            if self.source.is_none() && self.files.is_empty() && self.window.is_empty() && self.unwritten.is_empty() {
                return failure.map_or(Ok(()), |error| Err(Stop::Failed(error)));
            }
            self.names.turn(is_busy.then_some(Duration::ZERO))?;
        }
    }

    /// Whether more may be read.
    fn has_room(&self) -> bool {
        self.window_size < WINDOW && self.unwritten.len() < UNWRITTEN_MAX
    }

    /// Reads what there is; false if there is nothing now.
    fn read(&mut self) -> Result<bool, Error> {
        let (mut source, name) = match self.source.take() {
            Some(source) => source,
            None => self.open_next()?,
        };
        match source.read(&mut self.chunk) {
            Ok(0) => {
                self.close(&source);
                return Ok(true);
            }
            Ok(count) => self.take(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.source = Some((source, name));
                return Ok(false);
            }
            Err(error) => {
                self.close(&source);
                return Err(Error::system(format!("cannot read {name}: {}", reason(&error))));
            }
        }
        self.source = Some((source, name));
        Ok(true)
    }

    fn open_next(&mut self) -> Result<(Source, String), Error> {
        let file = self.files.pop_front().unwrap_or_else(|| OsString::from("-"));
        let name = if file == "-" { String::from("standard input") } else { file.to_string_lossy().into_owned() };
        let fail = |error: io::Error| Error::system(format!("cannot open {name}: {}", reason(&error)));
        let source = if file == "-" { standard_input() } else { File::open(&file) }.map_err(fail)?;
        if self.is_within {
            self.wait_in_line(b"\n", None);
            self.is_within = false;
        }
        if std::path::Path::new(&file).extension().is_some_and(|extension| extension == "gz") {
            return Ok((Source::Compressed(Box::new(MultiGzDecoder::new(source))), name));
        }
        let may_wait = self.names.net().watch_input(&source).map_err(fail)?;
        Ok((Source::Plain(source, may_wait), name))
    }

    fn close(&mut self, source: &Source) {
        if let Source::Plain(file, true) = source {
            self.names.net().unwatch(file);
        }
        let mut cutter = std::mem::take(&mut self.cutter);
        self.is_within = cutter.end(|piece| self.piece(piece));
    }

    /// Takes the first `count` bytes of the chunk.
    fn take(&mut self, count: usize) {
        let chunk = std::mem::take(&mut self.chunk);
        let mut cutter = std::mem::take(&mut self.cutter);
        cutter.feed(&chunk[..count], |piece| self.piece(piece));
        (self.cutter, self.chunk) = (cutter, chunk);
    }

    fn piece(&mut self, piece: Piece<'_>) {
        let address = piece.address().map(|(address, length)| (self.names.look(address), length));
        if self.window.is_empty() && self.write_line(piece.text, address) {
            return;
        }
        self.wait_in_line(piece.text, address);
    }

    fn wait_in_line(&mut self, text: &[u8], address: Option<(usize, usize)>) {
        if let Some((at, _)) = address {
            self.names.book().hold(at);
        }
        self.window_size += text.len() + LINE_COST;
        self.window.push_back(Waiting { text: text.into(), address });
    }

    /// Writes the lines at the head of the window whose names are known.
    fn write_known(&mut self) {
        while self.unwritten.len() < UNWRITTEN_MAX
            && let Some(line) = self.window.pop_front()
        {
            if !self.write_line(&line.text, line.address) {
                self.window.push_front(line);
                return;
            }
            if let Some((at, _)) = line.address {
                self.names.book().release(at);
            }
            self.window_size -= line.text.len() + LINE_COST;
        }
    }

    /// Writes a line if its name is known, or known to be unknown.
    fn write_line(&mut self, text: &[u8], address: Option<(usize, usize)>) -> bool {
        let Some((at, length)) = address else {
            self.unwritten.extend_from_slice(text);
            return true;
        };
        match self.names.book().known(at) {
            Known::Open => return false,
            Known::Name(name) => {
                self.unwritten.extend_from_slice(name.as_bytes());
                self.unwritten.extend_from_slice(&text[length..]);
            }
            Known::Nameless | Known::Unanswered => self.unwritten.extend_from_slice(text),
        }
        true
    }

    /// Writes what there is room for; true if there may be room for more.
    fn write_out(&mut self) -> io::Result<bool> {
        let mut written = 0;
        while written < self.unwritten.len() {
            match write_now(&mut self.out, &self.unwritten[written..], self.out_is_file) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unwritten.drain(..written);
        let is_more = self.unwritten.is_empty() && !self.window.is_empty();
        Ok(is_more && self.window.front().is_some_and(|line| self.is_known(line)))
    }

    fn is_known(&self, line: &Waiting) -> bool {
        line.address.is_none_or(|(at, _)| *self.names.known(at) != Known::Open)
    }
}

impl Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(file, true) => read_now(file, buffer),
            Source::Plain(file, false) => file.read(buffer),
            Source::Compressed(decoder) => decoder.read(buffer),
        }
    }
}
