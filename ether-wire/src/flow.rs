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

use core::{fmt, ops::RangeInclusive};

use overlay_types::EtherType;
use siphasher::sip::SipHasher13;

use crate::{IpProtocol, ethernet, ethernet::EthernetHeader, ipv4::Ipv4Header, ipv6, ipv6::Ipv6Header};

/// The UDP source ports of a tunnel unless something else is configured: the dynamic ports (RFC 6335 §6), which RFC 7348
/// §5 recommends.
pub const DEFAULT_SOURCE_PORTS: RangeInclusive<u16> = 49152..=65535;

/// What was hashed, so that an address is never taken for a station, nor one family for the other.
const KIND_STATIONS: u8 = 0;
const KIND_IPV4: u8 = 4;
const KIND_IPV6: u8 = 6;

/// Hashes the flow of an Ethernet frame with a secret key: SipHash-1-3, a keyed pseudo-random function, over few bytes
/// that are known to be in the frame.
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
        let Some(payload) = ethernet::payload(frame) else {
            return self.hash_malformed(frame);
        };
        let packet = frame.get(payload.offset..).unwrap_or_default();
        let hash = match payload.ether_type {
            EtherType::IPV4 => self.hash_ipv4(packet),
            EtherType::IPV6 => self.hash_ipv6(packet),
            _ => None,
        };
        match hash {
            Some(hash) => hash,
            None => self.hash_stations(frame, payload.ether_type),
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
        let ports = if header.is_fragment() { [0; 4] } else { ports(header.protocol(), payload) };
        let mut flow = [0; 15];
        flow[..4].copy_from_slice(&header.source().octets());
        flow[4..8].copy_from_slice(&header.destination().octets());
        flow[8..12].copy_from_slice(&ports);
        flow[12] = header.protocol().get();
        flow[14] = KIND_IPV4;
        Some(self.finish(&flow))
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
            Some(fragment) => (fragment.next_header(), [0; 4]),
            None => (upper.protocol, ports(upper.protocol, payload.get(upper.offset..)?)),
        };
        let mut flow = [0; 39];
        flow[..16].copy_from_slice(&header.source().octets());
        flow[16..32].copy_from_slice(&header.destination().octets());
        flow[32..36].copy_from_slice(&ports);
        flow[36] = protocol.get();
        flow[38] = KIND_IPV6;
        Some(self.finish(&flow))
    }

    #[cold]
    fn hash_malformed(&self, frame: &[u8]) -> FlowHash {
        match EthernetHeader::from_prefix(frame) {
            Ok((header, _)) => self.hash_stations(frame, header.ether_type()),
            Err(_) => self.finish(frame),
        }
    }

    #[inline]
    fn hash_stations(&self, frame: &[u8], ether_type: EtherType) -> FlowHash {
        let mut flow = [0; 15];
        let Some((stations, _)) = frame.split_first_chunk::<12>() else {
            return self.finish(frame);
        };
        flow[..12].copy_from_slice(stations);
        flow[12..14].copy_from_slice(&ether_type.to_be_bytes());
        flow[14] = KIND_STATIONS;
        self.finish(&flow)
    }

    #[inline]
    fn finish(&self, flow: &[u8]) -> FlowHash {
        FlowHash((self.sip.hash(flow) >> 32) as u32)
    }
}

/// Does not print the secret.
impl fmt::Debug for FlowHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowHasher").finish_non_exhaustive()
    }
}

/// Source and destination port as they stand in the packet, or zeros where there are none.
#[inline]
fn ports(protocol: IpProtocol, payload: &[u8]) -> [u8; 4] {
    match payload.first_chunk::<4>() {
        Some(ports) if protocol.has_ports() => *ports,
        _ => [0; 4],
    }
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
