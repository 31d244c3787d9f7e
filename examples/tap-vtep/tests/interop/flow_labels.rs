//! IPv6 flow labels (RFC 6438): one for each flow, never zero, whatever the kernel would do by itself.

use std::collections::{BTreeMap, BTreeSet};

use testbed::{Direction, Family, FrameSender, Host, Sniffer, Transport, TransportFrame, Underlay, guest_mac};

use crate::{
    bed::{Cable, Counts, TAP, flood_to_all},
    tunnel::Tunnel,
};

const FLOWS: u16 = 64;

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
            let frames = (0..FLOWS * 4).map(|number| {
                let ports = (1000 + number % FLOWS, 7);
                let frame = TransportFrame {
                    source: guest_mac(1),
                    ports,
                    ..TransportFrame::new(guest_mac(2), Family::V4, Transport::Udp)
                };
                frame.bytes(&number.to_be_bytes())
            });
            FrameSender::new(ours, TAP).send_all(frames);
            wire.expect(u64::from(FLOWS) * 4);
            // By the inner source port: the labels.
            let mut labels: BTreeMap<[u8; 2], BTreeSet<u32>> = BTreeMap::new();
            for frame in wire.frames() {
                let (packet, inner) = tunnel.open(Family::V6, &frame).unwrap();
                let label = u32::from_be_bytes([0, packet[1] & 0x0f, packet[2], packet[3]]);
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
