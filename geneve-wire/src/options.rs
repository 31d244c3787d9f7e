//! The options of a packet as one validated area.

use core::{fmt, iter::FusedIterator, mem};

use crate::{DecodeError, GeneveOption, GeneveOptionMut, OptionClass, OptionType, TypedOption, option::OptionHeader};

/// The options of a packet (RFC 8926 §3.5), in place and in their order: whole options that fill their bytes exactly.
///
/// That is checked when it is made, so that walking them cannot fail.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// Bytes that the options of one packet can have: 252 (RFC 8926 §3.4).
    pub const MAX_LEN: usize = 252;
    /// No option at all.
    pub const EMPTY: Self = Self(&[]);

    /// The options that `bytes` are.
    ///
    /// # Errors
    ///
    /// [`DecodeError::OptionOverrun`] where an option ends behind the end of `bytes` (RFC 8926 §3.5).
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match GeneveOption::split(rest) {
                Some((_, behind)) => rest = behind,
                None => return Err(Self::overrun(bytes.len(), rest)),
            }
        }
        Ok(Self(bytes))
    }

    /// The error for `rest`, the end of `len` bytes of options, in which no option is whole.
    #[inline]
    fn overrun(len: usize, rest: &[u8]) -> DecodeError {
        // The fourth byte of the option has its length; where even that is missing, its header is what it takes.
        let words = rest.get(3).map_or(0, |byte| usize::from(byte & 0x1f));
        DecodeError::OptionOverrun {
            offset: len - rest.len(),
            needed: OptionHeader::LEN + 4 * words,
            available: rest.len(),
        }
    }

    /// The bytes of a packet that was validated before, or that is not to be looked at.
    #[cfg(feature = "bytes")]
    pub(crate) const fn validated(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The options one by one.
    #[inline]
    #[must_use]
    pub const fn iter(&self) -> OptionsIter<'a> {
        OptionsIter(self.0)
    }

    /// All their bytes.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// `true` if there is none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `true` if one of them is critical.
    #[inline]
    #[must_use]
    pub fn has_critical(&self) -> bool {
        self.iter().any(|option| option.is_critical())
    }

    /// The first option of this class and type, the critical bit included.
    #[inline]
    #[must_use]
    pub fn find(&self, class: OptionClass, option_type: OptionType) -> Option<GeneveOption<'a>> {
        self.iter().find(|option| option.class() == class && option.option_type() == option_type)
    }

    /// The first option `T`, or `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`DecodeError::OptionLayout`] if it has a length that `T` cannot have.
    #[inline]
    pub fn typed<T: TypedOption + ?Sized>(&self) -> Result<Option<&'a T>, DecodeError> {
        match self.find(T::CLASS, T::TYPE) {
            Some(option) => option.typed(),
            None => Ok(None),
        }
    }

    /// Refuses a critical option that the endpoint does not know (RFC 8926 §3.5). `known` answers for a class and a
    /// type, the critical bit included; it is asked for critical options alone.
    ///
    /// It goes by the options themselves and not by the C flag, which a sender may have forgotten.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownCriticalOption`] for the first of them.
    #[inline]
    pub fn refuse_unknown_critical(
        &self,
        mut known: impl FnMut(OptionClass, OptionType) -> bool,
    ) -> Result<(), DecodeError> {
        for option in self {
            let (class, option_type) = (option.class(), option.option_type());
            if option_type.is_critical() && !known(class, option_type) {
                return Err(DecodeError::UnknownCriticalOption { class, option_type });
            }
        }
        Ok(())
    }

    /// The first option with a reserved bit set: where its fourth byte is, from the start of the options, and the bits.
    #[inline]
    pub(crate) fn reserved_bits(&self) -> Option<(usize, u8)> {
        let mut offset = 0;
        for option in self {
            if option.reserved() != 0 {
                return Some((offset + 3, option.reserved() << 5));
            }
            offset += OptionHeader::LEN + option.data().len();
        }
        None
    }
}

impl<'a> IntoIterator for Options<'a> {
    type Item = GeneveOption<'a>;
    type IntoIter = OptionsIter<'a>;

    #[inline]
    fn into_iter(self) -> OptionsIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Options<'a> {
    type Item = GeneveOption<'a>;
    type IntoIter = OptionsIter<'a>;

    #[inline]
    fn into_iter(self) -> OptionsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// The options of a packet one by one.
#[derive(Clone, Debug)]
pub struct OptionsIter<'a>(&'a [u8]);

impl<'a> Iterator for OptionsIter<'a> {
    type Item = GeneveOption<'a>;

    #[inline]
    fn next(&mut self) -> Option<GeneveOption<'a>> {
        let (option, rest) = GeneveOption::split(self.0)?;
        self.0 = rest;
        Some(option)
    }
}

impl FusedIterator for OptionsIter<'_> {}

/// The options of a packet, validated, to edit one by one in place.
#[derive(Debug)]
pub struct OptionsMut<'a>(&'a mut [u8]);

impl<'a> OptionsMut<'a> {
    /// The options that `bytes` are.
    ///
    /// # Errors
    ///
    /// [`DecodeError::OptionOverrun`] where an option ends behind the end of `bytes` (RFC 8926 §3.5).
    #[inline]
    pub fn decode(bytes: &'a mut [u8]) -> Result<Self, DecodeError> {
        Options::decode(bytes)?;
        Ok(Self(bytes))
    }

    /// The options to look at.
    #[inline]
    #[must_use]
    pub const fn as_options(&self) -> Options<'_> {
        Options(self.0)
    }
}

impl<'a> IntoIterator for OptionsMut<'a> {
    type Item = GeneveOptionMut<'a>;
    type IntoIter = OptionsIterMut<'a>;

    #[inline]
    fn into_iter(self) -> OptionsIterMut<'a> {
        OptionsIterMut(self.0)
    }
}

/// The options of a packet one by one, to edit in place.
#[derive(Debug)]
pub struct OptionsIterMut<'a>(&'a mut [u8]);

impl<'a> Iterator for OptionsIterMut<'a> {
    type Item = GeneveOptionMut<'a>;

    #[inline]
    fn next(&mut self) -> Option<GeneveOptionMut<'a>> {
        let (option, rest) = GeneveOptionMut::split(mem::take(&mut self.0))?;
        self.0 = rest;
        Some(option)
    }
}

impl FusedIterator for OptionsIterMut<'_> {}
