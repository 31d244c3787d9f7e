//! The same bytes read and written by `pnet_packet`.

use overlay_types::Vni;
use pnet_packet::{
    Packet as _,
    vxlan::{MutableVxlanPacket, VxlanPacket},
};
use proptest::prelude::*;
use vxlan_wire::VxlanHeader;

proptest! {
    #[test]
    fn pnet_reads_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let theirs = VxlanPacket::new(&bytes);
        let ours = VxlanHeader::from_prefix(&bytes).ok();
        prop_assert_eq!(theirs.is_some(), ours.is_some());
        if let (Some(theirs), Some((ours, payload))) = (theirs, ours) {
            prop_assert_eq!(theirs.get_flags(), ours.flags());
            prop_assert_eq!(&theirs.get_reserved1().to_be_bytes()[1..], ours.reserved());
            prop_assert_eq!(theirs.get_vni(), ours.vni().get());
            prop_assert_eq!(theirs.get_reserved2(), ours.reserved2());
            prop_assert_eq!(theirs.payload(), payload);
        }
    }

    #[test]
    fn pnet_writes_the_same(flags: u8, reserved: [u8; 3], vni: [u8; 3], reserved2: u8) {
        let mut theirs = [0; 8];
        let mut packet = MutableVxlanPacket::new(&mut theirs).unwrap();
        let [a, b, c] = reserved;
        packet.set_flags(flags);
        packet.set_reserved1(u32::from_be_bytes([0, a, b, c]));
        packet.set_vni(Vni::from_be_bytes(vni).get());
        packet.set_reserved2(reserved2);

        let mut ours = VxlanHeader::new(Vni::from_be_bytes(vni));
        ours.set_flags(flags);
        ours.set_reserved(reserved);
        ours.set_reserved2(reserved2);
        prop_assert_eq!(ours.to_bytes(), theirs);
    }
}
