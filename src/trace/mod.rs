//! The tracer: shows what a protocol says, as it passes.
//!
//! Dumps show bytes; a [`Conversation`] tells in words what they say, and veils what is secret in
//! them. Each protocol has its decoder, in a file of its own. They are pure, and what they keep of a
//! connection is bounded, whoever sends it.
//!
//! It turns bytes into text and holds the level and the form asked for; whoever owns it writes
//! the text out. Whether anything is to be shown is one compare, so a tracer that is off costs
//! the relay nothing.

mod asked;
mod ber;
pub mod conversation;
mod dns;
pub mod dump;
mod ftp;
mod http;
mod imap;
mod ldap;
mod ldap_filter;
mod ldap_secrets;
mod ldap_text;
mod lines;
pub mod pcapng;
mod pop3;
pub mod protocol;
pub mod recorder;
mod replies;
pub mod segments;
mod smtp;
mod tls;
mod tls_hello;
mod told;

pub use crate::base::bytes::syslog_lines as for_syslog;
use crate::base::diag::{DumpForm, WORDS};
pub use conversation::Conversation;
pub use dump::Direction;
pub use protocol::Protocol;

/// From this level on (`-d`) events are told in words.
const EVENTS: u32 = 1;
/// From this level on (`-d -d`) the bytes are dumped as well.
const DUMPS: u32 = 2;
/// What the scratch may keep from one dump to the next: the columns of a chunk of 64 KiB fit.
const SCRATCH_KEPT: usize = 384 * 1024;

/// The level and form of tracing, and the scratch that dumps are put together in.
#[derive(Debug)]
pub struct Tracer {
    level: u32,
    form: DumpForm,
    scratch: Vec<u8>,
}

impl Tracer {
    /// A tracer of level 0 (silent), 1 (events), 2 (dumps as well) or 3 and above. It holds no
    /// memory before the first dump.
    pub fn new(level: u32, form: DumpForm) -> Tracer {
        Tracer { level, form, scratch: Vec::new() }
    }

    /// True if events are to be told in words.
    #[inline]
    pub fn is_telling(&self) -> bool {
        self.level >= EVENTS
    }

    /// True if bytes are to be dumped. Whoever relays asks this first.
    #[inline]
    pub fn is_dumping(&self) -> bool {
        self.level >= DUMPS
    }

    /// True if what bytes say is to be told in words with their dumps.
    #[inline]
    pub fn is_decoding(&self) -> bool {
        self.level >= WORDS
    }

    /// Changes the level. The scratch is given back when dumping ends.
    pub fn set_level(&mut self, level: u32) {
        self.level = level;
        if !self.is_dumping() {
            self.scratch = Vec::new();
        }
    }

    /// Changes how bytes are shown.
    pub fn set_form(&mut self, form: DumpForm) {
        self.form = form;
    }

    /// The dump of a chunk that goes through connection number `connection`, to be written
    /// whole; empty for an empty chunk.
    pub fn dump(&mut self, direction: Direction, connection: usize, bytes: &[u8]) -> &[u8] {
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH_KEPT);
        dump::dump(&mut self.scratch, direction, connection, bytes, self.form);
        &self.scratch
    }

    /// The same with a line before it and the lines of what the chunk says.
    pub fn dump_decoded(
        &mut self,
        head: &str,
        lines: &[u8],
        direction: Direction,
        connection: usize,
        bytes: &[u8],
    ) -> &[u8] {
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH_KEPT);
        self.scratch.extend_from_slice(head.as_bytes());
        self.scratch.extend_from_slice(lines);
        dump::dump(&mut self.scratch, direction, connection, bytes, self.form);
        &self.scratch
    }

    /// The same for what goes on in the place of a chunk that came.
    pub fn dump_changed(&mut self, direction: Direction, connection: usize, bytes: &[u8]) -> &[u8] {
        self.scratch.clear();
        dump::dump_as(&mut self.scratch, direction.name_of_changed(), connection, bytes, self.form);
        &self.scratch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_decides_what_is_shown() {
        for (level, telling, dumping) in
            [(0, false, false), (1, true, false), (2, true, true), (3, true, true), (u32::MAX, true, true)]
        {
            let mut tracer = Tracer::new(0, DumpForm::Auto);
            tracer.set_level(level);
            assert_eq!((tracer.is_telling(), tracer.is_dumping()), (telling, dumping), "{level}");
        }
    }

    #[test]
    fn each_dump_stands_alone_and_follows_the_form() {
        let mut tracer = Tracer::new(2, DumpForm::Auto);
        assert_eq!(tracer.dump(Direction::Up, 7, b"a\n"), b"copy_up(7)\n2: a\n\n");
        assert_eq!(tracer.dump(Direction::Down, 8, b"b"), b"copy_down(8)\n1: b\n");
        assert_eq!(tracer.dump_changed(Direction::Up, 7, b"A\n"), b"changed_up(7)\n2: A\n\n");
        assert_eq!(tracer.dump_changed(Direction::Down, 7, b""), b"");
        tracer.set_form(DumpForm::Columns);
        assert!(tracer.dump(Direction::Down, 8, b"b").starts_with(b"copy_down(8)\n1: \n00000000  62 "));
        tracer.set_form(DumpForm::Ascii);
        assert_eq!(tracer.dump(Direction::Up, 7, b"\x1bE"), b"copy_up(7)\n2: .E\n");
    }

    #[test]
    fn the_scratch_keeps_what_a_full_chunk_needs_and_no_more() {
        let mut tracer = Tracer::new(2, DumpForm::Columns);
        tracer.dump(Direction::Up, 0, &vec![0; 64 * 1024]);
        let needed = tracer.scratch.len();
        assert!(needed <= SCRATCH_KEPT);
        tracer.dump(Direction::Up, 0, b"x");
        assert!(tracer.scratch.capacity() >= needed, "the scratch is not allocated anew for each chunk");
        tracer.dump(Direction::Up, 0, &vec![0; 1024 * 1024]);
        tracer.dump(Direction::Up, 0, b"x");
        assert!(tracer.scratch.capacity() <= SCRATCH_KEPT);
        tracer.set_level(1);
        assert_eq!(tracer.scratch.capacity(), 0);
    }
}
