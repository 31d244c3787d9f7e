//! Several addresses of ours, of both families: each segment has one, and nothing of another.

use overlay_types::MacAddr;
use testbed::{
    Direction, Family, FrameSender, Host, KernelVtep, KernelVtepOptions, Numbered, OuterPacket, Ping, Sniffer, TapVtep,
    Underlay, guest_mac, ping, wait_until,
};

use crate::{
    bed::{
        Counts, PORT, PROGRAM, TAP, VNI, add_guest_addresses, configuration_file, flood_to_all, guest_address,
        one_segment, only_line, run_to_end,
    },
    tunnel::Tunnel,
};

const COUNT: u32 = 200;
/// A second IPv4 address of our host.
const SECOND: &str = "10.200.0.101";

/// Segments with this address list; each is a name, its lines.
fn configuration(locals: &[String], segments: &[(&str, String)]) -> String {
    let locals: Vec<_> = locals.iter().map(|local| format!("\"{local}\"")).collect();
    let segments: Vec<_> = segments
        .iter()
        .map(|(name, lines)| format!("[[segment]]\nname = \"{name}\"\nvni = {VNI}\n{lines}\n"))
        .collect();
    format!("[underlay]\nlocal = [{}]\n{}", locals.join(", "), segments.concat())
}

fn local(vtep: &TapVtep, segment: usize) -> String {
    vtep.show("segments")[segment]["local"].as_str().unwrap().to_owned()
}

/// A segment over IPv4 and one over IPv6, with the same VNI, between two programs that have both.
#[test]
fn one_program_serves_both_families() {
    let underlay = Underlay::new(2);
    let both = [0, 1].map(|index| {
        let (here, there) = (underlay.host(index), underlay.host(1 - index));
        let locals = Family::ALL.map(|family| here.address(family).to_string());
        let flood = |family| format!("flood = [\"{}\"]", there.address(family));
        let configuration = configuration(&locals, &[("four", flood(Family::V4)), ("six", flood(Family::V6))]);
        let vtep = TapVtep::configured(PROGRAM, &here.namespace, &configuration);
        assert_eq!([local(&vtep, 0), local(&vtep, 1)], locals);
        let segments = vtep.show("segments");
        assert_eq!([&segments[0]["mtu"], &segments[1]["mtu"]], [1450, 1430]);
        vtep
    });
    let [ours, theirs] = [0, 1].map(|index| &underlay.host(index).namespace);
    let delivered = ["four", "six"].map(|tap| [1, 2].map(|stream| Sniffer::of_stream(theirs, tap, stream)));
    let wire = Family::ALL.map(|family| {
        Sniffer::new(ours, Host::DEVICE, Direction::Outgoing, move |frame| Tunnel::Vxlan.open(family, frame).is_some())
    });
    // One of another length between those of a stream, so that none goes with another as one message.
    for (stream, tap) in [(1, "four"), (2, "six")] {
        let mut sender = FrameSender::new(ours, tap);
        let numbered = Numbered::new(MacAddr::BROADCAST, guest_mac(1), stream);
        sender
            .send_all((0..COUNT).map(|number| Numbered { len: 100 + number as usize % 50, ..numbered }.frame(number)));
    }
    for (here, sniffers) in delivered.iter().enumerate() {
        for (stream, sniffer) in sniffers.iter().enumerate() {
            if here == stream { sniffer.expect_stream(stream as u32 + 1, COUNT) } else { sniffer.expect(0) }
        }
    }
    assert!(wire.iter().all(|sniffer| sniffer.count() > 0));
    Counts { sent: 2 * u64::from(COUNT), ..Counts::default() }.expect(&both[0]);
    Counts { delivered: 2 * u64::from(COUNT), ..Counts::default() }.expect(&both[1]);
}

/// The kernel is the peer of each family.
#[test]
fn each_family_has_its_kernel_peer() {
    let underlay = Underlay::new(3);
    let ours = underlay.host(0);
    let locals = Family::ALL.map(|family| ours.address(family).to_string());
    let peers: Vec<_> = Family::ALL
        .iter()
        .zip(1..)
        .map(|(family, host)| {
            let options = KernelVtepOptions { vni: VNI, port: PORT, ..KernelVtepOptions::to(&[ours.address(*family)]) };
            KernelVtep::new(underlay.host(host), &options)
        })
        .collect();
    let lines = [0, 1].map(|index| {
        let remote = underlay.host(index + 1).address(Family::ALL[index]);
        format!("tap = \"tap{index}\"\nflood = [\"{remote}\"]")
    });
    let [four, six] = lines;
    let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration(&locals, &[("four", four), ("six", six)]));
    for (index, peer) in peers.iter().enumerate() {
        let tap = format!("tap{index}");
        ours.namespace.add_address(&tap, guest_address(1, Family::V4), 24);
        assert_eq!(
            ping(&ours.namespace, peer.guest_address(Family::V4), 3),
            Ping { sent: 3, received: 3, duplicates: 0 }
        );
        ours.namespace.ip(&format!("addr flush dev {tap}"));
    }
    Counts::expect_no_drop(&vtep, "both peers");
}

/// Two addresses of one family: `local` says which, the first one serves who says nothing. What comes to the one is not
/// for a segment of the other, though it has the VNI.
#[test]
fn a_segment_has_the_address_that_it_asks_for() {
    let underlay = Underlay::new(2);
    let (ours, theirs) = (underlay.host(0), underlay.host(1));
    ours.namespace.add_address(Host::DEVICE, SECOND.parse().unwrap(), 24);
    let locals = [ours.address(Family::V4).to_string(), SECOND.to_owned()];
    let flood = format!("flood = [\"{}\"]", theirs.address(Family::V4));
    let segments = [("one", flood.clone()), ("two", format!("local = \"{SECOND}\"\n{flood}"))];
    let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration(&locals, &segments));
    assert_eq!([local(&vtep, 0), local(&vtep, 1)], locals);

    for (stream, (tap, source)) in (1..).zip([("one", &locals[0]), ("two", &locals[1])]) {
        let source: std::net::Ipv4Addr = source.parse().unwrap();
        let wire = Sniffer::new(&ours.namespace, Host::DEVICE, Direction::Outgoing, move |frame| {
            Tunnel::Vxlan.open(Family::V4, frame).is_some_and(|(packet, _)| packet[12..16] == source.octets())
        });
        FrameSender::new(&ours.namespace, tap).send(&Numbered::new(MacAddr::BROADCAST, guest_mac(1), stream).frame(0));
        wire.expect(1);
    }
    let before = Counts::of(&vtep);
    let delivered = ["one", "two"].map(|tap| [3, 4].map(|stream| Sniffer::of_stream(&ours.namespace, tap, stream)));
    let mut sender = FrameSender::new(&theirs.namespace, Host::DEVICE);
    let packet = OuterPacket::between(theirs, ours, Family::V4);
    for (stream, local) in (3..).zip(&locals) {
        let packet = OuterPacket { addresses: [packet.addresses[0], local.parse().unwrap()], ..packet };
        let frames = Numbered::new(MacAddr::BROADCAST, guest_mac(2), stream);
        sender.send_all(frames.frames(COUNT).map(|frame| Tunnel::Vxlan.packet(&packet, &frame)));
    }
    for (here, sniffers) in delivered.iter().enumerate() {
        for (stream, sniffer) in sniffers.iter().enumerate() {
            if here == stream { sniffer.expect_stream(stream as u32 + 3, COUNT) } else { sniffer.expect(0) }
        }
    }
    before.and_delivered(2 * u64::from(COUNT)).expect(&vtep);

    // Without a segment of its VNI the second address takes nothing.
    let only_first = configuration(
        &locals,
        &[
            ("one", flood.clone()),
            ("two", format!("local = \"{SECOND}\"\n{flood}").replace("local", "port = 4789\nlocal")),
        ],
    )
    .replace(&format!("name = \"two\"\nvni = {VNI}"), "name = \"two\"\nvni = 43");
    vtep.reload(&only_first);
    wait_until("the VNI is another one", || vtep.show("segments")[1]["vni"] == 43);
    let before = Counts::of(&vtep);
    let packet = OuterPacket { addresses: [packet.addresses[0], SECOND.parse().unwrap()], ..packet };
    sender.send(&Tunnel::Vxlan.packet(&packet, &Numbered::new(MacAddr::BROADCAST, guest_mac(2), 3).frame(0)));
    before.and_dropped("unknown_vni", 1).expect(&vtep);
}

/// The MTU of a segment follows the interface of its address.
#[test]
fn the_mtu_is_that_of_the_address() {
    let underlay = Underlay::new(1);
    let ours = underlay.host(0);
    ours.namespace.ip("link add large mtu 9000 type veth peer name other mtu 9000");
    ours.namespace.ip("link set large up");
    ours.namespace.add_address("large", "10.201.0.1".parse().unwrap(), 24);
    let locals = [ours.address(Family::V4).to_string(), "10.201.0.1".to_owned()];
    let segments = [("one", String::new()), ("two", "local = \"10.201.0.1\"".to_owned())];
    let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration(&locals, &segments));
    let segments = vtep.show("segments");
    assert_eq!([&segments[0]["mtu"], &segments[1]["mtu"]], [1450, 8950]);
    assert_eq!(ours.namespace.device("two")["mtu"], 8950);
}

/// Of two interfaces the one goes and comes back: the segments of both go on.
#[test]
fn an_interface_of_two_is_made_anew() {
    let underlay = Underlay::new(2);
    let ours = underlay.host(0);
    ours.namespace.ip("link add second type veth peer name other");
    ours.namespace.ip("link set second up");
    ours.namespace.add_address("second", "10.201.0.1".parse().unwrap(), 24);
    let options = KernelVtepOptions { vni: VNI, port: PORT, ..KernelVtepOptions::to(&[ours.address(Family::V4)]) };
    let peer = KernelVtep::new(underlay.host(1), &options);
    let locals = ["10.201.0.1".to_owned(), ours.address(Family::V4).to_string()];
    let lines = format!("tap = \"{TAP}\"\nlocal = \"{}\"\n{}", locals[1], flood_to_all(&underlay, Family::V4));
    let segments = [("one", String::new()), ("two", lines)];
    let mut vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration(&locals, &segments));
    add_guest_addresses(&underlay);
    let reaches = || ping(&ours.namespace, peer.guest_address(Family::V4), 1).received == 1;
    wait_until("the peer is reached", reaches);
    ours.namespace.ip("link del second");
    underlay.pull_out(ours);
    wait_until("it is away", || !reaches());
    underlay.plug_in(ours);
    wait_until("the peer is reached again", reaches);
    assert!(vtep.is_running(), "{:?}", vtep.log());
}

/// With a device, what comes to our address by another one is nothing for us.
#[test]
fn what_comes_by_another_device_is_not_taken() {
    for made_anew in [false, true] {
        for is_bound in [false, true] {
            let underlay = Underlay::new(2);
            let (ours, theirs) = (underlay.host(0), underlay.host(1));
            let address = ours.address(Family::V4);
            theirs.namespace.ip(&format!("link add u1 type veth peer name u1 netns {}", ours.namespace.name()));
            for (host, number) in [(ours, 1), (theirs, 2)] {
                host.namespace.ip("link set u1 up");
                host.namespace.add_address("u1", [10, 201, 0, number].into(), 24);
            }
            let configuration = one_segment(ours, Family::V4, &flood_to_all(&underlay, Family::V4));
            let device = format!("[underlay]\ndevice = \"{}\"", Host::DEVICE);
            let configuration = if is_bound { configuration.replace("[underlay]", &device) } else { configuration };
            let vtep = TapVtep::configured(PROGRAM, &ours.namespace, &configuration);
            if made_anew {
                let index = ours.namespace.device_index(Host::DEVICE);
                underlay.pull_out(ours);
                underlay.plug_in(ours);
                assert_ne!(ours.namespace.device_index(Host::DEVICE), index);
                wait_until("the endpoint has seen it", || vtep.log().iter().any(|line| line.contains("is back")));
            }
            let delivered = Sniffer::of_stream(&ours.namespace, TAP, 1);
            let frame = Numbered::new(MacAddr::BROADCAST, guest_mac(2), 1);
            let datagram = testbed::vxlan(VNI, &frame.frame(0));
            let refused = || ours.namespace.protocol_counter("UdpNoPorts");
            let before = refused();
            // Its source is the address that the endpoint knows, its way is another.
            let socket = theirs.namespace.udp_socket((theirs.address(Family::V4), PORT));
            theirs.namespace.ip(&format!("route add {address}/32 via 10.201.0.1 dev u1"));
            socket.send_to(&datagram, (address, PORT)).unwrap();
            if is_bound {
                wait_until("nobody listens there", || refused() == before + 1);
            } else {
                delivered.expect(1);
            }
            theirs.namespace.ip(&format!("route del {address}/32 via 10.201.0.1 dev u1"));
            socket.send_to(&testbed::vxlan(VNI, &frame.frame(1)), (address, PORT)).unwrap();
            delivered.expect(if is_bound { 1 } else { 2 });
            Counts { delivered: delivered.count(), ..Counts::default() }.expect(&vtep);
        }
    }
}

/// What does not fit together is refused with the place, and nothing is made.
#[test]
fn wrong_addresses_are_refused() {
    let underlay = Underlay::new(1);
    let files = testbed::Scratch::new();
    let locals = Family::ALL.map(|family| underlay.host(0).address(family).to_string());
    let check = |configuration: &str| {
        let file = configuration_file(&files, configuration);
        let finished = run_to_end(&underlay, &["check", "--config", &file]);
        assert_eq!(finished.status, Some(2), "{finished}");
        only_line(&finished).to_owned()
    };
    let with = |lines: &str| configuration(&locals, &[("blue", lines.to_owned())]);
    for (configuration, expected) in [
        (with("local = \"10.200.0.9\""), "segment[0].local: 10.200.0.9 is none of the addresses of underlay.local"),
        (
            with("local = \"10.200.0.1\"\nflood = [\"fd00:200::2\"]"),
            "segment[0].flood[0]: fd00:200::2 is an IPv6 address",
        ),
        (with("flood = [\"10.200.0.2\", \"fd00:200::2\"]"), "segment[0].flood[1]: fd00:200::2 is an IPv6 address"),
        (with("").replace("[\"10.200.0.1\"", "[\"here\""), "underlay.local: \"here\" is not an IP address"),
        (with("").replace("\"fd00:200::1\"", "\"10.200.0.1\""), "underlay.local: 10.200.0.1 is in the list already"),
    ] {
        let line = check(&configuration);
        assert!(line.contains(expected), "{configuration}: {line}");
    }
}
