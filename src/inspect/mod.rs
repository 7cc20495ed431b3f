//! Inspectors: what looks at the bytes of a pair as a protocol, and may change them.
//!
//! They are pure: bytes and answers go in, bytes and questions come out. Whatever they keep of a
//! stream is bounded, whoever sends it.
//!
//! A further protocol is a variant of [`Inspector`], and an arm in each of its functions. What it
//! owes the relay: what it makes of one piece is at most [`TURNED_MAX`] bytes, [`Inspector::appetite`] being
//! the way to see to that, and it holds nothing back in a direction that it does not look at.

pub mod client_hello;
pub mod first_bytes;
pub mod ftp;
pub mod http;
pub mod proxy_protocol;

use crate::base::direction::Direction;
use ftp::{Ftp, TransferPorts};
use http::Http;
use http::head::Refusal;

/// The most bytes that an inspector makes of one piece, in each direction: what a ring holds.
pub const TURNED_MAX: usize = 64 * 1024;

/// The largest piece of a control connection that is looked at at once. Each line of it may grow
/// into some other, and the beginning of the first may have been held back.
const LINES_MAX: usize = 2048;

/// What a client gets that sends command after command.
const TOO_MANY: &[u8] = b"421 Too many commands are unanswered.\r\n";

/// What looks at the bytes of a pair as one protocol.
#[derive(Debug)]
pub enum Inspector {
    /// An FTP control connection.
    Ftp(Ftp),
    /// An HTTP/1 connection.
    Http(Http),
}

/// What becomes of a piece that was looked at.
#[derive(Debug, Default)]
pub struct Turned {
    /// This goes on in its place.
    pub on: Vec<u8>,
    /// This goes back to who sent it, after all that is on its way there.
    pub back: Vec<u8>,
    /// Not all that goes on is what came.
    pub has_changed: bool,
    /// The pair ends once all of that was sent, for this reason.
    pub ends: Option<&'static str>,
}

impl Turned {
    /// Is as new, but for its memory.
    pub fn clear(&mut self) {
        self.on.clear();
        self.back.clear();
        self.has_changed = false;
        self.ends = None;
    }

    fn note_http(&mut self, http: &mut Http) {
        self.has_changed |= http.take_changed();
        self.ends = http.refusal().filter(|_| http.is_over()).map(Refusal::why);
    }
}

impl Inspector {
    /// How many bytes one look may be at; 0 if there is nothing to look at before something has come
    /// from the other side; `None` if those that come next in this direction go on
    /// unseen, for as long as nothing is inspected.
    pub fn appetite(&self, direction: Direction) -> Option<usize> {
        match self {
            Inspector::Ftp(ftp) if ftp.is_opaque() => None,
            Inspector::Ftp(_) => Some(LINES_MAX),
            Inspector::Http(http) => http.appetite(direction),
        }
    }

    /// Looks at what came, and appends to `turned` what becomes of it.
    pub fn inspect(&mut self, direction: Direction, bytes: &[u8], turned: &mut Turned, ports: &mut impl TransferPorts) {
        match (self, direction) {
            (Inspector::Ftp(ftp), Direction::Up) => {
                if ftp.commands(bytes, &mut turned.on, ports).is_err() {
                    turned.back.extend_from_slice(TOO_MANY);
                    turned.ends = Some("too many commands without an answer");
                }
                turned.has_changed |= ftp.take_changed();
            }
            (Inspector::Ftp(ftp), Direction::Down) => {
                ftp.replies(bytes, &mut turned.on, ports);
                turned.has_changed |= ftp.take_changed();
            }
            (Inspector::Http(http), Direction::Up) => {
                http.requests(bytes, &mut turned.on, &mut turned.back);
                turned.note_http(http);
            }
            (Inspector::Http(http), Direction::Down) => {
                http.responses(bytes, &mut turned.back, &mut turned.on);
                turned.note_http(http);
            }
        }
    }

    /// This direction has ended: appends to `turned` what becomes of what was held back. It holds
    /// nothing then.
    pub fn end(&mut self, direction: Direction, turned: &mut Turned) {
        match (self, direction) {
            (Inspector::Http(http), Direction::Up) => {
                http.requests_ended(&mut turned.back);
                turned.note_http(http);
            }
            (inspector, direction) => turned.on.extend_from_slice(&inspector.last(direction)),
        }
    }

    /// True if something that came in this direction is held back.
    pub fn holds(&self, direction: Direction) -> bool {
        match self {
            Inspector::Ftp(ftp) => ftp.holds(direction),
            Inspector::Http(http) => direction == Direction::Up && http.held() > 0,
        }
    }

    /// What is held back in a direction that is not looked at any more; it holds nothing then.
    pub fn last(&mut self, direction: Direction) -> Vec<u8> {
        match (self, direction) {
            (Inspector::Ftp(ftp), Direction::Up) => ftp.last_of_commands(),
            (Inspector::Ftp(ftp), Direction::Down) => ftp.last_of_replies(),
            // All went on when it was clear that the rest means nothing here.
            (Inspector::Http(_), _) => Vec::new(),
        }
    }

    /// True if there is nothing more to look at, now or later.
    pub fn is_done(&self) -> bool {
        match self {
            Inspector::Ftp(ftp) => ftp.is_opaque(),
            Inspector::Http(http) => http.is_opaque(),
        }
    }
}
