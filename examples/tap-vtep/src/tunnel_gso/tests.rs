//! What stands before a super-frame, byte by byte.

use ether_wire::VlanTag;

use super::{
    trial::{Example, Kind},
    *,
};

const OUTER_HEADERS: Outer =
    Outer { destination: Ipv4Addr::new(10, 0, 0, 2), transport: UDP, traffic_class: 0xb9, ttl: 64, df: true };
const UDP: Transport = Transport::Udp { source_port: 50_000, destination_port: 4789, checksum: false };
const GRE: Outer = Outer { transport: Transport::Gre, ..OUTER_HEADERS };

fn head(outer: &Outer, virtio: VirtioNetHeader, tunnel_header: usize, frame: &[u8]) -> Result<Vec<u8>, Errno> {
    let super_frame = SuperFrame::parse(&virtio, frame).unwrap();
    let head = Head {
        mac: MacAddr::new([2, 0, 0, 0, 0, 9]),
        local: Ipv4Addr::new(10, 0, 0, 1),
        outer,
        identification: 0x1234,
    };
    head.of(virtio, &super_frame, tunnel_header, frame).map(|head| head.bytes().to_vec())
}

fn with(outer: &Outer) -> Result<Vec<u8>, Errno> {
    let Example { virtio, frame } = Example::new(Kind::Tcp4, 3000, 1400);
    head(outer, virtio, 8, &frame)
}

#[test]
fn every_byte_has_its_place() {
    #[rustfmt::skip]
    let expected = [
        // The virtio-net header: NEEDS_CSUM, TCPv4 in a tunnel over IPv4, 50 + 54 bytes of headers, 1400 a segment, the
        // TCP header at 50 + 34 and its checksum 16 behind that.
        1, 0x21, 104, 0, 0x78, 0x05, 84, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        // The outer UDP header at 34, the inner IP header at 50 + 14.
        34, 0, 64, 0,
        // Ethernet to the helper TAP.
        2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
        // IPv4: 20 + 8 + 8 + 3054 bytes, DF, a TTL of one more.
        0x45, 0xb9, 0x0c, 0x12, 0x12, 0x34, 0x40, 0, 65, 17, 0x06, 0xec, 10, 0, 0, 1, 10, 0, 0, 2,
        // UDP without a checksum.
        0xc3, 0x50, 0x12, 0xb5, 0x0b, 0xfe, 0, 0,
    ];
    assert_eq!(with(&OUTER_HEADERS).unwrap(), expected);
}

#[test]
fn before_gre_every_byte_has_its_place() {
    #[rustfmt::skip]
    let expected = [
        // The virtio-net header: NEEDS_CSUM, TCPv4, 42 + 54 bytes of headers, 1400 a segment, the TCP header at 42 + 34 and
        // its checksum 16 behind that.
        1, 1, 96, 0, 0x78, 0x05, 76, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        // Ethernet to the helper TAP.
        2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
        // IPv4: 20 + 8 + 3054 bytes, DF, a TTL of one more, GRE.
        0x45, 0xb9, 0x0c, 0x0a, 0x12, 0x34, 0x40, 0, 65, 47, 0x06, 0xd6, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    assert_eq!(with(&GRE).unwrap(), expected);
}

#[test]
fn gre_is_for_tcp_without_tags() {
    for kind in [Kind::Tcp4, Kind::Tcp6, Kind::Udp4, Kind::Udp6] {
        let Example { virtio, mut frame } = Example::new(kind, 3000, 1400);
        let is_tcp = matches!(kind, Kind::Tcp4 | Kind::Tcp6);
        assert_eq!(head(&GRE, virtio, 8, &frame).is_ok(), is_tcp, "{kind:?}");
        let virtio = with_tag(virtio, &mut frame);
        assert_eq!(head(&GRE, virtio, 8, &frame), Err(Errno::OPNOTSUPP), "{kind:?}");
    }
}

/// Gives the frame a VLAN tag.
fn with_tag(virtio: VirtioNetHeader, frame: &mut Vec<u8>) -> VirtioNetHeader {
    let ether_type = EtherType::new(u16::from_be_bytes([frame[12], frame[13]]));
    let tag = VlanTag::new(7, ether_type);
    frame.splice(12..14, EtherType::VLAN.get().to_be_bytes().into_iter().chain(*tag.as_bytes()));
    virtio.with_checksum(virtio.csum_start() + 4, virtio.csum_offset())
}

#[test]
fn an_outer_checksum_is_begun() {
    let [plain, begun] = [false, true].map(|checksum| {
        let transport = Transport::Udp { source_port: 50_000, destination_port: 4789, checksum };
        with(&Outer { transport, ..OUTER_HEADERS }).unwrap()
    });
    let (virtio, _) = VirtioNetTunnelHeader::from_prefix(&begun).unwrap();
    assert!(virtio.has_outer_checksum() && virtio.header().needs_checksum());
    // 10.0.0.1 + 10.0.0.2 + 17 + 0x0bfe, not complemented.
    assert_eq!(begun[HEAD - 2..], [0x20, 0x12]);
    assert_eq!(plain[1..HEAD - 2], begun[1..HEAD - 2]);
}

#[test]
fn fragments_are_allowed_where_they_are_wanted() {
    let ip = |head: Vec<u8>| *Ipv4Header::from_prefix(&head[VirtioNetTunnelHeader::LEN + 14..]).unwrap().0;
    for df in [false, true] {
        let header = ip(with(&Outer { df, ..OUTER_HEADERS }).unwrap());
        assert_eq!(header.dont_fragment(), df);
        assert!(header.is_checksum_valid(&[]));
    }
}

#[test]
fn offsets_follow_vlan_tags_and_tunnel_headers() {
    for kind in [Kind::Tcp4, Kind::Tcp6, Kind::Udp4, Kind::Udp6] {
        let Example { virtio, mut frame } = Example::new(kind, 3000, 1400);
        let virtio = with_tag(virtio, &mut frame);
        for tunnel_header in [8, 12, 68] {
            let head = head(&OUTER_HEADERS, virtio, tunnel_header, &frame).unwrap();
            let (tunnel, _) = VirtioNetTunnelHeader::from_prefix(&head).unwrap();
            let start = 42 + tunnel_header as u16;
            assert_eq!((tunnel.outer_th_offset(), tunnel.inner_nh_offset()), (34, start + 18), "{kind:?}");
            assert_eq!(tunnel.header().csum_start(), start + virtio.csum_start(), "{kind:?}");
            assert_eq!(usize::from(tunnel.header().hdr_len()), usize::from(start) + frame.len() - 3000, "{kind:?}");
        }
    }
}

#[test]
fn a_super_frame_with_cwr_keeps_its_bit() {
    let Example { virtio, frame } = Example::new(Kind::Tcp4, 3000, 1400);
    let head = head(&OUTER_HEADERS, virtio.with_ecn(), 8, &frame).unwrap();
    assert_eq!(head[1], 0x80 | 0x20 | 1);
}

#[test]
fn what_is_for_sockets_is_refused() {
    let for_sockets = Err(Errno::OPNOTSUPP);
    for destination in ["239.1.1.1", "255.255.255.255", "127.0.0.1", "0.0.0.0", "10.0.0.1"] {
        let destination = destination.parse().unwrap();
        assert_eq!(with(&Outer { destination, ..OUTER_HEADERS }), for_sockets, "{destination}");
    }
    for ttl in [0, 255] {
        assert_eq!(with(&Outer { ttl, ..OUTER_HEADERS }), for_sockets);
    }
    assert!(with(&Outer { ttl: 254, ..OUTER_HEADERS }).is_ok());
}

#[test]
fn one_segment_is_no_super_frame() {
    for (payload, expected) in [(1399, false), (1400, false), (1401, true)] {
        for (outer, kind) in [(&OUTER_HEADERS, Kind::Tcp4), (&OUTER_HEADERS, Kind::Udp6), (&GRE, Kind::Tcp4)] {
            let Example { virtio, frame } = Example::new(kind, payload, 1400);
            assert_eq!(head(outer, virtio, 8, &frame).is_ok(), expected, "{outer:?} {kind:?} {payload}");
        }
    }
}

#[test]
fn it_fits_one_packet_or_is_for_sockets() {
    // With 54 bytes of headers, 8 of the tunnel and 42 outside; 34 in GRE.
    for (outer, most) in [(OUTER_HEADERS, 65_431), (GRE, 65_439)] {
        for (payload, expected) in [(most, true), (most + 1, false)] {
            let Example { virtio, frame } = Example::new(Kind::Tcp4, payload, 1400);
            assert_eq!(head(&outer, virtio, 8, &frame).is_ok(), expected, "{outer:?} {payload}");
        }
    }
}

#[test]
fn bytes_behind_the_packet_are_for_sockets() {
    let Example { virtio, mut frame } = Example::new(Kind::Tcp4, 3000, 1400);
    frame.push(0);
    assert_eq!(head(&OUTER_HEADERS, virtio, 8, &frame), Err(Errno::OPNOTSUPP));
}
