//! The Ethernet II header and VLAN tags (IEEE Std 802.3 §3.2, IEEE Std 802.1Q §9).

use overlay_types::{EtherType, MacAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U16};

/// VLAN tags that [`payload`] goes through: more than two are not in use, more than this many are an attack.
pub const MAX_VLAN_TAGS: u8 = 4;

/// An Ethernet II header (IEEE Std 802.3 §3.2): 14 bytes, without preamble and without FCS.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                      Destination Address                      |
/// +                               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                               |                               |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               +
/// |                        Source Address                         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           EtherType           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy\'s derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct EthernetHeader {
    destination: MacAddr,
    source: MacAddr,
    ether_type: EtherType,
}

fixed_header!(EthernetHeader, 14);

impl EthernetHeader {
    /// A header from its three fields.
    #[inline]
    #[must_use]
    pub const fn new(destination: MacAddr, source: MacAddr, ether_type: EtherType) -> Self {
        Self { destination, source, ether_type }
    }

    /// The station or group that the frame is for.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> MacAddr {
        self.destination
    }

    /// Sets the station or group that the frame is for.
    #[inline]
    pub fn set_destination(&mut self, destination: MacAddr) {
        self.destination = destination;
    }

    /// The station that sent the frame.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> MacAddr {
        self.source
    }

    /// Sets the station that sent the frame.
    #[inline]
    pub fn set_source(&mut self, source: MacAddr) {
        self.source = source;
    }

    /// What stands behind the header: a payload or a [`VlanTag`].
    #[inline]
    #[must_use]
    pub const fn ether_type(&self) -> EtherType {
        self.ether_type
    }

    /// Sets what stands behind the header.
    #[inline]
    pub fn set_ether_type(&mut self, ether_type: EtherType) {
        self.ether_type = ether_type;
    }
}

/// A VLAN tag as it stands behind an [`EtherType`] of 0x8100 (customer, 802.1Q) or 0x88a8 (service, 802.1ad): the tag control
/// information and the [`EtherType`] of what follows (IEEE Std 802.1Q §9.6).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | PCP |D|        VLAN ID        |           EtherType           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Any value of the fields is a header, and the unsafe code is inside zerocopy\'s derives.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct VlanTag {
    #[cfg_attr(feature = "serde", serde(with = "crate::fields"))]
    control: U16,
    ether_type: EtherType,
}

fixed_header!(VlanTag, 4);

impl VlanTag {
    /// A tag with priority 0 that may not be dropped early. `id` is taken as in [`set_id`](Self::set_id).
    #[inline]
    #[must_use]
    pub const fn new(id: u16, ether_type: EtherType) -> Self {
        Self { control: U16::new(id & 0x0fff), ether_type }
    }

    /// The VLAN identifier, 0 to 4095. 0 is a priority tag without a VLAN, 4095 is reserved.
    #[inline]
    #[must_use]
    pub fn id(&self) -> u16 {
        self.control.get() & 0x0fff
    }

    /// Sets the VLAN identifier to the low twelve bits of `id`.
    #[inline]
    pub fn set_id(&mut self, id: u16) {
        self.control.set(self.control.get() & 0xf000 | id & 0x0fff);
    }

    /// The priority code point, 0 to 7.
    #[inline]
    #[must_use]
    pub fn priority(&self) -> u8 {
        (self.control.get() >> 13) as u8
    }

    /// Sets the priority code point to the low three bits of `priority`.
    #[inline]
    pub fn set_priority(&mut self, priority: u8) {
        self.control.set(self.control.get() & 0x1fff | u16::from(priority & 0b111) << 13);
    }

    /// The drop eligible indicator.
    #[inline]
    #[must_use]
    pub fn drop_eligible(&self) -> bool {
        self.control.get() & 0x1000 != 0
    }

    /// Sets the drop eligible indicator.
    #[inline]
    pub fn set_drop_eligible(&mut self, drop_eligible: bool) {
        self.control.set(self.control.get() & 0xefff | u16::from(drop_eligible) << 12);
    }

    /// What stands behind the tag: a payload or another tag.
    #[inline]
    #[must_use]
    pub const fn ether_type(&self) -> EtherType {
        self.ether_type
    }

    /// Sets what stands behind the tag.
    #[inline]
    pub fn set_ether_type(&mut self, ether_type: EtherType) {
        self.ether_type = ether_type;
    }
}

/// What a frame carries behind its VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Payload {
    /// The protocol of the payload; never a VLAN tag.
    pub ether_type: EtherType,
    /// Where the payload begins, in bytes from the start of the frame.
    pub offset: usize,
    /// How many VLAN tags stand before it, 0 to [`MAX_VLAN_TAGS`].
    pub tags: u8,
}

/// Finds the payload of a frame behind its VLAN tags, or `None` where the frame ends before it, or has more than
/// [`MAX_VLAN_TAGS`] tags.
///
/// ```
/// use ether_wire::{EtherType, ethernet};
///
/// let frame = [&[2; 12][..], &[0x81, 0x00, 0x00, 0x2a, 0x08, 0x00], &[0x45; 20]].concat();
/// let payload = ethernet::payload(&frame).unwrap();
/// assert_eq!((payload.ether_type, payload.offset, payload.tags), (EtherType::IPV4, 18, 1));
/// ```
#[inline]
#[must_use]
pub fn payload(frame: &[u8]) -> Option<Payload> {
    let (header, mut rest) = EthernetHeader::from_prefix(frame).ok()?;
    let mut payload = Payload { ether_type: header.ether_type, offset: EthernetHeader::LEN, tags: 0 };
    while payload.ether_type.is_vlan() {
        if payload.tags == MAX_VLAN_TAGS {
            return None;
        }
        let (tag, behind) = VlanTag::from_prefix(rest).ok()?;
        payload.ether_type = tag.ether_type;
        payload.offset += VlanTag::LEN;
        payload.tags += 1;
        rest = behind;
    }
    Some(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;
    use crate::{DecodeError, EncodeError};

    proptest! {
        #[test]
        fn set_then_get(bytes: [u8; 14], destination: [u8; 6], source: [u8; 6], ether_type: u16) {
            let (destination, source, ether_type) = (destination.into(), source.into(), ether_type.into());
            let mut frame = bytes;
            let (header, rest) = EthernetHeader::from_prefix_mut(&mut frame).unwrap();
            prop_assert!(rest.is_empty());
            header.set_destination(destination);
            prop_assert_eq!(header.destination(), destination);
            header.set_source(source);
            prop_assert_eq!(header.source(), source);
            header.set_ether_type(ether_type);
            prop_assert_eq!(header.ether_type(), ether_type);
            prop_assert_eq!(*header, EthernetHeader::new(destination, source, ether_type));
        }

        #[test]
        fn set_then_get_tag(bytes: [u8; 4], id in 0_u16..4096, priority in 0_u8..8, drop_eligible: bool, next: u16) {
            let mut bytes = bytes;
            let (tag, _) = VlanTag::from_prefix_mut(&mut bytes).unwrap();
            tag.set_id(id);
            tag.set_priority(priority);
            tag.set_drop_eligible(drop_eligible);
            tag.set_ether_type(next.into());
            prop_assert_eq!((tag.id(), tag.priority(), tag.drop_eligible()), (id, priority, drop_eligible));
            prop_assert_eq!(tag.ether_type(), next.into());
            // No setter touches another field.
            let control = u16::from(priority) << 13 | u16::from(drop_eligible) << 12 | id;
            prop_assert_eq!(u16::from_be_bytes([bytes[0], bytes[1]]), control);
        }

        #[test]
        fn payload_is_inside_the_frame(frame in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(payload) = payload(&frame) {
                prop_assert!(payload.offset <= frame.len());
                prop_assert_eq!(payload.offset, 14 + 4 * usize::from(payload.tags));
                prop_assert!(!payload.ether_type.is_vlan());
            }
        }
    }

    #[test]
    fn bits_that_do_not_fit_are_left_out() {
        let mut tag = VlanTag::new(0xffff, EtherType::ARP);
        assert_eq!((tag.id(), tag.priority(), tag.drop_eligible()), (0xfff, 0, false));
        tag.set_priority(0xff);
        tag.set_id(0xf001);
        assert_eq!(tag.to_bytes(), [0xe0, 0x01, 0x08, 0x06]);
    }

    #[test]
    fn tags_are_skipped_up_to_the_limit() {
        for tags in 0..=MAX_VLAN_TAGS + 1 {
            let mut frame: Vec<u8> = std::vec![2; 12];
            for tag in 0..tags {
                frame.extend(if tag == 0 { [0x88, 0xa8] } else { [0x81, 0x00] });
                frame.extend([0, tag]);
            }
            frame.extend([0x86, 0xdd]);
            let expected = Payload { ether_type: EtherType::IPV6, offset: 14 + 4 * usize::from(tags), tags };
            assert_eq!(payload(&frame), (tags <= MAX_VLAN_TAGS).then_some(expected));
            for length in 0..frame.len() {
                assert_eq!(payload(&frame[..length]), None);
            }
        }
    }

    #[test]
    fn lengths_are_checked() {
        let header = EthernetHeader::new(MacAddr::BROADCAST, MacAddr::new([2, 0, 0, 0, 0, 1]), EtherType::ARP);
        let mut buffer = [0; 20];
        for length in 0..14 {
            let expected = DecodeError::Truncated { needed: 14, available: length };
            assert_eq!(EthernetHeader::from_prefix(&buffer[..length]), Err(expected));
            assert_eq!(EthernetHeader::from_prefix_mut(&mut buffer[..length]), Err(expected));
            let expected = EncodeError::BufferTooSmall { needed: 14, available: length };
            assert_eq!(header.write_to(&mut buffer[..length]), Err(expected));
        }
        assert_eq!(buffer, [0; 20]);
        assert_eq!(header.write_to(&mut buffer), Ok(()));
        assert_eq!(buffer[..14], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06]);
        assert_eq!(EthernetHeader::from_prefix(&buffer), Ok((&header, &[0; 6][..])));
    }
}
