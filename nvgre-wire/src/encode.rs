//! Writing plain GRE.

use overlay_types::EtherType;

use crate::{EncodeError, GreHeader, checksum};

/// What a GRE header says: the fields of RFC 2784 and RFC 2890 as a value.
///
/// ```
/// use nvgre_wire::{GreFields, GrePacket};
/// use overlay_types::EtherType;
///
/// let fields = GreFields { checksum: true, key: Some(42), ..GreFields::new(EtherType::IPV4) };
/// let mut packet = [0; 12 + 3];
/// packet[12..].copy_from_slice(b"abc");
/// fields.write_to(&mut packet).expect("12 bytes of header");
/// let decoded = GrePacket::decode(&packet).expect("a GRE packet");
/// assert_eq!(decoded.key(), Some(42));
/// assert_eq!(decoded.payload(), b"abc");
/// assert_eq!(decoded.verify_checksum(), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GreFields {
    /// What the payload is.
    pub protocol_type: EtherType,
    /// Whether the packet has a checksum.
    pub checksum: bool,
    /// The key, if it has one.
    pub key: Option<u32>,
    /// The sequence number, if it has one.
    pub sequence_number: Option<u32>,
}

impl GreFields {
    /// A header of four bytes: no checksum, no key, no sequence number.
    #[inline]
    #[must_use]
    pub const fn new(protocol_type: EtherType) -> Self {
        Self { protocol_type, checksum: false, key: None, sequence_number: None }
    }

    /// The first four bytes of such a packet.
    #[inline]
    #[must_use]
    pub const fn header(&self) -> GreHeader {
        let mut flags = 0;
        if self.checksum {
            flags |= GreHeader::FLAG_C;
        }
        if self.key.is_some() {
            flags |= GreHeader::FLAG_K;
        }
        if self.sequence_number.is_some() {
            flags |= GreHeader::FLAG_S;
        }
        GreHeader::new(flags, self.protocol_type)
    }

    /// Bytes of the header: 4 to 16.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        self.header().header_len()
    }

    /// Writes the header to the front of `packet`, whose bytes from [`header_len`](Self::header_len) on are the
    /// payload already: the checksum is over both.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] if the header does not fit; nothing is written then.
    pub fn write_to(&self, packet: &mut [u8]) -> Result<(), EncodeError> {
        let (needed, available) = (self.header_len(), packet.len());
        let (header, payload) =
            packet.split_at_mut_checked(needed).ok_or(EncodeError::BufferTooSmall { needed, available })?;
        let (words, _) = header.as_chunks_mut::<4>();
        // In the order of the header; as many as there are words in it.
        let fields = [
            Some(self.header().to_bytes()),
            self.checksum.then_some([0; 4]),
            self.key.map(u32::to_be_bytes),
            self.sequence_number.map(u32::to_be_bytes),
        ];
        for (word, field) in words.iter_mut().zip(fields.into_iter().flatten()) {
            *word = field;
        }
        if self.checksum {
            let sum = checksum::of([header, payload]).to_be_bytes();
            if let Some([_, _, _, _, high, low, ..]) = header.get_mut(..8) {
                [*high, *low] = sum;
            }
        }
        Ok(())
    }
}
