//! Group Policy: a way to read the same eight bytes.

use core::fmt;

use overlay_types::Vni;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute, transmute_ref};

use crate::{DecodeError, DecodeOptions, EncodeError, ReservedBits, header::vni_before_last_byte};

/// The VXLAN header with the Group Policy extension (draft-smith-vxlan-group-policy-05): the reserved bits of RFC
/// 7348 say which group sent the frame.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |G|R|R|R|I|R|R|R|R|D|R|R|A|R|R|R|        Group Policy ID        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                VXLAN Network Identifier (VNI) |   Reserved    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// Nothing in the packet tells the extensions apart: whoever configures the port chooses the type, and never Group
/// Policy and [Generic Protocol Extension](crate::GpeHeader) for one port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// The methods' unsafe code is inside zerocopy's macros, and any value of the fields is a header.
#[cfg_attr(feature = "serde", expect(clippy::unsafe_derive_deserialize))]
#[repr(C)]
pub struct GbpHeader {
    flags: u8,
    policy_flags: u8,
    group_policy_id: [u8; 2],
    vni: Vni,
    reserved2: u8,
}

/// What Group Policy says about a frame (draft-smith-vxlan-group-policy-05).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupPolicy {
    /// The group of the sender.
    pub id: u16,
    /// D: the receiver must not learn the source address of the frame.
    pub dont_learn: bool,
    /// A: a policy was applied already, and must not be applied again.
    pub policy_applied: bool,
}

impl GbpHeader {
    /// Bytes of the header: 8.
    pub const LEN: usize = size_of::<Self>();
    /// UDP destination port: that of VXLAN.
    pub const UDP_PORT: u16 = crate::VxlanHeader::UDP_PORT;
    /// The G flag in [`flags`](Self::flags): the header has a group policy.
    pub const FLAG_G: u8 = 0x80;
    /// The I flag in [`flags`](Self::flags): the VNI is valid.
    pub const FLAG_I: u8 = 0x08;
    /// The D flag in [`policy_flags`](Self::policy_flags): don't learn.
    pub const FLAG_D: u8 = 0x40;
    /// The A flag in [`policy_flags`](Self::policy_flags): policy applied.
    pub const FLAG_A: u8 = 0x08;

    /// The reserved bits of the first and the last byte.
    const RESERVED_BITS: u64 = 0x7700_0000_0000_00ff;
    /// The reserved bits of the second byte.
    const RESERVED_POLICY_BITS: u64 = 0x00b7_0000_0000_0000;
    /// All bits that are reserved where G is not set.
    const ALL_POLICY_BITS: u64 = 0x00ff_ffff_0000_0000;

    /// The header that a sender writes for a frame of the network `vni`, with a policy or without.
    #[inline]
    #[must_use]
    pub const fn new(vni: Vni, policy: Option<GroupPolicy>) -> Self {
        let mut header = Self { flags: Self::FLAG_I, policy_flags: 0, group_policy_id: [0; 2], vni, reserved2: 0 };
        header.set_group_policy(policy);
        header
    }

    /// The first eight bytes as a header, whatever they hold, and the bytes behind it.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than eight bytes.
    #[inline]
    pub fn from_prefix(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        Self::ref_from_prefix(bytes).map_err(|_| DecodeError::Truncated { needed: Self::LEN, available: bytes.len() })
    }

    /// The first eight bytes as a header to edit in place, whatever they hold, and the bytes behind it.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than eight bytes.
    #[inline]
    pub fn from_prefix_mut(bytes: &mut [u8]) -> Result<(&mut Self, &mut [u8]), DecodeError> {
        let available = bytes.len();
        Self::mut_from_prefix(bytes).map_err(|_| DecodeError::Truncated { needed: Self::LEN, available })
    }

    /// The header in front of `bytes` and the inner frame behind it: the I flag is set, reserved bits are ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] for fewer than eight bytes, [`DecodeError::InvalidFlags`] without the I flag.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<(&Self, &[u8]), DecodeError> {
        Self::decode_with(bytes, DecodeOptions::RFC)
    }

    /// The header in front of `bytes` and the inner frame behind it, checked as `options` say.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode), and [`DecodeError::ReservedBits`] where the options reject them.
    #[inline]
    pub fn decode_with(bytes: &[u8], options: DecodeOptions) -> Result<(&Self, &[u8]), DecodeError> {
        let (header, payload) = Self::from_prefix(bytes)?;
        header.validate(options)?;
        Ok((header, payload))
    }

    /// Checks a header that was not decoded but looked at, as `options` say.
    ///
    /// # Errors
    ///
    /// [`DecodeError::InvalidFlags`] without the I flag, [`DecodeError::ReservedBits`] where the options reject them.
    #[inline]
    pub const fn validate(&self, options: DecodeOptions) -> Result<(), DecodeError> {
        if self.flags & Self::FLAG_I == 0 {
            return Err(DecodeError::InvalidFlags { flags: self.flags });
        }
        let mut rejected = 0;
        if let ReservedBits::Reject = options.reserved_bits {
            rejected |= Self::RESERVED_BITS;
        }
        if let ReservedBits::Reject = options.group_policy_bits {
            rejected |= if self.has_group_policy() { Self::RESERVED_POLICY_BITS } else { Self::ALL_POLICY_BITS };
        }
        match u64::from_be_bytes(self.to_bytes()) & rejected {
            0 => Ok(()),
            bits => Err(DecodeError::ReservedBits { bits }),
        }
    }

    /// Writes the header to the first eight bytes of `buffer` and leaves the others as they are.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] for fewer than eight bytes; nothing is written then.
    #[inline]
    pub fn write_to(&self, buffer: &mut [u8]) -> Result<(), EncodeError> {
        let available = buffer.len();
        self.write_to_prefix(buffer).map_err(|_| EncodeError::BufferTooSmall { needed: Self::LEN, available })
    }

    /// The eight bytes in place.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        transmute_ref!(self)
    }

    /// The eight bytes as a value.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        transmute!(self)
    }

    /// The network that the inner frame belongs to.
    #[inline]
    #[must_use]
    pub const fn vni(&self) -> Vni {
        vni_before_last_byte(self.to_bytes())
    }

    /// The policy, or `None` where G is not set: the group id, D and A mean nothing then.
    #[inline]
    #[must_use]
    pub const fn group_policy(&self) -> Option<GroupPolicy> {
        if !self.has_group_policy() {
            return None;
        }
        Some(GroupPolicy {
            id: self.group_policy_id(),
            dont_learn: self.policy_flags & Self::FLAG_D != 0,
            policy_applied: self.policy_flags & Self::FLAG_A != 0,
        })
    }

    /// `true` if the G flag is set.
    #[inline]
    #[must_use]
    pub const fn has_group_policy(&self) -> bool {
        self.flags & Self::FLAG_G != 0
    }

    /// The first byte: `G R R R I R R R`.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// The second byte: `R D R R A R R R`.
    #[inline]
    #[must_use]
    pub const fn policy_flags(&self) -> u8 {
        self.policy_flags
    }

    /// The third and fourth byte, whether G is set or not.
    #[inline]
    #[must_use]
    pub const fn group_policy_id(&self) -> u16 {
        u16::from_be_bytes(self.group_policy_id)
    }

    /// The last byte, which is reserved.
    #[inline]
    #[must_use]
    pub const fn reserved2(&self) -> u8 {
        self.reserved2
    }

    /// Sets the network.
    #[inline]
    pub const fn set_vni(&mut self, vni: Vni) {
        self.vni = vni;
    }

    /// Sets G, D, A and the group; without a policy all of them, and the reserved bits of the second byte, are zero.
    #[inline]
    pub const fn set_group_policy(&mut self, policy: Option<GroupPolicy>) {
        if let Some(GroupPolicy { id, dont_learn, policy_applied }) = policy {
            self.flags |= Self::FLAG_G;
            self.policy_flags = if dont_learn { Self::FLAG_D } else { 0 };
            self.policy_flags |= if policy_applied { Self::FLAG_A } else { 0 };
            self.group_policy_id = id.to_be_bytes();
        } else {
            self.flags &= !Self::FLAG_G;
            self.policy_flags = 0;
            self.group_policy_id = [0; 2];
        }
    }

    /// Sets the first byte as a whole; a valid header has [`FLAG_I`](Self::FLAG_I) in it.
    #[inline]
    pub const fn set_flags(&mut self, flags: u8) {
        self.flags = flags;
    }

    /// Sets the second byte as a whole.
    #[inline]
    pub const fn set_policy_flags(&mut self, policy_flags: u8) {
        self.policy_flags = policy_flags;
    }

    /// Sets the third and fourth byte and leaves G as it is.
    #[inline]
    pub const fn set_group_policy_id(&mut self, id: u16) {
        self.group_policy_id = id.to_be_bytes();
    }

    /// Sets the last byte, which should be zero.
    #[inline]
    pub const fn set_reserved2(&mut self, reserved2: u8) {
        self.reserved2 = reserved2;
    }
}

impl fmt::Debug for GbpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GbpHeader")
            .field("flags", &format_args!("{:#04x}", self.flags))
            .field("policy_flags", &format_args!("{:#04x}", self.policy_flags))
            .field("group_policy_id", &self.group_policy_id())
            .field("vni", &self.vni)
            .field("reserved2", &self.reserved2)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VNI: Vni = Vni::MAX;

    #[test]
    fn every_first_two_bytes() {
        for flags in 0..=u8::MAX {
            for policy_flags in 0..=u8::MAX {
                for id in [0, 1, 0xffff] {
                    let mut bytes = [flags, policy_flags, 0, 0, 0xff, 0xff, 0xff, 0];
                    bytes[2..4].copy_from_slice(&u16::to_be_bytes(id));
                    let word = u64::from_be_bytes(bytes);
                    let has_policy = flags & 0x80 != 0;
                    let no_vni = (flags & 0x08 == 0).then_some(DecodeError::InvalidFlags { flags });
                    let reserved = |mask| match word & mask {
                        0 => None,
                        bits => Some(DecodeError::ReservedBits { bits }),
                    };
                    let linux: u64 = 0x77 << 56 | 0xff;
                    let strict = linux | if has_policy { 0xb7 << 48 } else { 0xff_ffff << 32 };
                    let decode = |options| GbpHeader::decode_with(&bytes, options).err();

                    assert_eq!(decode(DecodeOptions::RFC), no_vni);
                    assert_eq!(decode(DecodeOptions::LINUX), no_vni.or(reserved(linux)));
                    assert_eq!(decode(DecodeOptions::STRICT), no_vni.or(reserved(strict)));
                    let policy = GroupPolicy {
                        id,
                        dont_learn: policy_flags & 0x40 != 0,
                        policy_applied: policy_flags & 0x08 != 0,
                    };
                    let (header, _) = GbpHeader::from_prefix(&bytes).unwrap();
                    assert_eq!(header.group_policy(), has_policy.then_some(policy));
                }
            }
        }
    }

    #[test]
    fn every_last_byte() {
        for byte in 0..=u8::MAX {
            let mut header = GbpHeader::new(VNI, None);
            header.set_reserved2(byte);
            assert_eq!(header.validate(DecodeOptions::RFC), Ok(()));
            assert_eq!(header.validate(DecodeOptions::LINUX).is_ok(), byte == 0);
        }
    }

    #[test]
    fn a_policy_is_written_as_the_draft_has_it() {
        let policy = GroupPolicy { id: 0x1234, dont_learn: true, policy_applied: false };
        let mut header = GbpHeader::new(VNI, Some(policy));
        assert_eq!(header.to_bytes(), [0x88, 0x40, 0x12, 0x34, 0xff, 0xff, 0xff, 0]);
        header.set_group_policy(Some(GroupPolicy { policy_applied: true, dont_learn: false, ..policy }));
        assert_eq!(header.to_bytes(), [0x88, 0x08, 0x12, 0x34, 0xff, 0xff, 0xff, 0]);
        header.set_group_policy(None);
        assert_eq!(header.to_bytes(), [0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0]);
    }
}
