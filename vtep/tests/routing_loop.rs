//! A packet of our own tunnels that comes back by a TAP is dropped; what only looks like one goes on.

use std::{net::IpAddr, time::Duration};

use overlay_types::{MacAddr, Vni};
use vtep::{
    DataLane, DropReason, Encapsulation, Endpoint, EndpointOptions, REPLY_LEN, SegmentConfig, SegmentId, TapVerdict,
    Vlan,
};

const HERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const THERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
/// A VSID, too.
const VNI: u32 = 5000;

/// A packet in all its layers.
#[derive(Clone)]
struct Layers {
    tags: usize,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    port: u16,
    tunnel: Vec<u8>,
}

impl Layers {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [THERE.octets(), HERE.octets()].concat();
        (0..self.tags).for_each(|_| bytes.extend([0x81, 0, 0, 5]));
        let udp = [&[0xc0, 1][..], &self.port.to_be_bytes(), &[0; 4]].concat();
        let transport = if self.protocol == 17 { [&udp[..], &self.tunnel].concat() } else { self.tunnel.clone() };
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend([8, 0, 0x45, 0]);
                bytes.extend((20 + transport.len() as u16).to_be_bytes());
                bytes.extend([0, 0, 0x40, 0, 64, self.protocol, 0, 0]);
                bytes.extend([source.octets(), destination.octets()].concat());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                bytes.extend((transport.len() as u16).to_be_bytes());
                bytes.extend([self.protocol, 64]);
                bytes.extend([source.octets(), destination.octets()].concat());
            }
            _ => panic!("two families"),
        }
        bytes.extend(transport);
        bytes
    }
}

struct Bed {
    endpoint: Endpoint,
    lane: DataLane,
    segment: SegmentId,
    own: Layers,
}

impl Bed {
    fn new(encapsulation: Encapsulation, is_ipv6: bool) -> Self {
        let address = |number| -> IpAddr {
            if is_ipv6 { [0xfd00, 0, 0, 0, 0, 0, 0, number].into() } else { [192, 0, 2, number as u8].into() }
        };
        let endpoint = Endpoint::new(EndpointOptions::new([1; 16]));
        let mut config = SegmentConfig::with_encapsulation(encapsulation, Vni::new(VNI).unwrap());
        config.underlay_is_ipv6 = is_ipv6;
        config.vlan = Vlan::Carry;
        config.mac = Some(HERE);
        let segment = endpoint.add_segment(config).unwrap();
        endpoint.add_flood(segment, address(2)).unwrap();
        endpoint.set_local_addresses(&[address(9), address(1)]);
        let lane = endpoint.lane().unwrap();
        let mut reply = [0; REPLY_LEN];
        let TapVerdict::Send(sent) = lane.from_tap(segment, &[2; 60], &mut reply, now()) else { panic!("not sent") };
        let own = Layers {
            tags: 0,
            source: address(1),
            destination: address(2),
            protocol: if encapsulation.is_udp() { 17 } else { 47 },
            port: encapsulation.default_port(),
            tunnel: [sent.header(), &[0x5a; 60]].concat(),
        };
        Self { endpoint, lane, segment, own }
    }

    fn is_sent(&self, layers: &Layers) -> bool {
        match self.lane.from_tap(self.segment, &layers.bytes(), &mut [0; REPLY_LEN], now()) {
            TapVerdict::Send(_) => true,
            TapVerdict::Drop(reason) => {
                assert_eq!(reason, DropReason::RoutingLoop);
                false
            }
            other => panic!("{other:?}"),
        }
    }
}

fn now() -> Duration {
    Duration::from_secs(1)
}

#[test]
fn our_own_packets_do_not_go_out_again() {
    for encapsulation in Encapsulation::ALL.iter().copied() {
        for is_ipv6 in [false, true] {
            let bed = Bed::new(encapsulation, is_ipv6);
            for tags in 0..3 {
                assert!(!bed.is_sent(&Layers { tags, ..bed.own.clone() }), "{encapsulation}, {tags} tags");
            }
            let drops = bed.endpoint.statistics(bed.segment).unwrap().drops;
            assert_eq!((drops.get(DropReason::RoutingLoop), drops.total()), (3, 3));
        }
    }
}

#[test]
fn what_differs_in_anything_is_a_tenants() {
    for encapsulation in Encapsulation::ALL.iter().copied() {
        for is_ipv6 in [false, true] {
            let mut bed = Bed::new(encapsulation, is_ipv6);
            let own = bed.own.clone();
            let other: IpAddr = if is_ipv6 { [0xfd00, 0, 0, 0, 0, 0, 0, 3].into() } else { [192, 0, 2, 3].into() };
            let mut vni = own.tunnel.clone();
            vni[6] ^= 1;
            let mut changed = vec![
                ("source", Layers { source: other, ..own.clone() }),
                ("destination", Layers { destination: other, ..own.clone() }),
                ("protocol", Layers { protocol: own.protocol ^ 32, ..own.clone() }),
                ("VNI", Layers { tunnel: vni, ..own.clone() }),
                ("tunnel header", Layers { tunnel: own.tunnel[..7].to_vec(), ..own.clone() }),
            ];
            if encapsulation.is_udp() {
                changed.push(("port", Layers { port: own.port + 1, ..own.clone() }));
            }
            for (what, layers) in changed {
                assert!(bed.is_sent(&layers), "{encapsulation}: another {what}");
            }
            // Every length: nothing but a whole tunnel header is one.
            let bytes = own.bytes();
            for len in 14..bytes.len() {
                let frame = &bytes[..len];
                let mut reply = [0; REPLY_LEN];
                let verdict = bed.lane.from_tap(bed.segment, frame, &mut reply, now());
                let is_whole = len >= bytes.len() - 60;
                assert_eq!(matches!(verdict, TapVerdict::Drop(_)), is_whole, "{encapsulation}: {len} bytes");
            }
            // Of an address that is no longer ours it is a tenant's, too.
            bed.endpoint.set_local_addresses(&[]);
            bed.lane.refresh();
            assert!(bed.is_sent(&own), "{encapsulation}");
        }
    }
}
