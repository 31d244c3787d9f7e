//! Where the headers of any frame are: the walk that takes every case.

use ether_wire::{
    EtherType, IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader, UdpHeader, checksum::Sum, ethernet,
};

use crate::{GsoType, OffloadError, VirtioNetHeader};

/// Where the checksum is in a TCP header (RFC 9293 §3.1).
pub(crate) const TCP_CHECKSUM: u16 = 16;
/// Where the checksum is in a UDP header (RFC 768).
pub(crate) const UDP_CHECKSUM: u16 = 6;

/// An IP packet in its frame. All offsets are in bytes from the start of the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) is_ipv6: bool,
    /// Where the IP header is.
    pub(crate) network: usize,
    /// Where the transport header is.
    pub(crate) transport: usize,
    /// Where the packet ends; what is behind it is padding of the frame.
    pub(crate) end: usize,
    pub(crate) protocol: IpProtocol,
    pub(crate) is_fragment: bool,
    /// Options of IPv4 or extension headers of IPv6 stand between the headers.
    pub(crate) has_extensions: bool,
    /// The sum of the pseudo-header, but for the length.
    pub(crate) pseudo: Sum,
}

impl Packet {
    /// Walks over Ethernet, VLAN tags and IP.
    pub(crate) fn parse(frame: &[u8]) -> Result<Option<Self>, OffloadError> {
        let payload = ethernet::payload(frame).ok_or(OffloadError::VlanTags)?;
        let network = payload.offset;
        let bytes = frame.get(network..).unwrap_or_default();
        Ok(match payload.ether_type {
            EtherType::IPV4 => {
                let packet = Ipv4Header::decode(bytes)?;
                let header = packet.header;
                let transport = network + header.header_length();
                Some(Self {
                    is_ipv6: false,
                    network,
                    transport,
                    end: transport + packet.payload.len(),
                    protocol: header.protocol(),
                    is_fragment: header.is_fragment(),
                    has_extensions: !packet.options_bytes.is_empty(),
                    pseudo: header.pseudo_header(0),
                })
            }
            EtherType::IPV6 => {
                let packet = Ipv6Header::decode(bytes)?;
                let transport = network + Ipv6Header::LEN + packet.extension_headers.len();
                Some(Self {
                    is_ipv6: true,
                    network,
                    transport,
                    end: transport + packet.payload.len(),
                    protocol: packet.protocol,
                    is_fragment: packet.fragment.is_some(),
                    has_extensions: !packet.extension_headers.is_empty(),
                    pseudo: packet.header.pseudo_header(packet.protocol, 0),
                })
            }
            _ => None,
        })
    }

    /// The transport header with everything behind it.
    pub(crate) fn transport_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.transport..self.end).unwrap_or_default()
    }

    /// The sum of the pseudo-header of the whole packet.
    pub(crate) fn whole_pseudo(&self) -> Sum {
        // An IP packet without jumbograms has less than 2¹⁶ bytes.
        self.pseudo.add_word((self.end - self.transport) as u16)
    }

    /// The checksum field of TCP or UDP, and where it is in the transport header; `None` for other protocols, for
    /// fragments, for a header that is cut off, and for UDP without a checksum.
    pub(crate) fn checksum(&self, frame: &[u8]) -> Option<(u16, u16)> {
        if self.is_fragment {
            return None;
        }
        let bytes = self.transport_bytes(frame);
        match self.protocol {
            IpProtocol::TCP => {
                let (header, _) = TcpHeader::from_prefix(bytes).ok()?;
                Some((header.checksum(), TCP_CHECKSUM))
            }
            IpProtocol::UDP => {
                let (header, _) = UdpHeader::from_prefix(bytes).ok()?;
                let is_whole = usize::from(header.length()) == bytes.len();
                (is_whole && header.checksum() != 0).then_some((header.checksum(), UDP_CHECKSUM))
            }
            _ => None,
        }
    }

    /// What a frame whose checksum its sender left to hardware asks for; `None` for any other.
    ///
    /// A whole checksum may happen to be equal to the sum of the pseudo-header. To finish that one gives the same again, so
    /// there is no need to tell the two apart by a look at all of the payload.
    pub(crate) fn finish(&self, frame: &[u8], mtu: u16) -> Option<VirtioNetHeader> {
        let (field, offset) = self.checksum(frame)?;
        if field != self.whole_pseudo().fold() {
            return None;
        }
        let virtio = VirtioNetHeader::new().with_checksum(self.transport as u16, offset);
        Some(self.cut(frame, mtu, virtio).unwrap_or(virtio))
    }

    /// The same of a packet of TCP that is longer than the MTU: nobody has cut it.
    fn cut(&self, frame: &[u8], mtu: u16, virtio: VirtioNetHeader) -> Option<VirtioNetHeader> {
        let segment = TcpHeader::decode(self.transport_bytes(frame)).ok()?;
        let header_length = self.transport + segment.header.header_length();
        let segment_size = usize::from(mtu).checked_sub(header_length - self.network)?;
        if self.protocol != IpProtocol::TCP || segment_size == 0 || segment.data.len() <= segment_size {
            return None;
        }
        let gso_type = if self.is_ipv6 { GsoType::TcpV6 } else { GsoType::TcpV4 };
        let virtio = virtio.with_gso(gso_type, segment_size as u16, header_length as u16);
        Some(if segment.header.flags().contains(TcpFlags::CWR) { virtio.with_ecn() } else { virtio })
    }
}
