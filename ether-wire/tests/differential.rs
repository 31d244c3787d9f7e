//! What `pnet_packet` and `etherparse` read is what we write, and what they write is what we read.

use ether_wire::{
    DecodeOptions, Ecn, EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, MacAddr, TcpFlags, TcpHeader,
    UdpHeader, VlanTag,
    arp::{ArpOperation, ArpPacket},
    checksum::{Sum, checksum},
    ethernet, ipv6,
};
use etherparse::{LinkSlice, NetSlice, SlicedPacket, TransportSlice};
use pnet_packet::Packet as _;
use proptest::prelude::*;

/// The fields of a frame with IPv4 or IPv6 and UDP or TCP.
#[derive(Clone, Debug)]
struct Fields {
    stations: [[u8; 6]; 2],
    vlan: Option<u16>,
    ipv6: bool,
    addresses: [u128; 2],
    dscp: u8,
    ecn: u8,
    ttl: u8,
    identification: u16,
    dont_fragment: bool,
    flow_label: u32,
    tcp: bool,
    ports: [u16; 2],
    numbers: [u32; 2],
    flags: u8,
    window: u16,
    data: Vec<u8>,
}

prop_compose! {
    fn fields()(
        (stations, vlan, ipv6, addresses) in any::<([[u8; 6]; 2], Option<u16>, bool, [u128; 2])>(),
        (dscp, ecn, ttl, identification, dont_fragment) in (0_u8..64, 0_u8..4, any::<u8>(), any::<u16>(), any::<bool>()),
        flow_label in 0_u32..1 << 20,
        (tcp, ports, numbers, flags, window) in any::<(bool, [u16; 2], [u32; 2], u8, u16)>(),
        data in prop::collection::vec(any::<u8>(), 0..100),
    ) -> Fields {
        let vlan = vlan.map(|id| id & 0xfff);
        Fields {
            stations, vlan, ipv6, addresses, dscp, ecn, ttl, identification, dont_fragment, flow_label, tcp, ports,
            numbers, flags, window, data,
        }
    }
}

impl Fields {
    /// The frame as we write it.
    fn encode(&self) -> Vec<u8> {
        let protocol = if self.tcp { IpProtocol::TCP } else { IpProtocol::UDP };
        let length = if self.tcp { TcpHeader::LEN } else { UdpHeader::LEN } + self.data.len();
        let ether_type = if self.ipv6 { EtherType::IPV6 } else { EtherType::IPV4 };
        let outermost = if self.vlan.is_some() { EtherType::VLAN } else { ether_type };
        let [destination, source] = self.stations.map(MacAddr::new);
        let mut frame = EthernetHeader::new(destination, source, outermost).as_bytes().to_vec();
        if let Some(id) = self.vlan {
            frame.extend(VlanTag::new(id, ether_type).as_bytes());
        }
        let pseudo_header = if self.ipv6 {
            let [source, destination] = self.addresses.map(Into::into);
            let mut header = Ipv6Header::new(source, destination, protocol, length as u16);
            header.set_dscp(self.dscp);
            header.set_ecn(Ecn::from_bits(self.ecn));
            header.set_flow_label(self.flow_label);
            header.set_hop_limit(self.ttl);
            frame.extend(header.as_bytes());
            header.pseudo_header(protocol, length as u32)
        } else {
            let [source, destination] = self.addresses.map(|address| (address as u32).into());
            let mut header = Ipv4Header::new(source, destination, protocol, (Ipv4Header::LEN + length) as u16);
            header.set_dscp(self.dscp);
            header.set_ecn(Ecn::from_bits(self.ecn));
            header.set_identification(self.identification);
            header.set_dont_fragment(self.dont_fragment);
            header.set_ttl(self.ttl);
            frame.extend(header.as_bytes());
            header.pseudo_header(length as u16)
        };
        if self.tcp {
            let mut header = TcpHeader::new(self.ports[0], self.ports[1]);
            header.set_sequence_number(self.numbers[0]);
            header.set_acknowledgment_number(self.numbers[1]);
            header.set_flags(TcpFlags::from_bits(self.flags));
            header.set_window(self.window);
            header.set_checksum(header.compute_checksum(pseudo_header, &self.data));
            frame.extend(header.as_bytes());
        } else {
            let mut header = UdpHeader::new(self.ports[0], self.ports[1], length as u16);
            header.set_checksum(header.compute_checksum(pseudo_header, &self.data));
            frame.extend(header.as_bytes());
        }
        frame.extend(&self.data);
        frame
    }

    /// The frame as etherparse writes it.
    fn encode_by_etherparse(&self) -> Vec<u8> {
        use etherparse::{Ipv4Header, Ipv6FlowLabel, Ipv6Header, PacketBuilder, VlanId};

        let [destination, source] = self.stations;
        let builder = PacketBuilder::ethernet2(source, destination);
        let ip = if self.ipv6 {
            etherparse::IpHeaders::Ipv6(
                Ipv6Header {
                    traffic_class: self.dscp << 2 | self.ecn,
                    flow_label: Ipv6FlowLabel::try_new(self.flow_label).unwrap(),
                    hop_limit: self.ttl,
                    source: self.addresses[0].to_be_bytes(),
                    destination: self.addresses[1].to_be_bytes(),
                    ..Default::default()
                },
                etherparse::Ipv6Extensions::default(),
            )
        } else {
            let [source, destination] = self.addresses.map(|address| (address as u32).to_be_bytes());
            let protocol = if self.tcp { etherparse::IpNumber::TCP } else { etherparse::IpNumber::UDP };
            let mut header = Ipv4Header::new(0, self.ttl, protocol, source, destination).unwrap();
            header.dscp = self.dscp.try_into().unwrap();
            header.ecn = self.ecn.try_into().unwrap();
            header.identification = self.identification;
            header.dont_fragment = self.dont_fragment;
            etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
        };
        let builder = match self.vlan {
            Some(id) => builder.single_vlan(VlanId::try_new(id).unwrap()).ip(ip),
            None => builder.ip(ip),
        };
        let mut frame = Vec::new();
        if self.tcp {
            let mut header = etherparse::TcpHeader::new(self.ports[0], self.ports[1], self.numbers[0], self.window);
            header.acknowledgment_number = self.numbers[1];
            let flags = TcpFlags::from_bits(self.flags);
            header.fin = flags.contains(TcpFlags::FIN);
            header.syn = flags.contains(TcpFlags::SYN);
            header.rst = flags.contains(TcpFlags::RST);
            header.psh = flags.contains(TcpFlags::PSH);
            header.ack = flags.contains(TcpFlags::ACK);
            header.urg = flags.contains(TcpFlags::URG);
            header.ece = flags.contains(TcpFlags::ECE);
            header.cwr = flags.contains(TcpFlags::CWR);
            builder.tcp_header(header).write(&mut frame, &self.data).unwrap();
        } else {
            builder.udp(self.ports[0], self.ports[1]).write(&mut frame, &self.data).unwrap();
        }
        frame
    }

    /// Asserts that `pnet_packet` reads these fields.
    fn assert_pnet_reads(&self, frame: &[u8]) {
        use pnet_packet::{ethernet, ipv4, ipv6, tcp, udp, vlan};

        let packet = ethernet::EthernetPacket::new(frame).unwrap();
        assert_eq!([packet.get_destination().octets(), packet.get_source().octets()], self.stations);
        let mut bytes = packet.payload();
        if let Some(id) = self.vlan {
            let tag = vlan::VlanPacket::new(bytes).unwrap();
            assert_eq!(tag.get_vlan_identifier(), id);
            bytes = &bytes[VlanTag::LEN..];
        }
        let transport = if self.ipv6 {
            let packet = ipv6::Ipv6Packet::new(bytes).unwrap();
            assert_eq!([packet.get_source().to_bits(), packet.get_destination().to_bits()], self.addresses);
            assert_eq!(packet.get_traffic_class(), self.dscp << 2 | self.ecn);
            assert_eq!((packet.get_flow_label(), packet.get_hop_limit()), (self.flow_label, self.ttl));
            &bytes[Ipv6Header::LEN..]
        } else {
            let packet = ipv4::Ipv4Packet::new(bytes).unwrap();
            let addresses = [packet.get_source().to_bits(), packet.get_destination().to_bits()];
            assert_eq!(addresses, self.addresses.map(|address| address as u32));
            assert_eq!((packet.get_dscp(), packet.get_ecn(), packet.get_ttl()), (self.dscp, self.ecn, self.ttl));
            assert_eq!(packet.get_identification(), self.identification);
            assert_eq!(packet.get_flags(), u8::from(self.dont_fragment) << 1);
            assert_eq!(ipv4::checksum(&packet), packet.get_checksum());
            &bytes[Ipv4Header::LEN..]
        };
        let (source, destination) = (self.addresses[0], self.addresses[1]);
        let (source_4, destination_4) = ((source as u32).into(), (destination as u32).into());
        if self.tcp {
            let packet = tcp::TcpPacket::new(transport).unwrap();
            assert_eq!([packet.get_source(), packet.get_destination()], self.ports);
            assert_eq!([packet.get_sequence(), packet.get_acknowledgement()], self.numbers);
            assert_eq!((packet.get_flags(), packet.get_window()), (self.flags, self.window));
            let expected = if self.ipv6 {
                tcp::ipv6_checksum(&packet, &source.into(), &destination.into())
            } else {
                tcp::ipv4_checksum(&packet, &source_4, &destination_4)
            };
            assert_eq!(packet.get_checksum(), expected);
            assert_eq!(packet.payload(), self.data);
        } else {
            let packet = udp::UdpPacket::new(transport).unwrap();
            assert_eq!([packet.get_source(), packet.get_destination()], self.ports);
            assert_eq!(usize::from(packet.get_length()), transport.len());
            let expected = if self.ipv6 {
                udp::ipv6_checksum(&packet, &source.into(), &destination.into())
            } else {
                udp::ipv4_checksum(&packet, &source_4, &destination_4)
            };
            // pnet_packet knows nothing of the zero that is sent as 0xffff.
            assert_eq!(packet.get_checksum(), if expected == 0 { 0xffff } else { expected });
            assert_eq!(packet.payload(), self.data);
        }
    }

    /// Asserts that we read these fields.
    fn assert_read(&self, frame: &[u8]) {
        let (header, _) = EthernetHeader::from_prefix(frame).unwrap();
        assert_eq!([header.destination().octets(), header.source().octets()], self.stations);
        let payload = ethernet::payload(frame).unwrap();
        assert_eq!(payload.tags, u8::from(self.vlan.is_some()));
        if let Some(id) = self.vlan {
            assert_eq!(VlanTag::from_prefix(&frame[14..]).unwrap().0.id(), id);
        }
        let bytes = &frame[payload.offset..];
        let (protocol, transport, pseudo_header) = if self.ipv6 {
            let packet = Ipv6Header::decode(bytes).unwrap();
            let header = packet.header;
            assert_eq!([header.source().to_bits(), header.destination().to_bits()], self.addresses);
            assert_eq!((header.dscp(), header.ecn().bits(), header.hop_limit()), (self.dscp, self.ecn, self.ttl));
            assert_eq!(header.flow_label(), self.flow_label);
            let pseudo_header = header.pseudo_header(packet.protocol, packet.payload.len() as u32);
            (packet.protocol, packet.payload, pseudo_header)
        } else {
            let packet = Ipv4Header::decode_with(bytes, DecodeOptions::STRICT).unwrap();
            let header = packet.header;
            let addresses = [header.source().to_bits(), header.destination().to_bits()];
            assert_eq!(addresses, self.addresses.map(|address| address as u32));
            assert_eq!((header.dscp(), header.ecn().bits(), header.ttl()), (self.dscp, self.ecn, self.ttl));
            assert_eq!((header.identification(), header.dont_fragment()), (self.identification, self.dont_fragment));
            (header.protocol(), packet.payload, header.pseudo_header(packet.payload.len() as u16))
        };
        if self.tcp {
            assert_eq!(protocol, IpProtocol::TCP);
            let segment = TcpHeader::decode_with(transport, DecodeOptions::STRICT).unwrap();
            let header = segment.header;
            assert_eq!([header.source_port(), header.destination_port()], self.ports);
            assert_eq!([header.sequence_number(), header.acknowledgment_number()], self.numbers);
            assert_eq!((header.flags().bits(), header.window()), (self.flags, self.window));
            assert!(header.is_checksum_valid(pseudo_header, segment.data));
            assert_eq!(segment.data, self.data);
        } else {
            assert_eq!(protocol, IpProtocol::UDP);
            let (header, data) = UdpHeader::decode(transport).unwrap();
            assert_eq!([header.source_port(), header.destination_port()], self.ports);
            assert!(header.checksum() != 0 && header.is_checksum_valid(pseudo_header, data));
            assert_eq!(data, self.data);
        }
    }
}

proptest! {
    #[test]
    fn our_frame_is_theirs(fields in fields()) {
        let frame = fields.encode();
        prop_assert_eq!(&frame, &fields.encode_by_etherparse());
        fields.assert_read(&frame);
        fields.assert_pnet_reads(&frame);
    }

    /// What both read of a damaged frame is the same; a damaged IPv4 header is refused by both or by none.
    #[test]
    fn damaged_frames_are_read_alike(
        fields in fields(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length: prop::sample::Index,
        whole: bool,
    ) {
        let mut frame = fields.encode();
        for (index, byte) in damage {
            // Only from the IP header on, and most of it near its front.
            let start = if fields.vlan.is_some() { 18 } else { 14 };
            let at = start + index.index((frame.len() - start).min(44));
            frame[at] = byte;
        }
        if !whole {
            frame.truncate(14 + length.index(frame.len() - 13));
        }
        let Some(payload) = ethernet::payload(&frame) else { return Ok(()) };
        let bytes = &frame[payload.offset..];
        let theirs = SlicedPacket::from_ethernet(&frame);
        match payload.ether_type {
            EtherType::IPV4 => {
                let ours = Ipv4Header::decode_with(bytes, DecodeOptions::LENGTHS);
                let theirs = etherparse::Ipv4Slice::from_slice(bytes);
                // etherparse also reads an authentication header, which can be too short.
                if !matches!(ours, Ok(packet) if packet.header.protocol().get() == 51) {
                    prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
                }
                if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                    prop_assert_eq!(ours.options_bytes, theirs.header().options());
                    prop_assert_eq!(ours.header.is_fragment(), theirs.header().is_fragmenting_payload());
                    // etherparse does not keep the reserved bit.
                    if !ours.header.reserved() {
                        let sum = etherparse::Ipv4Header::from_slice(bytes).unwrap().0.calc_header_checksum();
                        prop_assert_eq!(ours.header.compute_checksum(ours.options_bytes), sum);
                    }
                    if ours.header.protocol().get() != 51 {
                        prop_assert_eq!(ours.payload, theirs.payload().payload);
                    }
                }
            }
            EtherType::IPV6 => {
                // etherparse takes a payload length of zero as "to the end of the frame", and walks other headers too.
                let (Ok(ours), Ok(theirs)) = (Ipv6Header::decode(bytes), etherparse::Ipv6Slice::from_slice(bytes)) else {
                    return Ok(());
                };
                prop_assert_eq!(ours.header.traffic_class(), theirs.header().traffic_class());
                prop_assert_eq!(ours.header.flow_label(), theirs.header().flow_label().value());
                let walked_alike = !matches!(ours.protocol.get(), 0 | 51 | 135 | 139 | 140);
                if ours.header.payload_length() != 0 && walked_alike && ours.fragment.is_none() {
                    prop_assert_eq!(ours.protocol.get(), theirs.payload().ip_number.0);
                    prop_assert_eq!(ours.payload, theirs.payload().payload);
                }
            }
            _ => {}
        }
        if let Ok(theirs) = theirs
            && let Some(LinkSlice::Ethernet2(link)) = &theirs.link
        {
            prop_assert_eq!(EthernetHeader::from_prefix(&frame).unwrap().0.source().octets(), link.source());
            if let (Some(NetSlice::Ipv4(net)), Some(TransportSlice::Udp(udp))) = (&theirs.net, &theirs.transport) {
                let (header, data) = UdpHeader::decode(net.payload().payload).unwrap();
                prop_assert_eq!((header.source_port(), data), (udp.source_port(), udp.payload()));
            }
            if let (Some(NetSlice::Ipv4(net)), Some(TransportSlice::Tcp(tcp))) = (&theirs.net, &theirs.transport) {
                let segment = TcpHeader::decode(net.payload().payload).unwrap();
                prop_assert_eq!((segment.options_bytes, segment.data), (tcp.options(), tcp.payload()));
                let options: Vec<_> = segment.options().flatten().map(|option| option.kind).collect();
                let theirs = tcp.options_iterator().take_while(Result::is_ok).flatten();
                // etherparse refuses kinds that it does not know.
                prop_assert!(theirs.filter(|option| *option != etherparse::TcpOptionElement::Noop).count() <= options.len());
            }
        }
    }

    #[test]
    fn arp_is_theirs(operation in 1_u16..3, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4])) {
        use etherparse::{ArpEthIpv4Packet, ArpPacketSlice};

        let sides = ((sender.0.into(), sender.1.into()), (target.0.into(), target.1.into()));
        let packet = ArpPacket::new(ArpOperation::new(operation), sides.0, sides.1);
        let theirs = ArpPacketSlice::from_slice(packet.as_bytes()).unwrap().to_packet().try_eth_ipv4().unwrap();
        let expected = ArpEthIpv4Packet {
            operation: etherparse::ArpOperation(operation),
            sender_mac: sender.0,
            sender_ipv4: sender.1,
            target_mac: target.0,
            target_ipv4: target.1,
        };
        prop_assert_eq!(&theirs, &expected);
        prop_assert_eq!(&theirs.to_bytes()[..], packet.as_bytes());
    }

    #[test]
    fn checksums_are_theirs(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let ours = checksum(&bytes);
        let theirs = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes).ones_complement().to_be();
        prop_assert_eq!(ours, theirs);
        prop_assert_eq!(!ours, smoltcp::wire::checksum::data(&bytes));
        prop_assert_eq!(Sum::ZERO.add_bytes(&bytes).fold(), !ours);
    }

    #[test]
    fn fragments_are_theirs(next: u8, offset in 0_u16..1 << 13, more: bool, identification: u32) {
        let header = ipv6::FragmentHeader::new(next.into(), offset, more, identification);
        let (theirs, _) = etherparse::Ipv6FragmentHeader::from_slice(header.as_bytes()).unwrap();
        prop_assert_eq!((theirs.next_header.0, theirs.fragment_offset.value()), (next, offset));
        prop_assert_eq!((theirs.more_fragments, theirs.identification), (more, identification));
        prop_assert_eq!(&theirs.to_bytes(), header.as_bytes());
    }
}
