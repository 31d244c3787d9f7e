//! The headers in front of a tunnelled frame, built once for each remote and only patched for each frame.
//!
//! What stays the same for a remote (addresses, ports, the tunnel header, the greater part of two checksums) is worked
//! out when the template is made. A frame costs the copy and a few additions: lengths, IPv4's checksum, and the flow hash
//! as UDP source port, NVGRE's `FlowID` or IPv6's flow label.
//!
//! ```
//! use ether_wire::flow::{DEFAULT_SOURCE_PORTS, FlowHash};
//! use ether_wire::outer::{InnerFrame, OuterTemplate, Underlay};
//!
//! let underlay = Underlay::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into())?
//!     .with_ethernet([2, 0, 0, 0, 0, 2].into(), [2, 0, 0, 0, 0, 1].into());
//! let vxlan = [0x08, 0, 0, 0, 0, 0, 42, 0];
//! let template = OuterTemplate::udp(underlay, 4789, DEFAULT_SOURCE_PORTS, &vxlan)?;
//!
//! let mut headroom = [0; 64];
//! let inner = InnerFrame::new(1514, FlowHash::new(0x1234_5678));
//! assert_eq!(template.write_to(&mut headroom, inner)?, 50);
//! # Ok::<(), ether_wire::EncodeError>(())
//! ```

use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use overlay_types::{EtherType, MacAddr};

use crate::{
    Ecn, EncodeError, EthernetHeader, FlowHash, IpProtocol, Ipv4Header, Ipv6Header, UdpHeader, checksum::Sum,
    ipv4::DEFAULT_TTL,
};

/// The longest tunnel header of a template: a Geneve header with all options that it can have (RFC 8926 §3.4), in bytes.
pub const MAX_TUNNEL_HEADER_LEN: usize = 260;

/// Where the `FlowID` stands in an NVGRE header (RFC 7637 §3.2).
const NVGRE_FLOW_ID: usize = 7;

/// The way to a remote: what the outer IP header, and the Ethernet header in front of it, says for all frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Underlay {
    addresses: Addresses,
    /// Destination and source.
    stations: Option<(MacAddr, MacAddr)>,
    dscp: u8,
    ttl: u8,
}

/// Source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Addresses {
    Ipv4(Ipv4Addr, Ipv4Addr),
    Ipv6(Ipv6Addr, Ipv6Addr),
}

impl Underlay {
    /// From here to there, without an Ethernet header, with a DSCP of 0 and a TTL of [`DEFAULT_TTL`].
    ///
    /// # Errors
    ///
    /// [`EncodeError::AddressFamilies`]: one is IPv4, the other IPv6.
    pub const fn new(source: IpAddr, destination: IpAddr) -> Result<Self, EncodeError> {
        let addresses = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Addresses::Ipv4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Addresses::Ipv6(source, destination),
            _ => return Err(EncodeError::AddressFamilies),
        };
        Ok(Self { addresses, stations: None, dscp: 0, ttl: DEFAULT_TTL })
    }

    /// With an Ethernet header between these stations.
    #[must_use]
    pub const fn with_ethernet(self, destination: MacAddr, source: MacAddr) -> Self {
        Self { stations: Some((destination, source)), ..self }
    }

    /// With the low six bits of `dscp` as differentiated services code point.
    #[must_use]
    pub const fn with_dscp(self, dscp: u8) -> Self {
        Self { dscp: dscp & 0x3f, ..self }
    }

    /// With this time to live, or hop limit.
    #[must_use]
    pub const fn with_ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }
}

/// What the outer headers of one frame depend on.
#[derive(Clone, Copy, Debug)]
pub struct InnerFrame {
    /// The length of the frame behind the tunnel header, in bytes.
    pub length: usize,
    /// The flow that the frame belongs to.
    pub flow: FlowHash,
    /// The ECN field of the outer header, from [`ecn::encapsulate`](crate::ecn::encapsulate).
    pub ecn: Ecn,
    /// The sum of the frame, for a UDP checksum. Without it the checksum is zero: recommended over IPv4 by RFC 7348 §5,
    /// over IPv6 only where both ends were configured for it (RFC 6935 §5).
    pub sum: Option<Sum>,
}

impl InnerFrame {
    /// A frame that does not use ECN and goes without UDP checksum.
    #[must_use]
    pub const fn new(length: usize, flow: FlowHash) -> Self {
        Self { length, flow, ecn: Ecn::NotEct, sum: None }
    }
}

/// All headers in front of a tunnelled frame: Ethernet if there is one, IPv4 or IPv6, UDP or GRE, tunnel header.
///
/// IPv4 packets are sent with DF set: a tunnel endpoint does not fragment (RFC 7348 §4.3), and their identification need
/// not differ from packet to packet (RFC 6864 §4.1).
#[derive(Clone, Debug)]
pub struct OuterTemplate {
    ethernet: Option<EthernetHeader>,
    ip: Ip,
    transport: Transport,
    tunnel: [u8; MAX_TUNNEL_HEADER_LEN],
    tunnel_len: usize,
    /// Of everything.
    len: usize,
}

#[derive(Clone, Debug)]
enum Ip {
    /// The header with all that changes zero, and the sum of that.
    V4(Ipv4Header, Sum),
    V6(Ipv6Header),
}

#[derive(Clone, Debug)]
enum Transport {
    Udp {
        header: UdpHeader,
        source_ports: RangeInclusive<u16>,
        /// Of pseudo-header, UDP header and tunnel header, with all that changes zero.
        sum: Sum,
    },
    Gre,
    /// GRE whose last byte is the `FlowID`.
    Nvgre,
}

impl OuterTemplate {
    /// A tunnel over UDP: VXLAN, Geneve and the like. The source port is the flow's, out of `source_ports`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLong`]: a tunnel header of more than [`MAX_TUNNEL_HEADER_LEN`].
    pub fn udp(
        underlay: Underlay,
        destination_port: u16,
        source_ports: RangeInclusive<u16>,
        tunnel_header: &[u8],
    ) -> Result<Self, EncodeError> {
        let pseudo_header = match underlay.addresses {
            Addresses::Ipv4(source, destination) => Sum::pseudo_ipv4(source, destination, IpProtocol::UDP, 0),
            Addresses::Ipv6(source, destination) => Sum::pseudo_ipv6(source, destination, IpProtocol::UDP, 0),
        };
        let sum = pseudo_header.add_word(destination_port).add_bytes(tunnel_header);
        let header = UdpHeader::new(0, destination_port, 0);
        Self::new(underlay, IpProtocol::UDP, Transport::Udp { header, source_ports, sum }, tunnel_header)
    }

    /// A tunnel over GRE (RFC 2784, RFC 2890) whose header is the same for all frames, so without checksum and sequence
    /// number. Over IPv6 the flow still shows in the flow label.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLong`]: a header of more than [`MAX_TUNNEL_HEADER_LEN`].
    pub fn gre(underlay: Underlay, gre_header: &[u8]) -> Result<Self, EncodeError> {
        Self::new(underlay, IpProtocol::GRE, Transport::Gre, gre_header)
    }

    /// An NVGRE tunnel (RFC 7637 §3.2) with this header, in which the `FlowID` is the flow's.
    #[must_use]
    pub fn nvgre(underlay: Underlay, nvgre_header: [u8; 8]) -> Self {
        let mut template = Self::without_tunnel(underlay, IpProtocol::GRE, Transport::Nvgre, nvgre_header.len());
        if let Some(place) = template.tunnel.first_chunk_mut() {
            *place = nvgre_header;
        }
        template
    }

    fn new(
        underlay: Underlay,
        protocol: IpProtocol,
        transport: Transport,
        tunnel_header: &[u8],
    ) -> Result<Self, EncodeError> {
        let length = tunnel_header.len();
        let mut template = Self::without_tunnel(underlay, protocol, transport, length);
        let error = EncodeError::TooLong { length, maximum: MAX_TUNNEL_HEADER_LEN };
        template.tunnel.get_mut(..length).ok_or(error)?.copy_from_slice(tunnel_header);
        Ok(template)
    }

    /// A template whose tunnel header has this length and is still zero.
    fn without_tunnel(underlay: Underlay, protocol: IpProtocol, transport: Transport, tunnel_len: usize) -> Self {
        let (ip, ip_len, ether_type) = match underlay.addresses {
            Addresses::Ipv4(source, destination) => {
                let mut header = Ipv4Header::new(source, destination, protocol, 0);
                header.set_dont_fragment(true);
                header.set_dscp(underlay.dscp);
                header.set_ttl(underlay.ttl);
                header.set_checksum(0);
                (Ip::V4(header, Sum::of_ipv4_header(header.as_bytes(), &[])), Ipv4Header::LEN, EtherType::IPV4)
            }
            Addresses::Ipv6(source, destination) => {
                let mut header = Ipv6Header::new(source, destination, protocol, 0);
                header.set_dscp(underlay.dscp);
                header.set_hop_limit(underlay.ttl);
                (Ip::V6(header), Ipv6Header::LEN, EtherType::IPV6)
            }
        };
        let ethernet =
            underlay.stations.map(|(destination, source)| EthernetHeader::new(destination, source, ether_type));
        let ethernet_len = if ethernet.is_some() { EthernetHeader::LEN } else { 0 };
        let transport_len = if matches!(transport, Transport::Udp { .. }) { UdpHeader::LEN } else { 0 };
        let len = ethernet_len + ip_len + transport_len + tunnel_len;
        Self { ethernet, ip, transport, tunnel: [0; MAX_TUNNEL_HEADER_LEN], tunnel_len, len }
    }

    /// Bytes of all headers: for VXLAN with Ethernet header 50 over IPv4 and 70 over IPv6.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a length in bytes, never zero")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Writes the headers for this frame to the front of `buffer` and returns their length, [`len`](Self::len).
    ///
    /// Where the frame already stands in a buffer, `buffer` is the room that ends where the frame begins.
    ///
    /// # Errors
    ///
    /// - [`EncodeError::BufferTooSmall`]: `buffer` is shorter than [`len`](Self::len).
    /// - [`EncodeError::TooLong`]: with the frame the packet is longer than IP can say.
    ///
    /// Nothing is written then.
    #[inline]
    pub fn write_to(&self, buffer: &mut [u8], inner: InnerFrame) -> Result<usize, EncodeError> {
        let error = EncodeError::BufferTooSmall { needed: self.len, available: buffer.len() };
        let mut rest = buffer.get_mut(..self.len).ok_or(error)?;
        // IPv4 counts its own header in its length, IPv6 does not.
        let ip_counted = if matches!(self.ip, Ip::V4(..)) { Ipv4Header::LEN } else { 0 };
        let udp_len = if matches!(self.transport, Transport::Udp { .. }) { UdpHeader::LEN } else { 0 };
        let ip_length = inner.length.saturating_add(ip_counted + udp_len + self.tunnel_len);
        let Ok(ip_length) = u16::try_from(ip_length) else {
            return Err(EncodeError::TooLong { length: ip_length, maximum: u16::MAX.into() });
        };

        if let Some(ethernet) = &self.ethernet {
            let (place, behind) = rest.split_first_chunk_mut().ok_or(error)?;
            *place = ethernet.to_bytes();
            rest = behind;
        }
        rest = match &self.ip {
            Ip::V4(header, sum) => {
                let checksum = sum.add_word(ip_length).add_word(inner.ecn.bits().into()).checksum();
                let (place, behind) = rest.split_first_chunk_mut().ok_or(error)?;
                *place = header.patched(ip_length, inner.ecn, checksum).to_bytes();
                behind
            }
            Ip::V6(header) => {
                let mut header = *header;
                header.set_payload_length(ip_length);
                header.set_ecn(inner.ecn);
                header.set_flow_label(inner.flow.ipv6_flow_label());
                let (place, behind) = rest.split_first_chunk_mut().ok_or(error)?;
                *place = header.to_bytes();
                behind
            }
        };
        if let Transport::Udp { header, source_ports, sum } = &self.transport {
            let mut header = *header;
            let source_port = inner.flow.udp_source_port(source_ports.clone());
            let length = ip_length - ip_counted as u16;
            header.set_source_port(source_port);
            header.set_length(length);
            if let Some(inner_sum) = inner.sum {
                // The length stands in the header and in the pseudo-header.
                let sum = sum.add_word(source_port).add_word(length).add_word(length).add_sum(inner_sum);
                header.set_checksum(UdpHeader::not_none(sum.checksum()));
            }
            let (place, behind) = rest.split_first_chunk_mut().ok_or(error)?;
            *place = header.to_bytes();
            rest = behind;
        }
        // Eight bytes, as VXLAN, NVGRE and Geneve without options have, need no call.
        if let (Ok(place), Some(tunnel)) = (<&mut [u8; 8]>::try_from(&mut *rest), self.tunnel.first_chunk()) {
            *place = *tunnel;
            if matches!(self.transport, Transport::Nvgre) {
                place[NVGRE_FLOW_ID] = inner.flow.nvgre_flow_id();
            }
        } else if let Some(tunnel) = self.tunnel.get(..rest.len()) {
            rest.copy_from_slice(tunnel);
        }
        Ok(self.len)
    }
}

#[cfg(test)]
mod tests;
