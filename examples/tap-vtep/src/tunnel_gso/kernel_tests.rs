//! Super-frames through the kernel, between hosts in network namespaces.
#![allow(unsafe_code)]

use std::{io::Read as _, net::UdpSocket, os::fd::AsRawFd as _, ptr, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use testbed::{Direction, Family, Host, KernelVtep, KernelVtepOptions, Sniffer, wait_until};

use super::{
    trial::{Example, Kind, TrialError},
    *,
};

const VXLAN: [u8; 8] = [8, 0, 0, 0, 0, 0, 42, 0];
/// With a VSID and a `FlowID`.
const NVGRE: [u8; 8] = [0x20, 0, 0x65, 0x58, 0, 0, 42, 7];
const PORT: u16 = 4789;
const KINDS: [Kind; 4] = [Kind::Tcp4, Kind::Tcp6, Kind::Udp4, Kind::Udp6];
const PAYLOAD: usize = 60_000;
const SEGMENT: u16 = 1300;

/// Two hosts with a cable between them, and a helper TAP on the first.
struct Bed {
    one: Host,
    two: Host,
    netlink: Netlink,
    tunnel: TunnelGso,
}

impl Bed {
    fn new() -> Self {
        let [one, two] = Host::pair();
        let (netlink, tunnel) = one.namespace.enter(|| {
            let netlink = Netlink::open().unwrap();
            let mut tunnel = TunnelGso::open(&netlink, one.address(Family::V4)).unwrap();
            tunnel.take_udp(&netlink).unwrap();
            (netlink, tunnel)
        });
        Self { one, two, netlink, tunnel }
    }

    fn set(&self, key: &str, value: &str) {
        self.one.namespace.set_sysctl(&format!("net/ipv4/{key}"), value);
    }

    fn trial(&self) -> Result<(), TrialError> {
        self.one.namespace.enter(|| self.tunnel.trial(&self.netlink))
    }

    fn renew(&self) -> Result<(), OpenError> {
        self.one.namespace.enter(|| self.tunnel.renew(&self.netlink))
    }

    fn take_gre(&mut self) -> Result<(), TrialError> {
        let Self { one, tunnel, netlink, .. } = self;
        one.namespace.enter(|| tunnel.take_gre(netlink))
    }

    /// Sends a super-frame to the second host by UDP.
    fn send(&self, example: &Example, checksum: bool) -> Result<(), Errno> {
        self.send_by(Transport::Udp { source_port: 50_000, destination_port: PORT, checksum }, true, &VXLAN, example)
    }

    /// The same by GRE.
    fn send_gre(&self, example: &Example, df: bool) -> Result<(), Errno> {
        self.send_by(Transport::Gre, df, &NVGRE, example)
    }

    fn send_by(
        &self,
        transport: Transport,
        df: bool,
        tunnel_header: &[u8],
        Example { virtio, frame }: &Example,
    ) -> Result<(), Errno> {
        let outer = Outer { destination: address(&self.two), transport, traffic_class: 0xb9, ttl: 64, df };
        let super_frame = SuperFrame::parse(virtio, frame).unwrap();
        self.tunnel.send(&outer, *virtio, &super_frame, tunnel_header, frame)
    }

    /// A raw socket on the second host.
    fn gre_receiver(&self) -> Socket {
        self.two.namespace.enter(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_GRE))).unwrap();
            socket.set_recv_buffer_size(1 << 20).unwrap();
            socket
        })
    }

    /// A socket on the second host.
    fn receiver(&self) -> UdpSocket {
        self.two.namespace.udp_socket((self.two.address(Family::V4), PORT))
    }
}

fn address(host: &Host) -> Ipv4Addr {
    let IpAddr::V4(address) = host.address(Family::V4) else { unreachable!("it was asked for IPv4") };
    address
}

/// Sets an option of UDP.
fn set(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which the kernel only reads.
    let status =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, option, ptr::from_ref(&value).cast(), length) };
    assert_eq!(status, 0);
}

/// One message, and what `UDP_GRO` says of the size of the datagrams in it.
fn receive(socket: &UdpSocket) -> (Vec<u8>, Option<libc::c_int>) {
    let mut bytes = vec![0; 1 << 16];
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = [0_u64; 8];
    // SAFETY: all zero is a value of the header; then it leads to memory of this function. The only control message that
    // was asked for is an integer.
    let (length, size) = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        let length = libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0);
        let message = libc::CMSG_FIRSTHDR(&raw const header).as_ref();
        (length, message.map(|message| libc::CMSG_DATA(message).cast::<libc::c_int>().read_unaligned()))
    };
    bytes.truncate(usize::try_from(length).expect("something arrives"));
    (bytes, size)
}

/// The datagrams that a super-frame is for the wire.
fn cut(tunnel_header: &[u8], Example { virtio, frame }: &Example) -> Vec<Vec<u8>> {
    let super_frame = SuperFrame::parse(virtio, frame).unwrap();
    let segment = |index| {
        let mut header = vec![0; super_frame.header_len()];
        let payload = super_frame.write_segment(frame, index, &mut header);
        [tunnel_header, &header, &frame[payload]].concat()
    };
    (0..super_frame.segments()).map(segment).collect()
}

#[test]
fn super_frames_come_around_and_nothing_stays_behind() {
    let bed = Bed::new();
    assert!(bed.one.namespace.enter(|| TunnelGso::suits(Host::DEVICE)).unwrap());
    assert_eq!(bed.tunnel.device(), "tv-gso0");
    bed.trial().unwrap();
    bed.trial().unwrap();
    // A child of another test may have its files for a moment.
    wait_until("the trial's device is gone", || !bed.one.namespace.has_device("tv-gso1"));
    let Bed { one, tunnel, .. } = bed;
    // The rest of the host is no router.
    for device in ["all", "default", Host::DEVICE] {
        let key = format!("net.ipv4.conf.{device}.forwarding");
        assert_eq!(one.namespace.run(&["sysctl", "-n", &key]).stdout.trim(), "0", "{device}");
    }
    assert!(one.namespace.ip("-6 addr show dev tv-gso0").is_empty());
    drop(tunnel);
    wait_until("the device is gone", || !one.namespace.has_device("tv-gso0"));
}

#[test]
fn settings_that_are_lost_are_noticed_and_made_again() {
    for (key, value) in [
        ("conf/tv-gso0/forwarding", "0"),
        ("conf/tv-gso0/accept_local", "0"),
        ("conf/tv-gso0/rp_filter", "1"),
        ("ip_forward", "0"),
    ] {
        let bed = Bed::new();
        // What is off already changes no device.
        bed.set("ip_forward", "1");
        bed.set(key, value);
        assert!(matches!(bed.trial(), Err(TrialError::Lost { .. })), "{key}");
        bed.renew().unwrap();
        bed.trial().unwrap();
    }
}

#[test]
fn the_reverse_path_filter_of_the_host_is_no_matter() {
    for filter in ["0", "1", "2"] {
        let [one, _two] = Host::pair();
        for device in ["all", "default"] {
            one.namespace.set_sysctl(&format!("net/ipv4/conf/{device}/rp_filter"), filter);
        }
        one.namespace.enter(|| {
            let netlink = Netlink::open().unwrap();
            TunnelGso::open(&netlink, one.address(Family::V4)).unwrap().take_udp(&netlink).unwrap();
        });
    }
}

#[test]
fn an_ipv6_underlay_is_refused() {
    let [one, _two] = Host::pair();
    let refused = one.namespace.enter(|| TunnelGso::open(&Netlink::open().unwrap(), one.address(Family::V6)));
    assert!(matches!(refused, Err(OpenError::Ipv6)));
}

#[test]
fn a_tap_of_that_name_is_left_alone() {
    let [one, _two] = Host::pair();
    one.namespace.ip("tuntap add dev tv-gso0 mode tap vnet_hdr");
    one.namespace.enter(|| {
        let tunnel = TunnelGso::open(&Netlink::open().unwrap(), one.address(Family::V4)).unwrap();
        assert_eq!(tunnel.device(), "tv-gso1");
    });
    assert!(one.namespace.has_device("tv-gso0"));
}

#[test]
fn a_device_that_is_down_or_gone_is_an_error() {
    let bed = Bed::new();
    let example = Example::new(Kind::Tcp4, PAYLOAD, SEGMENT);
    bed.one.namespace.ip("link set tv-gso0 down");
    assert_eq!(bed.send(&example, false), Err(Errno::IO));
    bed.one.namespace.ip("link del tv-gso0");
    assert_eq!(bed.send(&example, false), Err(Errno::BADFD));
}

#[test]
fn a_socket_behind_a_veth_gets_it_whole() {
    let bed = Bed::new();
    let socket = bed.receiver();
    for merges in [false, true] {
        set(&socket, libc::UDP_GRO, merges.into());
        for (kind, udp_checksum) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let example = Example::new(kind, PAYLOAD, SEGMENT);
            bed.send(&example, udp_checksum).unwrap();
            let whole = [&VXLAN[..], &example.frame].concat();
            let name = format!("{kind:?} {merges} {udp_checksum}");
            match kind {
                Kind::Tcp4 | Kind::Tcp6 => assert!(receive(&socket) == (whole, None), "{name}"),
                // The kernel speaks of the datagrams within the tunnel as if they were its own.
                Kind::Udp4 | Kind::Udp6 if merges => {
                    assert!(receive(&socket) == (whole, Some(SEGMENT.into())), "{name}");
                }
                // A socket that takes no merged datagrams gets none of those either.
                Kind::Udp4 | Kind::Udp6 => {
                    for segment in cut(&VXLAN, &example) {
                        assert!(receive(&socket) == (segment, None), "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_kernel_peer_gets_it_whole() {
    for kind in KINDS {
        let bed = Bed::new();
        let peer = KernelVtep::new(&bed.two, &KernelVtepOptions::to(&[bed.one.address(Family::V4)]));
        let sniffer =
            Sniffer::new(&peer.guest, KernelVtep::GUEST_DEVICE, Direction::Incoming, |frame| frame.len() > 1000);
        let example = Example::new(kind, PAYLOAD, SEGMENT);
        bed.send(&example, true).unwrap();
        sniffer.expect(1);
        assert!(sniffer.frames() == [example.frame], "{kind:?}");
    }
}

#[test]
fn a_wire_gets_it_cut() {
    let bed = Bed::new();
    let off = ["ethtool", "-K", Host::DEVICE, "tx", "off", "tso", "off", "gso", "off"];
    assert_eq!(bed.one.namespace.run(&off).status, Some(0));
    assert!(!bed.one.namespace.enter(|| TunnelGso::suits(Host::DEVICE)).unwrap());
    let socket = bed.receiver();
    for (kind, udp_checksum) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let sniffer = Sniffer::new(&bed.two.namespace, Host::DEVICE, Direction::Incoming, |frame| frame.len() > 200);
        let example = Example::new(kind, PAYLOAD, SEGMENT);
        bed.send(&example, udp_checksum).unwrap();
        let segments = cut(&VXLAN, &example);
        for segment in &segments {
            assert!(receive(&socket).0 == *segment, "{kind:?} {udp_checksum}");
        }
        let count = segments.len() as u64;
        wait_until("all are seen", || sniffer.count() == count);
        for frame in sniffer.frames() {
            let ip = Ipv4Header::decode(&frame[EthernetHeader::LEN..]).unwrap();
            assert_eq!((ip.header.ttl(), ip.header.dont_fragment()), (64, true));
            assert_eq!((ip.header.dscp(), ip.header.ecn()), (0xb9 >> 2, Ecn::Ect1));
            let (udp, data) = UdpHeader::decode(ip.payload).unwrap();
            assert_eq!((udp.source_port(), udp.destination_port()), (50_000, PORT));
            if udp_checksum {
                assert!(udp.checksum() != 0 && udp.is_checksum_valid(ip.header.pseudo_header(udp.length()), data));
            } else {
                assert_eq!(udp.checksum(), 0);
            }
        }
    }
}

#[test]
fn it_is_not_sent_where_a_segment_does_not_fit() {
    let bed = Bed::new();
    let socket = bed.receiver();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // 1500 bytes with the 90 of all IP, UDP, VXLAN, Ethernet and TCP headers, and one more.
    for (segment, expected) in [(1410, true), (1411, false)] {
        bed.send(&Example::new(Kind::Tcp4, PAYLOAD, segment), true).unwrap();
        assert_eq!(socket.recv(&mut [0; 10]).is_ok(), expected, "{segment}");
    }
}

/// A guest of a kernel peer cuts a message into datagrams, and nobody does so on the way: the receiver gets all of it in one
/// tunnel, with the size of the datagrams within.
#[test]
fn a_kernel_peer_sends_it_whole_too() {
    let bed = Bed::new();
    let peer = KernelVtep::new(&bed.two, &KernelVtepOptions::to(&[bed.one.address(Family::V4)]));
    peer.guest.ip("neigh add 10.50.0.9 lladdr 02:00:00:00:00:09 dev eth0");
    let receiver = bed.one.namespace.udp_socket((bed.one.address(Family::V4), PORT));
    set(&receiver, libc::UDP_GRO, 1);
    let sender = peer.guest.udp_socket((peer.guest_address(Family::V4), 7000));
    set(&sender, libc::UDP_SEGMENT, 1000);
    sender.send_to(&vec![7; 20_000], "10.50.0.9:7000").unwrap();
    let (bytes, size) = receive(&receiver);
    // VXLAN, Ethernet, IPv4 and UDP, once.
    assert_eq!((bytes.len(), size), (8 + 14 + 20 + 8 + 20_000, Some(1000)));
}

/// The payload of the next packet, and its header.
fn receive_gre(socket: &Socket) -> (Ipv4Header, Vec<u8>) {
    let mut bytes = vec![0; 1 << 16];
    let length = (&*socket).read(&mut bytes).unwrap();
    let ip = Ipv4Header::decode(&bytes[..length]).unwrap();
    (*ip.header, ip.payload.to_vec())
}

#[test]
fn gre_is_for_sockets_before_it_is_taken() {
    let mut bed = Bed::new();
    let example = Example::new(Kind::Tcp4, PAYLOAD, SEGMENT);
    assert_eq!(bed.send_gre(&example, true), Err(Errno::OPNOTSUPP));
    bed.take_gre().unwrap();
    assert_eq!(bed.send_gre(&example, true), Ok(()));
    assert_eq!(bed.tunnel.takes(), (true, true));
    // UDP goes its way as before.
    bed.trial().unwrap();
    wait_until("the trials' devices are gone", || !bed.one.namespace.has_device("tv-gso1"));
}

#[test]
fn a_host_that_forwards_no_gre_is_noticed() {
    let mut bed = Bed::new();
    bed.one.namespace.run(&["nft", "add table ip t; add chain ip t c { type filter hook forward priority 0; }; add rule ip t c ip protocol gre drop"]);
    assert!(matches!(bed.take_gre(), Err(TrialError::Lost { .. })));
    assert_eq!(bed.tunnel.takes(), (true, false));
    bed.trial().unwrap();
}

#[test]
fn a_raw_socket_behind_a_veth_gets_it_whole() {
    let mut bed = Bed::new();
    bed.take_gre().unwrap();
    let socket = bed.gre_receiver();
    for kind in [Kind::Tcp4, Kind::Tcp6] {
        let example = Example::new(kind, PAYLOAD, SEGMENT);
        bed.send_gre(&example, true).unwrap();
        let (ip, payload) = receive_gre(&socket);
        assert!(payload == [&NVGRE[..], &example.frame].concat(), "{kind:?}");
        assert_eq!((ip.ttl(), ip.dont_fragment(), ip.dscp(), ip.ecn()), (64, true, 0xb9 >> 2, Ecn::Ect1));
    }
}

#[test]
fn a_wire_gets_gre_cut() {
    let mut bed = Bed::new();
    let off = ["ethtool", "-K", Host::DEVICE, "tx", "off", "tso", "off", "gso", "off"];
    assert_eq!(bed.one.namespace.run(&off).status, Some(0));
    bed.take_gre().unwrap();
    let socket = bed.gre_receiver();
    let mut identifications = Vec::new();
    for (kind, df) in [(Kind::Tcp4, true), (Kind::Tcp6, true), (Kind::Tcp4, false), (Kind::Tcp6, false)] {
        let example = Example::new(kind, PAYLOAD, SEGMENT);
        bed.send_gre(&example, df).unwrap();
        for segment in cut(&NVGRE, &example) {
            let (ip, payload) = receive_gre(&socket);
            assert!(payload == segment, "{kind:?} {df}");
            assert_eq!((ip.source(), ip.destination()), (bed.tunnel.local(), address(&bed.two)));
            assert_eq!((ip.ttl(), ip.dont_fragment(), ip.dscp(), ip.ecn()), (64, df, 0xb9 >> 2, Ecn::Ect1));
            assert!(ip.is_checksum_valid(&[]));
            if !df {
                identifications.push(ip.identification());
            }
        }
    }
    // Who may be taken apart on the way has a number of its own (RFC 6864 §4.3).
    let count = identifications.len();
    identifications.sort_unstable();
    identifications.dedup();
    assert_eq!(identifications.len(), count);
}

#[test]
fn gre_is_not_sent_where_a_segment_does_not_fit() {
    let mut bed = Bed::new();
    bed.take_gre().unwrap();
    let socket = bed.gre_receiver();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // 1500 bytes with the 82 of all IP, GRE, Ethernet and TCP headers, and one more.
    for (segment, expected) in [(1418, true), (1419, false)] {
        bed.send_gre(&Example::new(Kind::Tcp4, PAYLOAD, segment), true).unwrap();
        assert_eq!((&socket).read(&mut [0; 10]).is_ok(), expected, "{segment}");
    }
}

/// A device that cuts other tunnels alone gets it cut, one that cuts GRE gets it whole.
#[test]
fn devices_know_it_as_gre() {
    let mut bed = Bed::new();
    bed.take_gre().unwrap();
    let socket = bed.gre_receiver();
    let example = Example::new(Kind::Tcp4, PAYLOAD, SEGMENT);
    for (offloads, is_whole) in [
        ("tx-gre-segmentation off", false),
        ("tx-gre-segmentation on tx-udp_tnl-segmentation off tx-ipxip4-segmentation off", true),
    ] {
        bed.one.namespace.set_offloads(Host::DEVICE, offloads);
        bed.send_gre(&example, true).unwrap();
        let segments = if is_whole { vec![[&NVGRE[..], &example.frame].concat()] } else { cut(&NVGRE, &example) };
        for segment in segments {
            // Checksums are left to the device.
            assert_eq!(receive_gre(&socket).1.len(), segment.len(), "{offloads}");
        }
    }
}
