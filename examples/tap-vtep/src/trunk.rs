//! A trunk: one TAP for several segments, told apart by VLAN tags (IEEE Std 802.1Q). A frame from the TAP goes to the segment
//! of its tag, without the tag; a frame of a segment goes to the TAP with it.

use std::sync::Arc;

use ether_wire::{EtherType, EthernetHeader, ethernet::VlanTag};

/// Where a tag stands in a frame: behind the two MAC addresses.
pub(crate) const TAG_AT: usize = 12;
/// The bytes of a tag.
pub(crate) const TAG_LEN: usize = VlanTag::LEN;

/// A segment's place on a trunk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mapping {
    /// The name of the TAP.
    pub(crate) trunk: Arc<str>,
    /// The VLAN identifier, 1 to 4094.
    pub(crate) vlan: u16,
}

impl Mapping {
    /// The bytes of the tag: priority 0.
    pub(crate) fn tag(&self) -> [u8; TAG_LEN] {
        let [high, low] = self.vlan.to_be_bytes();
        let [a, b] = EtherType::VLAN.get().to_be_bytes();
        [a, b, high, low]
    }
}

/// The VLAN identifier of a frame from a trunk; `None` for one that has no tag, or only a priority.
pub(crate) fn vlan_of(frame: &[u8]) -> Option<u16> {
    let (ethernet, behind) = EthernetHeader::from_prefix(frame).ok()?;
    let &[high, low, ..] = behind else { return None };
    // A whole Ethernet header has to be left without the tag.
    let is_whole = behind.len() >= TAG_LEN && ethernet.ether_type() == EtherType::VLAN;
    let vlan = u16::from_be_bytes([high, low]) & 0xfff;
    (is_whole && vlan != 0).then_some(vlan)
}

/// Takes the tag out of a frame that has one: the frame begins [`TAG_LEN`] bytes later now.
pub(crate) fn take_tag(frame: &mut [u8]) -> &mut [u8] {
    frame.copy_within(..TAG_AT, TAG_LEN);
    &mut frame[TAG_LEN..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(behind_the_addresses: &[u8]) -> Vec<u8> {
        [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], behind_the_addresses].concat()
    }

    #[test]
    fn each_vlan_is_read_whatever_the_priority() {
        for tag in 0..=u16::MAX {
            let [high, low] = tag.to_be_bytes();
            let vlan = vlan_of(&frame(&[0x81, 0x00, high, low, 0x08, 0x00, 1]));
            assert_eq!(vlan, (tag & 0xfff != 0).then_some(tag & 0xfff));
        }
    }

    #[test]
    fn what_has_no_tag_of_8021q_is_of_no_vlan() {
        for behind in [&[0x08, 0x00, 0, 7, 0x08, 0x00][..], &[0x88, 0xa8, 0, 7, 0x08, 0x00], &[0x81, 0x00, 0, 7, 0x08]]
        {
            assert_eq!(vlan_of(&frame(behind)), None, "{behind:x?}");
        }
        for length in 0..18 {
            assert_eq!(vlan_of(&frame(&[0x81, 0x00, 0, 7, 0x08, 0x00])[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_tag_is_taken_out_and_put_in() {
        let mapping = Mapping { trunk: "trunk0".into(), vlan: 0xabc };
        let mut tagged = frame(&[&mapping.tag()[..], &[0x08, 0x00, 1, 2, 3]].concat());
        assert_eq!(vlan_of(&tagged), Some(0xabc));
        assert_eq!(take_tag(&mut tagged), frame(&[0x08, 0x00, 1, 2, 3]));
    }
}
