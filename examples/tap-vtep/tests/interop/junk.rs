//! A hundred thousand datagrams that are nothing for us: from strangers, of unknown segments, of other protocols, broken. None
//! is delivered, none is learned from, and each is counted under its reason.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use overlay_types::MacAddr;
use socket2::{Domain, Protocol, Socket, Type};
use testbed::{Family, Host, Numbered, Sniffer, TapVtep, Underlay, guest_mac, vxlan};

use crate::bed::{Counts, PORT, PROGRAM, VNI};

const GENEVE_PORT: u16 = 6081;
const VSID: u32 = 5000;
/// IP protocol of GRE.
const GRE: i32 = 47;
/// The `EtherType` of Ethernet inside (RFC 8926, RFC 7637).
const BRIDGED: u16 = 0x6558;

/// A Geneve packet by its fields (RFC 8926 §3.4).
fn geneve(version_and_length: u8, flags: u8, protocol: u16, vni: u32, rest: &[u8]) -> Vec<u8> {
    [&[version_and_length, flags][..], &protocol.to_be_bytes(), &(vni << 8).to_be_bytes(), rest].concat()
}

/// A GRE packet with a key by its fields (RFC 7637 §3.2).
fn gre(flags: u16, protocol: u16, vsid: u32, frame: &[u8]) -> Vec<u8> {
    [&flags.to_be_bytes()[..], &protocol.to_be_bytes(), &(vsid << 8).to_be_bytes(), frame].concat()
}

/// A host that sends anything to our endpoint.
struct Sender {
    udp: UdpSocket,
    gre: Socket,
    us: IpAddr,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug)]
enum To {
    Vxlan,
    Geneve,
    Nvgre,
}

impl Sender {
    fn new(underlay: &Underlay, host: usize, family: Family) -> Self {
        let Host { namespace, .. } = underlay.host(host);
        let local = SocketAddr::new(underlay.host(host).address(family), 0);
        let gre = namespace.enter(|| {
            let socket = Socket::new(Domain::for_address(local), Type::RAW, Some(Protocol::from(GRE))).unwrap();
            socket.bind(&local.into()).unwrap();
            socket
        });
        Self { udp: namespace.udp_socket(local), gre, us: underlay.host(0).address(family) }
    }

    fn send(&self, to: To, datagram: &[u8]) {
        let us = |port| SocketAddr::new(self.us, port);
        let sent = match to {
            To::Vxlan => self.udp.send_to(datagram, us(PORT)),
            To::Geneve => self.udp.send_to(datagram, us(GENEVE_PORT)),
            To::Nvgre => self.gre.send_to(datagram, &us(0).into()),
        };
        assert_eq!(sent.unwrap(), datagram.len());
    }
}

/// A segment of each encapsulation; the second host is their remote, the third one nobody.
fn configuration(underlay: &Underlay, family: Family) -> String {
    let (local, remote) = (underlay.host(0).address(family), underlay.host(1).address(family));
    let segment = |name: &str, encapsulation: &str, vni: u32, lines: &str| {
        format!(
            "[[segment]]\nname = \"{name}\"\nencapsulation = \"{encapsulation}\"\nvni = {vni}\ntap = \"{name}0\"\n\
             flood = [\"{remote}\"]\n{lines}\n"
        )
    };
    [
        format!("[underlay]\nlocal = \"{local}\"\n"),
        segment("red", "vxlan", VNI, ""),
        segment("pink", "vxlan", VNI + 1, "reserved_bits = \"reject\""),
        segment("green", "geneve", VNI, ""),
        segment("blue", "nvgre", VSID, ""),
    ]
    .concat()
}

const TAPS: [&str; 4] = ["red0", "pink0", "green0", "blue0"];

/// Datagrams of the remote that are wrong, and why.
fn wrong(frame: &[u8]) -> Vec<(&'static str, To, Vec<u8>)> {
    let with_first = |first: u8, datagram: &[u8]| [&[first], &datagram[1..]].concat();
    let critical = [&[0xff, 0xff, 0x80, 0][..], frame].concat();
    let overrun = [&[0, 1, 1, 5, 0, 0, 0, 0][..], frame].concat();
    let gpe = |next: u8| with_first(0x0c, &[&[0, 0, 0, next][..], &vxlan(VNI + 1, frame)[4..]].concat());
    vec![
        ("unknown_vni", To::Vxlan, vxlan(VNI + 2, frame)),
        ("invalid_header", To::Vxlan, with_first(0xf7, &vxlan(VNI, frame))),
        ("truncated", To::Vxlan, vxlan(VNI, &frame[..13])),
        // Generic Protocol Extension, for IPv4 and for Ethernet.
        ("reserved_bits", To::Vxlan, gpe(1)),
        ("reserved_bits", To::Vxlan, gpe(3)),
        // Other tunnels on VXLAN's port.
        ("invalid_header", To::Vxlan, geneve(0, 0, BRIDGED, VNI, frame)),
        ("invalid_header", To::Vxlan, gre(0x2000, BRIDGED, VNI, frame)),
        ("unknown_vni", To::Geneve, geneve(0, 0, BRIDGED, VNI + 1, frame)),
        ("unknown_version", To::Geneve, geneve(0x40, 0, BRIDGED, VNI, frame)),
        ("wrong_protocol_type", To::Geneve, geneve(0, 0, 0x0800, VNI, frame)),
        ("control_packet", To::Geneve, geneve(0, 0x80, BRIDGED, VNI, frame)),
        ("unknown_critical_option", To::Geneve, geneve(1, 0x40, BRIDGED, VNI, &critical)),
        ("invalid_options", To::Geneve, geneve(2, 0, BRIDGED, VNI, &overrun)),
        ("truncated", To::Geneve, geneve(63, 0, BRIDGED, VNI, frame)),
        // VXLAN on Geneve's port: its I flag is a length of options there.
        ("wrong_protocol_type", To::Geneve, vxlan(VNI, frame)),
        ("unknown_vni", To::Nvgre, gre(0x2000, BRIDGED, VSID + 1, frame)),
        ("invalid_header", To::Nvgre, gre(0xa000, BRIDGED, VSID, frame)),
        ("invalid_header", To::Nvgre, gre(0x3000, BRIDGED, VSID, frame)),
        ("invalid_header", To::Nvgre, gre(0x0000, BRIDGED, VSID, frame)),
        ("unknown_version", To::Nvgre, gre(0x2001, BRIDGED, VSID, frame)),
        ("wrong_protocol_type", To::Nvgre, gre(0x2000, 0x0800, VSID, frame)),
        ("truncated", To::Nvgre, gre(0x2000, BRIDGED, VSID, &frame[..13])),
    ]
}

#[test]
fn a_hundred_thousand_datagrams_that_are_not_ours_are_counted_and_not_delivered() {
    for (family, rounds) in [(Family::V4, 3000), (Family::V6, 1000)] {
        let underlay = Underlay::new(3);
        let ours = &underlay.host(0).namespace;
        let vtep = TapVtep::configured(PROGRAM, ours, &configuration(&underlay, family));
        let delivered = TAPS.map(|tap| Sniffer::of_stream(ours, tap, 1));
        let [remote, stranger] = [1, 2].map(|host| Sender::new(&underlay, host, family));
        let frame = Numbered::new(MacAddr::BROADCAST, guest_mac(2), 1).frame(0);
        let wrong = wrong(&frame);
        let right = [
            (To::Vxlan, vxlan(VNI, &frame)),
            (To::Geneve, geneve(0, 0, BRIDGED, VNI, &frame)),
            (To::Nvgre, gre(0x2000, BRIDGED, VSID, &frame)),
        ];
        let said = vtep.log().len();
        let mut expected = Counts::of(&vtep);
        for (reason, ..) in &wrong {
            expected = expected.and_dropped(reason, rounds);
        }
        expected = expected.and_dropped("unknown_source", rounds * right.len() as u64);
        for _ in 0..rounds {
            for (_, to, datagram) in &wrong {
                remote.send(*to, datagram);
            }
            for (to, datagram) in &right {
                stranger.send(*to, datagram);
            }
            // GRE of other programs of this host: that is not even looked at.
            remote.send(To::Nvgre, &gre(0, 0x0800, VSID, &frame));
            // One round after the other: nothing on the way may overflow.
            thread::sleep(Duration::from_micros(300));
        }
        expected.expect(&vtep);
        assert_eq!(vtep.show("fdb").as_array().unwrap().len(), 0);
        assert_eq!(vtep.log().len(), said, "{:?}", vtep.log());
        // What is right arrives all the same.
        for (to, datagram) in &right {
            remote.send(*to, datagram);
        }
        expected.and_delivered(3).expect(&vtep);
        for (sniffer, count) in delivered.iter().zip([1, 0, 1, 1]) {
            sniffer.expect(count);
        }
    }
}
