//! Encoding into `BufMut`, options and payloads as owned `Bytes` (feature `bytes`).

use bytes::{BufMut, Bytes};

use crate::{DecodeError, DecodeOptions, EncodeError, GeneveHeader, GenevePacket, Options, Payload};

impl GeneveHeader {
    /// Appends the eight bytes to `buffer` (feature `bytes`). The header of a
    /// [`GeneveBuilder`](crate::GeneveBuilder) with options is bytes already, for `put_slice`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] if `buffer` cannot take eight bytes more; nothing is written then.
    pub fn put_to(&self, buffer: &mut impl BufMut) -> Result<(), EncodeError> {
        let available = buffer.remaining_mut();
        if available < Self::LEN {
            return Err(EncodeError::BufferTooSmall { needed: Self::LEN, available });
        }
        buffer.put_slice(self.as_bytes());
        Ok(())
    }
}

/// A Geneve packet that owns its bytes, which are those of the datagram that it came in (feature `bytes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedGenevePacket {
    header: GeneveHeader,
    /// Validated.
    options: Bytes,
    payload: Bytes,
}

impl OwnedGenevePacket {
    /// The packet that `datagram` is, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`GenevePacket::decode_with`].
    pub fn decode_with(datagram: &Bytes, options: DecodeOptions) -> Result<Self, DecodeError> {
        let packet = GenevePacket::decode_with(datagram, options)?;
        Ok(Self {
            header: *packet.header(),
            options: datagram.slice_ref(packet.options().as_bytes()),
            payload: datagram.slice_ref(packet.payload()),
        })
    }

    /// The fixed part of the header.
    #[must_use]
    pub const fn header(&self) -> &GeneveHeader {
        &self.header
    }

    /// The options; none where they were stripped.
    #[must_use]
    pub fn options(&self) -> Options<'_> {
        Options::validated(&self.options)
    }

    /// The bytes behind the options.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The bytes behind the options, by what the protocol type says that they are.
    #[must_use]
    pub fn typed_payload(&self) -> Payload<'_> {
        Payload::new(self.header.protocol_type(), &self.payload)
    }

    /// The bytes behind the options, without the rest.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use overlay_types::{EtherType, Vni};

    use super::*;
    use crate::{GeneveBuilder, OptionClass, OptionType};

    #[test]
    fn a_datagram_goes_there_and_back() {
        let mut header = [0; GeneveHeader::MAX_LEN];
        let mut builder = GeneveBuilder::new(&mut header, Vni::MAX, EtherType::IPV6).unwrap();
        builder.push(OptionClass::OVN, OptionType::new(1), &[1, 2, 3, 4]).unwrap();
        let len = builder.finish();
        let mut datagram = BytesMut::from(&header[..len]);
        datagram.extend_from_slice(b"packet");
        let packet = OwnedGenevePacket::decode_with(&datagram.freeze(), DecodeOptions::STRICT).unwrap();
        assert_eq!(packet.header().to_bytes(), header[..8]);
        assert_eq!(packet.options().iter().map(|option| option.data()).collect::<std::vec::Vec<_>>(), [[1, 2, 3, 4]]);
        assert_eq!(packet.typed_payload(), Payload::Ipv6(b"packet"));
        assert_eq!(packet.into_payload(), b"packet"[..]);
    }

    #[test]
    fn a_header_without_options_is_appended() {
        let header = GeneveHeader::new(Vni::MIN, EtherType::IPV4);
        let mut buffer = BytesMut::new();
        header.put_to(&mut buffer).unwrap();
        assert_eq!(&buffer[..], header.as_bytes());
        let mut memory = [0xaa; 7];
        let error = header.put_to(&mut &mut memory[..]).unwrap_err();
        assert_eq!(error, EncodeError::BufferTooSmall { needed: 8, available: 7 });
        assert_eq!(memory, [0xaa; 7]);
    }

    #[test]
    fn stripped_options_are_not_there() {
        let datagram = Bytes::from_static(&[1, 0, 0x65, 0x58, 0, 0, 42, 0, 0, 0, 0, 0, 7]);
        let packet = OwnedGenevePacket::decode_with(&datagram, DecodeOptions::LINUX).unwrap();
        assert!(packet.options().is_empty());
        assert_eq!(packet.payload()[..], [7]);
    }
}
