//! The kinds of tunnel header that a segment can have: what is written, and what is understood.

use alloc::{boxed::Box, vec, vec::Vec};
use core::{fmt, str::FromStr};

use geneve_wire::{GeneveBuilder, GeneveHeader, OptionClass, OptionType, Options};
use nvgre_wire::{FlowId, NvgreHeader, Vsid};
use overlay_types::{EtherType, Vni};
use thiserror::Error;
use vxlan_wire::{DecodeOptions, GbpHeader, GroupPolicy, VxlanHeader};

use crate::{ControlError, DropReason, SegmentConfig};

/// The tunnel header of a segment, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Encapsulation {
    /// VXLAN (RFC 7348): eight bytes behind a UDP header. With Group Policy where the segment has one.
    Vxlan,
    /// Geneve (RFC 8926): eight bytes and options behind a UDP header.
    Geneve,
    /// NVGRE (RFC 7637): a GRE header with a key, eight bytes right behind the IP header.
    Nvgre,
}

/// A Geneve option that is sent with each frame of a segment (RFC 8926 §3.5).
///
/// A segment knows the options that it sends: one of the same class and type is understood on receipt, too, even where
/// it is critical.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TunnelOption {
    /// Who defines the types.
    pub class: OptionClass,
    /// What it is; its top bit says that a receiver must know it.
    pub option_type: OptionType,
    /// Its data: a multiple of four bytes, at most 124.
    pub data: Vec<u8>,
}

/// What stands before the inner frame of a datagram, as far as it is the same in all segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded {
    pub(crate) vni: Vni,
    /// Where the inner frame begins, in bytes from the tunnel header's first. May lie behind the datagram's end.
    pub(crate) header_len: usize,
    pub(crate) reserved_bits: bool,
}

/// No encapsulation has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there are vxlan, geneve and nvgre")]
pub struct UnknownEncapsulation;

impl FromStr for Encapsulation {
    type Err = UnknownEncapsulation;

    /// The encapsulation of this name, as [`as_str`](Encapsulation::as_str) has it.
    fn from_str(name: &str) -> Result<Self, UnknownEncapsulation> {
        Self::ALL.iter().copied().find(|encapsulation| encapsulation.as_str() == name).ok_or(UnknownEncapsulation)
    }
}

impl Encapsulation {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Vxlan, Self::Geneve, Self::Nvgre];

    /// The name in configurations, `vxlan`, `geneve` or `nvgre`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Nvgre => "nvgre",
        }
    }

    /// The UDP port that IANA assigned: 4789 or 6081; 0 for NVGRE, which has none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Vxlan => VxlanHeader::UDP_PORT,
            Self::Geneve => GeneveHeader::UDP_PORT,
            Self::Nvgre => 0,
        }
    }

    /// Whether the tunnel header is behind a UDP header, with ports.
    #[must_use]
    pub const fn is_udp(self) -> bool {
        match self {
            Self::Vxlan | Self::Geneve => true,
            Self::Nvgre => false,
        }
    }

    /// The bytes between the outer IP header's first and the inner frame's first, without options: IP, UDP and tunnel
    /// header. 36, 36 and 28 over IPv4.
    #[must_use]
    pub const fn header_overhead(self, underlay_is_ipv6: bool) -> u16 {
        let ip = if underlay_is_ipv6 { 40 } else { 20 };
        let udp = if self.is_udp() { 8 } else { 0 };
        // All three have eight bytes.
        ip + udp + 8
    }

    /// What an underlay's MTU must have over the inner MTU: the outer headers without options and the inner Ethernet
    /// header. 50 bytes for VXLAN and Geneve over IPv4, 42 for NVGRE, 20 more over IPv6.
    #[must_use]
    pub const fn mtu_overhead(self, underlay_is_ipv6: bool) -> u16 {
        self.header_overhead(underlay_is_ipv6) + 14
    }

    /// Where the inner frame of a datagram begins, in bytes from the tunnel header's first; `None` where the datagram has no
    /// whole tunnel header.
    #[must_use]
    pub fn frame_offset(self, datagram: &[u8]) -> Option<usize> {
        let offset = match self {
            Self::Vxlan => VxlanHeader::LEN,
            Self::Geneve => GeneveHeader::from_prefix(datagram).ok()?.0.header_len(),
            Self::Nvgre => NvgreHeader::LEN,
        };
        (offset <= datagram.len()).then_some(offset)
    }

    /// Reads the tunnel header at the start of `datagram`, as far as it takes to know whose it is.
    #[inline]
    pub(crate) fn decode(self, datagram: &[u8]) -> Result<Decoded, DropReason> {
        match self {
            Self::Vxlan => decode_vxlan(datagram),
            Self::Geneve => decode_geneve(datagram),
            Self::Nvgre => decode_nvgre(datagram),
        }
    }
}

#[inline]
fn decode_vxlan(datagram: &[u8]) -> Result<Decoded, DropReason> {
    match VxlanHeader::decode(datagram) {
        Ok((header, _)) => {
            Ok(Decoded { vni: header.vni(), header_len: VxlanHeader::LEN, reserved_bits: header.has_reserved_bits() })
        }
        Err(vxlan_wire::DecodeError::Truncated { .. }) => Err(DropReason::Truncated),
        Err(_) => Err(DropReason::InvalidHeader),
    }
}

#[inline]
fn decode_geneve(datagram: &[u8]) -> Result<Decoded, DropReason> {
    let (header, _) = GeneveHeader::from_prefix(datagram).map_err(|_| DropReason::Truncated)?;
    // Another version may have another layout, so nothing else is looked at (RFC 8926 §3.4).
    if header.version() != 0 {
        return Err(DropReason::UnknownVersion);
    }
    let flags = header.flags() & !(GeneveHeader::FLAG_O | GeneveHeader::FLAG_C);
    Ok(Decoded {
        vni: header.vni(),
        header_len: header.header_len(),
        reserved_bits: flags != 0 || header.reserved2() != 0,
    })
}

#[inline]
fn decode_nvgre(datagram: &[u8]) -> Result<Decoded, DropReason> {
    use nvgre_wire::DecodeError;
    match NvgreHeader::decode(datagram) {
        Ok((header, _)) => Ok(Decoded {
            vni: Vni::new(header.raw_vsid()).ok_or(DropReason::UnknownVni)?,
            header_len: NvgreHeader::LEN,
            reserved_bits: header.gre().flags() != NvgreHeader::FLAGS,
        }),
        Err(DecodeError::Truncated { .. }) => Err(DropReason::Truncated),
        Err(DecodeError::UnknownVersion { .. }) => Err(DropReason::UnknownVersion),
        Err(DecodeError::WrongProtocolType { .. }) => Err(DropReason::WrongProtocolType),
        Err(_) => Err(DropReason::InvalidHeader),
    }
}

/// The tunnel headers that a segment sends.
#[derive(Clone, Debug)]
pub(crate) struct TunnelHeaders {
    /// One behind the other, all of the same length: one for each `FlowID` of NVGRE, else a single one.
    bytes: Box<[u8]>,
    len: usize,
}

impl TunnelHeaders {
    /// The headers of a segment with these rules.
    ///
    /// # Errors
    ///
    /// [`ControlError::InvalidConfig`] for the VSID 0xffffff, and for options that are none.
    pub(crate) fn new(config: &SegmentConfig) -> Result<Self, ControlError> {
        let invalid = |field| ControlError::InvalidConfig { field };
        if config.encapsulation != Encapsulation::Geneve && !config.options.is_empty() {
            return Err(invalid("options"));
        }
        if config.encapsulation != Encapsulation::Vxlan && config.group_policy.is_some() {
            return Err(invalid("group_policy"));
        }
        let (bytes, len) = match config.encapsulation {
            Encapsulation::Vxlan => (vxlan_header(config).to_vec(), VxlanHeader::LEN),
            Encapsulation::Geneve => {
                let mut bytes = vec![0; GeneveHeader::MAX_LEN];
                let len = geneve_header(config, &mut bytes).map_err(|_| invalid("options"))?;
                bytes.truncate(len);
                (bytes, len)
            }
            Encapsulation::Nvgre => {
                // For use between two endpoints by agreement (RFC 7637 §3.2). The other reserved ones are in use everywhere.
                if config.vni == Vni::MAX {
                    return Err(invalid("vni"));
                }
                let [a, b, c] = config.vni.to_be_bytes();
                let header = |flow| {
                    let [flags @ .., _, _, _, _] = NvgreHeader::new(Vsid::MIN, FlowId::NONE).to_bytes();
                    let [f1, f2, p1, p2] = flags;
                    [f1, f2, p1, p2, a, b, c, flow]
                };
                ((0..=u8::MAX).flat_map(header).collect(), NvgreHeader::LEN)
            }
        };
        Ok(Self { bytes: bytes.into_boxed_slice(), len })
    }

    /// The bytes of each header.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The header of a flow. Only NVGRE's tells flows apart (RFC 7637 §3.2).
    #[inline]
    pub(crate) fn of(&self, flow_id: u8) -> &[u8] {
        if self.bytes.len() == self.len {
            return &self.bytes;
        }
        let at = usize::from(flow_id) * self.len;
        self.bytes.get(at..at + self.len).unwrap_or_default()
    }
}

fn vxlan_header(config: &SegmentConfig) -> [u8; VxlanHeader::LEN] {
    match config.group_policy {
        None => VxlanHeader::new(config.vni).to_bytes(),
        Some(id) => {
            let policy = GroupPolicy { id, dont_learn: false, policy_applied: false };
            GbpHeader::new(config.vni, Some(policy)).to_bytes()
        }
    }
}

fn geneve_header(config: &SegmentConfig, bytes: &mut [u8]) -> Result<usize, geneve_wire::EncodeError> {
    let mut builder = GeneveBuilder::new(bytes, config.vni, EtherType::TRANSPARENT_ETHERNET_BRIDGING)?;
    for option in &config.options {
        builder.push(option.class, option.option_type, &option.data)?;
    }
    Ok(builder.finish())
}

/// What a header says beside whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The source is not to be learned (the D flag of VXLAN Group Policy).
    pub(crate) dont_learn: bool,
}

/// Checks the rest of the header of a datagram that is a segment's.
#[inline]
pub(crate) fn check(config: &SegmentConfig, decoded: &Decoded, datagram: &[u8]) -> Result<Told, DropReason> {
    let mut told = Told::default();
    let mut reserved_bits = decoded.reserved_bits;
    match config.encapsulation {
        Encapsulation::Vxlan => {
            if config.group_policy.is_some()
                && let Ok((header, _)) = GbpHeader::from_prefix(datagram)
            {
                reserved_bits = header.validate(DecodeOptions::STRICT).is_err();
                told.dont_learn = header.group_policy().is_some_and(|policy| policy.dont_learn);
            }
        }
        Encapsulation::Geneve => reserved_bits |= check_geneve(config, decoded, datagram)?,
        Encapsulation::Nvgre => {}
    }
    if reserved_bits && config.reserved_bits == crate::ReservedBits::Reject {
        return Err(DropReason::ReservedBits);
    }
    Ok(told)
}

/// The rules of RFC 8926 §3.4 and §3.5; whether an option has a reserved bit set.
#[inline]
fn check_geneve(config: &SegmentConfig, decoded: &Decoded, datagram: &[u8]) -> Result<bool, DropReason> {
    let (header, behind) = GeneveHeader::from_prefix(datagram).map_err(|_| DropReason::Truncated)?;
    let options = behind.get(..decoded.header_len - GeneveHeader::LEN).ok_or(DropReason::Truncated)?;
    if header.is_control() {
        return Err(DropReason::ControlPacket);
    }
    if header.protocol_type() != EtherType::TRANSPARENT_ETHERNET_BRIDGING {
        return Err(DropReason::WrongProtocolType);
    }
    if options.is_empty() {
        // C says that there is a critical option, and there is none.
        return if header.is_critical() { Err(DropReason::InvalidOptions) } else { Ok(false) };
    }
    let options = Options::decode(options).map_err(|_| DropReason::InvalidOptions)?;
    let known = |class, option_type| {
        config.options.iter().any(|option| (option.class, option.option_type) == (class, option_type))
    };
    options.refuse_unknown_critical(known).map_err(|_| DropReason::UnknownCriticalOption)?;
    Ok(options.iter().any(|option| option.reserved() != 0))
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
