//! What holds for all headers and all bytes.

use nvgre_wire::{
    DecodeError, DecodeOptions, FlowId, GreFields, GreHeader, GrePacket, GrePacketMut, NvgreHeader, ReservedBits,
    ReservedVsids, Vsid,
};
use overlay_types::EtherType;
use proptest::{collection::vec, option, prelude::*};

fn vsid() -> impl Strategy<Value = Vsid> {
    (Vsid::MIN.get()..=Vsid::MAX.get()).prop_map(|value| Vsid::new(value).unwrap())
}

fn options() -> impl Strategy<Value = DecodeOptions> {
    let bits = prop_oneof![Just(ReservedBits::Ignore), Just(ReservedBits::Reject)];
    let vsids = prop_oneof![Just(ReservedVsids::Accept), Just(ReservedVsids::Reject)];
    (bits, vsids).prop_map(|(reserved_bits, reserved_vsids)| DecodeOptions { reserved_bits, reserved_vsids })
}

fn fields() -> impl Strategy<Value = GreFields> {
    (any::<u16>(), any::<bool>(), option::of(any::<u32>()), option::of(any::<u32>())).prop_map(
        |(protocol_type, checksum, key, sequence_number)| GreFields {
            protocol_type: EtherType::new(protocol_type),
            checksum,
            key,
            sequence_number,
        },
    )
}

/// A packet with these fields and this payload.
fn encode(fields: GreFields, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xaa; fields.header_len()];
    packet.extend_from_slice(payload);
    fields.write_to(&mut packet).unwrap();
    packet
}

proptest! {
    #[test]
    fn nvgre_that_is_encoded_is_decoded(vsid in vsid(), flow_id: u8, room in 8..64usize) {
        let header = NvgreHeader::new(vsid, FlowId::new(flow_id));
        let mut buffer = vec![0xaa; room];
        header.write_to(&mut buffer).unwrap();
        let (decoded, payload) = NvgreHeader::decode_with(&buffer, DecodeOptions::STRICT).unwrap();
        prop_assert_eq!((decoded, payload.len()), (&header, room - 8));
        prop_assert_eq!((decoded.vsid(), decoded.flow_id().get()), (Ok(vsid), flow_id));
        prop_assert_eq!(decoded.key(), vsid.get() << 8 | u32::from(flow_id));
        // It is plain GRE, too, with no more than a key.
        let packet = GrePacket::decode(&buffer).unwrap();
        prop_assert_eq!(packet.as_nvgre(), Ok(&header));
        prop_assert_eq!((packet.key(), packet.checksum(), packet.sequence_number()), (Some(header.key()), None, None));
    }

    #[test]
    fn nvgre_that_strict_decoding_takes_is_canonical(key: u32) {
        let mut bytes = [0x20, 0, 0x65, 0x58, 0, 0, 0, 0];
        bytes[4..].copy_from_slice(&key.to_be_bytes());
        if let Ok((header, _)) = NvgreHeader::decode_with(&bytes, DecodeOptions::STRICT) {
            prop_assert_eq!(NvgreHeader::new(header.vsid().unwrap(), header.flow_id()).to_bytes(), bytes);
        }
    }

    #[test]
    fn nvgre_fields(bytes: [u8; 8], vsid in vsid(), flow_id: u8, flags: u16, protocol_type: u16) {
        macro_rules! edited {
            (|$header:ident| $edit:expr, mask $mask:expr) => {{
                let mut edited = bytes;
                let ($header, _) = NvgreHeader::from_prefix_mut(&mut edited).unwrap();
                $edit;
                let changed = u64::from_be_bytes(bytes) ^ u64::from_be_bytes(edited);
                prop_assert_eq!(changed & !$mask, 0, "{:016x}", changed);
                *NvgreHeader::from_prefix(&edited).unwrap().0
            }};
        }
        prop_assert_eq!(edited!(|header| header.set_vsid(vsid), mask 0xffff_ff00).vsid(), Ok(vsid));
        let flow_id = FlowId::new(flow_id);
        prop_assert_eq!(edited!(|header| header.set_flow_id(flow_id), mask 0xff).flow_id(), flow_id);
        let header = edited!(|header| header.gre_mut().set_flags(flags), mask 0xffff << 48);
        prop_assert_eq!(header.gre().flags(), flags);
        prop_assert_eq!(header.gre().has_checksum(), flags & 0x8000 != 0);
        prop_assert_eq!(header.gre().has_key(), flags & 0x2000 != 0);
        prop_assert_eq!(header.gre().has_sequence_number(), flags & 0x1000 != 0);
        let protocol_type = EtherType::new(protocol_type);
        let header = edited!(|header| header.gre_mut().set_protocol_type(protocol_type), mask 0xffff << 32);
        prop_assert_eq!(header.gre().protocol_type(), protocol_type);
    }

    #[test]
    fn gre_that_is_encoded_is_decoded(fields in fields(), payload in vec(any::<u8>(), 0..70)) {
        let bytes = encode(fields, &payload);
        let packet = GrePacket::decode_with(&bytes, DecodeOptions::STRICT).unwrap();
        prop_assert_eq!(packet.header().protocol_type(), fields.protocol_type);
        prop_assert_eq!(packet.checksum().is_some(), fields.checksum);
        prop_assert_eq!((packet.key(), packet.sequence_number()), (fields.key, fields.sequence_number));
        prop_assert_eq!(packet.payload(), &payload);
        prop_assert_eq!(packet.verify_checksum(), Ok(()));
        prop_assert_eq!(GreHeader::from_prefix(&bytes).unwrap().0, &fields.header());
    }

    #[test]
    fn a_changed_bit_is_found(mut fields in fields(), payload in vec(any::<u8>(), 0..70), place: prop::sample::Index, bit in 0..8) {
        fields.checksum = true;
        let mut bytes = encode(fields, &payload);
        let right = GrePacket::decode(&bytes).unwrap().checksum().unwrap();
        // Bits of the flags would make it another packet.
        let place = 2 + place.index(bytes.len() - 2);
        bytes[place] ^= 1_u8 << bit;
        let packet = GrePacket::decode(&bytes).unwrap();
        let error = packet.verify_checksum().unwrap_err();
        if place == 4 || place == 5 {
            prop_assert_eq!(error, DecodeError::Checksum { found: packet.checksum().unwrap(), expected: right });
        } else {
            let DecodeError::Checksum { found, expected } = error else { panic!("{error}") };
            prop_assert_eq!(found, right);
            prop_assert_ne!(expected, right);
        }
    }

    #[test]
    fn checksums_stay_right_after_any_edit(
        mut fields in fields(), payload in vec(any::<u8>(), 0..70),
        edits in vec((any::<u16>(), any::<u32>(), any::<u32>(), any::<u8>()), 1..5),
    ) {
        fields.checksum = true;
        let mut bytes = encode(fields, &payload);
        for (protocol_type, key, sequence_number, byte) in edits {
            let mut packet = GrePacketMut::decode_with(&mut bytes, DecodeOptions::RFC).unwrap();
            packet.header.set_protocol_type(EtherType::new(protocol_type));
            packet.reserved1.as_deref_mut().unwrap().set(protocol_type);
            if let Some(field) = packet.key.as_deref_mut() {
                field.set(key);
            }
            if let Some(field) = packet.sequence_number.as_deref_mut() {
                field.set(sequence_number);
            }
            packet.payload.fill(byte);
            packet.update_checksum();

            let packet = GrePacket::decode(&bytes).unwrap();
            prop_assert_eq!(packet.verify_checksum(), Ok(()));
            prop_assert_eq!(packet.header().protocol_type().get(), protocol_type);
            prop_assert_eq!(packet.reserved1(), Some(protocol_type));
            prop_assert_eq!(packet.key(), fields.key.map(|_| key));
            prop_assert_eq!(packet.sequence_number(), fields.sequence_number.map(|_| sequence_number));
            prop_assert!(packet.payload().iter().all(|other| *other == byte));
        }
    }

    #[test]
    fn any_bytes_are_answered_within_their_bounds(mut bytes in vec(any::<u8>(), 0..40), likely: bool, options in options()) {
        if likely && bytes.len() > 4 {
            bytes[0] &= 0xb0;
            bytes[1] = 0;
        }
        if let Ok((header, payload)) = NvgreHeader::decode_with(&bytes, options) {
            prop_assert_eq!(&header.as_bytes()[..], &bytes[..8]);
            prop_assert_eq!(payload, &bytes[8..]);
        }
        let mut copy = bytes.clone();
        match (GrePacket::decode_with(&bytes, options), GrePacketMut::decode_with(&mut copy, options)) {
            (Ok(packet), Ok(packet_mut)) => {
                let len = packet.header().header_len();
                prop_assert_eq!(packet.payload(), &bytes[len..]);
                prop_assert_eq!(packet.header(), &*packet_mut.header);
                prop_assert_eq!(packet.checksum(), packet_mut.checksum.map(|field| field.get()));
                prop_assert_eq!(packet.reserved1(), packet_mut.reserved1.map(|field| field.get()));
                prop_assert_eq!(packet.key(), packet_mut.key.map(|field| field.get()));
                prop_assert_eq!(packet.sequence_number(), packet_mut.sequence_number.map(|field| field.get()));
                prop_assert_eq!(packet.payload(), &*packet_mut.payload);
            }
            (immutable, mutable) => prop_assert_eq!(immutable.err(), mutable.err()),
        }
    }
}
