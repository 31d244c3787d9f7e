//! What is read from a header, written again, gives the same bytes, in all three layouts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use overlay_types::Vni;
use vxlan_wire::{DecodeOptions, GbpHeader, GpeHeader, NextProtocol, VxlanHeader};

fuzz_target!(|bytes: &[u8]| {
    let Some(whole) = bytes.first_chunk::<8>() else { return };
    let mut buffer = [0xaa; 9];

    let header = VxlanHeader::from_prefix(bytes).expect("eight bytes").0;
    let mut again = VxlanHeader::new(Vni::MIN);
    again.set_flags(header.flags());
    again.set_reserved(header.reserved());
    again.set_vni(header.vni());
    again.set_reserved2(header.reserved2());
    again.write_to(&mut buffer).expect("nine bytes");
    assert_eq!((&buffer[..8], buffer[8]), (&whole[..], 0xaa));
    if header.validate(DecodeOptions::STRICT).is_ok() {
        assert_eq!(&VxlanHeader::new(header.vni()).to_bytes(), whole);
    }

    let header = GbpHeader::from_prefix(bytes).expect("eight bytes").0;
    let mut again = GbpHeader::new(Vni::MIN, None);
    again.set_flags(header.flags());
    again.set_policy_flags(header.policy_flags());
    again.set_group_policy_id(header.group_policy_id());
    again.set_vni(header.vni());
    again.set_reserved2(header.reserved2());
    assert_eq!(&again.to_bytes(), whole);
    if header.validate(DecodeOptions::STRICT).is_ok() {
        assert_eq!(&GbpHeader::new(header.vni(), header.group_policy()).to_bytes(), whole);
    }
    again.set_group_policy(header.group_policy());
    assert_eq!(again.group_policy(), header.group_policy());

    let header = GpeHeader::from_prefix(bytes).expect("eight bytes").0;
    let mut again = GpeHeader::new(Vni::MIN, NextProtocol::ETHERNET);
    again.set_flags(header.flags());
    again.set_reserved(header.reserved());
    again.set_next_protocol(header.next_protocol());
    again.set_vni(header.vni());
    again.set_reserved2(header.reserved2());
    assert_eq!(&again.to_bytes(), whole);
});
