//! Encoding into `BufMut`, payloads as owned `Bytes` (feature `bytes`).

use bytes::{Buf as _, BufMut, Bytes};

use crate::{DecodeError, DecodeOptions, EncodeError, GbpHeader, GpeHeader, VxlanHeader};

macro_rules! impl_buffer {
    ($header:ident) => {
        impl $header {
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

            /// The header in front of `datagram`, checked as `options` say, and the payload behind it, which shares
            /// the memory of `datagram` (feature `bytes`).
            ///
            /// # Errors
            ///
            /// Those of `decode_with`.
            pub fn decode_owned(mut datagram: Bytes, options: DecodeOptions) -> Result<(Self, Bytes), DecodeError> {
                let header = *Self::decode_with(&datagram, options)?.0;
                datagram.advance(Self::LEN);
                Ok((header, datagram))
            }
        }
    };
}

impl_buffer!(VxlanHeader);
impl_buffer!(GbpHeader);
impl_buffer!(GpeHeader);

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use overlay_types::Vni;

    use super::*;
    use crate::NextProtocol;

    #[test]
    fn a_datagram_goes_there_and_back() {
        let mut datagram = BytesMut::new();
        let header = GpeHeader::new(Vni::MAX, NextProtocol::IPV6);
        header.put_to(&mut datagram).unwrap();
        datagram.extend_from_slice(b"packet");
        let (decoded, payload) = GpeHeader::decode_owned(datagram.freeze(), DecodeOptions::STRICT).unwrap();
        assert_eq!(decoded, header);
        assert_eq!(&payload[..], b"packet");
    }

    #[test]
    fn a_short_buffer_is_refused() {
        let mut memory = [0xaa; 7];
        let error = VxlanHeader::new(Vni::MIN).put_to(&mut &mut memory[..]).unwrap_err();
        assert_eq!(error, EncodeError::BufferTooSmall { needed: 8, available: 7 });
        assert_eq!(memory, [0xaa; 7]);
    }

    #[test]
    fn a_short_datagram_is_refused() {
        let error = GbpHeader::decode_owned(Bytes::from_static(&[8, 0, 0]), DecodeOptions::RFC).unwrap_err();
        assert_eq!(error, DecodeError::Truncated { needed: 8, available: 3 });
    }
}
