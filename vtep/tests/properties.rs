//! Whatever arrives: no panic, and each frame and datagram has exactly one fate.

use std::time::Duration;

use overlay_types::Vni;
use proptest::prelude::*;
use vtep::{
    AllowedSources, Ecn, Endpoint, EndpointOptions, REPLY_LEN, Received, ReservedBits, SegmentConfig, Sources, Storm,
    TapVerdict, UnderlayVerdict, Vlan,
};

#[derive(Clone, Debug)]
enum Input {
    Frame(Vec<u8>),
    Datagram { bytes: Vec<u8>, source: u8, port: bool, ecn: u8 },
    Time(u8),
    Flush { learned_only: bool },
    Static { mac: u8, remote: u8 },
}

/// Frames between a few stations, so that tables have something to do, and any bytes behind.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let mac = prop_oneof![8 => (0..6_u8).prop_map(|number| [2, 0, 0, 0, 0, number]), 1 => any::<[u8; 6]>(), 1 => Just([0xff; 6])];
    let ether_type =
        prop_oneof![Just([0x08, 0x00]), Just([0x86, 0xdd]), Just([0x08, 0x06]), Just([0x81, 0x00]), any::<[u8; 2]>(),];
    let whole = (mac.clone(), mac, ether_type, prop::collection::vec(any::<u8>(), 0..80))
        .prop_map(|(to, from, ether_type, rest)| [&to[..], &from, &ether_type, &rest].concat());
    prop_oneof![9 => whole, 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![6 => Just([8, 0, 0, 0]), 1 => any::<[u8; 4]>()];
    let vni = prop_oneof![6 => Just([0, 0, 42, 0]), 1 => any::<[u8; 4]>()];
    let whole = (flags, vni, frame()).prop_map(|(flags, vni, frame)| [&flags[..], &vni, &frame].concat());
    prop_oneof![9 => whole, 1 => prop::collection::vec(any::<u8>(), 0..30)]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => frame().prop_map(Input::Frame),
        8 => (datagram(), 0..4_u8, any::<bool>(), 0..4_u8)
            .prop_map(|(bytes, source, port, ecn)| Input::Datagram { bytes, source, port, ecn }),
        2 => any::<u8>().prop_map(Input::Time),
        1 => any::<bool>().prop_map(|learned_only| Input::Flush { learned_only }),
        1 => (0..6_u8, 1..4_u8).prop_map(|(mac, remote)| Input::Static { mac, remote }),
    ]
}

proptest! {
    #[test]
    fn one_fate_each(
        inputs in prop::collection::vec(input(), 1..200),
        learning: bool,
        any_source: bool,
        reject: bool,
        carry: bool,
        storm: Option<(u8, u8)>,
        guarded: bool,
        suppress: bool,
    ) {
        let endpoint = Endpoint::new(EndpointOptions::new([9; 16]));
        let mut config = SegmentConfig::new(Vni::new(42).unwrap());
        config.mac = Some([2, 0, 0, 0, 0, 0].into());
        config.learning = learning;
        config.max_entries = 3;
        config.sources = if any_source { Sources::Any } else { Sources::Configured };
        config.reserved_bits = if reject { ReservedBits::Reject } else { ReservedBits::Ignore };
        config.vlan = if carry { Vlan::Carry } else { Vlan::Drop };
        config.suppress = suppress;
        config.storm = storm.map(|(rate, burst)| {
            let rate = Some(rate.into());
            Storm { broadcast: rate, unknown_unicast: rate, multicast: rate, burst: Some(u32::from(burst) + 1) }
        });
        let guarded = guarded.then(|| (0..3).map(|number| ([2, 0, 0, 0, 0, number].into(), Vec::new())));
        config.allowed_sources = guarded.map(AllowedSources::stations);
        let segment = endpoint.add_segment(config).unwrap();
        let address = |number: u8| [192, 0, 2, number].into();
        endpoint.add_flood(segment, address(1)).unwrap();
        let mut lane = endpoint.lane().unwrap();
        let mut now = Duration::ZERO;
        let (mut frames, mut sent, mut datagrams, mut delivered) = (0, 0, 0, 0);
        for input in inputs {
            lane.refresh();
            match input {
                Input::Frame(frame) => {
                    frames += 1;
                    if let TapVerdict::Send(encapsulated) = lane.from_tap(segment, &frame, &mut [0; REPLY_LEN], now) {
                        sent += 1;
                        prop_assert!(!encapsulated.destinations().is_empty());
                        prop_assert_eq!(encapsulated.header(), [8, 0, 0, 0, 0, 0, 42, 0]);
                        prop_assert!(encapsulated.source_port() >= 49152);
                    }
                }
                Input::Datagram { mut bytes, source, port, ecn } => {
                    datagrams += 1;
                    let received = Received {
                        ecn: Ecn::from_bits(ecn),
                        ..Received::vxlan(address(source), if port { 4789 } else { 8472 })
                    };
                    let length = bytes.len();
                    if let UnderlayVerdict::Deliver { segment: to, frame } = lane.from_underlay(&mut bytes, received, now) {
                        delivered += 1;
                        prop_assert_eq!(to, segment);
                        prop_assert_eq!(frame.len(), length - 8);
                        prop_assert!(port && (any_source || source != 0));
                    }
                }
                Input::Time(seconds) => {
                    now += Duration::from_secs(seconds.into());
                    endpoint.handle_timeout(now);
                }
                Input::Flush { learned_only } => endpoint.flush(None, None, learned_only).unwrap(),
                Input::Static { mac, remote } => {
                    let _ = endpoint.add_forward(segment, [2, 0, 0, 0, 0, mac].into(), address(remote), now);
                }
            }
        }
        let suppressed = endpoint.statistics(segment).unwrap().suppressed;
        let dropped = endpoint.statistics(segment).unwrap().drops.total() + endpoint.drops().total();
        prop_assert_eq!(frames + datagrams, sent + delivered + suppressed + dropped);
        let (rows, _) = endpoint.forwards(vtep::Cursor::default(), 1000, now);
        let learned = rows.iter().filter(|row| row.state == vtep::RowState::Learned).count();
        prop_assert!(learned <= 3, "{} learned rows", learned);
    }
}
