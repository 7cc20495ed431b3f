//! Bodies of HTTP/1 messages (RFC 9112 sections 6 and 7): where one ends. Their bytes pass as they
//! are, and nothing is kept of them.

use super::head::{Framing, HEAD_MAX, is_token_byte};

/// The most digits of a chunk's size.
const DIGITS_MAX: u8 = 16;

/// The most bytes of extensions that a chunk may have.
const EXTENSION_MAX: usize = 4096;

/// A body that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// This much of it is to come.
    Length(u64),
    /// It is in chunks, and this is next.
    Chunked(Chunk),
    /// It ends with the connection.
    UntilClose,
}

/// What is next in a chunked body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chunk {
    /// A digit of a size, or what ends it.
    Size {
        /// Digits so far.
        digits: u8,
        /// The size so far.
        size: u64,
    },
    /// Blanks before an extension or the end of the line.
    Blank {
        /// The size of the chunk.
        size: u64,
        /// Bytes since it.
        passed: usize,
    },
    /// An extension.
    Extension {
        /// The size of the chunk.
        size: u64,
        /// Bytes since it.
        passed: usize,
    },
    /// The LF after a size of this.
    SizeEnd(u64),
    /// Bytes of a chunk, at least one.
    Inside(u64),
    /// The CR after a chunk.
    Return,
    /// The LF after a chunk.
    Feed,
    /// The first byte of a trailer line or of the empty line; so many bytes of trailers have passed.
    Trailer(usize),
    /// The name of a trailer.
    Name(usize),
    /// Its value.
    Value(usize),
    /// The LF of its line.
    ValueEnd(usize),
    /// The LF of the empty line.
    End,
    /// Nothing.
    Done,
}

/// The body is not chunked as it should be: why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct BadChunk(&'static str);

/// What is not body, and not what may follow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadBody {
    /// So many bytes before it are body.
    pub taken: usize,
    /// Why, as the end of a sentence.
    pub why: &'static str,
}

impl Body {
    /// The body of a message that is framed so.
    pub fn new(framing: Framing) -> Body {
        match framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunk::Size { digits: 0, size: 0 }),
            Framing::UntilClose => Body::UntilClose,
        }
    }

    /// True if nothing of it is to come.
    pub fn is_over(self) -> bool {
        matches!(self, Body::Length(0) | Body::Chunked(Chunk::Done))
    }

    /// Takes what has come. Returns how much of it is body.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, BadBody> {
        match self {
            Body::UntilClose => Ok(bytes.len()),
            Body::Length(left) => Ok(pass(left, bytes)),
            Body::Chunked(chunk) => {
                let mut taken = 0;
                while *chunk != Chunk::Done
                    && let Some(&byte) = bytes.get(taken)
                {
                    if let Chunk::Inside(left) = chunk {
                        taken += pass(left, &bytes[taken..]);
                        if *left == 0 {
                            *chunk = Chunk::Return;
                        }
                    } else {
                        *chunk = chunk.next(byte).map_err(|BadChunk(why)| BadBody { taken, why })?;
                        taken += 1;
                    }
                }
                Ok(taken)
            }
        }
    }
}

/// How much of the bytes belongs to what is left, which becomes so much less.
fn pass(left: &mut u64, bytes: &[u8]) -> usize {
    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= count as u64;
    count
}

impl Chunk {
    /// What is next after this byte.
    fn next(self, byte: u8) -> Result<Chunk, BadChunk> {
        const SIZE: BadChunk = BadChunk("the size of a chunk is not one");
        const EXTENSION: BadChunk = BadChunk("the extension of a chunk is not one");
        const LONG: BadChunk = BadChunk("the extension of a chunk is too long");
        const END: BadChunk = BadChunk("a chunk does not end where its size says");
        const LINE: BadChunk = BadChunk("a line of a chunked body does not end in CR LF");
        const TRAILER: BadChunk = BadChunk("a trailer is not one");
        const TRAILERS: BadChunk = BadChunk("the trailers are too long");
        match (self, byte) {
            (Chunk::Size { digits: DIGITS_MAX, .. }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Err(SIZE),
            (Chunk::Size { digits, size }, byte) => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) => Ok(Chunk::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }),
                (None, _) if digits == 0 => Err(SIZE),
                (None, _) => Chunk::Blank { size, passed: 0 }.next(byte),
            },
            (Chunk::Blank { passed: EXTENSION_MAX, .. } | Chunk::Extension { passed: EXTENSION_MAX, .. }, _) => {
                Err(LONG)
            }
            (Chunk::Blank { size, .. } | Chunk::Extension { size, .. }, b'\r') => Ok(Chunk::SizeEnd(size)),
            (Chunk::Blank { size, passed }, b' ' | b'\t') => Ok(Chunk::Blank { size, passed: passed + 1 }),
            (Chunk::Blank { size, passed }, b';') => Ok(Chunk::Extension { size, passed: passed + 1 }),
            (Chunk::Blank { .. }, b'\n') => Err(LINE),
            (Chunk::Blank { .. }, _) => Err(SIZE),
            (Chunk::Extension { .. }, b'\n') => Err(LINE),
            (Chunk::Extension { size, passed }, byte) if is_text(byte) => {
                Ok(Chunk::Extension { size, passed: passed + 1 })
            }
            (Chunk::Extension { .. }, _) => Err(EXTENSION),
            (Chunk::SizeEnd(0), b'\n') => Ok(Chunk::Trailer(0)),
            (Chunk::SizeEnd(size), b'\n') => Ok(Chunk::Inside(size)),
            (Chunk::Return, b'\r') => Ok(Chunk::Feed),
            (Chunk::Feed, b'\n') => Ok(Chunk::Size { digits: 0, size: 0 }),
            (Chunk::Return | Chunk::Feed, _) => Err(END),
            (Chunk::Trailer(HEAD_MAX) | Chunk::Name(HEAD_MAX) | Chunk::Value(HEAD_MAX), _) => Err(TRAILERS),
            (Chunk::Trailer(_), b'\r') => Ok(Chunk::End),
            (Chunk::Trailer(passed) | Chunk::Name(passed), byte) if is_token_byte(byte) => Ok(Chunk::Name(passed + 1)),
            (Chunk::Name(passed), b':') => Ok(Chunk::Value(passed + 1)),
            (Chunk::Trailer(_) | Chunk::Name(_), _) => Err(TRAILER),
            (Chunk::Value(passed), b'\r') => Ok(Chunk::ValueEnd(passed)),
            (Chunk::Value(_), b'\n') => Err(LINE),
            (Chunk::Value(passed), byte) if is_text(byte) => Ok(Chunk::Value(passed + 1)),
            (Chunk::Value(_), _) => Err(TRAILER),
            (Chunk::ValueEnd(passed), b'\n') => Ok(Chunk::Trailer(passed)),
            (Chunk::End, b'\n') => Ok(Chunk::Done),
            (Chunk::SizeEnd(_) | Chunk::ValueEnd(_) | Chunk::End, _) => Err(LINE),
            (Chunk::Inside(_) | Chunk::Done, _) => unreachable!("bytes of a chunk are not looked at"),
        }
    }
}

/// A byte of a value or an extension.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}
