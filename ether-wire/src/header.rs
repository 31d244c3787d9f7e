//! What every header of fixed length shares: its length, its views and its copy.

/// Gives a `repr(C)` header its length and the functions that only look at the length.
macro_rules! fixed_header {
    ($header:ident, $length:literal) => {
        const _: () = assert!(size_of::<$header>() == $length);

        impl $header {
            /// Bytes that the header takes on the wire.
            pub const LEN: usize = $length;

            /// The first [`LEN`](Self::LEN) bytes of `bytes` as a header, and what stands behind it.
            ///
            /// Only the length is checked; no field is.
            ///
            /// # Errors
            ///
            /// [`DecodeError::Truncated`](crate::DecodeError::Truncated) where `bytes` is shorter.
            #[inline]
            pub fn from_prefix(bytes: &[u8]) -> Result<(&Self, &[u8]), crate::DecodeError> {
                <Self as zerocopy::FromBytes>::ref_from_prefix(bytes)
                    .map_err(|_| crate::DecodeError::Truncated { needed: Self::LEN, available: bytes.len() })
            }

            /// The first [`LEN`](Self::LEN) bytes of `bytes` as a header to edit in place, and what stands behind it.
            ///
            /// Only the length is checked; no field is.
            ///
            /// # Errors
            ///
            /// [`DecodeError::Truncated`](crate::DecodeError::Truncated) where `bytes` is shorter.
            #[inline]
            pub fn from_prefix_mut(bytes: &mut [u8]) -> Result<(&mut Self, &mut [u8]), crate::DecodeError> {
                let available = bytes.len();
                <Self as zerocopy::FromBytes>::mut_from_prefix(bytes)
                    .map_err(|_| crate::DecodeError::Truncated { needed: Self::LEN, available })
            }

            /// Copies the header to the front of `buffer` and returns what of `buffer` is behind it.
            ///
            /// # Errors
            ///
            /// [`EncodeError::BufferTooSmall`](crate::EncodeError::BufferTooSmall) where `buffer` is shorter than
            /// [`LEN`](Self::LEN); nothing is written.
            #[inline]
            pub fn write_to<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a mut [u8], crate::EncodeError> {
                let available = buffer.len();
                match buffer.split_first_chunk_mut::<$length>() {
                    Some((front, rest)) => {
                        *front = zerocopy::transmute!(*self);
                        Ok(rest)
                    }
                    None => Err(crate::EncodeError::BufferTooSmall { needed: Self::LEN, available }),
                }
            }

            /// The header as the bytes that stand on the wire.
            #[inline]
            #[must_use]
            pub fn to_bytes(&self) -> [u8; $length] {
                zerocopy::transmute!(*self)
            }
        }
    };
}
