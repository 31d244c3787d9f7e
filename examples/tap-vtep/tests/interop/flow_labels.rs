//! IPv6 flow labels (RFC 6438): one for each flow, never zero, whatever the kernel would do by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use testbed::{Direction, Family, FrameSender, Host, Sniffer, Transport, TransportFrame, Underlay, guest_mac};

use crate::{
    bed::{Cable, Counts, TAP, flood_to_all},
    socket_options::lease_flow_label,
    tunnel::Tunnel,
};

const FLOWS: u16 = 64;

/// Four of each flow.
fn frames() -> impl Iterator<Item = Vec<u8>> {
    (0..FLOWS * 4).map(|number| {
        let ports = (1000 + number % FLOWS, 7);
        let frame = TransportFrame {
            source: guest_mac(1),
            ports,
            ..TransportFrame::new(guest_mac(2), Family::V4, Transport::Udp)
        };
        frame.bytes(&number.to_be_bytes())
    })
}

fn label(packet: &[u8]) -> u32 {
    u32::from_be_bytes([0, packet[1] & 0x0f, packet[2], packet[3]])
}

#[test]
fn a_flow_has_one_label() {
    for tunnel in Tunnel::ALL {
        for automatic in ["0", "1", "3"] {
            let underlay = Underlay::new(2);
            Cable::Wire.lay(&underlay);
            let ours = &underlay.host(0).namespace;
            ours.set_sysctl("net/ipv6/auto_flowlabels", automatic);
            let vtep = tunnel.start(&underlay, Family::V6, &flood_to_all(&underlay, Family::V6));
            let wire = Sniffer::new(ours, Host::DEVICE, Direction::Outgoing, move |frame| {
                tunnel.open(Family::V6, frame).is_some()
            });
            FrameSender::new(ours, TAP).send_all(frames());
            wire.expect(u64::from(FLOWS) * 4);
            // By the inner source port: the labels.
            let mut labels: BTreeMap<[u8; 2], BTreeSet<u32>> = BTreeMap::new();
            for frame in wire.frames() {
                let (packet, inner) = tunnel.open(Family::V6, &frame).unwrap();
                let label = label(packet);
                assert_ne!(label, 0, "{tunnel:?}");
                labels.entry([inner[34], inner[35]]).or_default().insert(label);
            }
            let context = format!("{tunnel:?}, auto_flowlabels = {automatic}: {labels:x?}");
            assert_eq!(labels.len(), usize::from(FLOWS), "{context}");
            assert!(labels.values().all(|labels| labels.len() == 1), "a flow changes its label: {context}");
            let all: BTreeSet<_> = labels.into_values().flatten().collect();
            // As many as UDP has source ports, nearly; as many as flows where there are no ports.
            let fewest = if tunnel == Tunnel::Nvgre { 60 } else { 12 };
            assert!(all.len() >= fewest, "{context}");
            Counts { sent: u64::from(FLOWS) * 4, ..Counts::default() }.expect(&vtep);
        }
    }
}

/// Linux takes no labels that are not leased while somebody leases one for himself alone. No frame is lost by that, whether
/// it begins under way or was so before.
#[test]
fn while_another_program_holds_a_label_alone_no_frame_is_lost() {
    for (tunnel, under_way) in Tunnel::ALL.into_iter().flat_map(|tunnel| [(tunnel, true), (tunnel, false)]) {
        let underlay = Underlay::new(2);
        Cable::Wire.lay(&underlay);
        let ours = underlay.host(0);
        let IpAddr::V6(remote) = underlay.host(1).address(Family::V6) else { unreachable!() };
        ours.namespace.set_sysctl("net/ipv6/auto_flowlabels", "1");
        let lease = || {
            let socket = ours.namespace.udp_socket((ours.address(Family::V6), 0));
            lease_flow_label(&socket, remote, 0x1_2345);
            socket
        };
        let before = (!under_way).then(lease);
        let vtep = tunnel.start(&underlay, Family::V6, &flood_to_all(&underlay, Family::V6));
        let wire = Sniffer::new(&ours.namespace, Host::DEVICE, Direction::Outgoing, move |frame| {
            tunnel.open(Family::V6, frame).is_some()
        });
        let mut sender = FrameSender::new(&ours.namespace, TAP);
        sender.send_all(frames());
        let count = u64::from(FLOWS) * 4;
        wire.expect(count);
        let lease = before.unwrap_or_else(lease);
        sender.send_all(frames());
        wire.expect(2 * count);
        Counts { sent: 2 * count, ..Counts::default() }.expect(&vtep);
        let no_label = wire
            .frames()
            .iter()
            .filter(|frame| tunnel.open(Family::V6, frame).is_none_or(|(packet, _)| label(packet) == 0))
            .count();
        assert_eq!(no_label, 0, "{tunnel:?}");
        drop(lease);
    }
}
