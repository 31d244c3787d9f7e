//! Frames that a test knows again, made by hand: they must not depend on the code under test.

use overlay_types::{MacAddr, Vni};

/// IEEE Std 802, Local Experimental `EtherType` 1: no kernel says anything in it by itself.
pub const EXPERIMENTAL: u16 = 0x88b5;

/// RFC 7348 §5.
pub const VXLAN_HEADER_LEN: usize = 8;

const ETHERNET_LEN: usize = 14;

/// An Ethernet frame with the `EtherType` [`EXPERIMENTAL`].
#[must_use]
pub fn frame(destination: MacAddr, source: MacAddr, payload: &[u8]) -> Vec<u8> {
    [&destination.octets()[..], &source.octets(), &EXPERIMENTAL.to_be_bytes(), payload].concat()
}

/// A VXLAN datagram's payload: the header with the I flag alone, and `inner`.
#[must_use]
pub fn vxlan(vni: u32, inner: &[u8]) -> Vec<u8> {
    let vni = Vni::new(vni).unwrap_or_default().to_be_bytes();
    [&[0x08, 0, 0, 0, vni[0], vni[1], vni[2], 0], inner].concat()
}

/// The address that the guest of the host with this number has: `02:00:00:00:NN:01`.
#[must_use]
pub fn guest_mac(number: u8) -> MacAddr {
    MacAddr::new([0x02, 0, 0, 0, number, 0x01])
}

/// Frames of one sender with a number in each.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    /// Whom they go to.
    pub destination: MacAddr,
    /// Whom they say to be from.
    pub source: MacAddr,
    /// Tells this run of frames from others.
    pub stream: u32,
    /// Bytes of a whole frame, 22 at least.
    pub len: usize,
}

impl Numbered {
    /// Frames of 100 bytes.
    #[must_use]
    pub const fn new(destination: MacAddr, source: MacAddr, stream: u32) -> Self {
        Self { destination, source, stream, len: 100 }
    }

    /// The frame with this number.
    #[must_use]
    pub fn frame(&self, number: u32) -> Vec<u8> {
        let mut payload = [self.stream.to_be_bytes(), number.to_be_bytes()].concat();
        payload.resize(self.len.saturating_sub(ETHERNET_LEN).max(payload.len()), 0x5a);
        frame(self.destination, self.source, &payload)
    }

    /// The frames with the numbers from 0 below `count`.
    pub fn frames(&self, count: u32) -> impl Iterator<Item = Vec<u8>> + '_ {
        (0..count).map(|number| self.frame(number))
    }
}

/// The numbers of the frames of a stream, in the order of arrival. Frames of others are left out.
#[must_use]
pub fn sequence_numbers<'a>(frames: impl IntoIterator<Item = &'a Vec<u8>>, stream: u32) -> Vec<u32> {
    let word = |frame: &[u8], at: usize| frame.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    frames
        .into_iter()
        .filter(|frame| frame.get(12..14) == Some(&EXPERIMENTAL.to_be_bytes()) && word(frame, 14) == Some(stream))
        .filter_map(|frame| word(frame, 18))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_frame_is_known_again() {
        let stream = Numbered::new(MacAddr::BROADCAST, guest_mac(1), 7);
        let frames: Vec<_> = stream.frames(3).collect();
        assert!(frames.iter().all(|frame| frame.len() == 100));
        assert_eq!(sequence_numbers(&frames, 7), [0, 1, 2]);
        assert_eq!(sequence_numbers(&frames, 8), [0; 0]);
        assert_eq!(sequence_numbers([&vec![0xff; 14]], 7), [0; 0]);
    }

    #[test]
    fn the_vxlan_header_is_that_of_the_standard() {
        assert_eq!(vxlan(0x0012_3456, &[0xaa]), [0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0, 0xaa]);
    }
}
