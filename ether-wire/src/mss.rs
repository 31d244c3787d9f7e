//! MSS clamping: a TCP connection is told, as it opens, that segments are to be no longer than what a path carries.

use overlay_types::EtherType;

use crate::{
    DecodeOptions, IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader,
    checksum::{self, Sum},
    ethernet,
};

/// Kind and length of the maximum segment size option (RFC 9293 §3.2).
const MSS: [u8; 2] = [2, 4];
/// The kind that ends TCP's options.
const END: u8 = 0;
/// The kind that fills, one byte long.
const NO_OPERATION: u8 = 1;
/// Where the checksum stands in a TCP header.
const CHECKSUM: usize = 16;

/// Lowers the maximum segment size that a TCP SYN announces to what an IP packet of `mtu` bytes holds behind headers without
/// options (RFC 6691): `mtu` − 40 over IPv4, `mtu` − 60 over IPv6. `true` where something was changed.
///
/// `frame` is an Ethernet frame with up to four VLAN tags. Nothing else is touched: no frame but a whole SYN or SYN-ACK, no
/// value that fits, no SYN without the option, which stands for 536 or 1220 bytes (RFC 9293 §3.7.1). Of an option that is
/// there twice, each is lowered. The checksum goes with it (RFC 1624); one that was left to hardware, which only covers the
/// pseudo-header, stays.
///
/// ```
/// use ether_wire::{IpProtocol, Ipv4Header, TcpFlags, TcpHeader, mss};
///
/// let mut frame = [0; 14 + 20 + 24];
/// frame[12] = 0x08;
/// Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::TCP, 44).write_to(&mut frame[14..])?;
/// let mut tcp = TcpHeader::new(40000, 80);
/// tcp.set_flags(TcpFlags::SYN);
/// tcp.set_data_offset(6);
/// tcp.write_to(&mut frame[34..])?;
/// frame[54..].copy_from_slice(&[2, 4, 0x23, 0x00]);
///
/// assert!(mss::clamp(&mut frame, 1450));
/// assert_eq!(frame[56..], 1410_u16.to_be_bytes());
/// # Ok::<(), ether_wire::EncodeError>(())
/// ```
pub fn clamp(frame: &mut [u8], mtu: u16) -> bool {
    clamp_syn(frame, mtu).unwrap_or(false)
}

/// `None` where the frame is no SYN.
fn clamp_syn(frame: &mut [u8], mtu: u16) -> Option<bool> {
    let payload = ethernet::payload(frame)?;
    let packet = frame.get_mut(payload.offset..)?;
    let (from, length, pseudo, headers) = match payload.ether_type {
        EtherType::IPV4 => {
            let parts = Ipv4Header::decode_with(packet, DecodeOptions::LENGTHS).ok()?;
            if parts.header.protocol() != IpProtocol::TCP || parts.header.is_fragment() {
                return None;
            }
            let length = parts.payload.len();
            let pseudo = parts.header.pseudo_header(length as u16);
            (parts.header.header_length(), length, pseudo, Ipv4Header::LEN + TcpHeader::LEN)
        }
        EtherType::IPV6 => {
            let parts = Ipv6Header::decode(packet).ok()?;
            if parts.protocol != IpProtocol::TCP || parts.fragment.is_some() {
                return None;
            }
            let length = parts.payload.len();
            let pseudo = parts.header.pseudo_header(IpProtocol::TCP, length as u32);
            (Ipv6Header::LEN + parts.extension_headers.len(), length, pseudo, Ipv6Header::LEN + TcpHeader::LEN)
        }
        _ => return None,
    };
    let segment = packet.get_mut(from..from + length)?;
    let (tcp, _) = TcpHeader::from_prefix(segment).ok()?;
    if !tcp.flags().contains(TcpFlags::SYN) {
        return None;
    }
    let options = TcpHeader::LEN..tcp.header_length().min(segment.len());
    let most = u16::try_from(usize::from(mtu).saturating_sub(headers)).ok()?;
    Some(lower(segment, options, most, pseudo))
}

/// Lowers the options in this part of a segment.
fn lower(segment: &mut [u8], options: core::ops::Range<usize>, most: u16, pseudo: Sum) -> bool {
    let found = u16::from_be_bytes([segment[CHECKSUM], segment[CHECKSUM + 1]]);
    // Asked for only where there is something to change: a SYN has little to add up.
    let is_partial = found == pseudo.fold() && !pseudo.add_bytes(segment).is_valid();
    let mut sum = found;
    let mut at = options.start;
    let mut is_changed = false;
    while let Some(option) = segment.get_mut(at..options.end) {
        let length = match option {
            [] | [END, ..] => break,
            [NO_OPERATION, ..] => 1,
            [kind, length, high, low, ..] if [*kind, *length] == MSS => {
                let old = u16::from_be_bytes([*high, *low]);
                if old > most {
                    [*high, *low] = most.to_be_bytes();
                    // At an odd place its bytes are halves of two words.
                    let in_words = |value: u16| if at.is_multiple_of(2) { value } else { value.swap_bytes() };
                    sum = checksum::update(sum, in_words(old), in_words(most));
                    is_changed = true;
                }
                4
            }
            [_, length, ..] if *length >= 2 => usize::from(*length),
            // What is behind a wrong length is anybody's guess.
            _ => break,
        };
        at += length;
    }
    if is_changed && !is_partial {
        segment[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    }
    is_changed
}

#[cfg(test)]
mod tests;
