//! NVGRE between hosts in network namespaces.

use std::{
    net::Ipv4Addr,
    os::fd::AsFd,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use ether_wire::{Ecn, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, TcpHeader, checksum::Sum};
use nvgre_wire::{FlowId, Vsid};
use offload::{GsoType, SuperFrame, VirtioNetHeader};
use overlay_types::MacAddr;
use rustix::io::Errno;
use testbed::{Direction, Family, Host, Sniffer, stays, wait_until};
use vtep::RemoteId;

use super::*;
use crate::{
    receive::ReceiveBatch,
    send::{Addressed, Outcome, Outgoing, SEGMENTS, SendBatch},
    underlay::{DEFAULT_TTL, set},
};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const OPTIONS: SendOptions = SendOptions { is_udp: false, df: true, udp_checksum: true, source_ports: 49152..=65535 };
/// CS5 and ECT(1).
const TRAFFIC_CLASS: u8 = 0xa1;
const GROUPS: [[&str; 2]; 2] = [["239.1.1.1", "239.1.1.2"], ["ff05::42", "ff05::43"]];

/// Two hosts with a cable between them. The first one sends, the second one receives.
struct Bed {
    hosts: [Host; 2],
    underlays: [Underlay; 2],
    pool: SenderPool,
    outgoing: SendBatch,
    receiver: Socket,
    incoming: ReceiveBatch,
}

/// What arrived, behind the outer IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrived {
    source: IpAddr,
    ecn: Ecn,
    bytes: Vec<u8>,
}

impl Bed {
    fn new(family: Family) -> Self {
        Self::with_options(family, OPTIONS)
    }

    fn with_options(family: Family, options: SendOptions) -> Self {
        let hosts = Host::pair();
        let underlays = hosts.each_ref().map(|host| Underlay {
            number: 0,
            local: host.address(family),
            interface: Arc::new(AtomicU32::new(host.namespace.device_index(Host::DEVICE).unwrap())),
            device: None,
            // Both are of UDP.
            segments: true,
            merges: true,
            mtu: Arc::new(AtomicU32::new(host.mtu())),
            tunnel: None,
        });
        let pool = hosts[0].namespace.enter(|| underlays[0].gre_sender(options)).unwrap();
        let receiver = hosts[1].namespace.enter(|| underlays[1].gre_receiver()).unwrap();
        let (outgoing, incoming) = (SendBatch::new(), ReceiveBatch::new());
        let mut bed = Self { hosts, underlays, pool, outgoing, receiver, incoming };
        // While a neighbour is looked for, few packets wait: the batches come when it is found.
        assert_eq!(bed.send(&[datagram(0, 100)]), [Ok(())]);
        wait_until("the hosts know each other", || !take(&mut bed.incoming, &bed.receiver).is_empty());
        bed
    }

    fn addressed(&self, to: IpAddr) -> Addressed {
        Addressed {
            destination: self.underlays[0].socket_address(to, 0),
            socket: self.pool.choose(50_000),
            traffic_class: TRAFFIC_CLASS,
            ttl: DEFAULT_TTL,
        }
    }

    /// Sends datagrams as one batch: what became of each.
    fn send_to(&mut self, to: IpAddr, datagrams: &[Vec<u8>]) -> Vec<Outcome> {
        let addressed = self.addressed(to);
        let mut end = 0;
        for (frame, datagram) in datagrams.iter().enumerate() {
            let bytes = end..end + datagram.len();
            end = bytes.end;
            self.outgoing.push(Outgoing { frame, bytes, remote: remote(0), addressed });
        }
        let mut outcomes = vec![None; datagrams.len()];
        self.outgoing.flush(&self.pool, &datagrams.concat(), |outgoing, outcome| {
            assert!(outcomes[outgoing.frame].replace(outcome).is_none(), "told twice");
        });
        outcomes.into_iter().map(|outcome| outcome.expect("each is told")).collect()
    }

    fn send(&mut self, datagrams: &[Vec<u8>]) -> Vec<Outcome> {
        self.send_to(self.underlays[1].local, datagrams)
    }

    /// So many datagrams, which are all that come.
    fn receive(&mut self, count: usize) -> Vec<Vec<u8>> {
        let expected = (self.underlays[0].local, Ecn::Ect1);
        let arrived = receive(&mut self.incoming, &self.receiver, count);
        assert!(arrived.iter().all(|datagram| (datagram.source, datagram.ecn) == expected));
        arrived.into_iter().map(|datagram| datagram.bytes).collect()
    }
}

/// What is there.
fn take(incoming: &mut ReceiveBatch, socket: &Socket) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    for index in 0..incoming.receive(socket.as_fd()).unwrap_or(0) {
        let message = incoming.message(index).unwrap();
        let message = message.behind_ip_header(incoming.memory()).unwrap();
        for datagram in message.datagrams() {
            let bytes = incoming.memory()[datagram].to_vec();
            arrived.push(Arrived { source: message.source, ecn: message.ecn, bytes });
        }
    }
    arrived
}

/// So many datagrams, which are all that come.
fn receive(incoming: &mut ReceiveBatch, socket: &Socket, count: usize) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    wait_until("all datagrams have come", || {
        arrived.extend(take(incoming, socket));
        arrived.len() >= count
    });
    stays("nothing else comes", Duration::from_millis(50), || take(incoming, socket).is_empty());
    assert_eq!(arrived.len(), count);
    arrived
}

fn remote(number: u32) -> RemoteId {
    RemoteId::new(number).unwrap()
}

fn header(flow: u8) -> [u8; NvgreHeader::LEN] {
    NvgreHeader::new(Vsid::new(0x00ab_cdef).unwrap(), FlowId::new(flow)).to_bytes()
}

/// A frame of that many bytes behind an NVGRE header. No two with different numbers are equal.
fn datagram(number: usize, length: usize) -> Vec<u8> {
    let frame = (0..length).map(|place| (number * 7 + place % 251) as u8);
    header(number as u8).into_iter().chain(frame).collect()
}

/// A super-frame of TCP over IPv4 with so much payload.
fn super_frame(payload: usize, segment: u16) -> (VirtioNetHeader, Vec<u8>) {
    let [one, two] = [1, 2].map(|host| Ipv4Addr::new(192, 0, 2, host));
    let length = (TcpHeader::LEN + payload) as u16;
    let mut frame = EthernetHeader::new(MacAddr::ZERO, MacAddr::ZERO, EtherType::IPV4).as_bytes().to_vec();
    frame.extend(Ipv4Header::new(one, two, IpProtocol::TCP, Ipv4Header::LEN as u16 + length).as_bytes());
    let transport = frame.len() as u16;
    let mut tcp = TcpHeader::new(40_000, 9);
    tcp.set_flags(TcpFlags::ACK);
    tcp.set_checksum(Sum::pseudo_ipv4(one, two, IpProtocol::TCP, length).fold());
    frame.extend(tcp.as_bytes());
    let virtio =
        VirtioNetHeader::new().with_gso(GsoType::TcpV4, segment, frame.len() as u16).with_checksum(transport, 16);
    // A prime: no segment begins like another one.
    frame.extend((0..payload).map(|place| (place % 251) as u8));
    (virtio, frame)
}

/// What a super-frame is on the wire, behind an NVGRE header.
fn cut(super_frame: &SuperFrame, frame: &[u8]) -> Vec<Vec<u8>> {
    let segment = |index| {
        let mut inner = vec![0; super_frame.header_len()];
        let payload = super_frame.write_segment(frame, index, &mut inner);
        [&header(0)[..], &inner, &frame[payload]].concat()
    };
    (0..super_frame.segments()).map(segment).collect()
}

#[test]
fn batches_arrive_byte_by_byte_and_in_order() {
    for family in FAMILIES {
        let mut bed = Bed::new(family);
        // What an MTU of 1500 has behind 40 bytes of IPv6.
        let equal: Vec<_> = (0..200).map(|number| datagram(number, 1452)).collect();
        let mixed: Vec<_> = (0..256).map(|number| datagram(number, number * 131 % 1453)).collect();
        for datagrams in [equal, mixed] {
            assert_eq!(bed.send(&datagrams), vec![Ok(()); datagrams.len()]);
            assert!(bed.receive(datagrams.len()) == datagrams, "{family:?}");
        }
    }
}

#[test]
fn a_super_frame_goes_as_one_datagram_for_each_segment_to_each_remote() {
    // The second one has more segments than a batch.
    for (family, segment) in FAMILIES.into_iter().flat_map(|family| [(family, 1300), (family, 500)]) {
        let mut bed = Bed::new(family);
        let (virtio, frame) = super_frame(60_001, segment);
        let super_frame = SuperFrame::parse(&virtio, &frame).unwrap();
        let addressed = bed.addressed(bed.underlays[1].local);
        let mut told = [0, 0];
        let sent = bed.outgoing.send_super_frame(
            &bed.pool,
            &super_frame,
            &frame,
            &header(0),
            &[0, 1].into_iter().map(|number| (remote(number), addressed)),
            |to, datagrams| told[usize::from(to != remote(0))] += datagrams,
        );
        let segments = cut(&super_frame, &frame);
        let bytes = segments.iter().map(|segment| segment.len() - NvgreHeader::LEN).sum();
        assert_eq!((sent.frames, sent.bytes, sent.failure), (segments.len() as u32, bytes, None));
        assert_eq!(told, [segments.len() as u32; 2]);
        // What one call sends goes to one remote and then to the other.
        let expected: Vec<_> = segments.chunks(SEGMENTS).flat_map(|call| [call, call]).flatten().cloned().collect();
        assert!(bed.receive(expected.len()) == expected, "{family:?} {segment}");
    }
}

#[test]
fn the_outer_header_is_as_asked_for() {
    for (family, df) in FAMILIES.into_iter().flat_map(|family| [(family, false), (family, true)]) {
        let mut bed = Bed::with_options(family, SendOptions { df, ..OPTIONS });
        let sniffer = Sniffer::new(&bed.hosts[1].namespace, Host::DEVICE, Direction::Incoming, |frame| {
            frame.windows(4).any(|word| word == [0x20, 0, 0x65, 0x58])
        });
        let datagram = datagram(1, 100);
        assert_eq!(bed.send(std::slice::from_ref(&datagram)), [Ok(())]);
        sniffer.expect(1);
        let frame = &sniffer.frames()[0][EthernetHeader::LEN..];
        let [local, peer] = bed.underlays.each_ref().map(|underlay| underlay.local);
        match family {
            Family::V4 => {
                let ip = Ipv4Header::decode(frame).unwrap();
                assert_eq!((ip.header.protocol(), ip.header.ttl()), (IpProtocol::GRE, DEFAULT_TTL));
                assert_eq!((ip.header.dscp(), ip.header.ecn()), (TRAFFIC_CLASS >> 2, Ecn::Ect1));
                assert_eq!((ip.header.dont_fragment(), ip.header.ihl()), (df, 5));
                assert_eq!((IpAddr::from(ip.header.source()), IpAddr::from(ip.header.destination())), (local, peer));
                assert_eq!(ip.payload, datagram);
            }
            Family::V6 => {
                let ip = Ipv6Header::decode(frame).unwrap();
                assert_eq!((ip.header.next_header(), ip.header.hop_limit()), (IpProtocol::GRE, DEFAULT_TTL));
                assert_eq!((ip.header.dscp(), ip.header.ecn()), (TRAFFIC_CLASS >> 2, Ecn::Ect1));
                assert_eq!((IpAddr::from(ip.header.source()), IpAddr::from(ip.header.destination())), (local, peer));
                assert_eq!(ip.payload, datagram);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_told_and_costs_no_other() {
    for family in FAMILIES {
        let mut bed = Bed::new(family);
        let datagrams = [datagram(0, 100), datagram(1, 1500), datagram(2, 100)];
        assert_eq!(bed.send(&datagrams), [Ok(()), Err(Errno::MSGSIZE), Ok(())], "{family:?}");
        let [first, _, last] = datagrams;
        assert_eq!(bed.receive(2), [first, last]);
    }
}

#[test]
fn what_was_sent_in_fragments_arrives_whole() {
    for family in FAMILIES {
        let mut bed = Bed::with_options(family, SendOptions { df: false, ..OPTIONS });
        let datagrams = [datagram(0, 9000), datagram(1, 100), datagram(2, 60_000)];
        assert_eq!(bed.send(&datagrams), [Ok(()); 3]);
        assert!(bed.receive(3) == datagrams, "{family:?}");
    }
}

#[test]
fn a_fragment_alone_is_nothing() {
    for family in FAMILIES {
        let mut bed = Bed::new(family);
        let [local, peer] = bed.underlays.each_ref().map(|underlay| underlay.local);
        let payload = datagram(0, 96);
        let packet = |fragment: u16, more: bool| match (local, peer) {
            (IpAddr::V4(local), IpAddr::V4(peer)) => {
                let length = (Ipv4Header::LEN + payload.len()) as u16;
                let mut ip = Ipv4Header::new(local, peer, IpProtocol::GRE, length);
                ip.set_identification(7 + fragment);
                ip.set_fragment_offset(fragment);
                ip.set_more_fragments(more);
                [ip.as_bytes(), &payload[..]].concat()
            }
            (IpAddr::V6(local), IpAddr::V6(peer)) => {
                let ip = Ipv6Header::new(local, peer, IpProtocol::new(44), (8 + payload.len()) as u16);
                let place = (fragment << 3 | u16::from(more)).to_be_bytes();
                let number = 7 + fragment as u8;
                let header = [NvgreHeader::IP_PROTOCOL, 0, place[0], place[1], 0, 0, 0, number];
                [ip.as_bytes(), &header[..], &payload].concat()
            }
            _ => unreachable!("both are of one family"),
        };
        // A raw socket of this protocol takes the IP header from us.
        let raw = bed.hosts[0].namespace.enter(|| {
            let domain = Domain::for_address((local, 0).into());
            Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW))).unwrap()
        });
        // The last one is the first and the last of its packet.
        for (fragment, more) in [(0, true), (20, true), (40, false), (0, false)] {
            raw.send_to(&packet(fragment, more), &SocketAddr::new(peer, 0).into()).unwrap();
        }
        let whole = Arrived { source: local, ecn: Ecn::NotEct, bytes: payload };
        assert_eq!(receive(&mut bed.incoming, &bed.receiver, 1), [whole], "{family:?}");
    }
}

#[test]
fn other_gre_wakes_nobody() {
    // Flags and protocol; NVGRE is 0x2000, 0x6558.
    let foreign = [
        (0x0000, 0x0800), // IPv4 without a key: a GRE tunnel of the kernel
        (0x0000, 0x86dd),
        (0x8000, 0x0800), // with a checksum
        (0x1000, 0x88be), // ERSPAN
        (0x0000, 0x6559),
        (0x3001, 0x880b), // PPTP
        (0x2001, 0x880b),
    ];
    // Of the same kind: the decoder says what is wrong with it.
    let kin = [
        (0x3000, 0x6558),
        (0xa000, 0x6558),
        (0x2ff8, 0x6558),
        (0x0000, 0x6558), // no key
        (0x8000, 0x6558), // a checksum alone
        (0x2001, 0x6558), // another version
        (0x2000, 0x0800), // IPv4 with a key
        (0xb000, 0x86dd),
    ];
    let gre = |(flags, protocol): (u16, u16)| [&flags.to_be_bytes()[..], &protocol.to_be_bytes(), &[0xff; 60]].concat();
    for family in FAMILIES {
        let mut bed = Bed::new(family);
        let mut datagrams: Vec<_> = foreign.into_iter().map(gre).collect();
        // Too short to tell.
        datagrams.extend([vec![0x20, 0, 0x65], vec![0x20], vec![]]);
        let mut expected: Vec<_> = kin.into_iter().map(gre).collect();
        // As short as it can be told.
        expected.extend([vec![0x20, 0, 0x65, 0x58], header(1).to_vec(), datagram(2, 60)]);
        datagrams.extend(expected.clone());
        assert_eq!(bed.send(&datagrams), vec![Ok(()); datagrams.len()]);
        assert_eq!(bed.receive(expected.len()), expected, "{family:?}");
    }
}

#[test]
fn options_and_extension_headers_are_no_part_of_it() {
    // IPv4: no operation, then a record of the route that the receiving host writes itself into, too.
    const RECORD_ROUTE: [u8; 12] = [1, 7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];
    // IPv6: destination options, nothing but padding.
    const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
    for family in FAMILIES {
        let mut bed = Bed::new(family);
        let datagrams: Vec<_> = (0..100).map(|number| datagram(number, number * 13)).collect();
        let socket = &bed.pool.sockets[0];
        match family {
            Family::V4 => set(socket, libc::IPPROTO_IP, libc::IP_OPTIONS, RECORD_ROUTE).unwrap(),
            Family::V6 => set(socket, libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, PADDING).unwrap(),
        }
        let sniffer =
            Sniffer::new(&bed.hosts[1].namespace, Host::DEVICE, Direction::Incoming, move |frame| match family {
                Family::V4 => frame[EthernetHeader::LEN] == 0x48,
                Family::V6 => frame[EthernetHeader::LEN..][6] == 60,
            });
        assert_eq!(bed.send(&datagrams), vec![Ok(()); datagrams.len()]);
        assert!(bed.receive(datagrams.len()) == datagrams, "{family:?}");
        sniffer.expect(datagrams.len() as u64);
    }
}

#[test]
fn a_sender_hears_nothing() {
    for family in FAMILIES {
        let mut bed = Bed::new(family);
        let [here, there] = &bed.hosts;
        let (peer, listener) = (
            there.namespace.enter(|| bed.underlays[1].gre_sender(OPTIONS)).unwrap(),
            here.namespace.enter(|| bed.underlays[0].gre_receiver()).unwrap(),
        );
        let to = bed.underlays[0].local;
        let own = std::mem::replace(&mut bed.pool, peer);
        let datagram = datagram(0, 100);
        assert_eq!(bed.send_to(to, std::slice::from_ref(&datagram)), [Ok(())]);
        let arrived = receive(&mut bed.incoming, &listener, 1);
        assert_eq!(arrived, [Arrived { source: bed.underlays[1].local, ecn: Ecn::Ect1, bytes: datagram }]);
        assert_eq!(bed.incoming.receive(own.sockets[0].as_fd()), Err(Errno::AGAIN), "{family:?}");
    }
}

#[test]
fn each_group_and_the_own_address_have_their_own() {
    for (family, groups) in FAMILIES.into_iter().zip(GROUPS) {
        let groups = groups.map(|group| group.parse().unwrap());
        let mut bed = Bed::new(family);
        let listeners =
            groups.map(|group| bed.hosts[1].namespace.enter(|| bed.underlays[1].gre_group_receiver(group)).unwrap());
        // Joined again it is no error.
        bed.underlays[1].join(&listeners[0], groups[0]).unwrap();
        let own = bed.underlays[1].local;
        let datagrams: Vec<_> = (0..3).map(|number| datagram(number, 100)).collect();
        for (to, datagram) in [groups[0], groups[1], own].into_iter().zip(&datagrams) {
            assert_eq!(bed.send_to(to, std::slice::from_ref(datagram)), [Ok(())]);
        }
        for (listener, datagram) in listeners.iter().chain([&bed.receiver]).zip(&datagrams) {
            let arrived = receive(&mut bed.incoming, listener, 1);
            assert_eq!(arrived[0].bytes, *datagram, "{family:?}");
        }
    }
}

#[test]
fn sockets_are_bound_to_an_interface_where_that_is_asked_for() {
    for family in FAMILIES {
        let mut bed = Bed::new(family);
        for (underlay, device) in bed.underlays.iter_mut().zip([Host::DEVICE, "lo"]) {
            underlay.device = Some(device.to_owned());
        }
        let [here, there] = &bed.hosts;
        bed.pool = here.namespace.enter(|| bed.underlays[0].gre_sender(OPTIONS)).unwrap();
        let elsewhere = there.namespace.enter(|| bed.underlays[1].gre_receiver()).unwrap();
        let datagram = datagram(0, 100);
        assert_eq!(bed.send(std::slice::from_ref(&datagram)), [Ok(())]);
        assert_eq!(bed.receive(1), [datagram]);
        assert_eq!(bed.incoming.receive(elsewhere.as_fd()), Err(Errno::AGAIN), "{family:?}");
        // As after the interface has been made anew.
        bed.underlays[1].device = Some(Host::DEVICE.to_owned());
        bed.underlays[1].rebind(&elsewhere).unwrap();
        let datagram = self::datagram(1, 100);
        assert_eq!(bed.send(std::slice::from_ref(&datagram)), [Ok(())]);
        assert_eq!(receive(&mut bed.incoming, &elsewhere, 1)[0].bytes, datagram);
    }
}

#[test]
fn what_an_interface_merged_is_a_super_frame_again() {
    const PAYLOAD: usize = 60_001;
    const SEGMENT: u16 = 1300;
    for family in FAMILIES {
        let mut bed = Bed::new(family);
        // Only what comes cut from a veth is merged behind it; and it waits for more for a while.
        for (host, command) in [
            (0, "ethtool -K u0 tx off tso off gso off"),
            (1, "ethtool -K u0 gro on"),
            (1, "mount -t sysfs sysfs /sys && echo 50000000 > /sys/class/net/u0/gro_flush_timeout"),
            (1, "mount -t sysfs sysfs /sys && echo 1 > /sys/class/net/u0/napi_defer_hard_irqs"),
        ] {
            let finished = bed.hosts[host].namespace.run(&["unshare", "--mount", "sh", "-c", command]);
            assert_eq!(finished.status, Some(0), "{command}: {finished}");
        }
        let (virtio, frame) = super_frame(PAYLOAD, SEGMENT);
        let segments = cut(&SuperFrame::parse(&virtio, &frame).unwrap(), &frame);
        assert_eq!(bed.send(&segments), vec![Ok(()); segments.len()]);

        let headers = frame.len() - PAYLOAD;
        let (mut payload, mut messages) = (Vec::new(), Vec::new());
        wait_until("all of it has come", || {
            for Arrived { bytes, .. } in take(&mut bed.incoming, &bed.receiver) {
                payload.extend_from_slice(&bytes[NvgreHeader::LEN + headers..]);
                messages.push(bytes);
            }
            payload.len() >= PAYLOAD
        });
        assert!(payload == frame[headers..], "{family:?}");
        assert!(messages.len() < segments.len(), "{family:?}");
        // On a busy machine it may be merged in parts.
        if let [message] = &messages[..] {
            assert!(*message == [&header(0)[..], &frame].concat(), "{family:?}");
        }
    }
}
