//! How packets are on their way from a worker to the client.

/// Whether a packet went into an interface or came out of it, as seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Direction {
    Inbound = 1,
    Outbound = 2,
}

/// What stands before comment and bytes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// All bytes of the record.
    pub(super) total: u32,
    /// The length of the whole packet.
    pub(super) original: u32,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    /// Which of the interfaces that the client was told of; [`END`](Self::END) behind the last packet.
    pub(super) interface: u32,
    pub(super) direction: Direction,
    pub(super) comment: u8,
}

impl Head {
    pub(super) const LEN: usize = 22;
    /// What follows is how many packets of each interface were lost for want of room, eight bytes each.
    pub(super) const END: u32 = u32::MAX;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.total.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.original.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.interface.to_le_bytes());
        bytes[20] = self.direction as u8;
        bytes[21] = self.comment;
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            total: word(0),
            original: word(4),
            time: u64::from(word(8)) | u64::from(word(12)) << 32,
            interface: word(16),
            direction: if bytes[20] == Direction::Inbound as u8 { Direction::Inbound } else { Direction::Outbound },
            comment: bytes[21],
        }
    }
}

/// A whole record, as the client reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) head: Head,
    pub(super) comment: &'a [u8],
    pub(super) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record and what is behind it; `None` until it is whole.
    pub(super) fn split_from(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let head = Head::from_bytes(*bytes.first_chunk()?);
        // No endpoint says less than its own head.
        let total = (head.total as usize).max(Head::LEN);
        let (record, rest) = bytes.split_at_checked(total)?;
        let (comment, bytes) = record[Head::LEN..].split_at_checked(head.comment.into())?;
        Some((Self { head, comment, bytes }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_nothing_before_it_is_whole() {
        let head = Head {
            total: Head::LEN as u32 + 5,
            original: 1500,
            time: 0x0102_0304_0506_0708,
            interface: 3,
            direction: Direction::Inbound,
            comment: 2,
        };
        let bytes = [&head.to_bytes()[..], b"ok", &[1, 2, 3], &[9]].concat();
        for length in 0..Head::LEN + 5 {
            assert!(Record::split_from(&bytes[..length]).is_none());
        }
        let (record, rest) = Record::split_from(&bytes).unwrap();
        assert_eq!((record.head, record.comment, record.bytes, rest), (head, &b"ok"[..], &[1, 2, 3][..], &[9][..]));
    }
}
