//! Lines of a log: of a file, of standard input (`-`), of a file that gzip has compressed (its
//! name ends with `.gz`). Memory is a buffer, whatever the size of the log.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use memchr::memchr;

use crate::base::error::{Error, reason};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// The longest line that is taken for a line, in bytes: a hundred times what web servers write.
pub const LINE_MAX: usize = 16 * 1024 * 1024;

/// The bytes at the start of a log.
#[derive(Debug)]
pub struct Start {
    name: OsString,
    bytes: Vec<u8>,
}

impl Start {
    /// Their lines; the last one may be cut, and what is compressed may end with an error.
    pub fn lines(self) -> Lines {
        Lines::new(shown(&self.name), decompressed(&self.name, Box::new(Cursor::new(self.bytes))))
    }
}

fn shown(name: &OsString) -> String {
    if name == "-" { String::from("standard input") } else { Path::new(name).display().to_string() }
}

fn open(name: &OsString, read: &Rc<Cell<u64>>) -> Result<Box<dyn Read>, Error> {
    if name == "-" {
        return Ok(Box::new(Counted(io::stdin(), Rc::clone(read))));
    }
    let fail = |error| Error::system(format!("cannot open {}: {}", shown(name), reason(&error)));
    let file = File::open(name).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(fail(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Box::new(Counted(file, Rc::clone(read))))
}

fn decompressed(name: &OsString, source: Box<dyn Read>) -> Box<dyn Read> {
    match Path::new(name).extension() {
        Some(extension) if extension == "gz" => Box::new(MultiGzDecoder::new(source)),
        _ => source,
    }
}

/// Counts what is read.
struct Counted<R>(R, Rc<Cell<u64>>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.set(self.1.get() + read as u64);
        Ok(read)
    }
}

/// A log that is read line by line.
pub struct Lines {
    name: String,
    source: Box<dyn Read>,
    read: Rc<Cell<u64>>,
    /// What was read and not yet given away is `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How much of `buffer[start..end]` is known to have no newline.
    searched: usize,
    has_ended: bool,
}

impl Lines {
    /// Opens a log. The error names it.
    pub fn open(name: &OsString) -> Result<Lines, Error> {
        let read = Rc::new(Cell::new(0));
        let source = open(name, &read)?;
        Ok(Lines::with_count(shown(name), decompressed(name, source), read))
    }

    /// The lines of anything; `name` is what messages call it.
    pub fn new(name: impl Into<String>, source: impl Read + 'static) -> Lines {
        Lines::with_count(name.into(), Box::new(source), Rc::default())
    }

    /// Opens a log and reads the start of it: for who must know it beforehand, but cannot open
    /// the log twice. The lines begin with that start all the same.
    pub fn open_with_start(name: &OsString, most: u64) -> Result<(Start, Lines), Error> {
        let read = Rc::new(Cell::new(0));
        let mut source = open(name, &read)?;
        let mut bytes = Vec::new();
        let fail = |error| Error::system(format!("cannot read {}: {}", shown(name), reason(&error)));
        source.by_ref().take(most).read_to_end(&mut bytes).map_err(fail)?;
        let start = Start { name: name.clone(), bytes: bytes.clone() };
        let source: Box<dyn Read> = Box::new(Cursor::new(bytes).chain(source));
        Ok((start, Lines::with_count(shown(name), decompressed(name, source), read)))
    }

    fn with_count(name: String, source: Box<dyn Read>, read: Rc<Cell<u64>>) -> Lines {
        Lines { name, source, read, buffer: Vec::new(), start: 0, end: 0, searched: 0, has_ended: false }
    }

    /// How many bytes of the file were read: compressed ones, if it is compressed.
    pub fn bytes_read(&self) -> u64 {
        self.read.get()
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next line without its newline (a CR before it stays); `None` at the end. A last line
    /// without a newline is a line. Fails when reading does, and for a line beyond [`LINE_MAX`].
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, Error> {
        let length = loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(found) = memchr(b'\n', &unread[self.searched..]) {
                break self.searched + found;
            }
            if self.has_ended {
                if unread.is_empty() {
                    return Ok(None);
                }
                break unread.len();
            }
            self.searched = unread.len();
            self.read_more()?;
        };
        let line = self.start..self.start + length;
        self.start = (line.end + 1).min(self.end);
        self.searched = 0;
        Ok(Some(&self.buffer[line]))
    }

    fn read_more(&mut self) -> Result<(), Error> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end >= LINE_MAX {
            return Err(Error::system(format!(
                "{} has a line of more than {LINE_MAX} bytes: it is no log of lines",
                self.name
            )));
        }
        if self.buffer.len() < self.end + CHUNK {
            self.buffer.resize(self.end + CHUNK, 0);
        }
        let read = loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::system(format!("cannot read {}: {}", self.name, reason(&error))));
                }
            }
        };
        self.end += read;
        self.has_ended = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Gives its bytes in pieces of so many.
    struct Pieces(Cursor<Vec<u8>>, usize);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(self.1);
            self.0.read(&mut buffer[..most])
        }
    }

    fn all(mut lines: Lines) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(line.to_vec());
        }
        assert!(lines.next_line().unwrap().is_none(), "the end stays the end");
        found
    }

    #[test]
    fn lines_are_the_same_in_pieces_of_any_size() {
        let table: [(&[u8], &[&[u8]]); 6] = [
            (b"", &[]),
            (b"\n", &[b""]),
            (b"one", &[b"one"]),
            (b"one\ntwo\n", &[b"one", b"two"]),
            (b"one\r\n\n\xff\x00\nlast", &[b"one\r", b"", b"\xff\x00", b"last"]),
            (b"\n\na", &[b"", b"", b"a"]),
        ];
        for (text, expected) in table {
            for piece in 1..8 {
                assert_eq!(all(Lines::new("x", Pieces(Cursor::new(text.to_vec()), piece))), expected);
            }
        }
    }

    #[test]
    fn a_line_may_be_longer_than_the_buffer_but_not_endless() {
        let long = vec![b'x'; 3 * CHUNK + 7];
        let text = [&long[..], b"\nshort"].concat();
        assert_eq!(all(Lines::new("x", Cursor::new(text))), [long, b"short".to_vec()]);
        let error = Lines::new("x", io::repeat(b'x')).next_line().unwrap_err();
        assert_eq!(error.to_string(), format!("x has a line of more than {LINE_MAX} bytes: it is no log of lines"));
    }

    #[test]
    fn a_file_may_be_compressed_and_errors_name_it() {
        let path = std::env::temp_dir().join(format!("pen-lines-{}.gz", std::process::id()));
        let mut file = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        file.write_all(b"one\ntwo\n").unwrap();
        drop(file.finish().unwrap());
        // Logs that were compressed one by one and then put together are one log.
        let once = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&once[..], &once[..]].concat()).unwrap();
        assert_eq!(all(Lines::open(&path.clone().into()).unwrap()), [b"one", b"two", b"one", b"two"]);

        std::fs::write(&path, &once[..once.len() - 3]).unwrap();
        let mut lines = Lines::open(&path.clone().into()).unwrap();
        let error = loop {
            match lines.next_line() {
                Ok(line) => assert!(line.is_some(), "a log that is cut does not end well"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.starts_with(&format!("cannot read {}: ", path.display())), "{error}");
        let (start, lines) = {
            std::fs::write(&path, &once).unwrap();
            Lines::open_with_start(&path.clone().into(), 10).unwrap()
        };
        assert_eq!(start.bytes, &once[..10]);
        assert_eq!(all(lines), [b"one", b"two"], "the start is not lost");
        std::fs::remove_file(&path).unwrap();
        let error = Lines::open(&path.clone().into()).err().unwrap().to_string();
        assert_eq!(error, format!("cannot open {}: no such file or directory", path.display()));
        let error = Lines::open(&std::env::temp_dir().into()).err().unwrap().to_string();
        assert!(error.ends_with(": is a directory"), "{error}");
    }
}
