//! The files of a capture in the simulated world, on a disk that may be full, and what must be true of them.

use std::io::{self, ErrorKind};

use pen::balance::settings::Protocol;

use super::wire::PROXY;
use super::world::{Far, World};

/// One file.
#[derive(Debug, Default)]
pub struct CaptureFile {
    pub bytes: Vec<u8>,
    pub is_open: bool,
    /// The disk did not take what came last.
    was_refused: bool,
    /// It was full at some time.
    was_full: bool,
}

/// A packet: its interface, who sent it by the last number of the address, the bytes that it carries.
type Packet = (u32, u8, usize);

impl World {
    /// pen opens one more file.
    pub fn open_capture(&mut self) -> io::Result<usize> {
        if let Some(lack) = self.lacking() {
            return Err(lack.error());
        }
        self.count_open();
        self.captures.push(CaptureFile { is_open: true, ..CaptureFile::default() });
        Ok(self.captures.len() - 1)
    }

    /// pen writes to one.
    pub fn write_capture(&mut self, number: usize, bytes: &[u8]) -> io::Result<usize> {
        let odds = self.odds();
        let file = &mut self.captures[number];
        if self.choices.one_in(odds.disk) {
            let kind = *self.choices.pick(&[ErrorKind::StorageFull, ErrorKind::WouldBlock, ErrorKind::Interrupted]);
            file.was_refused = true;
            file.was_full |= kind == ErrorKind::StorageFull;
            self.note(|_| format!("the disk refuses {} bytes of a capture: {kind:?}", bytes.len()));
            return Err(kind.into());
        }
        let count = if self.choices.one_in(odds.short) { self.choices.part(bytes.len()) } else { bytes.len() };
        file.was_refused = false;
        file.bytes.extend(&bytes[..count]);
        Ok(count)
    }
}

/// A number of four bytes, if it is there.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(four) as usize)
}

/// The packets of a file, and how many bytes are left at its end that are no whole block.
fn packets(mut rest: &[u8]) -> (Vec<Packet>, usize) {
    let mut packets = Vec::new();
    for count in 0.. {
        let Some(length) = number(rest, 4).filter(|length| *length <= rest.len()) else { break };
        assert!(length >= 12 && length.is_multiple_of(4), "a block of {length} bytes");
        assert_eq!(number(rest, length - 4), Some(length), "a block ends with its length");
        let sort = number(rest, 0).unwrap();
        let expected: &[usize] = match count {
            0 => &[0x0a0d_0d0a],
            1 | 2 => &[1],
            _ => &[6],
        };
        assert!(expected.contains(&sort), "block {count} is of sort {sort}");
        if sort == 6 {
            let (side, captured) = (number(rest, 8).unwrap(), number(rest, 20).unwrap());
            assert!(side < 2 && 32 + captured <= length && number(rest, 24) == Some(captured));
            let packet = &rest[28..28 + captured];
            // Everybody has an address that stands in for one.
            assert_eq!(packet[0], 0x45, "IPv4 without options");
            assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), captured);
            let payload = captured - 20 - 4 * usize::from(packet[32] >> 4);
            packets.push((u32::try_from(side).unwrap(), packet[15], payload));
        }
        rest = &rest[length..];
    }
    (packets, rest.len())
}

/// What must be true of all files at the end: they are whole blocks, nothing is missing unless that was said, and
/// it was said once each time that it began.
pub fn judge(world: &World) {
    let mut carried = [0_u64; 2];
    for (at, file) in world.captures.iter().enumerate() {
        let (packets, torn) = packets(&file.bytes);
        assert!(torn == 0 || file.was_refused, "file {at} of the capture ends in {torn} bytes that are no block");
        for (side, sender, payload) in packets {
            carried[side as usize] += if matches!(sender, 1 | 4) { payload as u64 } else { 0 };
        }
    }
    let said = |what: &str| world.said.iter().filter(|text| text.starts_with(what)).count();
    let (failed, mended) = (said("cannot write the capture"), said("the capture pen.pcapng is written again"));
    assert!(failed == mended || failed == mended + 1, "it was said {failed} times that packets are lost");
    let was_full = world.captures.iter().any(|file| file.was_full);
    assert_eq!(was_full, failed > 0, "what is lost is said");
    judge_bytes(world, carried);
}

/// Without limits and losses every byte that pen took from those that it connected is in the capture, on its side.
fn judge_bytes(world: &World, carried: [u64; 2]) {
    let Some(spec) = &world.plan.capture else { return };
    let is_plain = world.ftp.is_none() && world.plan.settings.protocol == Protocol::Tcp;
    let is_whole =
        world.plan.odds.disk == 0 && (spec.rotate.is_some() || (spec.size.is_none() && spec.seconds.is_none()));
    if !is_plain || !is_whole || world.captures.is_empty() || said_over(world) {
        return;
    }
    let is_served = |client: Option<usize>| client.is_some_and(|client| world.server_line(client).is_some());
    let taken = |is_client: bool| -> u64 {
        let lines = world.lines.iter().filter(|line| (line.far == Far::Client) == is_client && is_served(line.client));
        lines.map(|line| line.wire.halves[PROXY].taken()).sum()
    };
    assert_eq!(carried, [taken(true), taken(false)], "every byte is in the capture");
}

fn said_over(world: &World) -> bool {
    world.said.iter().any(|text| text.contains(" is over: "))
}
