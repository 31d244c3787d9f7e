//! A pcapng section (draft-ietf-opsawg-pcapng), written block by block.

use std::io::{self, Write};

use super::record::Direction;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Nanoseconds: ten to the power of −9.
const RESOLUTION: u8 = 9;

const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// What packets of an interface begin with (LINKTYPE_…).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum LinkType {
    Ethernet = 1,
    /// An IPv4 or IPv6 header.
    Raw = 101,
}

/// One packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) interface: u32,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) direction: Direction,
    /// The length of the whole packet, of which `bytes` may be the beginning.
    pub(super) original: u32,
    pub(super) bytes: &'a [u8],
    pub(super) comment: &'a [u8],
}

/// Writes a section.
pub(super) struct Writer<W> {
    to: W,
    /// The block that is made.
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the section header.
    pub(super) fn new(to: W, program: &str) -> io::Result<Self> {
        let mut writer = Self { to, block: Vec::new() };
        writer.begin(SECTION_HEADER);
        writer.word(BYTE_ORDER);
        // Version 1.0.
        writer.word(1);
        // The section's length is not known.
        writer.word(u32::MAX);
        writer.word(u32::MAX);
        writer.option(SHB_USERAPPL, program.as_bytes());
        writer.end()?;
        Ok(writer)
    }

    /// Describes the next interface; they are numbered from 0.
    pub(super) fn interface(&mut self, name: &str, description: &str, link: LinkType, snaplen: u32) -> io::Result<()> {
        self.begin(INTERFACE_DESCRIPTION);
        self.word(u32::from(link as u16));
        self.word(snaplen);
        self.option(IF_NAME, name.as_bytes());
        self.option(IF_DESCRIPTION, description.as_bytes());
        self.option(IF_TSRESOL, &[RESOLUTION]);
        self.end()
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        self.begin(ENHANCED_PACKET);
        self.word(packet.interface);
        self.time(packet.time);
        self.word(packet.bytes.len() as u32);
        self.word(packet.original);
        self.padded(packet.bytes);
        self.option(EPB_FLAGS, &u32::from(packet.direction as u8).to_le_bytes());
        self.option(OPT_COMMENT, packet.comment);
        self.end()
    }

    /// Says how many packets of an interface there were, and how many of them are not in the file.
    pub(super) fn statistics(&mut self, interface: u32, time: u64, received: u64, dropped: u64) -> io::Result<()> {
        self.begin(INTERFACE_STATISTICS);
        self.word(interface);
        self.time(time);
        self.option(ISB_IFRECV, &received.to_le_bytes());
        self.option(ISB_IFDROP, &dropped.to_le_bytes());
        self.end()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Block type, and room for the length.
    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.word(kind);
        self.word(0);
    }

    /// Ends options, and writes the block with its length at both ends.
    fn end(&mut self) -> io::Result<()> {
        self.word(0);
        let length = self.block.len() as u32 + 4;
        self.block[4..8].copy_from_slice(&length.to_le_bytes());
        self.word(length);
        self.to.write_all(&self.block)
    }

    fn word(&mut self, word: u32) {
        self.block.extend(word.to_le_bytes());
    }

    /// The upper half is first.
    fn time(&mut self, time: u64) {
        self.word((time >> 32) as u32);
        self.word(time as u32);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend(code.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.padded(value);
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.block.extend(bytes);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type and body of each block; lengths are right at both ends.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
        let word = |bytes: &[u8]| u32::from_le_bytes(*bytes.first_chunk().unwrap());
        let mut blocks = Vec::new();
        while !bytes.is_empty() {
            let length = word(&bytes[4..]) as usize;
            assert_eq!(length % 4, 0);
            let (block, rest) = bytes.split_at(length);
            assert_eq!(word(&block[length - 4..]) as usize, length);
            blocks.push((word(block), &block[8..length - 4]));
            bytes = rest;
        }
        blocks
    }

    fn packet<'a>(bytes: &'a [u8], comment: &'a [u8]) -> Packet<'a> {
        let direction = Direction::Outbound;
        Packet { interface: 1, time: 0x0102_0304_0506_0708, direction, original: 1500, bytes, comment }
    }

    #[test]
    fn each_block_is_to_the_byte() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, "me").unwrap();
        writer.interface("tap0", "blue", LinkType::Ethernet, 256).unwrap();
        writer.packet(&packet(&[1, 2, 3, 4, 5], b"held")).unwrap();
        writer.statistics(1, 0x0102_0304_0506_0708, 9, 2).unwrap();
        let expected: [(u32, &[u8]); 4] = [
            (
                0x0a0d_0d0a,
                &[
                    0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 4, 0, 2, 0, b'm', b'e',
                    0, 0, 0, 0, 0, 0,
                ],
            ),
            (
                1,
                &[
                    1, 0, 0, 0, 0, 1, 0, 0, 2, 0, 4, 0, b't', b'a', b'p', b'0', 3, 0, 4, 0, b'b', b'l', b'u', b'e', 9,
                    0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0,
                ],
            ),
            (
                6,
                &[
                    1, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5, 5, 0, 0, 0, 0xdc, 5, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 2, 0, 4, 0,
                    2, 0, 0, 0, 1, 0, 4, 0, b'h', b'e', b'l', b'd', 0, 0, 0, 0,
                ],
            ),
            (
                5,
                &[
                    1, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5, 4, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 8, 0, 2, 0, 0, 0, 0,
                    0, 0, 0, 0, 0, 0, 0,
                ],
            ),
        ];
        assert_eq!(blocks(&bytes), expected);
    }

    #[test]
    fn every_length_is_padded() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, "").unwrap();
        for length in 0..100 {
            writer.packet(&packet(&vec![7; length], &b"abcdefgh"[..length % 9])).unwrap();
        }
        assert_eq!(blocks(&bytes).len(), 101);
    }
}
