//! Checksums that a sender left to hardware.

use crate::packet::Packet;

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
