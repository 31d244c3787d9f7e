//! Writing a header with options.

use overlay_types::{EtherType, Vni};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::{
    EncodeError, GeneveHeader, GeneveOption, OptionClass, OptionType, Options, TypedOption, option::OptionHeader,
};

/// Writes a Geneve header and its options to the front of a buffer of the caller (RFC 8926 §3).
///
/// After each step the buffer begins with a whole, valid header: the option length and the C flag are always those of
/// the options that are there. What would be invalid is refused, and nothing is written then.
///
/// ```
/// use geneve_wire::{EncodeError, GeneveBuilder, GeneveHeader, OptionClass, OptionType};
/// use overlay_types::{EtherType, Vni};
///
/// let mut buffer = [0; GeneveHeader::MAX_LEN];
/// let mut builder = GeneveBuilder::new(&mut buffer, Vni::MAX, EtherType::TRANSPARENT_ETHERNET_BRIDGING)?;
/// builder.push(OptionClass::OVN, OptionType::new(0x80), &[0, 1, 0, 2])?;
/// let len = builder.finish();
/// assert_eq!(buffer[..len], [2, 0x40, 0x65, 0x58, 0xff, 0xff, 0xff, 0, 0x01, 0x02, 0x80, 1, 0, 1, 0, 2]);
/// # Ok::<(), EncodeError>(())
/// ```
#[derive(Debug)]
pub struct GeneveBuilder<'a> {
    header: &'a mut GeneveHeader,
    /// The buffer behind the header.
    behind: &'a mut [u8],
    /// Bytes of options so far: a multiple of four, at most 252.
    options_len: usize,
}

impl<'a> GeneveBuilder<'a> {
    /// Begins with a header without options.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] for fewer than eight bytes.
    #[inline]
    pub fn new(buffer: &'a mut [u8], vni: Vni, protocol_type: EtherType) -> Result<Self, EncodeError> {
        let available = buffer.len();
        let Ok((header, behind)) = GeneveHeader::mut_from_prefix(buffer) else {
            return Err(EncodeError::BufferTooSmall { needed: GeneveHeader::LEN, available });
        };
        *header = GeneveHeader::new(vni, protocol_type);
        Ok(Self { header, behind, options_len: 0 })
    }

    /// Sets or clears the O flag: the payload is a control message (RFC 8926 §3.4).
    #[inline]
    pub const fn set_control(&mut self, control: bool) {
        self.header.set_control(control);
    }

    /// Appends an option with these bytes as its data.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OptionTooLong`] for more than 124 bytes of data, [`EncodeError::OptionUnaligned`] for a length
    /// that is no multiple of four, [`EncodeError::OptionsTooLong`] for more than 252 bytes of options in all,
    /// [`EncodeError::BufferTooSmall`] where the buffer ends before.
    #[inline]
    pub fn push(&mut self, class: OptionClass, option_type: OptionType, data: &[u8]) -> Result<(), EncodeError> {
        if data.len() > GeneveOption::MAX_DATA_LEN {
            return Err(EncodeError::OptionTooLong { len: data.len() });
        }
        if !data.len().is_multiple_of(4) {
            return Err(EncodeError::OptionUnaligned { len: data.len() });
        }
        let options_len = self.options_len + OptionHeader::LEN + data.len();
        if options_len > Options::MAX_LEN {
            return Err(EncodeError::OptionsTooLong { len: options_len });
        }
        let too_small = EncodeError::BufferTooSmall {
            needed: GeneveHeader::LEN + options_len,
            available: GeneveHeader::LEN + self.behind.len(),
        };
        let room = self.behind.get_mut(self.options_len..options_len).ok_or(too_small)?;
        let header = OptionHeader::new(class, option_type, (data.len() / 4) as u8);
        let place = room.split_first_chunk_mut::<{ OptionHeader::LEN }>();
        let (head, body) = place.ok_or(too_small)?;
        head.copy_from_slice(header.as_bytes());
        body.copy_from_slice(data);

        self.options_len = options_len;
        self.header.set_version_opt_len((options_len / 4) as u8);
        if option_type.is_critical() {
            self.header.set_critical(true);
        }
        Ok(())
    }

    /// Appends an option whose layout is known.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push).
    #[inline]
    pub fn push_typed<T: TypedOption + ?Sized>(&mut self, option: &T) -> Result<(), EncodeError> {
        self.push(T::CLASS, T::TYPE, option.as_bytes())
    }

    /// Appends an option of another packet, known or not. Its reserved bits become zero.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push).
    #[inline]
    pub fn push_option(&mut self, option: &GeneveOption<'_>) -> Result<(), EncodeError> {
        self.push(option.class(), option.option_type(), option.data())
    }

    /// The header as it is now.
    #[inline]
    #[must_use]
    pub const fn header(&self) -> &GeneveHeader {
        self.header
    }

    /// Ends it: how many bytes of the buffer the header takes, so that the payload goes behind them.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> usize {
        GeneveHeader::LEN + self.options_len
    }
}
