//! Inspectors: what looks at the bytes of a pair as a protocol, and may change them.
//!
//! They are pure: bytes and answers go in, bytes and questions come out. Whatever they keep of a
//! stream is bounded, whoever sends it.
//!
//! A further protocol is a variant of [`Inspector`], and an arm in each of its functions. What it
//! owes the relay: what it makes of one piece is at most [`TURNED_MAX`] bytes, [`Inspector::appetite`] being
//! the way to see to that, and it holds nothing back in a direction that it does not look at.

pub mod ftp;
pub mod http;

use crate::base::direction::Direction;
use ftp::{Ftp, TransferPorts};

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
}

impl Inspector {
    /// How many bytes one look may be at; `None` if those that come next in this direction go on
    /// unseen, for as long as nothing is inspected.
    pub fn appetite(&self, _: Direction) -> Option<usize> {
        match self {
            Inspector::Ftp(ftp) if ftp.is_opaque() => None,
            Inspector::Ftp(_) => Some(LINES_MAX),
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
        }
    }

    /// True if something that came in this direction is held back.
    pub fn holds(&self, direction: Direction) -> bool {
        match self {
            Inspector::Ftp(ftp) => ftp.holds(direction),
        }
    }

    /// What is held back in a direction that has ended, or that is not looked at any more; it holds
    /// nothing then.
    pub fn last(&mut self, direction: Direction) -> Vec<u8> {
        match (self, direction) {
            (Inspector::Ftp(ftp), Direction::Up) => ftp.last_of_commands(),
            (Inspector::Ftp(ftp), Direction::Down) => ftp.last_of_replies(),
        }
    }

    /// True if there is nothing more to look at, now or later.
    pub fn is_done(&self) -> bool {
        match self {
            Inspector::Ftp(ftp) => ftp.is_opaque(),
        }
    }
}
