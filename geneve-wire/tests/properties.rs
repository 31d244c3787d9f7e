//! What holds for all packets and all bytes.

use geneve_wire::{
    CriticalFlag, DecodeError, DecodeOptions, EncodeError, GeneveBuilder, GeneveHeader, GenevePacket, GenevePacketMut,
    OptionClass, OptionHandling, OptionType, Payload, ReservedBits, TypedOption,
};
use overlay_types::{EtherType, Vni};
use proptest::{collection::vec, prelude::*};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::big_endian::U16};

fn vni() -> impl Strategy<Value = Vni> {
    any::<[u8; 3]>().prop_map(Vni::from_be_bytes)
}

fn options() -> impl Strategy<Value = DecodeOptions> {
    let bits = prop_oneof![Just(ReservedBits::Ignore), Just(ReservedBits::Reject)];
    let handling = prop_oneof![Just(OptionHandling::Process), Just(OptionHandling::Strip)];
    let flag = prop_oneof![Just(CriticalFlag::Ignore), Just(CriticalFlag::NeedsOptions), Just(CriticalFlag::Exact)];
    (bits, handling, flag).prop_map(|(reserved_bits, option_handling, critical_flag)| DecodeOptions {
        reserved_bits,
        option_handling,
        critical_flag,
    })
}

/// Class, type and data of an option, of any length.
type Pushed = (u16, u8, Vec<u8>);

fn pushed() -> impl Strategy<Value = Vec<Pushed>> {
    let words = vec(any::<[u8; 4]>(), 0..34).prop_map(|words| words.concat());
    let any_length = vec(any::<u8>(), 0..140);
    vec((any::<u16>(), any::<u8>(), prop_oneof![9 => words, 1 => any_length]), 0..12)
}

/// Bytes that often look like a packet: the fixed header mostly right, options mostly short.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let header = (0..8_u8, any::<[u8; 7]>()).prop_map(|(first, rest)| [&[first], &rest[..]].concat());
    let option = (any::<[u8; 3]>(), 0..4_u8)
        .prop_map(|(head, words)| [&head[..], &[words], &vec![0x5a; 4 * usize::from(words)]].concat());
    let likely = (header, vec(option, 0..4)).prop_map(|(header, options)| [header, options.concat()].concat());
    prop_oneof![likely, vec(any::<u8>(), 0..300)]
}

#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct LogicalPorts {
    input: U16,
    output: U16,
}

impl TypedOption for LogicalPorts {
    const CLASS: OptionClass = OptionClass::OVN;
    const TYPE: OptionType = OptionType::new(0x80);
}

/// A layout of as many words as there are.
#[derive(Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Trace {
    instructions: U16,
    hops: [u8; 2],
    stack: [[u8; 4]],
}

impl TypedOption for Trace {
    const CLASS: OptionClass = OptionClass::IN_BAND_NETWORK_TELEMETRY;
    const TYPE: OptionType = OptionType::new(0x01);
}

proptest! {
    #[test]
    fn what_is_built_is_decoded(vni in vni(), protocol: u16, control: bool, pushed in pushed(), payload in vec(any::<u8>(), 0..20), room in 8..320usize) {
        let protocol_type = EtherType::new(protocol);
        let mut buffer = vec![0xaa; room];
        let mut builder = GeneveBuilder::new(&mut buffer, vni, protocol_type).unwrap();
        builder.set_control(control);
        let mut taken: Vec<&Pushed> = Vec::new();
        let mut len = 8;
        for option in &pushed {
            let (class, option_type, data) = option;
            let needed = len + 4 + data.len();
            match builder.push(OptionClass::new(*class), OptionType::new(*option_type), data) {
                Ok(()) => {
                    taken.push(option);
                    len = needed;
                }
                Err(EncodeError::OptionTooLong { len }) => prop_assert!(len == data.len() && len > 124),
                Err(EncodeError::OptionUnaligned { len }) => prop_assert!(len == data.len() && len % 4 != 0),
                Err(EncodeError::OptionsTooLong { len }) => prop_assert!(len == needed - 8 && len > 252),
                Err(error) => prop_assert_eq!(error, EncodeError::BufferTooSmall { needed, available: room }),
            }
        }
        prop_assert_eq!(builder.finish(), len);
        prop_assert!(buffer[len..].iter().all(|byte| *byte == 0xaa));

        buffer.truncate(len);
        buffer.extend_from_slice(&payload);
        let packet = GenevePacket::decode_with(&buffer, DecodeOptions::STRICT).unwrap();
        let header = packet.header();
        prop_assert_eq!((header.vni(), header.protocol_type(), header.is_control()), (vni, protocol_type, control));
        prop_assert_eq!(header.is_critical(), taken.iter().any(|(_, option_type, _)| option_type & 0x80 != 0));
        prop_assert_eq!(header.header_len(), len);
        let decoded: Vec<Pushed> = packet
            .options()
            .iter()
            .map(|option| (option.class().get(), option.option_type().get(), option.data().to_vec()))
            .collect();
        prop_assert!(decoded.iter().eq(taken));
        prop_assert_eq!(packet.payload(), &payload);

        // An unknown option is kept as it is: all of them again give the same bytes.
        let mut again = vec![0x55; len];
        let mut builder = GeneveBuilder::new(&mut again, vni, protocol_type).unwrap();
        builder.set_control(control);
        for option in packet.options() {
            builder.push_option(&option).unwrap();
        }
        prop_assert_eq!(builder.finish(), len);
        prop_assert_eq!(&again, &buffer[..len]);
    }

    #[test]
    fn any_bytes_are_answered_within_their_bounds(bytes in bytes(), options in options()) {
        match GenevePacket::decode_with(&bytes, options) {
            Ok(packet) => {
                let len = packet.header().header_len();
                prop_assert_eq!(&packet.header().as_bytes()[..], &bytes[..8]);
                prop_assert_eq!(packet.payload(), &bytes[len..]);
                if options.option_handling == OptionHandling::Process {
                    prop_assert_eq!(packet.options().as_bytes(), &bytes[8..len]);
                    let sum: usize = packet.options().iter().map(|option| 4 + option.data().len()).sum();
                    prop_assert_eq!(sum, len - 8);
                } else {
                    prop_assert!(packet.options().is_empty() && !packet.header().is_critical());
                }
                for option in packet.options() {
                    prop_assert!(bytes.as_ptr_range().contains(&option.data().as_ptr()) || option.data().is_empty());
                }
                let payload = match packet.typed_payload() {
                    Payload::Ethernet(frame) => (0x6558, frame),
                    Payload::Ipv4(packet) => (0x0800, packet),
                    Payload::Ipv6(packet) => (0x86dd, packet),
                    Payload::Other(protocol_type, bytes) => (protocol_type.get(), bytes),
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(payload, (packet.header().protocol_type().get(), packet.payload()));
            }
            Err(DecodeError::Truncated { needed, available }) => {
                prop_assert!(available == bytes.len() && available < needed && needed <= GeneveHeader::MAX_LEN);
            }
            Err(DecodeError::OptionOverrun { offset, needed, available }) => {
                prop_assert!(needed > available && 8 + offset + available <= bytes.len());
            }
            Err(_) => prop_assert!(bytes.len() >= 8),
        }
    }

    #[test]
    fn the_mutable_packet_is_the_same_packet(bytes in bytes(), options in options()) {
        let mut copy = bytes.clone();
        match (GenevePacket::decode_with(&bytes, options), GenevePacketMut::decode_with(&mut copy, options)) {
            (Ok(packet), Ok(packet_mut)) => {
                prop_assert_eq!(packet.header(), &*packet_mut.header);
                prop_assert_eq!(packet.payload(), &*packet_mut.payload);
                prop_assert_eq!(packet.options(), packet_mut.options.as_options());
                let mut expected = packet.options().iter();
                for option in packet_mut.options {
                    prop_assert_eq!(Some(option.as_option()), expected.next());
                }
                prop_assert_eq!(expected.next(), None);
            }
            (immutable, mutable) => prop_assert_eq!(immutable.err(), mutable.err()),
        }
    }

    #[test]
    fn header_fields(bytes: [u8; 8], vni in vni(), protocol: u16, byte: u8, flag: bool) {
        macro_rules! set_then_get {
            ($set:ident, $get:ident, $value:expr, mask $mask:expr) => {{
                let mut edited = bytes;
                let (header, _) = GeneveHeader::from_prefix_mut(&mut edited).unwrap();
                header.$set($value);
                prop_assert_eq!(header.$get(), $value);
                let changed = u64::from_be_bytes(bytes) ^ u64::from_be_bytes(edited);
                prop_assert_eq!(changed & !$mask, 0, "{:016x}", changed);
            }};
        }
        set_then_get!(set_version_opt_len, version_opt_len, byte, mask 0xff << 56);
        set_then_get!(set_flags, flags, byte, mask 0xff << 48);
        set_then_get!(set_control, is_control, flag, mask 0x80 << 48);
        set_then_get!(set_critical, is_critical, flag, mask 0x40 << 48);
        set_then_get!(set_protocol_type, protocol_type, EtherType::new(protocol), mask 0xffff << 32);
        set_then_get!(set_vni, vni, vni, mask 0xff_ffff << 8);
        set_then_get!(set_reserved2, reserved2, byte, mask 0xff);
        let header = GeneveHeader::from_prefix(&bytes).unwrap().0;
        prop_assert_eq!(header.version() << 6 | header.opt_len(), header.version_opt_len());
    }

    #[test]
    fn option_fields(class: u16, option_type: u8, reserved in 0..8_u8, data in vec(any::<[u8; 4]>(), 0..31)) {
        let mut buffer = [0; GeneveHeader::MAX_LEN];
        let mut builder = GeneveBuilder::new(&mut buffer, Vni::MIN, EtherType::IPV4).unwrap();
        let data = data.concat();
        let zeros = vec![0; data.len()];
        for _ in 0..2 {
            builder.push(OptionClass::new(0x0102), OptionType::new(0x03), &zeros).unwrap();
        }
        let len = builder.finish();
        let packet = GenevePacketMut::decode_with(&mut buffer[..len], DecodeOptions::RFC).unwrap();
        let mut last = packet.options.into_iter().last().unwrap();
        last.set_class(OptionClass::new(class));
        last.set_option_type(OptionType::new(option_type));
        last.set_reserved(reserved);
        last.data_mut().copy_from_slice(&data);
        let option = last.as_option();
        prop_assert_eq!((option.class().get(), option.option_type().get()), (class, option_type));
        prop_assert_eq!((option.reserved(), option.data()), (reserved, &data[..]));

        let packet = GenevePacket::decode(&buffer[..len]).unwrap();
        let options: Vec<_> = packet.options().iter().collect();
        prop_assert_eq!((options[0].class().get(), options[0].data()), (0x0102, &zeros[..]));
        prop_assert_eq!(options[1].reserved(), reserved);
        prop_assert_eq!(options.len(), 2);
    }

    #[test]
    fn typed_options(input: u16, output: u16, instructions: u16, stack in vec(any::<[u8; 4]>(), 0..30)) {
        let ports = LogicalPorts { input: input.into(), output: output.into() };
        let trace = [&instructions.to_be_bytes()[..], &[1, 2], &stack.concat()].concat();
        let trace = Trace::ref_from_bytes(&trace).unwrap();
        let mut buffer = [0; GeneveHeader::MAX_LEN];
        let mut builder = GeneveBuilder::new(&mut buffer, Vni::MIN, EtherType::IPV4).unwrap();
        builder.push(OptionClass::OVN, OptionType::new(0x7f), &[]).unwrap();
        builder.push_typed(trace).unwrap();
        builder.push_typed(&ports).unwrap();
        let len = builder.finish();
        let packet = GenevePacket::decode_with(&buffer[..len], DecodeOptions::STRICT).unwrap();
        prop_assert_eq!(packet.options().typed::<LogicalPorts>(), Ok(Some(&ports)));
        prop_assert_eq!(packet.options().typed::<Trace>(), Ok(Some(trace)));
        let known = |class, option_type| (class, option_type) == (LogicalPorts::CLASS, LogicalPorts::TYPE);
        prop_assert_eq!(packet.options().refuse_unknown_critical(known), Ok(()));
    }
}

#[test]
fn a_typed_option_of_a_wrong_length_is_refused() {
    let mut buffer = [0; GeneveHeader::MAX_LEN];
    let mut builder = GeneveBuilder::new(&mut buffer, Vni::MIN, EtherType::IPV4).unwrap();
    builder.push(LogicalPorts::CLASS, LogicalPorts::TYPE, &[0; 8]).unwrap();
    builder.push(Trace::CLASS, Trace::TYPE, &[]).unwrap();
    let len = builder.finish();
    let options = GenevePacket::decode(&buffer[..len]).unwrap().options();
    let (class, option_type) = (LogicalPorts::CLASS, LogicalPorts::TYPE);
    assert_eq!(options.typed::<LogicalPorts>(), Err(DecodeError::OptionLayout { class, option_type, len: 8 }));
    let (class, option_type) = (Trace::CLASS, Trace::TYPE);
    assert_eq!(options.typed::<Trace>(), Err(DecodeError::OptionLayout { class, option_type, len: 0 }));
    assert_eq!(options.iter().next().unwrap().typed::<Trace>(), Ok(None));
}

#[test]
fn the_first_unknown_critical_option_is_named() {
    let mut buffer = [0; GeneveHeader::MAX_LEN];
    let mut builder = GeneveBuilder::new(&mut buffer, Vni::MIN, EtherType::IPV4).unwrap();
    for option_type in [0x01, 0x81, 0x02, 0x82, 0x83] {
        builder.push(OptionClass::EXPERIMENTAL, OptionType::new(option_type), &[]).unwrap();
    }
    let len = builder.finish();
    let options = GenevePacket::decode(&buffer[..len]).unwrap().options();
    let mut asked = Vec::new();
    let refused = options.refuse_unknown_critical(|_, option_type| {
        asked.push(option_type.get());
        option_type.get() == 0x81
    });
    let (class, option_type) = (OptionClass::EXPERIMENTAL, OptionType::new(0x82));
    assert_eq!(refused, Err(DecodeError::UnknownCriticalOption { class, option_type }));
    assert_eq!(asked, [0x81, 0x82], "asked for critical options alone, and no further than needed");
}
