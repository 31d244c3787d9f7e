//! Anti-spoofing: who may speak on a segment's TAP, and as whom.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::net::{IpAddr, Ipv6Addr};

use ether_wire::{
    EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, UdpHeader,
    arp::{ArpOperation, ArpPacket},
    ethernet,
    nd::{NdOption, NeighborAdvertisement, NeighborSolicitation},
};
use overlay_types::{EtherType, MacAddr};

use crate::DropReason;

/// The stations that may speak on a TAP, each with its IP addresses.
///
/// A frame passes when its source MAC is that of a station, and its source IP address is one of the station's, as far as
/// it says one: the source of IPv4 and IPv6, the sender of ARP, the target of a Neighbor Advertisement. The MAC addresses
/// inside ARP and Neighbor Discovery must be the frame's source. VLAN tags are looked behind.
///
/// A station without IP addresses may have any. One with some also has the link-local address that follows from its
/// MAC (RFC 4291 appendix A), and may have none yet where protocols need that: 0.0.0.0 in ARP probes (RFC 5227), to a DHCP
/// server (RFC 2131) and in IGMP (RFC 3376 §4.2.13); `::` in duplicate address detection (RFC 4862), in Router Solicitations
/// (RFC 4861 §4.1) and in MLD reports (RFC 3810 §5.2.13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedSources {
    /// The TAP's own MAC.
    own: Option<Box<[IpAddr]>>,
    stations: BTreeMap<MacAddr, Box<[IpAddr]>>,
}

impl AllowedSources {
    /// The TAP itself, by the MAC that it has ([`Endpoint::set_mac`](crate::Endpoint::set_mac)), with these IP addresses.
    #[must_use]
    pub fn own_station(ips: Vec<IpAddr>) -> Self {
        Self { own: Some(ips.into()), stations: BTreeMap::new() }
    }

    /// These stations, with their IP addresses.
    #[must_use]
    pub fn stations(stations: impl IntoIterator<Item = (MacAddr, Vec<IpAddr>)>) -> Self {
        let stations = stations.into_iter().map(|(mac, ips)| (mac, ips.into()));
        Self { own: None, stations: stations.collect() }
    }

    /// Whether a frame of a TAP with this MAC may pass.
    pub(crate) fn check(&self, tap: Option<MacAddr>, frame: &[u8]) -> Result<(), DropReason> {
        let Ok((ethernet, _)) = EthernetHeader::from_prefix(frame) else { return Err(DropReason::Truncated) };
        let mac = ethernet.source();
        let own = self.own.as_deref().filter(|_| tap == Some(mac));
        let ips = own.or_else(|| self.stations.get(&mac).map(|ips| &**ips)).ok_or(DropReason::SourceMac)?;
        let station = Station { mac, ips };
        // What can't be read may claim anything.
        let payload = ethernet::payload(frame).ok_or(DropReason::SourceIp)?;
        let packet = frame.get(payload.offset..).unwrap_or_default();
        match payload.ether_type {
            EtherType::IPV4 => station.check_ipv4(packet),
            EtherType::IPV6 => station.check_ipv6(packet),
            EtherType::ARP => station.check_arp(packet),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
struct Station<'a> {
    mac: MacAddr,
    ips: &'a [IpAddr],
}

impl Station<'_> {
    fn check_ip(self, ip: IpAddr) -> Result<(), DropReason> {
        let is_its = self.ips.is_empty() || self.ips.contains(&ip) || ip == IpAddr::V6(link_local(self.mac));
        if is_its { Ok(()) } else { Err(DropReason::SourceIp) }
    }

    fn check_mac(self, mac: MacAddr) -> Result<(), DropReason> {
        if mac == self.mac { Ok(()) } else { Err(DropReason::SourceMac) }
    }

    fn check_ipv4(self, packet: &[u8]) -> Result<(), DropReason> {
        let Ok((header, _)) = Ipv4Header::from_prefix(packet) else { return Err(DropReason::SourceIp) };
        if header.version() != 4 {
            return Err(DropReason::SourceIp);
        }
        if header.source().is_unspecified() && may_have_no_ipv4(header, packet) {
            return Ok(());
        }
        self.check_ip(header.source().into())
    }

    fn check_ipv6(self, packet: &[u8]) -> Result<(), DropReason> {
        const ROUTER_SOLICITATION: u8 = 133;
        const MLD_REPORTS: [u8; 2] = [131, 143];
        let Ok((header, _)) = Ipv6Header::from_prefix(packet) else { return Err(DropReason::SourceIp) };
        if header.version() != 6 {
            return Err(DropReason::SourceIp);
        }
        if !header.source().is_unspecified() {
            self.check_ip(header.source().into())?;
            if matches!(header.next_header(), IpProtocol::TCP | IpProtocol::UDP) {
                return Ok(());
            }
        }
        let is_told = || if header.source().is_unspecified() { Err(DropReason::SourceIp) } else { Ok(()) };
        let Ok(packet) = Ipv6Header::decode(packet) else { return Err(DropReason::SourceIp) };
        // Nobody takes Neighbor Discovery from fragments (RFC 6980 §5).
        if packet.protocol != IpProtocol::ICMPV6 || packet.fragment.is_some() {
            return is_told();
        }
        match packet.payload.first() {
            Some(&NeighborSolicitation::TYPE) => {
                let it = NeighborSolicitation::decode(&packet).map_err(|_| DropReason::SourceIp)?;
                let claimed = it.options.link_layer_address(NdOption::SOURCE_LINK_LAYER_ADDRESS);
                claimed.map_or(Ok(()), |mac| self.check_mac(mac))
            }
            Some(&NeighborAdvertisement::TYPE) => {
                is_told()?;
                let it = NeighborAdvertisement::decode(&packet).map_err(|_| DropReason::SourceIp)?;
                self.check_ip(it.message.target().into())?;
                let claimed = it.options.link_layer_address(NdOption::TARGET_LINK_LAYER_ADDRESS);
                claimed.map_or(Ok(()), |mac| self.check_mac(mac))
            }
            Some(kind) if *kind == ROUTER_SOLICITATION || MLD_REPORTS.contains(kind) => Ok(()),
            _ => is_told(),
        }
    }

    fn check_arp(self, packet: &[u8]) -> Result<(), DropReason> {
        let Ok((arp, _)) = ArpPacket::decode(packet) else { return Err(DropReason::SourceIp) };
        self.check_mac(arp.sender_mac())?;
        if arp.sender_ip().is_unspecified() && arp.operation() == ArpOperation::REQUEST {
            return Ok(());
        }
        self.check_ip(arp.sender_ip().into())
    }
}

/// Whether a packet may come from a host that has no IPv4 address yet.
fn may_have_no_ipv4(header: &Ipv4Header, packet: &[u8]) -> bool {
    const IGMP: IpProtocol = IpProtocol::new(2);
    const DHCP: [u16; 2] = [68, 67];
    if header.protocol() == IGMP {
        return true;
    }
    header.protocol() == IpProtocol::UDP
        && !header.is_fragment()
        && packet
            .get(header.header_length()..)
            .and_then(|datagram| UdpHeader::from_prefix(datagram).ok())
            .is_some_and(|(udp, _)| [udp.source_port(), udp.destination_port()] == DHCP)
}

/// The link-local address of a modified EUI-64 (RFC 4291 appendix A).
fn link_local(mac: MacAddr) -> Ipv6Addr {
    let mut address = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
    address[8..11].copy_from_slice(&mac.octets()[..3]);
    address[13..].copy_from_slice(&mac.octets()[3..]);
    address[8] ^= 2;
    Ipv6Addr::from(address)
}

#[cfg(test)]
mod tests;
