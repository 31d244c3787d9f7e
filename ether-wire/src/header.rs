//! What every header of fixed length shares: its length, its views, its copies.

/// Gives a `repr(C)` header its length and the functions that look at nothing else.
macro_rules! fixed_header {
    ($header:ident, $length:literal) => {
        const _: () = assert!(size_of::<$header>() == $length);

        impl $header {
            /// Bytes that the header takes on the wire.
            pub const LEN: usize = $length;

            /// The first [`LEN`](Self::LEN) bytes as a header, whatever they hold, and the bytes behind it.
            ///
            /// # Errors
            ///
            /// [`DecodeError::Truncated`](crate::DecodeError::Truncated) for fewer bytes.
            #[inline]
            pub fn from_prefix(bytes: &[u8]) -> Result<(&Self, &[u8]), crate::DecodeError> {
                <Self as zerocopy::FromBytes>::ref_from_prefix(bytes)
                    .map_err(|_| crate::DecodeError::Truncated { needed: Self::LEN, available: bytes.len() })
            }

            /// The first [`LEN`](Self::LEN) bytes as a header to edit in place, whatever they hold, and the bytes
            /// behind it.
            ///
            /// # Errors
            ///
            /// [`DecodeError::Truncated`](crate::DecodeError::Truncated) for fewer bytes.
            #[inline]
            pub fn from_prefix_mut(bytes: &mut [u8]) -> Result<(&mut Self, &mut [u8]), crate::DecodeError> {
                let available = bytes.len();
                <Self as zerocopy::FromBytes>::mut_from_prefix(bytes)
                    .map_err(|_| crate::DecodeError::Truncated { needed: Self::LEN, available })
            }

            /// Writes the header to the first [`LEN`](Self::LEN) bytes of `buffer` and leaves the others as they are.
            ///
            /// # Errors
            ///
            /// [`EncodeError::BufferTooSmall`](crate::EncodeError::BufferTooSmall) for fewer bytes; nothing is written
            /// then.
            #[inline]
            pub fn write_to(&self, buffer: &mut [u8]) -> Result<(), crate::EncodeError> {
                let available = buffer.len();
                zerocopy::IntoBytes::write_to_prefix(self, buffer)
                    .map_err(|_| crate::EncodeError::BufferTooSmall { needed: Self::LEN, available })
            }

            /// The bytes of the header in place.
            #[inline]
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                zerocopy::transmute_ref!(self)
            }

            /// The bytes of the header as a value.
            #[inline]
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $length] {
                zerocopy::transmute!(self)
            }

            /// Appends the header to `buffer` (feature `bytes`).
            ///
            /// # Errors
            ///
            /// [`EncodeError::BufferTooSmall`](crate::EncodeError::BufferTooSmall) if `buffer` cannot take
            /// [`LEN`](Self::LEN) bytes more; nothing is written then.
            #[cfg(feature = "bytes")]
            pub fn put_to(&self, buffer: &mut impl bytes::BufMut) -> Result<(), crate::EncodeError> {
                let available = buffer.remaining_mut();
                if available < Self::LEN {
                    return Err(crate::EncodeError::BufferTooSmall { needed: Self::LEN, available });
                }
                buffer.put_slice(self.as_bytes());
                Ok(())
            }

            /// Takes the header, whatever it holds, off the front of `buffer`, which keeps what is behind it (feature
            /// `bytes`).
            ///
            /// # Errors
            ///
            /// [`DecodeError::Truncated`](crate::DecodeError::Truncated) for fewer than [`LEN`](Self::LEN) bytes;
            /// nothing is taken then.
            #[cfg(feature = "bytes")]
            pub fn take_from(buffer: &mut bytes::Bytes) -> Result<Self, crate::DecodeError> {
                let header = *Self::from_prefix(buffer)?.0;
                bytes::Buf::advance(buffer, Self::LEN);
                Ok(header)
            }
        }

        // Any bytes are a header.
        #[cfg(feature = "arbitrary")]
        impl<'a> arbitrary::Arbitrary<'a> for $header {
            fn arbitrary(bytes: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
                <[u8; $length]>::arbitrary(bytes).map(|bytes| zerocopy::transmute!(bytes))
            }

            fn size_hint(_depth: usize) -> (usize, Option<usize>) {
                ($length, Some($length))
            }
        }
    };
}
