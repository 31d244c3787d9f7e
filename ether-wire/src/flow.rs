//! The flow hash: what an outer header shows of the inner flow, so that a network can spread flows over its paths
//! (RFC 7348 §5, RFC 8926 §3.3, RFC 7637 §3.2, RFC 6438).
//!
//! Every packet of a flow gets one hash, and so takes one path. The hash is keyed with a secret: whoever sees the outer
//! headers learns nothing about inner addresses, and whoever sends inner frames cannot aim at one path.
//!
//! ```
//! use ether_wire::flow::{DEFAULT_SOURCE_PORTS, FlowHasher};
//!
//! let hasher = FlowHasher::new(*b"sixteen secrets!");
//! let frame = [&[2; 12][..], &[0x08, 0x06], &[0; 28]].concat();
//! let hash = hasher.hash(&frame);
//! assert!(DEFAULT_SOURCE_PORTS.contains(&hash.udp_source_port(DEFAULT_SOURCE_PORTS)));
//! assert_ne!(hash.ipv6_flow_label(), 0);
//! ```

use core::{fmt, hash::Hasher as _, ops::RangeInclusive};

use overlay_types::EtherType;
use siphasher::sip::SipHasher13;

use crate::{IpProtocol, ethernet, ethernet::EthernetHeader, ipv4::Ipv4Header, ipv6, ipv6::Ipv6Header};

/// The UDP source ports of a tunnel unless something else is configured: the dynamic ports (RFC 6335 §6), which RFC 7348
/// §5 recommends.
pub const DEFAULT_SOURCE_PORTS: RangeInclusive<u16> = 49152..=65535;

/// The lowest byte of a word that tells what was hashed, so that nothing is ever taken for something else.
const KIND_STATIONS: u8 = 1;
const KIND_IPV4: u8 = 4;
const KIND_IPV6: u8 = 6;

/// Hashes the flow of an Ethernet frame with a secret key: SipHash-1-3, a keyed pseudo-random function.
///
/// What makes a flow:
///
/// - IPv4 and IPv6, behind VLAN tags too: addresses, protocol, and the ports of TCP, UDP, SCTP, DCCP and UDP-Lite;
/// - a fragment, the first one too: addresses and protocol, because only the first has ports, and all of them should take
///   one path;
/// - everything else, and whatever is not a whole IP header: both MAC addresses and the [`EtherType`].
#[derive(Clone, Copy)]
pub struct FlowHasher {
    sip: SipHasher13,
}

impl FlowHasher {
    /// A hasher with this secret. Take it from the system's random numbers, once for each process.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        Self { sip: SipHasher13::new_with_key(&secret) }
    }

    /// The hash of the flow that this Ethernet frame belongs to.
    ///
    /// Every frame has one. What is shorter than an Ethernet header is hashed as it is.
    #[inline]
    #[must_use]
    pub fn hash(&self, frame: &[u8]) -> FlowHash {
        let Ok((header, _)) = EthernetHeader::from_prefix(frame) else {
            return FlowHash((self.sip.hash(frame) >> 32) as u32);
        };
        let Some(payload) = ethernet::payload(frame) else {
            return self.hash_stations(header, header.ether_type());
        };
        let packet = frame.get(payload.offset..).unwrap_or_default();
        let hash = match payload.ether_type {
            EtherType::IPV4 => self.hash_ipv4(packet),
            EtherType::IPV6 => self.hash_ipv6(packet),
            _ => None,
        };
        match hash {
            Some(hash) => hash,
            None => self.hash_stations(header, payload.ether_type),
        }
    }

    /// `None` where there is no whole IPv4 header.
    #[inline]
    fn hash_ipv4(&self, packet: &[u8]) -> Option<FlowHash> {
        let (header, _) = Ipv4Header::from_prefix(packet).ok()?;
        let (header_length, total_length) = (header.header_length(), usize::from(header.total_length()));
        if header.version() != 4 || header_length < Ipv4Header::LEN {
            return None;
        }
        let payload = packet.get(header_length..total_length)?;
        let ports = if header.is_fragment() { 0 } else { ports(header.protocol(), payload) };
        let addresses = u64::from(header.source().to_bits()) << 32 | u64::from(header.destination().to_bits());
        Some(self.finish([addresses, last_word(ports, header.protocol(), KIND_IPV4)]))
    }

    /// `None` where there is no whole IPv6 header with its extension headers.
    #[inline]
    fn hash_ipv6(&self, packet: &[u8]) -> Option<FlowHash> {
        let (header, behind) = Ipv6Header::from_prefix(packet).ok()?;
        if header.version() != 6 {
            return None;
        }
        let payload = behind.get(..usize::from(header.payload_length()))?;
        let upper = ipv6::upper_layer(header.next_header(), payload).ok()?;
        let (protocol, ports) = match upper.fragment {
            // Not the protocol behind further headers, which only the first fragment shows.
            Some(fragment) => (fragment.next_header(), 0),
            None => (upper.protocol, ports(upper.protocol, payload.get(upper.offset..)?)),
        };
        let (source, destination) = (header.source().to_bits(), header.destination().to_bits());
        Some(self.finish([
            (source >> 64) as u64,
            source as u64,
            (destination >> 64) as u64,
            destination as u64,
            last_word(ports, protocol, KIND_IPV6),
        ]))
    }

    #[inline]
    fn hash_stations(&self, header: &EthernetHeader, ether_type: EtherType) -> FlowHash {
        let [destination, source] = [header.destination(), header.source()].map(|mac| {
            let mut word = [0; 8];
            word[..6].copy_from_slice(&mac.octets());
            u64::from_be_bytes(word)
        });
        self.finish([destination | u64::from(KIND_STATIONS), source | u64::from(ether_type.get())])
    }

    #[inline]
    fn finish<const N: usize>(&self, words: [u64; N]) -> FlowHash {
        let mut sip = self.sip;
        for word in words {
            sip.write_u64(word);
        }
        FlowHash((sip.finish() >> 32) as u32)
    }
}

/// Does not print the secret.
impl fmt::Debug for FlowHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowHasher").finish_non_exhaustive()
    }
}

/// Source and destination port as one number, or zero where there are none.
#[inline]
fn ports(protocol: IpProtocol, payload: &[u8]) -> u32 {
    match payload.first_chunk() {
        Some(ports) if protocol.has_ports() => u32::from_be_bytes(*ports),
        _ => 0,
    }
}

#[inline]
fn last_word(ports: u32, protocol: IpProtocol, kind: u8) -> u64 {
    u64::from(ports) << 32 | u64::from(protocol.get()) << 8 | u64::from(kind)
}

/// The hash of a flow: 32 bits, spread evenly, and their projections on the fields of an outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct FlowHash(u32);

impl FlowHash {
    /// A hash that something else has made, such as a network card. It should be spread evenly over all 32 bits.
    #[inline]
    #[must_use]
    pub const fn new(hash: u32) -> Self {
        Self(hash)
    }

    /// The 32 bits.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// A UDP source port of `range` (RFC 7348 §5, RFC 8926 §3.3), spread evenly over it. An empty range gives its start.
    #[inline]
    #[must_use]
    pub fn udp_source_port(self, range: RangeInclusive<u16>) -> u16 {
        let (start, end) = range.into_inner();
        let ports = u32::from(end.saturating_sub(start)) + 1;
        start.wrapping_add(self.scale(ports) as u16)
    }

    /// The `FlowID` of NVGRE (RFC 7637 §3.2), spread evenly over all 256 values.
    #[inline]
    #[must_use]
    pub const fn nvgre_flow_id(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// A flow label of IPv6, 1 to 0xfffff, spread evenly. Zero would say that there is none (RFC 6437 §3).
    #[inline]
    #[must_use]
    pub const fn ipv6_flow_label(self) -> u32 {
        1 + self.scale(0xf_ffff)
    }

    /// The hash on 0 to `size` - 1, by a multiplication in place of a division. It weighs the high bits most.
    #[inline]
    const fn scale(self, size: u32) -> u32 {
        ((self.0 as u64 * size as u64) >> 32) as u32
    }
}

#[cfg(test)]
mod tests;
