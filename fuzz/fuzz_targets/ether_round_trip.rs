//! The fields of every header, read and written into another, give the same bytes.

#![no_main]

use ether_wire::{
    EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, MacAddr, TcpHeader, UdpHeader, VlanTag,
    arp::{ArpOperation, ArpPacket},
    icmp::IcmpHeader,
    ipv6::FragmentHeader,
    nd::{LinkLayerAddress, NeighborAdvertisement, NeighborSolicitation},
};
use libfuzzer_sys::fuzz_target;

/// Reads a header from the bytes, sets its fields one after another in a new one, and writes that.
macro_rules! round_trip {
    ($bytes:ident, $header:ident, $new:expr, $($set:ident = $get:ident),*) => {
        if let Ok((header, behind)) = $header::from_prefix($bytes) {
            let mut again: $header = $new;
            $(again.$set(header.$get());)*
            $(assert_eq!(again.$get(), header.$get());)*
            assert_eq!(behind.len(), $bytes.len() - $header::LEN);
            let mut buffer = vec![0xaa; $header::LEN + 1];
            again.write_to(&mut buffer).expect("room");
            assert_eq!(buffer.pop(), Some(0xaa));
            assert_eq!(buffer, $bytes[..$header::LEN]);
            assert!(again.write_to(&mut buffer[1..]).is_err());
        } else {
            assert!($bytes.len() < $header::LEN);
        }
    };
}

fuzz_target!(|bytes: &[u8]| {
    let zero = MacAddr::ZERO;
    round_trip!(
        bytes,
        EthernetHeader,
        EthernetHeader::new(zero, zero, EtherType::IPV4),
        set_destination = destination,
        set_source = source,
        set_ether_type = ether_type
    );
    round_trip!(
        bytes,
        VlanTag,
        VlanTag::new(0, EtherType::IPV4),
        set_id = id,
        set_priority = priority,
        set_drop_eligible = drop_eligible,
        set_ether_type = ether_type
    );
    // The checksum last: every other setter keeps it up to date.
    round_trip!(
        bytes,
        Ipv4Header,
        Ipv4Header::new([0; 4].into(), [0; 4].into(), IpProtocol::UDP, 0),
        set_version = version,
        set_ihl = ihl,
        set_dscp = dscp,
        set_ecn = ecn,
        set_total_length = total_length,
        set_identification = identification,
        set_reserved = reserved,
        set_dont_fragment = dont_fragment,
        set_more_fragments = more_fragments,
        set_fragment_offset = fragment_offset,
        set_ttl = ttl,
        set_protocol = protocol,
        set_source = source,
        set_destination = destination,
        set_checksum = checksum
    );
    round_trip!(
        bytes,
        Ipv6Header,
        Ipv6Header::new([0; 16].into(), [0; 16].into(), IpProtocol::UDP, 0),
        set_version = version,
        set_dscp = dscp,
        set_ecn = ecn,
        set_flow_label = flow_label,
        set_payload_length = payload_length,
        set_next_header = next_header,
        set_hop_limit = hop_limit,
        set_source = source,
        set_destination = destination
    );
    round_trip!(
        bytes,
        FragmentHeader,
        FragmentHeader::new(IpProtocol::UDP, 0, false, 0),
        set_next_header = next_header,
        set_reserved = reserved,
        set_offset = offset,
        set_reserved2 = reserved2,
        set_more_fragments = more_fragments,
        set_identification = identification
    );
    round_trip!(
        bytes,
        UdpHeader,
        UdpHeader::new(0, 0, 0),
        set_source_port = source_port,
        set_destination_port = destination_port,
        set_length = length,
        set_checksum = checksum
    );
    round_trip!(
        bytes,
        TcpHeader,
        TcpHeader::new(0, 0),
        set_source_port = source_port,
        set_destination_port = destination_port,
        set_sequence_number = sequence_number,
        set_acknowledgment_number = acknowledgment_number,
        set_data_offset = data_offset,
        set_reserved = reserved,
        set_flags = flags,
        set_window = window,
        set_checksum = checksum,
        set_urgent_pointer = urgent_pointer
    );
    round_trip!(
        bytes,
        ArpPacket,
        ArpPacket::new(ArpOperation::REPLY, (zero, [0; 4].into()), (zero, [0; 4].into())),
        set_hardware_type = hardware_type,
        set_protocol_type = protocol_type,
        set_hardware_length = hardware_length,
        set_protocol_length = protocol_length,
        set_operation = operation,
        set_sender_mac = sender_mac,
        set_sender_ip = sender_ip,
        set_target_mac = target_mac,
        set_target_ip = target_ip
    );
    round_trip!(
        bytes,
        IcmpHeader,
        IcmpHeader::new(0, 0, 0),
        set_message_type = message_type,
        set_code = code,
        set_checksum = checksum,
        set_data = data
    );
    round_trip!(
        bytes,
        NeighborSolicitation,
        NeighborSolicitation::new([0; 16].into()),
        set_message_type = message_type,
        set_code = code,
        set_checksum = checksum,
        set_reserved = reserved,
        set_target = target
    );
    round_trip!(
        bytes,
        NeighborAdvertisement,
        NeighborAdvertisement::new([0; 16].into()),
        set_message_type = message_type,
        set_code = code,
        set_checksum = checksum,
        set_router = is_router,
        set_solicited = is_solicited,
        set_override = is_override,
        set_reserved = reserved,
        set_target = target
    );
    round_trip!(
        bytes,
        LinkLayerAddress,
        LinkLayerAddress::new(0, zero),
        set_kind = kind,
        set_length = length,
        set_mac = mac
    );
});
