//! What we encode, read by tshark.

use std::net::{Ipv4Addr, Ipv6Addr};

use ether_wire::{
    Ecn, EtherType, IpProtocol, Ipv4Header, Ipv6Header, MacAddr, TcpFlags, TcpHeader, UdpHeader,
    arp::{ArpOperation, ArpPacket},
    checksum::Sum,
    icmp,
    ipv6::FragmentHeader,
    nd::{HOP_LIMIT, LinkLayerAddress, NeighborAdvertisement, NeighborSolicitation},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    link::{LINK, Link, join, link},
    peers::{Packet, check_by_tshark},
};

/// A protocol for experiments (RFC 3692): tshark looks no further.
const EXPERIMENT: IpProtocol = IpProtocol::new(253);
/// An `EtherType` for experiments (IEEE Std 802 §9.2.4).
const LOCAL: EtherType = EtherType::new(0x88b5);

/// Checksums are verified, fragments stay what they are, and no port is taken for an application's.
const ARGUMENTS: [&str; 16] = [
    "-d",
    "udp.port==0-65535,data",
    "-d",
    "tcp.port==0-65535,data",
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "ip.defragment:FALSE",
    "-o",
    "ipv6.defragment:FALSE",
    "-o",
    "tcp.analyze_sequence_numbers:FALSE",
];

/// What tshark calls a checksum that is right.
const GOOD: &str = "1";

/// Asserts that tshark reads the link's fields and these behind it.
fn check<T: std::fmt::Debug>(
    name: &str,
    fields: &[&str],
    strategy: impl Strategy<Value = T>,
    encode: impl Fn(&Link, T) -> Packet,
) {
    let fields: Vec<_> = LINK.iter().chain(fields).copied().collect();
    let name = format!("ether-{name}");
    check_by_tshark(&name, &ARGUMENTS, &fields, (link(), strategy), |(link, value)| encode(&link, value));
}

/// Options of a kind and data, filled up to whole words of 32 bits with zeros, at most 40 bytes.
fn option_bytes(options: &mut Vec<(u8, Vec<u8>)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    options.retain(|(kind, data)| {
        let fits = bytes.len() + 2 + data.len() <= 40;
        if fits {
            bytes.extend([*kind, data.len() as u8 + 2]);
            bytes.extend(data);
        }
        fits
    });
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn ethernet() {
    check("ethernet", &[], vec(any::<u8>(), 0..60), |link, data| link.packet(LOCAL, &data, vec![]));
}

#[test]
fn ipv4() {
    let fields = [
        "ip.version",
        "ip.hdr_len",
        "ip.dsfield.dscp",
        "ip.dsfield.ecn",
        "ip.len",
        "ip.id",
        "ip.flags.rb",
        "ip.flags.df",
        "ip.flags.mf",
        "ip.frag_offset",
        "ip.ttl",
        "ip.proto",
        "ip.checksum.status",
        "ip.src",
        "ip.dst",
        "ip.opt.type",
        "ip.opt.len",
    ];
    // Probe and reply of the MTU (RFC 1063), traceroute (RFC 1393), stream identifier (RFC 791), router alert (RFC 2113).
    let option = (select(&[11_u8, 12, 82, 136, 148][..]), any::<[u8; 10]>())
        .prop_map(|(kind, data)| (kind, data[..if kind == 82 { 10 } else { 2 }].to_vec()));
    let options = vec(option, 0..6);
    let flags = any::<[bool; 3]>();
    let strategy =
        (0_u8..64, 0_u8..4, any::<u16>(), flags, 0_u16..1 << 13, any::<u8>(), any::<[u32; 2]>(), options, 0..60_usize);
    check("ipv4", &fields, strategy, |link, (dscp, ecn, id, flags, offset, ttl, addresses, mut options, length)| {
        let bytes = option_bytes(&mut options);
        let total_length = (Ipv4Header::LEN + bytes.len() + length) as u16;
        let [source, destination] = addresses.map(Ipv4Addr::from_bits);
        let mut header = Ipv4Header::new(source, destination, EXPERIMENT, total_length);
        header.set_dscp(dscp);
        header.set_ecn(Ecn::from_bits(ecn));
        header.set_identification(id);
        header.set_reserved(flags[0]);
        header.set_dont_fragment(flags[1]);
        header.set_more_fragments(flags[2]);
        header.set_fragment_offset(offset);
        header.set_ttl(ttl);
        header.set_ihl(5 + (bytes.len() / 4) as u8);
        header.set_checksum(header.compute_checksum(&bytes));
        let payload = [&header.as_bytes()[..], &bytes, &vec![0x5a; length]].concat();

        let fields = vec![
            "4".to_owned(),
            header.header_length().to_string(),
            dscp.to_string(),
            ecn.to_string(),
            total_length.to_string(),
            format!("{id:#06x}"),
            u8::from(flags[0]).to_string(),
            u8::from(flags[1]).to_string(),
            u8::from(flags[2]).to_string(),
            offset.to_string(),
            ttl.to_string(),
            EXPERIMENT.to_string(),
            GOOD.to_owned(),
            source.to_string(),
            destination.to_string(),
            kinds(&options),
            join(options.iter().map(|(_, data)| data.len() + 2)),
        ];
        link.packet(EtherType::IPV4, &payload, fields)
    });
}

/// The kinds of these options, and of each byte that fills them up.
fn kinds(options: &[(u8, Vec<u8>)]) -> String {
    let length: usize = options.iter().map(|(_, data)| data.len() + 2).sum();
    let fill = length.next_multiple_of(4) - length;
    join(options.iter().map(|(kind, _)| *kind).chain([0].into_iter().cycle().take(fill)))
}

#[test]
fn ipv6() {
    let fields = [
        "ipv6.version",
        "ipv6.tclass.dscp",
        "ipv6.tclass.ecn",
        "ipv6.flow",
        "ipv6.plen",
        "ipv6.nxt",
        "ipv6.hlim",
        "ipv6.src",
        "ipv6.dst",
        "ipv6.hopopts.len",
        "ipv6.routing.len",
        "ipv6.routing.type",
        "ipv6.routing.segleft",
        "ipv6.dstopts.len",
        "ipv6.fraghdr.nxt",
        "ipv6.fraghdr.reserved_octet",
        "ipv6.fraghdr.offset",
        "ipv6.fraghdr.reserved_bits",
        "ipv6.fraghdr.more",
        "ipv6.fraghdr.ident",
    ];
    // Units of eight bytes behind the first, for hop-by-hop options, routing and destination options.
    let headers = [option::of(0_u8..4), option::of(0_u8..4), option::of(0_u8..4)];
    let fragment = option::of((any::<u8>(), 0_u16..1 << 13, 0_u8..4, any::<bool>(), any::<u32>()));
    let strategy = (
        (0_u8..64, 0_u8..4, 0_u32..1 << 20, any::<u8>(), any::<[u128; 2]>()),
        (headers, any::<u8>(), fragment, 0..60_usize),
    );
    check("ipv6", &fields, strategy, |link, ((dscp, ecn, label, hop_limit, addresses), rest)| {
        let (units, segments_left, fragment, length) = rest;
        let kinds = [IpProtocol::HOP_BY_HOP, IpProtocol::ROUTING, IpProtocol::DESTINATION_OPTIONS];
        let mut chain: Vec<_> =
            kinds.into_iter().zip(units).filter_map(|(kind, units)| units.map(|units| (kind, units))).collect();
        if fragment.is_some() {
            chain.push((IpProtocol::FRAGMENT, 0));
        }
        let next = |place: usize| chain.get(place).map_or(EXPERIMENT, |(kind, _)| *kind);
        let mut behind = Vec::new();
        for (place, (kind, units)) in chain.iter().enumerate() {
            let next = next(place + 1);
            if let (&IpProtocol::FRAGMENT, Some((reserved, offset, bits, more, identification))) = (kind, fragment) {
                let mut header = FragmentHeader::new(next, offset, more, identification);
                header.set_reserved(reserved);
                header.set_reserved2(bits);
                behind.extend(header.as_bytes());
            } else {
                let mut header = vec![0; 8 + 8 * usize::from(*units)];
                (header[0], header[1]) = (next.get(), *units);
                if *kind == IpProtocol::ROUTING {
                    // A type for experiments (RFC 4727 §3.3).
                    (header[2], header[3]) = (253, segments_left);
                } else {
                    // One option that fills it all (RFC 8200 §4.2).
                    (header[2], header[3]) = (1, header.len() as u8 - 4);
                }
                behind.extend(header);
            }
        }
        behind.resize(behind.len() + length, 0x5a);
        let [source, destination] = addresses.map(Ipv6Addr::from_bits);
        let mut header = Ipv6Header::new(source, destination, next(0), behind.len() as u16);
        header.set_dscp(dscp);
        header.set_ecn(Ecn::from_bits(ecn));
        header.set_flow_label(label);
        header.set_hop_limit(hop_limit);

        let units = units.map(|units| units.map_or(String::new(), |units| units.to_string()));
        let routing = |value: u8| if units[1].is_empty() { String::new() } else { value.to_string() };
        let mut fields = vec![
            "6".to_owned(),
            dscp.to_string(),
            ecn.to_string(),
            format!("{label:#08x}"),
            behind.len().to_string(),
            next(0).to_string(),
            hop_limit.to_string(),
            source.to_string(),
            destination.to_string(),
            units[0].clone(),
            units[1].clone(),
            routing(253),
            routing(segments_left),
            units[2].clone(),
        ];
        fields.extend(fragment.map_or(vec![String::new(); 6], |(reserved, offset, bits, more, identification)| {
            vec![
                EXPERIMENT.to_string(),
                format!("{reserved:#04x}"),
                offset.to_string(),
                bits.to_string(),
                u8::from(more).to_string(),
                format!("{identification:#010x}"),
            ]
        }));
        link.packet(EtherType::IPV6, &[&header.as_bytes()[..], &behind].concat(), fields)
    });
}

/// An IP packet with this payload, which gets the sum of its pseudo-header.
fn ip(
    ipv6: bool,
    addresses: [u128; 2],
    protocol: IpProtocol,
    length: usize,
    payload: impl FnOnce(Sum) -> Vec<u8>,
) -> Vec<u8> {
    if ipv6 {
        let [source, destination] = addresses.map(Ipv6Addr::from_bits);
        let header = Ipv6Header::new(source, destination, protocol, length as u16);
        [&header.as_bytes()[..], &payload(header.pseudo_header(protocol, length as u32))].concat()
    } else {
        let [source, destination] = addresses.map(|address| Ipv4Addr::from_bits(address as u32));
        let header = Ipv4Header::new(source, destination, protocol, (Ipv4Header::LEN + length) as u16);
        [&header.as_bytes()[..], &payload(header.pseudo_header(length as u16))].concat()
    }
}

fn ip_type(ipv6: bool) -> EtherType {
    if ipv6 { EtherType::IPV6 } else { EtherType::IPV4 }
}

#[test]
fn udp() {
    let fields = ["udp.srcport", "udp.dstport", "udp.length", "udp.checksum", "udp.checksum.status"];
    let strategy = (any::<(bool, [u128; 2], [u16; 2])>(), vec(any::<u8>(), 0..60));
    check("udp", &fields, strategy, |link, ((ipv6, addresses, ports), data)| {
        let length = UdpHeader::LEN + data.len();
        let mut header = UdpHeader::new(ports[0], ports[1], length as u16);
        let packet = ip(ipv6, addresses, IpProtocol::UDP, length, |pseudo_header| {
            header.set_checksum(header.compute_checksum(pseudo_header, &data));
            [&header.as_bytes()[..], &data].concat()
        });
        let fields = vec![
            ports[0].to_string(),
            ports[1].to_string(),
            length.to_string(),
            format!("{:#06x}", header.checksum()),
            GOOD.to_owned(),
        ];
        link.packet(ip_type(ipv6), &packet, fields)
    });
}

#[test]
fn tcp() {
    let fields = [
        "tcp.srcport",
        "tcp.dstport",
        "tcp.seq_raw",
        "tcp.ack_raw",
        "tcp.hdr_len",
        "tcp.flags",
        "tcp.window_size_value",
        "tcp.checksum.status",
        "tcp.urgent_pointer",
        "tcp.option_kind",
        "tcp.option_len",
    ];
    let option = prop_oneof![
        any::<[u8; 2]>().prop_map(|mss| (2, mss.to_vec())),
        (0_u8..15).prop_map(|shift| (3, vec![shift])),
        Just((4, vec![])),
        any::<[u8; 8]>().prop_map(|times| (8, times.to_vec())),
        // A kind that is not assigned.
        vec(any::<u8>(), 0..6).prop_map(|data| (200, data)),
    ];
    let strategy = (
        any::<(bool, [u128; 2], [u16; 2], [u32; 2], u8, u16, u16)>(),
        0_u8..16,
        vec(option, 0..5),
        vec(any::<u8>(), 0..60),
    );
    check("tcp", &fields, strategy, |link, (fixed, reserved, mut options, data)| {
        let (ipv6, addresses, ports, numbers, flags, window, urgent) = fixed;
        let bytes = option_bytes(&mut options);
        let behind = [&bytes[..], &data].concat();
        let mut header = TcpHeader::new(ports[0], ports[1]);
        header.set_sequence_number(numbers[0]);
        header.set_acknowledgment_number(numbers[1]);
        header.set_data_offset(5 + (bytes.len() / 4) as u8);
        header.set_reserved(reserved);
        header.set_flags(TcpFlags::from_bits(flags));
        header.set_window(window);
        header.set_urgent_pointer(urgent);
        let packet = ip(ipv6, addresses, IpProtocol::TCP, TcpHeader::LEN + behind.len(), |pseudo_header| {
            header.set_checksum(header.compute_checksum(pseudo_header, &behind));
            [&header.as_bytes()[..], &behind].concat()
        });
        let fields = vec![
            ports[0].to_string(),
            ports[1].to_string(),
            numbers[0].to_string(),
            numbers[1].to_string(),
            header.header_length().to_string(),
            format!("{:#06x}", u16::from(reserved) << 8 | u16::from(flags)),
            window.to_string(),
            GOOD.to_owned(),
            urgent.to_string(),
            kinds(&options),
            join(options.iter().map(|(_, data)| data.len() + 2)),
        ];
        link.packet(ip_type(ipv6), &packet, fields)
    });
}

#[test]
fn arp() {
    let fields = [
        "arp.hw.type",
        "arp.proto.type",
        "arp.hw.size",
        "arp.proto.size",
        "arp.opcode",
        "arp.src.hw_mac",
        "arp.src.proto_ipv4",
        "arp.dst.hw_mac",
        "arp.dst.proto_ipv4",
    ];
    // Not those of Dynamic RARP (RFC 1931), which give a meaning of their own to the target.
    let strategy = (prop_oneof![1_u16..5, 8_u16..], any::<[[u8; 6]; 2]>(), any::<[u32; 2]>());
    check("arp", &fields, strategy, |link, (operation, macs, addresses)| {
        let [sender, target] = [0, 1].map(|at| (MacAddr::new(macs[at]), Ipv4Addr::from_bits(addresses[at])));
        let packet = ArpPacket::new(ArpOperation::new(operation), sender, target);
        let fields = vec![
            "1".to_owned(),
            "0x0800".to_owned(),
            "6".to_owned(),
            "4".to_owned(),
            operation.to_string(),
            sender.0.to_string(),
            sender.1.to_string(),
            target.0.to_string(),
            target.1.to_string(),
        ];
        link.packet(EtherType::ARP, packet.as_bytes(), fields)
    });
}

#[test]
fn neighbor_discovery() {
    let fields = [
        "ipv6.hlim",
        "icmpv6.type",
        "icmpv6.code",
        "icmpv6.checksum.status",
        "icmpv6.nd.ns.target_address",
        "icmpv6.nd.na.target_address",
        "icmpv6.nd.na.flag.r",
        "icmpv6.nd.na.flag.s",
        "icmpv6.nd.na.flag.o",
        "icmpv6.nd.na.flag.rsv",
        "icmpv6.opt.type",
        "icmpv6.opt.length",
        "icmpv6.opt.linkaddr",
    ];
    // Link-layer addresses, and a nonce (RFC 3971 §5.3.2).
    let options = vec((select(&[1_u8, 2, 14][..]), any::<[u8; 6]>()), 0..4);
    let strategy = (any::<(bool, [u128; 2], u128, [bool; 3])>(), 0_u32..1 << 29, options);
    check("nd", &fields, strategy, |link, ((solicitation, addresses, target, flags), reserved, options)| {
        let target = Ipv6Addr::from_bits(target);
        let behind: Vec<u8> =
            options.iter().flat_map(|(kind, data)| LinkLayerAddress::new(*kind, (*data).into()).to_bytes()).collect();
        let [source, destination] = addresses.map(Ipv6Addr::from_bits);
        let length = (NeighborSolicitation::LEN + behind.len()) as u16;
        let mut header = Ipv6Header::new(source, destination, IpProtocol::ICMPV6, length);
        header.set_hop_limit(HOP_LIMIT);
        let sum = header.pseudo_header(IpProtocol::ICMPV6, length.into());
        let message = if solicitation {
            let mut message = NeighborSolicitation::new(target);
            message.set_reserved(reserved);
            message.set_checksum(sum.add_bytes(message.as_bytes()).add_bytes(&behind).checksum());
            message.to_bytes()
        } else {
            let mut message = NeighborAdvertisement::new(target);
            message.set_router(flags[0]);
            message.set_solicited(flags[1]);
            message.set_override(flags[2]);
            message.set_reserved(reserved);
            message.set_checksum(sum.add_bytes(message.as_bytes()).add_bytes(&behind).checksum());
            message.to_bytes()
        };
        let (kind, mut targets) = if solicitation {
            (135, [target.to_string(), String::new()])
        } else {
            (136, [String::new(), target.to_string()])
        };
        let advertisement = |value: String| if solicitation { String::new() } else { value };
        let macs = options.iter().filter(|(kind, _)| *kind != 14).map(|(_, mac)| MacAddr::new(*mac));
        let fields = vec![
            HOP_LIMIT.to_string(),
            kind.to_string(),
            "0".to_owned(),
            GOOD.to_owned(),
            std::mem::take(&mut targets[0]),
            std::mem::take(&mut targets[1]),
            advertisement(u8::from(flags[0]).to_string()),
            advertisement(u8::from(flags[1]).to_string()),
            advertisement(u8::from(flags[2]).to_string()),
            advertisement(reserved.to_string()),
            join(options.iter().map(|(kind, _)| *kind)),
            join(options.iter().map(|_| 1)),
            join(macs),
        ];
        link.packet(EtherType::IPV6, &[&header.as_bytes()[..], &message, &behind].concat(), fields)
    });
}

#[test]
fn too_big() {
    let fields = [
        "ip.src",
        "ip.dst",
        "icmp.type",
        "icmp.code",
        "icmp.checksum.status",
        "icmp.mtu",
        "ipv6.src",
        "ipv6.dst",
        "icmpv6.type",
        "icmpv6.code",
        "icmpv6.checksum.status",
        "icmpv6.mtu",
    ];
    let strategy = (any::<bool>(), any::<u16>(), any::<[u16; 2]>(), 40..1500_usize);
    check("too-big", &fields, strategy, |link, (ipv6, mtu, hosts, length)| {
        // Both stations and both addresses are a host's, or nobody would be answered.
        let mut link = link.clone();
        link.stations.iter_mut().for_each(|mac| (mac[0], mac[5]) = (mac[0] & 0xfe, mac[5] | 1));
        let prefix = if ipv6 { 0x2001_0db8_u128 << 96 } else { 0x0a00_0000 };
        let addresses = hosts.map(|host| prefix | u128::from(host));
        let mut packet = ip(ipv6, addresses, EXPERIMENT, length, |_| vec![0x5a; length]);
        if !ipv6 {
            Ipv4Header::from_prefix_mut(&mut packet).expect("a header").0.set_dont_fragment(true);
        }
        let (frame, _) = link.encode(ip_type(ipv6), &packet);
        let mut answer = vec![0; icmp::MAX_TOO_BIG_LEN];
        let len = icmp::too_big(&frame, mtu, &mut answer).expect("it is answered");
        answer.truncate(len);

        link.stations.reverse();
        let (_, mut fields) = link.encode(ip_type(ipv6), &[]);
        // The answer's addresses, and the quoted ones.
        let [source, destination] = addresses.map(|address| {
            if ipv6 {
                Ipv6Addr::from_bits(address).to_string()
            } else {
                Ipv4Addr::from_bits(address as u32).to_string()
            }
        });
        let (kind, code) = if ipv6 { ("2", "0") } else { ("3", "4") };
        let told = [
            format!("{destination};{source}"),
            format!("{source};{destination}"),
            kind.to_owned(),
            code.to_owned(),
            GOOD.to_owned(),
            mtu.to_string(),
        ];
        let nothing = [const { String::new() }; 6];
        fields.extend(if ipv6 { [nothing, told] } else { [told, nothing] }.concat());
        Packet { frame: answer, fields }
    });
}
