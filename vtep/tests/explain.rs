//! What `explain` says is what the data lane does, and asking changes nothing.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use overlay_types::Vni;
use proptest::prelude::*;
use vtep::{
    AllowedSources, Cursor, DataLane, DropReason, Ecn, Encapsulation, Endpoint, EndpointOptions, ExplainedFrame,
    FloodReason, REPLY_LEN, Received, RemoteStatus, ReservedBits, Row, SegmentConfig, SegmentId, SegmentStatistics,
    Sources, Storm, TapVerdict, UnderlayVerdict, Vlan,
};

fn address(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

fn mac(number: u8) -> [u8; 6] {
    if number == 255 { [255; 6] } else { [number & 3, 0, 0, 0, 0, number] }
}

fn config(encapsulation: Encapsulation) -> SegmentConfig {
    let mut config = SegmentConfig::with_encapsulation(encapsulation, Vni::new(0x1042).unwrap());
    config.mac = Some(mac(2).into());
    config
}

/// An IPv4 frame between these stations, as long as that.
fn frame(destination: u8, source: u8, tagged: bool, ecn: u8, length: usize) -> Vec<u8> {
    let tag: &[u8] = if tagged { &[0x81, 0, 0, 5] } else { &[] };
    let header = [0x45, ecn, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    let mut frame = [&mac(destination), &mac(source), tag, &[8, 0], &header].concat();
    frame.resize(length, 0);
    frame
}

/// An ARP message from the station `source` to everyone: with `operation` 1, who has the address of `target`?
fn arp(source: u8, claimed: u8, target: u8, operation: u8) -> Vec<u8> {
    let (sender, zero) = (mac(claimed), [0; 6]);
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
    [&[255; 6], &mac(source)[..], &head, &sender, &[10, 0, 0, claimed], &zero, &[10, 0, 0, target]].concat()
}

/// Everything that an endpoint would tell of itself.
type Told = (Option<SegmentStatistics>, vtep::DropCounts, Vec<Row>, Vec<RemoteStatus>);

fn told(endpoint: &Endpoint, segment: SegmentId, now: Duration) -> Told {
    let (rows, next) = endpoint.forwards(Cursor::default(), 1000, now);
    assert_eq!(next, None);
    (endpoint.statistics(segment), endpoint.drops(), rows, endpoint.remotes(now))
}

/// Asks, then has the lane do it: both say the same, and asking has changed nothing. What it was dropped for.
fn frame_is_explained(
    endpoint: &Endpoint,
    lane: &DataLane,
    segment: SegmentId,
    frame: &[u8],
    now: Duration,
) -> Option<DropReason> {
    let before = told(endpoint, segment, now);
    let explained = endpoint.explain_from_tap(segment, frame, now).unwrap();
    assert_eq!(told(endpoint, segment, now), before);
    let mut reply = [0; REPLY_LEN];
    match (&explained.verdict, lane.from_tap(segment, frame, &mut reply, now)) {
        (ExplainedFrame::Send(explained), TapVerdict::Send(sent)) => {
            assert_eq!(explained.header, sent.header());
            assert_eq!(explained.destinations, sent.destinations());
            assert_eq!(explained.flooded.is_some(), sent.is_flooded());
            assert_eq!(explained.flow, sent.flow());
            assert_eq!(explained.source_port, sent.source_port());
            assert_eq!((explained.traffic_class, explained.ttl), (sent.traffic_class, sent.ttl));
            None
        }
        (ExplainedFrame::Drop(explained), TapVerdict::Drop(reason)) => {
            assert_eq!(*explained, reason);
            Some(reason)
        }
        (ExplainedFrame::Answer(explained), TapVerdict::Answer(answer)) => {
            assert_eq!(explained, answer);
            None
        }
        // One that was flooded just now is explained as if it were not.
        (
            ExplainedFrame::Send(_) | ExplainedFrame::Drop(DropReason::NoRemote | DropReason::Storm),
            TapVerdict::Held,
        ) => None,
        // Its sender is told, and that is no part of what becomes of the frame.
        (ExplainedFrame::Drop(DropReason::TooBig), TapVerdict::Answer(_)) => Some(DropReason::TooBig),
        (explained, done) => panic!("{explained:?} is not {done:?}"),
    }
}

fn datagram_is_explained(
    endpoint: &Endpoint,
    lane: &DataLane,
    segment: SegmentId,
    datagram: &[u8],
    received: Received,
    now: Duration,
) -> Option<DropReason> {
    let before = told(endpoint, segment, now);
    let explained = endpoint.explain_from_underlay(datagram, received, now);
    assert_eq!(told(endpoint, segment, now), before);
    let mut datagram = datagram.to_vec();
    match lane.from_underlay(&mut datagram, received, now) {
        UnderlayVerdict::Deliver { segment, frame } => {
            assert_eq!(explained.segment, Some(segment));
            assert_eq!(explained.verdict.as_deref(), Ok(&*frame));
            None
        }
        UnderlayVerdict::Drop { segment: dropped_in, reason } => {
            assert_eq!(explained.verdict, Err(reason));
            // Where it is counted.
            let counted = |statistics: SegmentStatistics| statistics.drops.total();
            let in_segment = endpoint.statistics(segment).map(counted) != before.0.map(counted);
            assert_eq!((explained.segment, dropped_in.is_some()), (dropped_in, in_segment));
            Some(reason)
        }
    }
}

struct One {
    endpoint: Endpoint,
    lane: DataLane,
    segment: SegmentId,
}

impl One {
    fn new(config: SegmentConfig) -> Self {
        let endpoint = Endpoint::new(EndpointOptions::new([3; 16]));
        let segment = endpoint.add_segment(config).unwrap();
        endpoint.add_flood(segment, address(1)).unwrap();
        endpoint.add_flood(segment, address(2)).unwrap();
        let lane = endpoint.lane().unwrap();
        Self { endpoint, lane, segment }
    }
}

/// A frame with what our tunnel sends from address 99 to address 1.
fn packet_of_a_tunnel(encapsulation: Encapsulation, datagram: &[u8]) -> Vec<u8> {
    let udp = [&[0xc0, 0][..], &encapsulation.default_port().to_be_bytes(), &[0; 4]].concat();
    let (protocol, udp) = if encapsulation.is_udp() { (17, &udp[..]) } else { (47, &[][..]) };
    let mut headers = frame(10, 2, false, 0, 34);
    headers[23] = protocol;
    headers[26..34].copy_from_slice(&[192, 0, 2, 99, 192, 0, 2, 1]);
    [&headers[..], udp, datagram].concat()
}

/// The reasons that follow from a frame or a datagram alone: those of the program's own are not decided here.
#[test]
fn every_reason_is_explained() {
    let now = Duration::from_secs(7);
    let mut met = BTreeSet::new();
    for &encapsulation in Encapsulation::ALL {
        let mut strict = config(encapsulation);
        strict.reserved_bits = ReservedBits::Reject;
        let mut one = One::new(strict);
        one.endpoint.add_forward(one.segment, mac(6).into(), address(1), now).unwrap();
        let good = frame(2, 10, false, 0, 60);
        let header =
            match one.endpoint.explain_from_tap(one.segment, &frame(255, 2, false, 0, 60), now).unwrap().verdict {
                ExplainedFrame::Send(sent) => sent.header,
                other => panic!("{other:?}"),
            };
        let datagram = |frame: &[u8]| [&header, frame].concat();
        let with = |place: usize, bits: u8| {
            let mut datagram = datagram(&good);
            datagram[place] ^= bits;
            datagram
        };
        let mut datagrams = vec![
            (datagram(&good), 1),
            (datagram(&good)[..7].to_vec(), 1),
            (datagram(&good)[..20].to_vec(), 1),
            (datagram(&good), 9),
            (datagram(&frame(2, 10, true, 0, 60)), 1),
            (datagram(&frame(255, 2, false, 0, 60)), 1),
            // A static row's station elsewhere, and a frame for one that is elsewhere.
            (datagram(&frame(2, 6, false, 0, 60)), 2),
            (datagram(&frame(6, 10, false, 0, 60)), 2),
        ];
        // Every bit of the header.
        datagrams.extend((0..64).map(|bit| (with(bit / 8, 0x80 >> (bit % 8)), 1)));
        // Geneve's options: too long for the header, and critical.
        datagrams.push(([&header[..], &good].concat(), 1));
        let mut optional = [&[1, 0x40][..], &header[2..], &[1, 2, 0x83, 0], &good].concat();
        datagrams.push((optional.clone(), 1));
        optional[11] = 5;
        datagrams.push((optional, 1));
        for ecn in [Ecn::NotEct, Ecn::Ce] {
            for (datagram, source) in &datagrams {
                let received = Received { ecn, ..Received::new(encapsulation, address(*source)) };
                met.extend(datagram_is_explained(&one.endpoint, &one.lane, one.segment, datagram, received, now));
            }
        }
        let frames = [
            frame(255, 2, false, 0, 60),
            frame(6, 2, false, 0, 60),
            frame(10, 2, false, 0, 60),
            frame(10, 2, false, 0, 13),
            frame(10, 255, false, 0, 60),
            frame(10, 2, true, 0, 60),
            frame(10, 2, false, 0, 2000),
        ];
        for frame in &frames {
            met.extend(frame_is_explained(&one.endpoint, &one.lane, one.segment, frame, now));
        }
        met.extend(what_a_guarded_segment_drops(encapsulation, &header, now));
        one.endpoint.set_local_addresses(&[address(99)]);
        one.lane.refresh();
        let looped = packet_of_a_tunnel(encapsulation, &datagram(&good));
        met.extend(frame_is_explained(&one.endpoint, &one.lane, one.segment, &looped, now));
        let mut lonely = One::new(config(encapsulation));
        lonely.endpoint.remove_flood(lonely.segment, address(1)).unwrap();
        lonely.endpoint.remove_flood(lonely.segment, address(2)).unwrap();
        lonely.lane.refresh();
        met.extend(frame_is_explained(&lonely.endpoint, &lonely.lane, lonely.segment, &frames[0], now));
    }
    let expected: BTreeSet<_> =
        DropReason::ALL.iter().copied().filter(|reason| *reason != DropReason::Socket).collect();
    assert_eq!(met, expected, "not met: {:?}", expected.difference(&met));
}

/// The reasons of a segment with storm control, suppression and anti-spoofing.
fn what_a_guarded_segment_drops(encapsulation: Encapsulation, header: &[u8], now: Duration) -> BTreeSet<DropReason> {
    let mut guarded = config(encapsulation);
    guarded.storm = Some(Storm { broadcast: Some(0), ..Storm::default() });
    guarded.suppress = true;
    guarded.allowed_sources = Some(AllowedSources::stations([
        (mac(2).into(), vec![[10, 0, 0, 1].into()]),
        (mac(6).into(), vec![[10, 0, 0, 6].into()]),
    ]));
    let one = One::new(guarded);
    let mut malformed = frame(2, 10, false, 0, 60);
    malformed[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut met = BTreeSet::new();
    for frame in [&malformed, &frame(255, 10, false, 0, 60), &frame(2, 10, false, 0, 60)] {
        let datagram = [header, frame].concat();
        let received = Received::new(encapsulation, address(1));
        met.extend(datagram_is_explained(&one.endpoint, &one.lane, one.segment, &datagram, received, now));
    }
    for (destination, source) in [(255, 2), (10, 2), (10, 6), (10, 14)] {
        let frame = frame(destination, source, false, 0, 60);
        met.extend(frame_is_explained(&one.endpoint, &one.lane, one.segment, &frame, now));
    }
    // Who has the address of station 10?
    let known = [10, 0, 0, 9];
    one.endpoint.add_neighbor(one.segment, known.into(), mac(10).into()).unwrap();
    let question = [&[255; 6], &mac(2)[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &mac(2), &[10, 0, 0, 1], &[0; 6], &known];
    met.extend(frame_is_explained(&one.endpoint, &one.lane, one.segment, &question.concat(), now));
    assert_eq!(one.endpoint.statistics(one.segment).unwrap().suppressed, 1);
    met
}

#[test]
fn rows_and_floods_are_named() {
    let one = One::new(config(Encapsulation::Vxlan));
    let (second, now) = (Duration::from_secs(1), Duration::from_secs(9));
    one.endpoint.add_forward(one.segment, mac(6).into(), address(2), second).unwrap();
    let mut datagram = [&[8, 0, 0, 0, 0, 0x10, 0x42, 0], &frame(2, 10, false, 0, 60)[..]].concat();
    let _ = one.lane.from_underlay(&mut datagram, Received::new(Encapsulation::Vxlan, address(1)), second);
    let explain = |destination, source| {
        let frame = frame(destination, source, false, 0, 60);
        let explained = one.endpoint.explain_from_tap(one.segment, &frame, now).unwrap();
        let ExplainedFrame::Send(sent) = &explained.verdict else { panic!("{explained:?}") };
        (sent.flooded, explained)
    };
    for (destination, reason) in
        [(255, FloodReason::Broadcast), (1, FloodReason::Multicast), (14, FloodReason::UnknownUnicast)]
    {
        assert_eq!(explain(destination, 2).0, Some(reason));
    }
    let (flooded, learned) = explain(10, 2);
    let row = learned.destination.unwrap();
    assert_eq!((flooded, row.state, row.age), (None, vtep::RowState::Learned, Some(Duration::from_secs(8))));
    let (flooded, fixed) = explain(6, 10);
    assert_eq!((flooded, fixed.destination.unwrap().state), (None, vtep::RowState::Static));
    // The station would be here from now on, and is not yet.
    assert!(fixed.forgets_source);
    assert_eq!(fixed.source, Some(row));
}

#[derive(Clone, Debug)]
enum Input {
    Frame(Vec<u8>),
    Datagram { bytes: Vec<u8>, source: u8, ecn: u8 },
    Time(u16),
    Static { mac: u8, remote: u8 },
    Learning(bool),
    Neighbor { ip: u8, mac: u8 },
}

/// The rules that are optional for a segment.
#[derive(Clone, Debug)]
struct Guards {
    suppress: bool,
    storm: Option<Storm>,
    allowed: Option<AllowedSources>,
}

fn guards() -> impl Strategy<Value = Guards> {
    let rate = || proptest::option::of(0..3_u32);
    let storm = (rate(), rate(), rate(), 1..4_u32).prop_map(|(broadcast, unknown_unicast, multicast, burst)| Storm {
        broadcast,
        unknown_unicast,
        multicast,
        burst: Some(burst),
    });
    let station = (0..16_u8, proptest::collection::vec(0..16_u8, 0..3)).prop_map(|(station, ips)| {
        (mac(station & !1).into(), ips.into_iter().map(|ip| [10, 0, 0, ip].into()).collect::<Vec<IpAddr>>())
    });
    let allowed = proptest::collection::vec(station, 1..12).prop_map(AllowedSources::stations);
    (any::<bool>(), proptest::option::of(storm), proptest::option::of(allowed))
        .prop_map(|(suppress, storm, allowed)| Guards { suppress, storm, allowed })
}

/// Few stations, so that they meet.
fn asking() -> impl Strategy<Value = u8> {
    (1..4_u8).prop_map(|half| 2 * half)
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let packet =
        (any::<u8>(), any::<u8>(), any::<bool>(), 0..4_u8, prop_oneof![Just(60), 0..40_usize, 1460..1470_usize])
            .prop_map(|(to, from, tagged, ecn, length)| {
                let station = |number: u8| if number > 240 { 255 } else { number % 16 };
                frame(station(to), station(from), tagged && to < 64, ecn, length)
            });
    let length = prop_oneof![4 => Just(42), 1 => 26..60_usize];
    let message = (asking(), proptest::option::of(asking()), asking(), 1..=2_u8, length).prop_map(
        |(source, claimed, target, operation, length)| {
            let mut message = arp(source, claimed.unwrap_or(source), target, operation);
            message.resize(length, 0);
            message
        },
    );
    prop_oneof![2 => packet, 1 => message]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => any_frame().prop_map(Input::Frame),
        4 => (any_frame(), proptest::option::of((0..8_usize, any::<u8>())), 0..4_u8, 0..4_u8).prop_map(
            |(frame, broken, source, ecn)| {
                let mut bytes = [&[8, 0, 0, 0, 0, 0x10, 0x42, 0], &frame[..]].concat();
                if let Some((place, byte)) = broken {
                    bytes[place] = byte;
                }
                Input::Datagram { bytes, source, ecn }
            }
        ),
        1 => (0..400_u16).prop_map(Input::Time),
        1 => (prop_oneof![0..16_u8, asking()], 1..4_u8).prop_map(|(mac, remote)| Input::Static { mac, remote }),
        1 => any::<bool>().prop_map(Input::Learning),
        1 => (asking(), asking()).prop_map(|(ip, mac)| Input::Neighbor { ip, mac }),
    ]
}

proptest! {
    /// Whatever has happened before.
    #[test]
    fn what_is_explained_is_what_is_done(
        inputs in proptest::collection::vec(input(), 1..60), any_source in any::<bool>(), carry in any::<bool>(),
        guards in guards(),
    ) {
        let mut rules = config(Encapsulation::Vxlan);
        rules.sources = if any_source { Sources::Any } else { Sources::Configured };
        rules.vlan = if carry { Vlan::Carry } else { Vlan::Drop };
        rules.max_entries = 4;
        (rules.suppress, rules.storm, rules.allowed_sources) = (guards.suppress, guards.storm, guards.allowed);
        let mut one = One::new(rules.clone());
        let mut now = Duration::ZERO;
        for input in inputs {
            one.lane.refresh();
            match input {
                Input::Frame(frame) => {
                    frame_is_explained(&one.endpoint, &one.lane, one.segment, &frame, now);
                }
                Input::Datagram { bytes, source, ecn } => {
                    let received =
                        Received { ecn: Ecn::from_bits(ecn), ..Received::new(Encapsulation::Vxlan, address(source)) };
                    datagram_is_explained(&one.endpoint, &one.lane, one.segment, &bytes, received, now);
                }
                Input::Time(seconds) => {
                    now += Duration::from_secs(seconds.into());
                    one.endpoint.handle_timeout(now);
                }
                Input::Static { mac: station, remote } => {
                    let _ = one.endpoint.add_forward(one.segment, mac(station).into(), address(remote), now);
                }
                Input::Learning(learning) => {
                    rules.learning = learning;
                    one.endpoint.set_rules(one.segment, rules.clone()).unwrap();
                }
                Input::Neighbor { ip, mac: station } => {
                    let _ = one.endpoint.add_neighbor(one.segment, [10, 0, 0, ip].into(), mac(station).into());
                }
            }
        }
    }
}
