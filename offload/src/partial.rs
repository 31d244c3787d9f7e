//! Checksums that a sender left to hardware.

use ether_wire::{IpProtocol, Ipv4Header, Ipv6Header, UdpHeader, ethernet};
use overlay_types::EtherType;

use crate::{GsoType, VirtioNetHeader, packet::Packet};

/// `true` where the checksum of TCP or UDP in this frame is partial: the field holds the sum of the pseudo-header, and the
/// whole checksum does not verify.
///
/// ```
/// # let mut frame = [0_u8; 14 + 20 + 8 + 4];
/// # frame[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 32]);
/// # frame[23] = 17;
/// # frame[24..26].copy_from_slice(&(!(0x4500_u16 + 32 + 17)).to_be_bytes());
/// # frame[38..42].copy_from_slice(&[0, 12, 0, 17 + 12]);
/// // UDP between addresses of zeros: protocol and length are all that the pseudo-header adds up to.
/// assert!(offload::is_partial(&frame));
/// ```
#[must_use]
pub fn is_partial(frame: &[u8]) -> bool {
    let Ok(Some(packet)) = Packet::parse(frame) else { return false };
    let Some((field, _)) = packet.checksum(frame) else { return false };
    let pseudo = packet.whole_pseudo();
    field == pseudo.fold() && !pseudo.add_bytes(packet.transport_bytes(frame)).is_valid()
}

/// What a TAP is to be told of datagrams of UDP that nobody has cut: the frame is one packet with the payloads of several
/// datagrams of `segment_size` bytes each (USO), and its checksum is partial. `None` for any other frame.
///
/// The frame does not say the size. A socket with `UDP_GRO` does: it names that of the inner datagrams of a super-frame
/// that came through a tunnel whole.
///
/// ```
/// # let mut frame = [0_u8; 14 + 20 + 8 + 4];
/// # frame[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 32]);
/// # frame[23] = 17;
/// # frame[24..26].copy_from_slice(&(!(0x4500_u16 + 32 + 17)).to_be_bytes());
/// # frame[38..42].copy_from_slice(&[0, 12, 0, 17 + 12]);
/// // Two datagrams of two bytes each.
/// let virtio = offload::uncut_datagrams(&frame, 2).expect("several, and a partial checksum");
/// assert_eq!((virtio.gso_type(), virtio.gso_size()), (Ok(offload::GsoType::UdpL4), 2));
/// assert_eq!(offload::uncut_datagrams(&frame, 4), None);
/// ```
#[must_use]
pub fn uncut_datagrams(frame: &[u8], segment_size: u16) -> Option<VirtioNetHeader> {
    let packet = Packet::parse(frame).ok()??;
    let header_length = packet.transport + UdpHeader::LEN;
    let payload = packet.transport_bytes(frame).len().checked_sub(UdpHeader::LEN)?;
    if packet.protocol != IpProtocol::UDP || segment_size == 0 || payload <= usize::from(segment_size) {
        return None;
    }
    let virtio = packet.finish(frame, u16::MAX)?;
    Some(virtio.with_gso(GsoType::UdpL4, segment_size, header_length as u16))
}

/// The length of a frame by what its IP header says, Ethernet header and VLAN tags included; `None` where there is none.
///
/// A socket gives datagrams that the kernel merged as one piece of memory. Where the first packet in it ends beyond the
/// first datagram, nothing was merged: it is one packet that nobody has cut.
#[must_use]
pub fn length_by_packet(frame: &[u8]) -> Option<usize> {
    let payload = ethernet::payload(frame)?;
    let packet = frame.get(payload.offset..)?;
    let length = match payload.ether_type {
        EtherType::IPV4 => usize::from(Ipv4Header::from_prefix(packet).ok()?.0.total_length()),
        EtherType::IPV6 => Ipv6Header::LEN + usize::from(Ipv6Header::from_prefix(packet).ok()?.0.payload_length()),
        _ => return None,
    };
    Some(payload.offset + length)
}
