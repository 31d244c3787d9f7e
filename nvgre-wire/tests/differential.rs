//! The same bytes read and written by `pnet_packet`.

use nvgre_wire::{FlowId, GrePacket, NvgreHeader, Vsid};
use pnet_packet::{
    Packet as _,
    gre::{GrePacket as PnetGrePacket, MutableGrePacket},
};
use proptest::{collection::vec, prelude::*};

/// The bytes of a field that may be missing.
fn bytes_of<const N: usize>(field: Option<[u8; N]>) -> Vec<u8> {
    field.map_or(Vec::new(), Vec::from)
}

proptest! {
    /// Of all that we read: `pnet_packet` panics on routing and reads past the end of cut packets.
    #[test]
    fn pnet_reads_the_same(flags: u16, rest in vec(any::<u8>(), 2..40)) {
        let bytes = [&(flags & 0xb3f8).to_be_bytes()[..], &rest].concat();
        let Ok(ours) = GrePacket::decode(&bytes) else { return Ok(()) };
        let theirs = PnetGrePacket::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_checksum_present() == 1, ours.header().has_checksum());
        prop_assert_eq!(theirs.get_key_present() == 1, ours.header().has_key());
        prop_assert_eq!(theirs.get_sequence_present() == 1, ours.header().has_sequence_number());
        prop_assert_eq!(theirs.get_version(), ours.header().version());
        prop_assert_eq!(theirs.get_protocol_type(), ours.header().protocol_type().get());
        prop_assert_eq!(theirs.get_checksum_raw(), bytes_of(ours.checksum().map(u16::to_be_bytes)));
        prop_assert_eq!(theirs.get_offset_raw(), bytes_of(ours.reserved1().map(u16::to_be_bytes)));
        prop_assert_eq!(theirs.get_key_raw(), bytes_of(ours.key().map(u32::to_be_bytes)));
        prop_assert_eq!(theirs.get_sequence_raw(), bytes_of(ours.sequence_number().map(u32::to_be_bytes)));
        prop_assert_eq!(theirs.payload(), ours.payload());
    }

    #[test]
    fn pnet_writes_the_same(vsid in 0x1000..0xff_ffff_u32, flow_id: u8) {
        let mut theirs = [0; 8];
        let mut packet = MutableGrePacket::new(&mut theirs).unwrap();
        packet.set_key_present(1);
        packet.set_protocol_type(0x6558);
        packet.get_key_raw_mut().copy_from_slice(&(vsid << 8 | u32::from(flow_id)).to_be_bytes());
        let ours = NvgreHeader::new(Vsid::new(vsid).unwrap(), FlowId::new(flow_id));
        prop_assert_eq!(ours.to_bytes(), theirs);
    }
}
