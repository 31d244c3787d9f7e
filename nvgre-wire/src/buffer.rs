//! Encoding into `BufMut`, payloads as owned `Bytes` (feature `bytes`).

use bytes::{Buf as _, BufMut, Bytes};

use crate::{DecodeError, DecodeOptions, EncodeError, NvgreHeader};

impl NvgreHeader {
    /// Appends the header to `buffer` (feature `bytes`).
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

    /// The header in front of `packet`, checked as `options` say, and the inner frame behind it, which shares the
    /// memory of `packet` (feature `bytes`).
    ///
    /// # Errors
    ///
    /// Those of [`decode_with`](Self::decode_with).
    pub fn decode_owned(mut packet: Bytes, options: DecodeOptions) -> Result<(Self, Bytes), DecodeError> {
        let header = *Self::decode_with(&packet, options)?.0;
        packet.advance(Self::LEN);
        Ok((header, packet))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{FlowId, Vsid};

    #[test]
    fn a_packet_goes_there_and_back() {
        let mut packet = BytesMut::new();
        let header = NvgreHeader::new(Vsid::MAX, FlowId::new(7));
        header.put_to(&mut packet).unwrap();
        packet.extend_from_slice(b"frame");
        let (decoded, payload) = NvgreHeader::decode_owned(packet.freeze(), DecodeOptions::STRICT).unwrap();
        assert_eq!(decoded, header);
        assert_eq!(payload, b"frame"[..]);
    }

    #[test]
    fn short_buffers_are_refused() {
        let mut memory = [0xaa; 7];
        let error = NvgreHeader::new(Vsid::MIN, FlowId::NONE).put_to(&mut &mut memory[..]).unwrap_err();
        assert_eq!(error, EncodeError::BufferTooSmall { needed: 8, available: 7 });
        assert_eq!(memory, [0xaa; 7]);
        let error = NvgreHeader::decode_owned(Bytes::from_static(&[0x20, 0]), DecodeOptions::RFC).unwrap_err();
        assert_eq!(error, DecodeError::Truncated { needed: 8, available: 2 });
    }
}
