//! Captures as files: pcapng, as tcpdump and Wireshark read it (draft-ietf-opsawg-pcapng).
//!
//! There are two interfaces, the side of the clients and the side of the servers; what they have is
//! IP packets without anything before them. Numbers are in little endian, as the section says.

use super::segments::Segment;

/// IPv4 or IPv6, by the first four bits of a packet (LINKTYPE_RAW).
const RAW_IP: u16 = 101;
/// Time stamps are in nanoseconds.
const NANOSECONDS: u8 = 9;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// What a capture begins with.
pub const MAGIC: [u8; 4] = SECTION.to_le_bytes();

/// Appends what a file begins with: the section and its interfaces.
pub fn write_head(out: &mut Vec<u8>) {
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4d_u32.to_le_bytes());
    section.extend(1u16.to_le_bytes());
    section.extend(0u16.to_le_bytes());
    // Of unknown length.
    section.extend(u64::MAX.to_le_bytes());
    option(&mut section, 4, concat!("pen ", env!("CARGO_PKG_VERSION")).as_bytes());
    option(&mut section, 0, b"");
    write_block(out, SECTION, &section);
    for name in ["clients", "servers"] {
        let mut interface = Vec::new();
        interface.extend(RAW_IP.to_le_bytes());
        interface.extend([0; 2]);
        // Packets of any length.
        interface.extend(0u32.to_le_bytes());
        option(&mut interface, 2, name.as_bytes());
        option(&mut interface, 9, &[NANOSECONDS]);
        option(&mut interface, 0, b"");
        write_block(out, INTERFACE, &interface);
    }
}

/// The length of the block that bytes begin with; at least one.
pub fn block_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(4..8)?;
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
    Some((length as usize).max(12))
}

/// True if the block that bytes begin with is a packet, and not of what a file begins with.
pub fn is_packet(bytes: &[u8]) -> bool {
    bytes.starts_with(&PACKET.to_le_bytes())
}

/// Appends one packet, at so many nanoseconds since 1970.
pub fn write_packet(out: &mut Vec<u8>, at: u64, segment: &Segment<'_>) {
    let length = u32::try_from(segment.packet_length()).expect("a packet has at most 64 KiB");
    let body = 20 + length.next_multiple_of(4);
    out.extend(PACKET.to_le_bytes());
    out.extend((12 + body).to_le_bytes());
    out.extend((segment.side as u32).to_le_bytes());
    let [high, low] = [(at >> 32) as u32, at as u32];
    out.extend(high.to_le_bytes());
    out.extend(low.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(length.to_le_bytes());
    segment.write(out);
    out.resize(out.len() + (body - 20 - length) as usize, 0);
    out.extend((12 + body).to_le_bytes());
}

fn write_block(out: &mut Vec<u8>, sort: u32, body: &[u8]) {
    let length = u32::try_from(12 + body.len()).expect("a block is small");
    out.extend(sort.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend_from_slice(body);
    out.extend(length.to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).expect("an option is small").to_le_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}
