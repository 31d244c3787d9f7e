//! Checksums that a sender left to hardware.

use ether_wire::{IpProtocol, UdpHeader};

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

/// What a super-frame of UDP that was never cut asks for: `None` where `frame` is anything else.
///
/// A kernel tunnel leaves cutting to hardware that a veth does not have. Unlike TCP, such a frame does not show into what it
/// is to be cut, and nobody may guess; `segment_size`, the bytes of payload of each datagram, is what the socket says that
/// it came from (`UDP_GRO`).
#[must_use]
pub fn uncut_datagrams(frame: &[u8], segment_size: u16) -> Option<VirtioNetHeader> {
    let packet = Packet::parse(frame).ok()??;
    let (field, offset) = packet.checksum(frame)?;
    let header_length = packet.transport + UdpHeader::LEN;
    let is_super_frame = packet.protocol == IpProtocol::UDP
        && packet.end == frame.len()
        && field == packet.whole_pseudo().fold()
        && segment_size != 0
        && packet.end - header_length > usize::from(segment_size);
    is_super_frame.then(|| {
        VirtioNetHeader::new().with_checksum(packet.transport as u16, offset).with_gso(
            GsoType::UdpL4,
            segment_size,
            header_length as u16,
        )
    })
}
