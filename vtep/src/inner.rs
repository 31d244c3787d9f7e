//! The IP header of an inner frame, as far as a tunnel endpoint reads and changes it.

use ether_wire::{ecn::Ecn, ethernet, ipv4::Ipv4Header, ipv6::Ipv6Header};
use overlay_types::EtherType;

/// The fields that an outer header can inherit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InnerIp {
    /// The differentiated services code point, 0 to 63.
    pub(crate) dscp: u8,
    pub(crate) ecn: Ecn,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
}

/// Reads the IP header behind the Ethernet header and VLAN tags; `None` where there is no whole one.
pub(crate) fn read(frame: &[u8]) -> Option<InnerIp> {
    let payload = ethernet::payload(frame)?;
    let packet = frame.get(payload.offset..)?;
    match payload.ether_type {
        EtherType::IPV4 => {
            let (header, _) = Ipv4Header::from_prefix(packet).ok()?;
            (header.version() == 4).then(|| InnerIp { dscp: header.dscp(), ecn: header.ecn(), ttl: header.ttl() })
        }
        EtherType::IPV6 => {
            let (header, _) = Ipv6Header::from_prefix(packet).ok()?;
            (header.version() == 6).then(|| InnerIp { dscp: header.dscp(), ecn: header.ecn(), ttl: header.hop_limit() })
        }
        _ => None,
    }
}

/// Writes the ECN field of the IP header that [`read`] found, and keeps the IPv4 header checksum right.
pub(crate) fn set_ecn(frame: &mut [u8], ecn: Ecn) {
    let Some(payload) = ethernet::payload(frame) else { return };
    let Some(packet) = frame.get_mut(payload.offset..) else { return };
    match payload.ether_type {
        EtherType::IPV4 => {
            if let Ok((header, _)) = Ipv4Header::from_prefix_mut(packet) {
                header.set_ecn(ecn);
            }
        }
        EtherType::IPV6 => {
            if let Ok((header, _)) = Ipv6Header::from_prefix_mut(packet) {
                header.set_ecn(ecn);
            }
        }
        _ => {}
    }
}
