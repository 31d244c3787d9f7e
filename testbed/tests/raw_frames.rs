//! Raw frames are sent and counted exactly.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use overlay_types::MacAddr;
use testbed::{
    Direction, EXPERIMENTAL, Family, Fault, FrameSender, Host, KernelVtep, KernelVtepOptions, Numbered, Sniffer,
    Underlay, guest_mac, stays, vxlan,
};

#[test]
fn every_frame_is_seen_once_on_either_side() {
    let underlay = Underlay::new(3);
    let [one, two, three] = [0, 1, 2].map(|index| &underlay.host(index).namespace);
    let stream = Numbered::new(MacAddr::BROADCAST, guest_mac(1), 1);
    let leaving =
        Sniffer::new(one, Host::DEVICE, Direction::Outgoing, |frame| frame[12..14] == EXPERIMENTAL.to_be_bytes());
    let returning = Sniffer::of_stream(one, Host::DEVICE, 1);
    let arriving = [two, three].map(|host| Sniffer::of_stream(host, Host::DEVICE, 1));
    let others = Sniffer::of_stream(two, Host::DEVICE, 2);

    assert_eq!(FrameSender::new(one, Host::DEVICE).send_all(stream.frames(20_000)), 20_000);
    for sniffer in &arriving {
        sniffer.expect_stream(1, 20_000);
    }
    leaving.expect(20_000);
    assert_eq!(leaving.frames()[19_999], stream.frame(19_999));
    stays("nothing comes back", Duration::from_millis(100), || returning.count() + others.count() == 0);
}

#[test]
fn frames_of_every_length_pass() {
    let underlay = Underlay::new(2);
    let sniffer = Sniffer::of_stream(&underlay.host(1).namespace, Host::DEVICE, 3);
    let mut sender = FrameSender::new(&underlay.host(0).namespace, Host::DEVICE);
    let stream = Numbered::new(MacAddr::BROADCAST, guest_mac(1), 3);
    sender.send_all((22..=1514).map(|len| Numbered { len, ..stream }.frame(len as u32)));
    sniffer.expect(1514 - 22 + 1);
    assert!(sniffer.frames().iter().map(Vec::len).eq(22..=1514));
    assert!(sender.try_send(&[0; 1600]).is_err());
}

#[test]
#[should_panic(expected = "not 1")]
fn a_frame_too_many_fails() {
    let underlay = Underlay::new(2);
    let sniffer = Sniffer::of_stream(&underlay.host(1).namespace, Host::DEVICE, 4);
    let stream = Numbered::new(MacAddr::BROADCAST, guest_mac(1), 4);
    FrameSender::new(&underlay.host(0).namespace, Host::DEVICE).send_all(stream.frames(2));
    sniffer.expect(1);
}

#[test]
fn a_datagram_made_by_hand_is_delivered_by_the_kernel() {
    let underlay = Underlay::new(2);
    let us = underlay.host(0);
    let peer = KernelVtep::new(underlay.host(1), &KernelVtepOptions::to(&[us.address(Family::V4)]));
    let arriving = Sniffer::of_stream(&peer.guest, KernelVtep::GUEST_DEVICE, 5);
    let socket = us.namespace.udp_socket((us.address(Family::V4), 50_000));
    for inner in Numbered::new(peer.guest_mac(), guest_mac(1), 5).frames(10) {
        let to = (underlay.host(1).address(Family::V4), 4789);
        socket.send_to(&vxlan(42, &inner), to).expect("the underlay is up");
        socket.send_to(&vxlan(43, &inner), to).expect("the underlay is up");
    }
    arriving.expect_stream(5, 10);
}

#[test]
fn a_device_that_is_pulled_out_comes_back() {
    let underlay = Underlay::new(2);
    let host = underlay.host(0);
    underlay.pull_out(host);
    assert!(!host.namespace.has_device(Host::DEVICE));
    underlay.plug_in(host);
    assert!(host.namespace.has_device(Host::DEVICE));
    assert_eq!(testbed::ping(&host.namespace, underlay.host(1).address(Family::V6), 1).received, 1);
}

#[test]
fn a_system_call_fails_on_purpose() {
    let underlay = Underlay::new(2);
    let (one, two) = (&underlay.host(0).namespace, underlay.host(1).address(Family::V4).to_string());
    let mut command = Command::new(testbed::require("ping"));
    command.args(["-n", "-i", "0.01", &two]).stdout(Stdio::null());
    let mut ping = one.start(command);
    let fault = Fault::inject(ping.id(), "sendto", "error=ENETDOWN:when=1..3");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(fault.end(), 3);
    assert!(ping.status().is_none());
}
