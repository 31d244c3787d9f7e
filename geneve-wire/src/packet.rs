//! A whole packet: header, options, payload.

use overlay_types::EtherType;

use crate::{
    CriticalFlag, DecodeError, DecodeOptions, GeneveHeader, OptionHandling, Options, OptionsMut, ReservedBits,
};

/// A Geneve packet in place: what a UDP datagram to port [`GeneveHeader::UDP_PORT`] carries (RFC 8926 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenevePacket<'a> {
    header: &'a GeneveHeader,
    options: Options<'a>,
    payload: &'a [u8],
}

impl<'a> GenevePacket<'a> {
    /// The packet that `bytes` are, checked as RFC 8926 asks of an endpoint that processes options: the version is 0,
    /// the options add up to their length, and C is not set where there is no option at all.
    ///
    /// Which critical options the endpoint knows is a question of its own:
    /// [`Options::refuse_unknown_critical`]. A control packet decodes too: [`GeneveHeader::is_control`].
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`], [`DecodeError::UnknownVersion`], [`DecodeError::OptionOverrun`],
    /// [`DecodeError::CriticalFlagMismatch`].
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode_with(bytes, DecodeOptions::RFC)
    }

    /// The packet that `bytes` are, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode), and what the options refuse beyond: [`DecodeError::ReservedBits`],
    /// [`DecodeError::CriticalFlag`].
    // With constant options most of it falls away, but only after it was inlined.
    #[expect(clippy::inline_always)]
    #[inline(always)]
    pub fn decode_with(bytes: &'a [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        let (header, behind) = GeneveHeader::from_prefix(bytes)?;
        if header.version() != 0 {
            // Another version may have another layout, so nothing else is looked at (RFC 8926 §3.4).
            return Err(DecodeError::UnknownVersion { version: header.version() });
        }
        let Some((area, payload)) = behind.split_at_checked(header.options_len()) else {
            return Err(DecodeError::Truncated { needed: header.header_len(), available: bytes.len() });
        };
        Ok(Self { header, options: Self::validate(*header, area, options)?, payload })
    }

    /// The options in `area`, after all checks that go beyond lengths.
    #[inline]
    fn validate(header: GeneveHeader, area: &'a [u8], decode: DecodeOptions) -> Result<Options<'a>, DecodeError> {
        let flag = header.is_critical();
        let options = match decode.option_handling {
            OptionHandling::Strip if flag => return Err(DecodeError::CriticalFlag),
            OptionHandling::Strip => Options::EMPTY,
            OptionHandling::Process => {
                let options = Options::decode(area)?;
                let agrees = match decode.critical_flag {
                    CriticalFlag::Ignore => true,
                    CriticalFlag::NeedsOptions => !flag || !options.is_empty(),
                    CriticalFlag::Exact => flag == options.has_critical(),
                };
                if !agrees {
                    return Err(DecodeError::CriticalFlagMismatch { flag });
                }
                options
            }
        };
        if decode.reserved_bits == ReservedBits::Reject {
            let flags = header.flags() & GeneveHeader::RESERVED_FLAGS;
            let bad = if flags != 0 {
                Some((1, flags))
            } else if header.reserved2() != 0 {
                Some((7, header.reserved2()))
            } else {
                options.reserved_bits().map(|(offset, bits)| (GeneveHeader::LEN + offset, bits))
            };
            if let Some((offset, bits)) = bad {
                return Err(DecodeError::ReservedBits { offset, bits });
            }
        }
        Ok(options)
    }

    /// The fixed part of the header.
    #[inline]
    #[must_use]
    pub const fn header(&self) -> &'a GeneveHeader {
        self.header
    }

    /// The options; none where they were stripped.
    #[inline]
    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        self.options
    }

    /// The bytes behind the options.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The bytes behind the options, by what the protocol type says that they are.
    #[inline]
    #[must_use]
    pub const fn typed_payload(&self) -> Payload<'a> {
        Payload::new(self.header.protocol_type(), self.payload)
    }
}

/// What a Geneve packet carries, by its protocol type (RFC 8926 §3.4). The bytes are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// An Ethernet frame: protocol type 0x6558.
    Ethernet(&'a [u8]),
    /// An IPv4 packet: protocol type 0x0800.
    Ipv4(&'a [u8]),
    /// An IPv6 packet: protocol type 0x86dd.
    Ipv6(&'a [u8]),
    /// Anything else.
    Other(EtherType, &'a [u8]),
}

impl<'a> Payload<'a> {
    /// These bytes as what `protocol_type` says.
    #[inline]
    #[must_use]
    pub const fn new(protocol_type: EtherType, bytes: &'a [u8]) -> Self {
        match protocol_type {
            EtherType::TRANSPARENT_ETHERNET_BRIDGING => Self::Ethernet(bytes),
            EtherType::IPV4 => Self::Ipv4(bytes),
            EtherType::IPV6 => Self::Ipv6(bytes),
            other => Self::Other(other, bytes),
        }
    }
}

/// A Geneve packet to edit in place.
///
/// The lengths stay: [`header`](Self::header) can be given another option length, but then the packet is another one.
#[derive(Debug)]
pub struct GenevePacketMut<'a> {
    /// The fixed part of the header.
    pub header: &'a mut GeneveHeader,
    /// The options; none where they were stripped.
    pub options: OptionsMut<'a>,
    /// The bytes behind the options.
    pub payload: &'a mut [u8],
}

impl<'a> GenevePacketMut<'a> {
    /// The packet that `bytes` are, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`GenevePacket::decode_with`].
    #[inline]
    pub fn decode_with(bytes: &'a mut [u8], options: DecodeOptions) -> Result<Self, DecodeError> {
        let len = GenevePacket::decode_with(bytes, options)?.options().as_bytes().len();
        let available = bytes.len();
        let (header, behind) = GeneveHeader::from_prefix_mut(bytes)?;
        let truncated = DecodeError::Truncated { needed: header.header_len(), available };
        let (area, payload) = behind.split_at_mut_checked(header.options_len()).ok_or(truncated)?;
        // Stripped options are not handed out.
        let area = area.get_mut(..len).ok_or(truncated)?;
        Ok(Self { header, options: OptionsMut::decode(area)?, payload })
    }
}
