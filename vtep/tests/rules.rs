//! What happens to one frame or one datagram, rule by rule.

use std::{collections::BTreeSet, net::IpAddr, ops::RangeInclusive, time::Duration};

use overlay_types::{MacAddr, Vni};
use vtep::{
    AllowedSources, ControlError, Cut, DataLane, DropReason, Dscp, Ecn, EcnMode, Endpoint, EndpointOptions, REPLY_LEN,
    Received, ReservedBits, SegmentConfig, SegmentId, Sources, Storm, TapVerdict, Ttl, UnderlayVerdict, Vlan,
};

const PEER: &str = "192.0.2.2";
const OTHER_PEER: &str = "192.0.2.3";
const STRANGER: &str = "198.51.100.9";
const HERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const THERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
const ELSEWHERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 3]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An endpoint with one segment, 42, whose TAP has the MAC `HERE`, and two peers in its flood list.
struct One {
    endpoint: Endpoint,
    lane: DataLane,
    segment: SegmentId,
}

impl One {
    fn new(change: impl FnOnce(&mut SegmentConfig)) -> Self {
        let endpoint = Endpoint::new(EndpointOptions::new([1; 16]));
        let mut config = SegmentConfig::new(Vni::new(42).unwrap());
        config.mac = Some(HERE);
        change(&mut config);
        let segment = endpoint.add_segment(config).unwrap();
        endpoint.add_flood(segment, ip(PEER)).unwrap();
        endpoint.add_flood(segment, ip(OTHER_PEER)).unwrap();
        let lane = endpoint.lane().unwrap();
        Self { endpoint, lane, segment }
    }

    fn refreshed(&mut self) -> &mut Self {
        self.lane.refresh();
        self
    }

    /// Whom a frame from the TAP goes to.
    fn send(&self, frame: &[u8], now: Duration) -> Result<Vec<IpAddr>, DropReason> {
        match self.lane.from_tap(self.segment, frame, &mut [0; REPLY_LEN], now) {
            TapVerdict::Send(encapsulated) => {
                Ok(encapsulated.destinations().iter().map(|destination| destination.address).collect())
            }
            TapVerdict::Drop(reason) => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    /// The frame that a datagram brings to the TAP.
    fn from(&self, source: &str, datagram: &[u8], now: Duration) -> Result<Vec<u8>, DropReason> {
        self.receive(datagram, Received::vxlan(ip(source), 4789), now)
    }

    fn receive(&self, datagram: &[u8], received: Received, now: Duration) -> Result<Vec<u8>, DropReason> {
        let mut datagram = datagram.to_vec();
        let before = self.endpoint.drops().total();
        match self.lane.from_underlay(&mut datagram, received, now) {
            UnderlayVerdict::Deliver { segment, frame } => {
                assert_eq!(segment, self.segment);
                Ok(frame.to_vec())
            }
            UnderlayVerdict::Drop { segment, reason } => {
                let is_in_segment = self.endpoint.drops().total() == before;
                assert_eq!(segment, is_in_segment.then_some(self.segment), "{reason}");
                Err(reason)
            }
        }
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.endpoint.statistics(self.segment).unwrap().drops.get(reason)
    }

    fn rows(&self, now: Duration) -> BTreeSet<(MacAddr, IpAddr)> {
        let (rows, next) = self.endpoint.forwards(fdb::Cursor::default(), 1000, now);
        assert_eq!(next, None);
        rows.into_iter().map(|row| (row.mac, self.endpoint.remote_address(row.to.remote().unwrap()).unwrap())).collect()
    }
}

fn frame(destination: MacAddr, source: MacAddr) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&destination.octets());
    frame[6..12].copy_from_slice(&source.octets());
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    frame
}

/// An IPv4 frame with this type of service and TTL, and a right header checksum.
fn ipv4_frame(destination: MacAddr, source: MacAddr, tos: u8, ttl: u8) -> Vec<u8> {
    let mut frame = frame(destination, source);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let header = [0x45, tos, 0, 46, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    frame[14..34].copy_from_slice(&header);
    let sum = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn vxlan(flags: [u8; 4], vni: u32, last: u8, frame: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = vni.to_be_bytes();
    [&flags, &[a, b, c, last], frame].concat()
}

fn plain(frame: &[u8]) -> Vec<u8> {
    vxlan([8, 0, 0, 0], 42, 0, frame)
}

#[test]
fn a_frame_goes_out_behind_the_header_of_its_segment() {
    let one = One::new(|_| {});
    let frame = frame(MacAddr::BROADCAST, HERE);
    let mut reply = [0; REPLY_LEN];
    let TapVerdict::Send(encapsulated) = one.lane.from_tap(one.segment, &frame, &mut reply, seconds(0)) else {
        panic!()
    };
    assert_eq!(encapsulated.header(), [8, 0, 0, 0, 0, 0, 42, 0]);
    assert!(encapsulated.is_flooded());
    assert!(encapsulated.destinations().iter().all(|destination| destination.port == 4789));
    assert!((49152..=65535).contains(&encapsulated.source_port()));
}

#[test]
fn broadcast_multicast_and_unknown_unicast_are_flooded() {
    let one = One::new(|_| {});
    for destination in [MacAddr::BROADCAST, MacAddr::new([1, 0, 0x5e, 0, 0, 1]), THERE] {
        assert_eq!(one.send(&frame(destination, HERE), seconds(0)), Ok(vec![ip(PEER), ip(OTHER_PEER)]));
    }
}

#[test]
fn nobody_to_flood_to_is_a_drop() {
    let mut one = One::new(|_| {});
    for peer in [PEER, OTHER_PEER] {
        assert_eq!(one.endpoint.remove_flood(one.segment, ip(peer)), Ok(true));
    }
    let unknown = frame(THERE, HERE);
    assert_eq!(one.refreshed().send(&unknown, seconds(0)), Err(DropReason::NoRemote));
    assert_eq!(one.dropped(DropReason::NoRemote), 1);
}

#[test]
fn a_learned_mac_is_sent_to_its_remote_alone() {
    let one = One::new(|_| {});
    assert!(one.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).is_ok());
    assert_eq!(one.send(&frame(THERE, HERE), seconds(1)), Ok(vec![ip(PEER)]));
    // It moves at once.
    assert!(one.from(OTHER_PEER, &plain(&frame(HERE, THERE)), seconds(2)).is_ok());
    assert_eq!(one.send(&frame(THERE, HERE), seconds(3)), Ok(vec![ip(OTHER_PEER)]));
}

#[test]
fn a_station_that_speaks_here_is_here() {
    let one = One::new(|_| {});
    assert!(one.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).is_ok());
    assert!(one.send(&frame(MacAddr::BROADCAST, THERE), seconds(1)).is_ok());
    assert_eq!(one.rows(seconds(1)), BTreeSet::new());
    // Frames for it come in again.
    assert!(one.from(OTHER_PEER, &plain(&frame(THERE, ELSEWHERE)), seconds(2)).is_ok());
}

#[test]
fn learned_rows_age_by_what_is_received_and_not_by_what_is_sent() {
    let one = One::new(|config| config.ageing = Some(seconds(10)));
    assert!(one.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).is_ok());
    assert!(one.from(PEER, &plain(&frame(HERE, ELSEWHERE)), seconds(0)).is_ok());
    for now in 1..=20 {
        let _ = one.send(&frame(THERE, HERE), seconds(now));
        assert!(one.from(PEER, &plain(&frame(HERE, ELSEWHERE)), seconds(now)).is_ok());
        one.endpoint.handle_timeout(seconds(now));
        if now < 10 {
            assert_eq!(one.rows(seconds(now)).len(), 2, "after {now} s");
        }
    }
    assert_eq!(one.rows(seconds(20)), BTreeSet::from([(ELSEWHERE, ip(PEER))]));
    assert_eq!(one.send(&frame(THERE, HERE), seconds(20)).unwrap().len(), 2);
}

#[test]
fn without_learning_nothing_is_learned() {
    let one = One::new(|config| config.learning = false);
    assert!(one.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).is_ok());
    assert_eq!(one.rows(seconds(0)), BTreeSet::new());
}

#[test]
fn an_invalid_source_mac_is_not_learned_but_its_frame_goes_on() {
    let one = One::new(|_| {});
    for source in [MacAddr::ZERO, MacAddr::BROADCAST, MacAddr::new([1, 0, 0x5e, 0, 0, 1])] {
        assert!(one.from(PEER, &plain(&frame(HERE, source)), seconds(0)).is_ok());
    }
    assert_eq!(one.rows(seconds(0)), BTreeSet::new());
    assert_eq!(one.endpoint.statistics(one.segment).unwrap().not_learned.invalid_mac, 3);
}

#[test]
fn nothing_moves_a_static_row() {
    for learning in [true, false] {
        let mut one = One::new(|config| config.learning = learning);
        one.endpoint.add_forward(one.segment, THERE, ip(PEER), seconds(0)).unwrap();
        one.refreshed();
        assert_eq!(
            one.from(OTHER_PEER, &plain(&frame(HERE, THERE)), seconds(1)),
            Err(DropReason::StaticMoved),
            "learning: {learning}",
        );
        assert!(one.from(PEER, &plain(&frame(HERE, THERE)), seconds(1)).is_ok());
        assert_eq!(one.send(&frame(THERE, HERE), seconds(1_000_000)), Ok(vec![ip(PEER)]));
        assert_eq!(one.dropped(DropReason::StaticMoved), 1);
    }
}

#[test]
fn what_came_from_a_tunnel_does_not_go_back_into_one() {
    let one = One::new(|_| {});
    assert!(one.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).is_ok());
    let stray = plain(&frame(THERE, ELSEWHERE));
    assert_eq!(one.from(OTHER_PEER, &stray, seconds(0)), Err(DropReason::SplitHorizon));
    assert_eq!(one.dropped(DropReason::SplitHorizon), 1);
    // What nobody else is known to have may be ours.
    assert!(one.from(OTHER_PEER, &plain(&frame(MacAddr::new([2, 0, 0, 0, 0, 9]), ELSEWHERE)), seconds(0)).is_ok());
}

#[test]
fn our_own_mac_does_not_come_back() {
    let mut one = One::new(|_| {});
    assert_eq!(one.from(PEER, &plain(&frame(MacAddr::BROADCAST, HERE)), seconds(0)), Err(DropReason::OwnMac));
    one.endpoint.set_mac(one.segment, THERE).unwrap();
    one.refreshed();
    assert_eq!(one.from(PEER, &plain(&frame(MacAddr::BROADCAST, THERE)), seconds(0)), Err(DropReason::OwnMac));
    assert_eq!(one.rows(seconds(0)), BTreeSet::new());
}

#[test]
fn a_source_mac_from_the_tap_must_be_unicast() {
    let one = One::new(|_| {});
    for source in [MacAddr::ZERO, MacAddr::BROADCAST] {
        assert_eq!(one.send(&frame(THERE, source), seconds(0)), Err(DropReason::SourceMac));
    }
    assert_eq!(one.dropped(DropReason::SourceMac), 2);
}

#[test]
fn sources() {
    let mut one = One::new(|_| {});
    let datagram = plain(&frame(HERE, THERE));
    assert_eq!(one.from(STRANGER, &datagram, seconds(0)), Err(DropReason::UnknownSource));
    // A static row names its remote.
    one.endpoint.add_forward(one.segment, ELSEWHERE, ip(STRANGER), seconds(0)).unwrap();
    assert!(one.refreshed().from(STRANGER, &datagram, seconds(0)).is_ok());
    one.endpoint.remove_forward(one.segment, ELSEWHERE).unwrap();
    assert_eq!(one.refreshed().from(STRANGER, &datagram, seconds(0)), Err(DropReason::UnknownSource));
    assert_eq!(one.dropped(DropReason::UnknownSource), 2);

    let one = One::new(|config| config.sources = Sources::Any);
    assert!(one.from(STRANGER, &datagram, seconds(0)).is_ok());
    assert_eq!(one.rows(seconds(0)), BTreeSet::from([(THERE, ip(STRANGER))]));
    assert_eq!(one.send(&frame(THERE, HERE), seconds(0)), Ok(vec![ip(STRANGER)]));
}

#[test]
fn a_remote_of_one_segment_is_a_stranger_to_another() {
    let one = One::new(|_| {});
    let mut config = SegmentConfig::new(Vni::new(43).unwrap());
    config.mac = Some(HERE);
    let other = one.endpoint.add_segment(config).unwrap();
    one.endpoint.add_flood(other, ip(STRANGER)).unwrap();
    let mut one = one;
    one.refreshed();
    let datagram = plain(&frame(HERE, THERE));
    assert_eq!(one.from(STRANGER, &datagram, seconds(0)), Err(DropReason::UnknownSource));
}

#[test]
fn every_reserved_bit_in_both_policies() {
    let datagrams = || {
        (0..64).filter(|bit| !(32..56).contains(bit) && *bit != 4).map(|bit: usize| {
            let mut datagram = plain(&frame(HERE, THERE));
            datagram[bit / 8] |= 0x80 >> (bit % 8);
            datagram
        })
    };
    assert_eq!(datagrams().count(), 39);
    let ignoring = One::new(|_| {});
    let rejecting = One::new(|config| config.reserved_bits = ReservedBits::Reject);
    for datagram in datagrams() {
        assert!(ignoring.from(PEER, &datagram, seconds(0)).is_ok());
        assert_eq!(rejecting.from(PEER, &datagram, seconds(0)), Err(DropReason::ReservedBits));
    }
    assert_eq!(rejecting.dropped(DropReason::ReservedBits), 39);
    assert!(rejecting.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).is_ok());
}

#[test]
fn headers_that_lead_to_no_segment() {
    let one = One::new(|_| {});
    let inner = frame(HERE, THERE);
    assert_eq!(one.from(PEER, &vxlan([0, 0, 0, 0], 42, 0, &inner), seconds(0)), Err(DropReason::InvalidHeader));
    for vni in [0, 41, 43, 0x2a00, 0x2a_0000, 0xff_ffff] {
        assert_eq!(one.from(PEER, &vxlan([8, 0, 0, 0], vni, 0, &inner), seconds(0)), Err(DropReason::UnknownVni));
    }
    let other_port = Received::vxlan(ip(PEER), 8472);
    assert_eq!(one.receive(&plain(&inner), other_port, seconds(0)), Err(DropReason::UnknownVni));
    let drops = one.endpoint.drops();
    assert_eq!((drops.get(DropReason::InvalidHeader), drops.get(DropReason::UnknownVni)), (1, 7));
}

#[test]
fn every_length_of_a_datagram() {
    let one = One::new(|_| {});
    let datagram = plain(&frame(HERE, THERE));
    for length in 0..datagram.len() {
        let result = one.from(PEER, &datagram[..length], seconds(0));
        if length < 8 + 14 {
            assert_eq!(result, Err(DropReason::Truncated), "{length} bytes");
        } else {
            assert_eq!(result.as_deref(), Ok(&datagram[8..length]), "{length} bytes");
        }
    }
    assert_eq!(one.endpoint.drops().get(DropReason::Truncated), 8);
    assert_eq!(one.dropped(DropReason::Truncated), 14);
}

#[test]
fn every_length_of_a_frame() {
    let one = One::new(|_| {});
    let mut long = frame(MacAddr::BROADCAST, HERE);
    long.resize(1600, 0);
    for length in 0..=long.len() {
        let expected = match length {
            0..14 => Some(DropReason::Truncated),
            14..=1464 => None,
            _ => Some(DropReason::TooBig),
        };
        assert_eq!(one.send(&long[..length], seconds(0)).err(), expected, "{length} bytes");
    }
}

#[test]
fn vlan_tags() {
    for tag in [[0x81, 0x00], [0x88, 0xa8]] {
        let mut tagged = frame(HERE, THERE);
        tagged[12..14].copy_from_slice(&tag);
        let mut outgoing = frame(THERE, HERE);
        outgoing[12..14].copy_from_slice(&tag);
        outgoing.resize(14 + 4 + 1450, 0);

        let dropping = One::new(|_| {});
        assert_eq!(dropping.from(PEER, &plain(&tagged), seconds(0)), Err(DropReason::VlanTag));
        assert_eq!(dropping.send(&outgoing, seconds(0)), Err(DropReason::VlanTag));
        assert_eq!(dropping.dropped(DropReason::VlanTag), 2);

        let carrying = One::new(|config| config.vlan = Vlan::Carry);
        assert_eq!(carrying.from(PEER, &plain(&tagged), seconds(0)).as_deref(), Ok(&tagged[..]));
        assert!(carrying.send(&outgoing, seconds(0)).is_ok());
        outgoing.push(0);
        assert_eq!(carrying.send(&outgoing, seconds(0)), Err(DropReason::TooBig));
    }
}

#[test]
fn ecn_inwards_by_rfc_6040() {
    // Rows: the inner field; columns: the outer one, in the order of their numbers.
    const TABLE: [[Option<u8>; 4]; 4] = [
        [Some(0), Some(0), Some(0), None],
        [Some(1), Some(1), Some(1), Some(3)],
        [Some(2), Some(1), Some(2), Some(3)],
        [Some(3), Some(3), Some(3), Some(3)],
    ];
    let one = One::new(|_| {});
    for inner in 0..4 {
        for outer in 0..4 {
            let datagram = plain(&ipv4_frame(HERE, THERE, 0xb8 | inner, 64));
            let received = Received { ecn: Ecn::from_bits(outer), ..Received::vxlan(ip(PEER), 4789) };
            let expected = TABLE[usize::from(inner)][usize::from(outer)]
                .map(|ecn| ipv4_frame(HERE, THERE, 0xb8 | ecn, 64))
                .ok_or(DropReason::Ecn);
            assert_eq!(one.receive(&datagram, received, seconds(0)), expected, "inner {inner}, outer {outer}");
        }
    }
    assert_eq!(one.dropped(DropReason::Ecn), 1);
    // What is no IP has no field, and nothing to lose.
    let received = Received { ecn: Ecn::Ce, ..Received::vxlan(ip(PEER), 4789) };
    assert!(one.receive(&plain(&frame(HERE, THERE)), received, seconds(0)).is_ok());
}

#[test]
fn outer_traffic_class_and_ttl() {
    let fields = |change: fn(&mut SegmentConfig), frame: &[u8]| {
        let one = One::new(change);
        match one.lane.from_tap(one.segment, frame, &mut [0; REPLY_LEN], seconds(0)) {
            TapVerdict::Send(encapsulated) => (encapsulated.traffic_class, encapsulated.ttl),
            other => panic!("{other:?}"),
        }
    };
    for ecn in 0..4 {
        let frame = ipv4_frame(THERE, HERE, 0xb8 | ecn, 7);
        assert_eq!(fields(|_| {}, &frame), (0xb8 | ecn, 64));
        assert_eq!(fields(|config| config.ecn = EcnMode::Compatibility, &frame), (0xb8, 64));
        assert_eq!(fields(|config| config.dscp = Dscp::Fixed(10), &frame), (10 << 2 | ecn, 64));
        assert_eq!(fields(|config| config.ttl = Ttl::Inherit, &frame), (0xb8 | ecn, 7));
        assert_eq!(fields(|config| config.ttl = Ttl::Fixed(3), &frame), (0xb8 | ecn, 3));
    }
    let arp = frame(THERE, HERE);
    assert_eq!(fields(|config| config.ttl = Ttl::Inherit, &arp), (0, 64));
}

#[test]
fn the_table_stays_at_its_cap() {
    let one = One::new(|config| config.max_entries = 100);
    for number in 0..10_000_u32 {
        let [a, b, c, d] = number.to_be_bytes();
        let source = MacAddr::new([2, 1, a, b, c, d]);
        assert!(one.from(PEER, &plain(&frame(HERE, source)), seconds(0)).is_ok());
    }
    assert_eq!(one.endpoint.entries(one.segment), 100);
}

#[test]
fn remotes_that_nobody_needs_are_forgotten() {
    let one = One::new(|config| {
        config.sources = Sources::Any;
        config.ageing = Some(seconds(10));
    });
    for number in 0..100 {
        let source = MacAddr::new([2, 1, 0, 0, 0, number]);
        assert!(one.from(&format!("198.51.100.{number}"), &plain(&frame(HERE, source)), seconds(0)).is_ok());
    }
    assert_eq!(one.endpoint.remotes(seconds(0)).len(), 102);
    for now in 1..200 {
        one.endpoint.handle_timeout(seconds(now));
    }
    let left: Vec<_> = one.endpoint.remotes(seconds(200)).into_iter().map(|remote| remote.address).collect();
    assert_eq!(left, [ip(PEER), ip(OTHER_PEER)]);
}

#[test]
fn flush() {
    let mut one = One::new(|_| {});
    one.endpoint.add_forward(one.segment, ELSEWHERE, ip(STRANGER), seconds(0)).unwrap();
    one.refreshed();
    let learn = |one: &One| assert!(one.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).is_ok());
    learn(&one);
    assert_eq!(one.rows(seconds(0)).len(), 2);
    one.endpoint.flush(None, Some(ip(OTHER_PEER)), false).unwrap();
    assert_eq!(one.rows(seconds(0)).len(), 2);
    one.endpoint.flush(Some(one.segment), None, true).unwrap();
    assert_eq!(one.rows(seconds(0)), BTreeSet::from([(ELSEWHERE, ip(STRANGER))]));
    learn(&one);
    one.endpoint.flush(None, Some(ip(STRANGER)), false).unwrap();
    assert_eq!(one.rows(seconds(0)), BTreeSet::from([(THERE, ip(PEER))]));
    // Its static row named it.
    assert_eq!(one.refreshed().from(STRANGER, &plain(&frame(HERE, THERE)), seconds(0)), Err(DropReason::UnknownSource));
    assert_eq!(one.endpoint.flush(None, Some(ip("203.0.113.1")), false), Err(ControlError::NoSuchRemote));
    one.endpoint.flush(None, None, false).unwrap();
    assert_eq!(one.rows(seconds(0)), BTreeSet::new());
}

#[test]
fn what_the_control_lane_refuses() {
    let one = One::new(|_| {});
    let (endpoint, segment) = (&one.endpoint, one.segment);
    let config = |change: fn(&mut SegmentConfig)| {
        let mut config = SegmentConfig::new(Vni::new(1).unwrap());
        change(&mut config);
        endpoint.add_segment(config)
    };
    assert_eq!(config(|config| config.vni = Vni::new(42).unwrap()), Err(ControlError::DuplicateVni));
    assert_eq!(config(|config| config.port = 0), Err(ControlError::InvalidConfig { field: "port" }));
    assert_eq!(
        config(|config| config.source_ports = RangeInclusive::new(2, 1)),
        Err(ControlError::InvalidConfig { field: "source_ports" }),
    );
    assert_eq!(config(|config| config.dscp = Dscp::Fixed(64)), Err(ControlError::InvalidConfig { field: "dscp" }));
    assert_eq!(config(|config| config.mac = Some(MacAddr::BROADCAST)), Err(ControlError::InvalidMac));

    assert_eq!(endpoint.add_flood(segment, ip("2001:db8::2")), Err(ControlError::OtherFamily));
    assert_eq!(endpoint.add_flood(segment, ip("0.0.0.0")), Err(ControlError::InvalidRemote));
    assert_eq!(endpoint.add_flood(segment, ip(PEER)), Ok(false));
    assert_eq!(endpoint.add_flood(segment, ip("239.1.1.1")), Ok(true));
    let group = endpoint.add_forward(segment, THERE, ip("239.1.1.1"), seconds(0));
    assert_eq!(group, Err(ControlError::InvalidRemote));
    assert_eq!(endpoint.add_forward(segment, MacAddr::ZERO, ip(PEER), seconds(0)), Err(ControlError::InvalidMac));
    assert_eq!(endpoint.remove_forward(segment, THERE), Err(ControlError::NoSuchRow));
    assert_eq!(endpoint.remove_neighbor(segment, ip("10.0.0.1")), Err(ControlError::NoSuchRow));
    assert_eq!(endpoint.remove_segment(segment), Ok(()));
    assert_eq!(endpoint.remove_segment(segment), Err(ControlError::NoSuchSegment));
    assert_eq!(endpoint.add_flood(segment, ip(PEER)), Err(ControlError::NoSuchSegment));
    assert_eq!(endpoint.remotes(seconds(0)), []);
}

#[test]
fn lanes_count_apart_and_are_summed() {
    let mut options = EndpointOptions::new([1; 16]);
    options.lanes = 2;
    let endpoint = Endpoint::new(options);
    let segment = endpoint.add_segment(SegmentConfig::new(Vni::MAX)).unwrap();
    let (first, second) = (endpoint.lane().unwrap(), endpoint.lane().unwrap());
    assert!(endpoint.lane().is_none());
    for lane in [&first, &second] {
        lane.sent(segment, 1, 100, true);
        lane.delivered(segment, 1, 50);
        lane.dropped(Some(segment), 1, DropReason::Socket);
        lane.dropped(None, 1, DropReason::Truncated);
    }
    drop(first);
    let again = endpoint.lane().expect("a lane that was given back");
    again.sent(segment, 1, 1, false);
    let statistics = endpoint.statistics(segment).unwrap();
    assert_eq!((statistics.tx_frames, statistics.tx_bytes, statistics.flooded), (3, 201, 2));
    assert_eq!((statistics.rx_frames, statistics.rx_bytes), (2, 100));
    assert_eq!(statistics.drops.get(DropReason::Socket), 2);
    assert_eq!(endpoint.drops().get(DropReason::Truncated), 2);
}

#[test]
fn rules_change_and_rows_stay() {
    let mut one = One::new(|_| {});
    let (endpoint, segment) = (&one.endpoint, one.segment);
    assert!(one.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).is_ok());
    let mut config = endpoint.config(segment).unwrap();
    config.mac = None;
    config.reserved_bits = ReservedBits::Reject;
    config.ageing = Some(seconds(10));
    endpoint.set_rules(segment, config.clone()).unwrap();
    config.port = 8472;
    assert_eq!(endpoint.set_rules(segment, config), Err(ControlError::InvalidConfig { field: "port" }));
    one.refreshed();
    let reserved = vxlan([8, 0, 0, 1], 42, 0, &frame(HERE, THERE));
    assert_eq!(one.from(PEER, &reserved, seconds(1)), Err(DropReason::ReservedBits));
    assert_eq!(one.from(PEER, &plain(&frame(THERE, HERE)), seconds(1)), Err(DropReason::OwnMac), "the MAC stays");
    assert_eq!(one.rows(seconds(1)), BTreeSet::from([(THERE, ip(PEER))]));
    for now in 1..20 {
        one.endpoint.handle_timeout(seconds(now));
    }
    assert_eq!(one.rows(seconds(20)), BTreeSet::new());
}

#[test]
fn a_lane_sees_changes_after_a_refresh() {
    let mut one = One::new(|_| {});
    one.endpoint.remove_flood(one.segment, ip(OTHER_PEER)).unwrap();
    assert_eq!(one.send(&frame(THERE, HERE), seconds(0)).unwrap().len(), 2);
    assert_eq!(one.refreshed().send(&frame(THERE, HERE), seconds(0)), Ok(vec![ip(PEER)]));
    one.endpoint.remove_segment(one.segment).unwrap();
    assert_eq!(one.refreshed().send(&frame(THERE, HERE), seconds(0)), Err(DropReason::NoRemote));
}

#[test]
fn a_super_frame_counts_as_the_frames_that_are_cut_from_it() {
    let one = One::new(|_| {});
    let mtu = 1450;
    let frame = [&frame(THERE, HERE)[..], &[0; 2_000]].concat();
    let verdict = |frame: &[u8], frames, largest| {
        let mut reply = [0; REPLY_LEN];
        match one.lane.from_tap_cut(one.segment, frame, Cut { frames, largest }, &mut reply, seconds(0)) {
            TapVerdict::Send(_) => Ok(()),
            TapVerdict::Drop(reason) => Err(reason),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(verdict(&frame, 14, 14 + mtu), Ok(()));
    assert_eq!(verdict(&frame, 14, 14 + mtu + 1), Err(DropReason::TooBig));
    assert_eq!(one.dropped(DropReason::TooBig), 14);
    let mut group_source = frame.clone();
    group_source[6] |= 1;
    assert_eq!(verdict(&group_source, 3, 60), Err(DropReason::SourceMac));
    assert_eq!(one.dropped(DropReason::SourceMac), 3);
}

#[test]
fn what_goes_to_everyone_is_limited_where_it_is_said() {
    let mut one = One::new(|config| {
        config.storm =
            Some(Storm { unknown_unicast: Some(10), broadcast: Some(0), burst: Some(20), ..Storm::default() });
    });
    assert_eq!(one.send(&frame(MacAddr::BROADCAST, HERE), seconds(0)), Err(DropReason::Storm));
    assert_eq!(one.from(PEER, &plain(&frame(MacAddr::BROADCAST, THERE)), seconds(0)), Err(DropReason::Storm));
    let unknown = frame(ELSEWHERE, HERE);
    let passed = |one: &One, second| (0..100).filter(|_| one.send(&unknown, seconds(second)).is_ok()).count();
    assert_eq!([passed(&one, 1), passed(&one, 2), passed(&one, 9)], [20, 10, 20]);
    // The bucket stays as it is when rules change.
    let mut config = one.endpoint.config(one.segment).unwrap();
    config.mtu = 1400;
    one.endpoint.set_rules(one.segment, config).unwrap();
    assert_eq!(passed(one.refreshed(), 9), 0);
    // A known address is none of its business.
    one.endpoint.add_forward(one.segment, ELSEWHERE, ip(PEER), seconds(9)).unwrap();
    assert_eq!(passed(&one, 9), 100);
    assert_eq!(one.dropped(DropReason::Storm), 2 + 80 + 90 + 80 + 100);
    let mut config = one.endpoint.config(one.segment).unwrap();
    config.storm = Some(Storm { broadcast: Some(Storm::MAX_RATE + 1), ..Storm::default() });
    let refused = one.endpoint.set_rules(one.segment, config);
    assert_eq!(refused, Err(ControlError::InvalidConfig { field: "storm" }));
}

#[test]
fn only_those_who_are_allowed_may_speak() {
    let said = |source| {
        let mut frame = frame(MacAddr::BROADCAST, source);
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        frame
    };
    let mut one = One::new(|config| config.allowed_sources = Some(AllowedSources::own_station(Vec::new())));
    assert!(one.send(&said(HERE), seconds(0)).is_ok());
    // Where it really is, is not forgotten for a forgery.
    one.from(PEER, &plain(&frame(HERE, THERE)), seconds(0)).unwrap();
    assert_eq!(one.send(&said(THERE), seconds(0)), Err(DropReason::SourceMac));
    assert!(one.endpoint.forward(one.segment, THERE).is_some());
    one.endpoint.set_mac(one.segment, THERE).unwrap();
    one.refreshed();
    assert!(one.send(&said(THERE), seconds(0)).is_ok());
    assert_eq!(one.send(&said(HERE), seconds(0)), Err(DropReason::SourceMac));
}

/// Behind different addresses of ours a VNI stands for different segments.
#[test]
fn what_comes_by_one_underlay_is_not_for_a_segment_of_another() {
    let mut one = One::new(|config| config.sources = Sources::Any);
    let mut config = SegmentConfig::new(Vni::new(42).unwrap());
    config.sources = Sources::Any;
    assert_eq!(one.endpoint.add_segment(config.clone()), Err(ControlError::DuplicateVni));
    config.underlay = 1;
    let second = one.endpoint.add_segment(config.clone()).unwrap();
    one.refreshed();
    let datagram = plain(&frame(MacAddr::BROADCAST, THERE));
    for (underlay, expected) in [(0, Some(one.segment)), (1, Some(second)), (2, None)] {
        let received = Received { underlay, ..Received::vxlan(ip(PEER), 4789) };
        let mut datagram = datagram.clone();
        let verdict = one.lane.from_underlay(&mut datagram, received, seconds(1));
        let segment = match verdict {
            UnderlayVerdict::Deliver { segment, .. } => Some(segment),
            UnderlayVerdict::Drop { segment, reason } => {
                assert_eq!((segment, reason), (None, DropReason::UnknownVni));
                None
            }
        };
        assert_eq!(segment, expected, "underlay {underlay}");
    }
    config.underlay = 2;
    assert_eq!(one.endpoint.set_rules(second, config), Err(ControlError::InvalidConfig { field: "underlay" }));
}
