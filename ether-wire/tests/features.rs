//! The optional features add, and change nothing.

#[cfg(feature = "serde")]
mod serde {
    use ether_wire::{
        DecodeOptions, Ecn, EcnMode, EtherType, EthernetHeader, FlowHash, IpProtocol, Ipv4Header, Ipv6Header, TcpFlags,
        TcpHeader, UdpHeader, VlanTag,
        arp::{ArpOperation, ArpPacket},
        icmp::IcmpHeader,
        ipv6::FragmentHeader,
        nd::{LinkLayerAddress, NeighborAdvertisement, NeighborSolicitation},
    };
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn values_are_names_and_numbers() {
        assert_eq!(serde_json::to_value(Ecn::Ect0).unwrap(), json!("ect0"));
        assert_eq!(serde_json::from_value::<Ecn>(json!("not_ect")).unwrap(), Ecn::NotEct);
        assert_eq!(serde_json::to_value(EcnMode::Compatibility).unwrap(), json!("compatibility"));
        assert_eq!(serde_json::to_value(IpProtocol::UDP).unwrap(), json!(17));
        assert_eq!(serde_json::to_value(TcpFlags::ACK).unwrap(), json!(16));
        assert_eq!(serde_json::to_value(ArpOperation::REPLY).unwrap(), json!(2));
        assert_eq!(serde_json::to_value(FlowHash::new(7)).unwrap(), json!(7));
        let strict = json!({"header_checksum": true, "reserved_bits": "reject"});
        assert_eq!(serde_json::to_value(DecodeOptions::STRICT).unwrap(), strict);
        assert_eq!(serde_json::from_value::<DecodeOptions>(strict).unwrap(), DecodeOptions::STRICT);
    }

    #[test]
    fn a_header_is_its_fields() {
        let header = EthernetHeader::new([2, 0, 0, 0, 0, 2].into(), [2, 0, 0, 0, 0, 1].into(), EtherType::IPV4);
        let expected = json!({"destination": "02:00:00:00:00:02", "source": "02:00:00:00:00:01", "ether_type": 2048});
        assert_eq!(serde_json::to_value(header).unwrap(), expected);
        let header = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 28);
        let value = serde_json::to_value(header).unwrap();
        assert_eq!((&value["source"], &value["total_length"]), (&json!("10.0.0.1"), &json!(28)));
    }

    proptest! {
        #[test]
        fn every_header_goes_there_and_back(bytes: [[u8; 10]; 4]) {
            let bytes = bytes.concat();
            macro_rules! there_and_back {
                ($($header:ty),*) => {
                    $(
                        let (header, _) = <$header>::from_prefix(&bytes).unwrap();
                        let text = serde_json::to_string(header).unwrap();
                        prop_assert_eq!(serde_json::from_str::<$header>(&text).unwrap(), *header);
                    )*
                };
            }
            there_and_back!(
                EthernetHeader, VlanTag, Ipv4Header, Ipv6Header, FragmentHeader, UdpHeader, TcpHeader, ArpPacket,
                IcmpHeader, NeighborSolicitation, NeighborAdvertisement, LinkLayerAddress
            );
        }
    }
}

#[cfg(feature = "arbitrary")]
mod arbitrary {
    use arbitrary::{Arbitrary as _, Unstructured};
    use ether_wire::{Ecn, Ipv4Header, UdpHeader};

    #[test]
    fn any_bytes_are_a_header() {
        let bytes: Vec<u8> = (0..28).collect();
        let mut unstructured = Unstructured::new(&bytes);
        let header = Ipv4Header::arbitrary(&mut unstructured).unwrap();
        assert_eq!(header.as_bytes(), &bytes[..20]);
        assert_eq!(UdpHeader::arbitrary(&mut unstructured).unwrap().as_bytes(), &bytes[20..]);
        assert_eq!(Ipv4Header::size_hint(0), (20, Some(20)));
        assert!(Ecn::arbitrary(&mut Unstructured::new(&[1, 2, 3, 4])).is_ok());
    }
}

#[cfg(feature = "bytes")]
mod bytes {
    use bytes::{Bytes, BytesMut};
    use ether_wire::{DecodeError, EncodeError, EtherType, EthernetHeader, MacAddr, UdpHeader};

    #[test]
    fn headers_are_put_and_taken() {
        let ethernet = EthernetHeader::new(MacAddr::BROADCAST, MacAddr::ZERO, EtherType::IPV4);
        let udp = UdpHeader::new(1, 2, 12);
        let mut buffer = BytesMut::new();
        ethernet.put_to(&mut buffer).unwrap();
        udp.put_to(&mut buffer).unwrap();
        buffer.extend_from_slice(b"data");

        let mut frame: Bytes = buffer.freeze();
        assert_eq!(EthernetHeader::take_from(&mut frame), Ok(ethernet));
        assert_eq!(UdpHeader::take_from(&mut frame), Ok(udp));
        assert_eq!(&frame[..], b"data");
        assert_eq!(UdpHeader::take_from(&mut frame), Err(DecodeError::Truncated { needed: 8, available: 4 }));
        assert_eq!(&frame[..], b"data");
    }

    #[test]
    fn a_short_buffer_is_left_alone() {
        let mut memory = [0xaa; 7];
        let error = UdpHeader::new(1, 2, 8).put_to(&mut &mut memory[..]).unwrap_err();
        assert_eq!(error, EncodeError::BufferTooSmall { needed: 8, available: 7 });
        assert_eq!(memory, [0xaa; 7]);
    }
}
