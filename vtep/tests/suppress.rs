//! ARP and Neighbor Discovery, learned from and answered in a segment that suppresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ether_wire::{
    EthernetHeader, Ipv6Header,
    arp::ArpPacket,
    nd::{self, NeighborAdvertisement, NeighborSolicitation},
};
use overlay_types::{MacAddr, Vni};
use vtep::{
    DataLane, DropReason, Endpoint, EndpointOptions, ExplainedFrame, NeighborState, REPLY_LEN, Received, SegmentConfig,
    SegmentId, TapVerdict, UnderlayVerdict,
};

const PEER: &str = "192.0.2.2";
const HERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const THERE: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);

fn v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

fn v6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into())
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn peer() -> IpAddr {
    PEER.parse().unwrap()
}

/// What became of a frame from the TAP.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Flooded,
    ToOne,
    Answered(Vec<u8>),
    Held,
    Dropped(DropReason),
}

/// An endpoint with one segment that suppresses, and a peer.
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
        config.suppress = true;
        change(&mut config);
        let segment = endpoint.add_segment(config).unwrap();
        endpoint.add_flood(segment, peer()).unwrap();
        let lane = endpoint.lane().unwrap();
        Self { endpoint, lane, segment }
    }

    /// What becomes of a frame from the TAP.
    fn ask(&self, frame: &[u8], now: Duration) -> Fate {
        match self.lane.from_tap(self.segment, frame, &mut [0; REPLY_LEN], now) {
            TapVerdict::Send(encapsulated) if encapsulated.is_flooded() => Fate::Flooded,
            TapVerdict::Send(_) => Fate::ToOne,
            TapVerdict::Answer(answer) => Fate::Answered(answer.to_vec()),
            TapVerdict::Held => Fate::Held,
            TapVerdict::Drop(reason) => Fate::Dropped(reason),
        }
    }

    /// What becomes of a frame from the peer.
    fn hear(&self, frame: &[u8], now: Duration) -> Result<(), DropReason> {
        let mut datagram = [&[8, 0, 0, 0, 0, 0, 42, 0], frame].concat();
        match self.lane.from_underlay(&mut datagram, Received::vxlan(peer(), 4789), now) {
            UnderlayVerdict::Deliver { .. } => Ok(()),
            UnderlayVerdict::Drop { reason, .. } => Err(reason),
        }
    }

    fn suppressed(&self) -> u64 {
        self.endpoint.statistics(self.segment).unwrap().suppressed
    }

    fn known(&self, ip: impl Into<IpAddr>) -> Option<(MacAddr, NeighborState)> {
        self.endpoint.neighbor(self.segment, ip.into()).map(|known| (known.mac, known.state))
    }
}

fn who_has(target: u8) -> [u8; ArpPacket::FRAME_LEN] {
    ArpPacket::request(HERE, v4(1), v4(target)).to_frame(MacAddr::BROADCAST)
}

/// What the station with this number says to the first one, by ARP.
fn is_at(number: u8, mac: MacAddr) -> [u8; ArpPacket::FRAME_LEN] {
    ArpPacket::request(HERE, v4(1), v4(number)).answer(mac).to_frame(HERE)
}

fn solicit(target: u8) -> Vec<u8> {
    let group = nd::solicited_node(v6(target));
    let to = (nd::multicast_mac(group), group);
    NeighborSolicitation::new(v6(target)).to_frame((HERE, v6(1)), to).unwrap().to_vec()
}

fn advertise(number: u8, mac: MacAddr, flags: impl FnOnce(&mut NeighborAdvertisement)) -> Vec<u8> {
    let mut message = NeighborAdvertisement::new(v6(number));
    flags(&mut message);
    message.to_frame((mac, v6(number)), (HERE, v6(1))).unwrap().to_vec()
}

/// The MAC that an answer to [`who_has`] tells.
#[track_caller]
fn told(fate: Fate) -> MacAddr {
    let Fate::Answered(frame) = fate else { panic!("{fate:?}") };
    let (ethernet, packet) = EthernetHeader::from_prefix(&frame).unwrap();
    let (arp, rest) = ArpPacket::decode(packet).unwrap();
    assert_eq!((ethernet.destination(), arp.target_mac(), arp.target_ip()), (HERE, HERE, v4(1)));
    assert!(rest.is_empty() && ethernet.source() == arp.sender_mac());
    arp.sender_mac()
}

#[test]
fn a_question_is_answered_once_both_rows_are_known() {
    let one = One::new(|_| {});
    assert_eq!(one.ask(&who_has(2), ms(0)), Fate::Flooded);
    // The neighbour alone, static.
    one.endpoint.add_neighbor(one.segment, v4(2).into(), THERE).unwrap();
    assert_eq!(one.ask(&who_has(2), ms(1000)), Fate::Flooded);
    // And where its MAC is.
    one.endpoint.add_forward(one.segment, THERE, peer(), ms(1000)).unwrap();
    assert_eq!(told(one.ask(&who_has(2), ms(1001))), THERE);
    one.endpoint.remove_neighbor(one.segment, v4(2).into()).unwrap();
    assert_eq!(one.ask(&who_has(2), ms(2000)), Fate::Flooded);
    assert_eq!(one.suppressed(), 1);
}

#[test]
fn both_rows_are_learned_from_an_answer() {
    let one = One::new(|_| {});
    assert_eq!(one.ask(&who_has(2), ms(0)), Fate::Flooded);
    one.hear(&is_at(2, THERE), ms(1)).unwrap();
    assert_eq!(one.known(v4(2)), Some((THERE, NeighborState::Learned)));
    assert_eq!(told(one.ask(&who_has(2), ms(2))), THERE);
    // What the asker says of itself is learned, too, and no row leads to it.
    assert_eq!(one.known(v4(1)), Some((HERE, NeighborState::Learned)));
    assert!(one.endpoint.forward(one.segment, HERE).is_none());
    // It speaks here now: frames that went there would be lost.
    let moved = ArpPacket::request(THERE, v4(2), v4(3)).to_frame(MacAddr::BROADCAST);
    assert_eq!(one.ask(&moved, ms(3)), Fate::Flooded);
    assert_eq!(one.ask(&who_has(2), ms(1000)), Fate::Flooded);
}

#[test]
fn an_answer_to_a_station_that_moved_here_forgets_where_it_was() {
    let one = One::new(|_| {});
    one.hear(&is_at(2, THERE), ms(0)).unwrap();
    one.endpoint.add_neighbor(one.segment, v4(9).into(), MacAddr::new([2; 6])).unwrap();
    one.endpoint.add_forward(one.segment, MacAddr::new([2; 6]), peer(), ms(0)).unwrap();
    let asks = ArpPacket::request(THERE, v4(2), v4(9)).to_frame(MacAddr::BROADCAST);
    assert!(matches!(one.ask(&asks, ms(1)), Fate::Answered(_)));
    assert!(one.endpoint.forward(one.segment, THERE).is_none());
}

#[test]
fn a_question_that_was_flooded_just_now_is_held() {
    let one = One::new(|_| {});
    assert_eq!(one.ask(&who_has(2), ms(0)), Fate::Flooded);
    assert_eq!(one.ask(&who_has(2), ms(1)), Fate::Held);
    assert_eq!(one.ask(&who_has(2), ms(499)), Fate::Held);
    assert_eq!(one.ask(&who_has(3), ms(499)), Fate::Flooded);
    assert_eq!(one.ask(&solicit(2), ms(499)), Fate::Flooded);
    assert_eq!(one.ask(&who_has(2), ms(501)), Fate::Flooded);
    assert_eq!((one.suppressed(), one.endpoint.statistics(one.segment).unwrap().drops.total()), (2, 0));
}

#[test]
fn solicitations_are_answered_with_the_flags_of_a_proxy() {
    let one = One::new(|_| {});
    assert_eq!(one.ask(&solicit(2), ms(0)), Fate::Flooded);
    for (millisecond, is_router) in [(1, true), (2, false)] {
        let said = advertise(2, THERE, |message| {
            message.set_router(is_router);
            message.set_solicited(true);
            message.set_override(true);
        });
        one.hear(&said, ms(millisecond)).unwrap();
        let Fate::Answered(frame) = one.ask(&solicit(2), ms(millisecond)) else { panic!("no answer") };
        let (ethernet, packet) = EthernetHeader::from_prefix(&frame).unwrap();
        assert_eq!((ethernet.destination(), ethernet.source()), (HERE, THERE));
        let packet = Ipv6Header::decode(packet).unwrap();
        assert_eq!((packet.header.source(), packet.header.destination()), (v6(2), v6(1)));
        let answer = NeighborAdvertisement::decode(&packet).unwrap();
        assert_eq!(answer.target_binding(), Some((v6(2), THERE)));
        let flags = (answer.message.is_router(), answer.message.is_solicited(), answer.message.is_override());
        assert_eq!(flags, (is_router, true, false));
    }
}

/// Whoever has the address has to hear it.
#[test]
fn probes_announcements_and_questions_to_one_station_go_on() {
    let one = One::new(|_| {});
    one.hear(&is_at(2, THERE), ms(0)).unwrap();
    one.hear(&advertise(2, THERE, |_| {}), ms(0)).unwrap();
    let probe = ArpPacket::request(HERE, Ipv4Addr::UNSPECIFIED, v4(2)).to_frame(MacAddr::BROADCAST);
    let announcement = ArpPacket::request(HERE, v4(2), v4(2)).to_frame(MacAddr::BROADCAST);
    let gratuitous = ArpPacket::request(HERE, v4(1), v4(1)).answer(HERE).to_frame(MacAddr::BROADCAST);
    for frame in [&probe, &announcement, &gratuitous] {
        assert_eq!([one.ask(frame, ms(1)), one.ask(frame, ms(1))], [Fate::Flooded, Fate::Flooded]);
    }
    let mut detection = solicit(2);
    // From `::` and without option; the checksum follows.
    detection.truncate(14 + 40 + 24);
    detection[14 + 5] = 24;
    detection[14 + 8..14 + 24].fill(0);
    detection[14 + 42..14 + 44].fill(0);
    let (header, message) = Ipv6Header::from_prefix(&detection[14..]).unwrap();
    let sum = header.pseudo_header(ether_wire::IpProtocol::ICMPV6, 24).add_bytes(message).checksum();
    detection[14 + 42..14 + 44].copy_from_slice(&sum.to_be_bytes());
    assert_eq!([one.ask(&detection, ms(1)), one.ask(&detection, ms(1))], [Fate::Flooded, Fate::Flooded]);

    one.hear(&is_at(2, THERE), ms(2)).unwrap();
    let unicast = ArpPacket::request(HERE, v4(1), v4(2)).to_frame(THERE);
    assert_eq!(one.ask(&unicast, ms(3)), Fate::ToOne);
    let unicast = NeighborSolicitation::new(v6(2)).to_frame((HERE, v6(1)), (THERE, v6(2))).unwrap();
    assert_eq!(one.ask(&unicast, ms(3)), Fate::ToOne);
    assert_eq!(one.suppressed(), 0);
}

#[test]
fn a_changed_address_is_told_as_it_is_now() {
    let other = MacAddr::new([2, 0, 0, 0, 0, 3]);
    let one = One::new(|_| {});
    one.hear(&is_at(2, THERE), ms(0)).unwrap();
    assert_eq!(told(one.ask(&who_has(2), ms(1))), THERE);
    let announcement = ArpPacket::request(other, v4(2), v4(2)).to_frame(MacAddr::BROADCAST);
    one.hear(&announcement, ms(2)).unwrap();
    assert_eq!(told(one.ask(&who_has(2), ms(3))), other);
    // A static row stays.
    one.endpoint.add_neighbor(one.segment, v4(2).into(), THERE).unwrap();
    one.hear(&announcement, ms(4)).unwrap();
    assert_eq!(told(one.ask(&who_has(2), ms(5))), THERE);
}

/// Neither is learned from, answered nor passed on.
#[test]
fn what_is_malformed_is_dropped_both_ways() {
    let one = One::new(|_| {});
    one.hear(&is_at(2, THERE), ms(0)).unwrap();
    let arp = |edit: fn(&mut [u8])| {
        let mut frame = who_has(2).to_vec();
        edit(&mut frame[14..]);
        frame
    };
    let icmp = |edit: fn(&mut [u8])| {
        let mut frame = solicit(2);
        edit(&mut frame[14..]);
        frame
    };
    let frames = [
        arp(|packet| packet[4] = 8),             // lengths
        arp(|packet| packet[8] = 1),             // the sender's MAC is a group
        arp(|packet| packet[14..18].fill(0xff)), // its IP address is everyone's
        arp(|packet| packet[14..18].copy_from_slice(&[224, 0, 0, 1])),
        who_has(2)[..14 + 27].to_vec(),
        icmp(|packet| packet[7] = 254), // from behind a router
        icmp(|packet| packet[42] ^= 1), // checksum
        icmp(|packet| packet[41] = 1),  // code
    ];
    for (number, frame) in (1..).zip(&frames) {
        assert_eq!(one.ask(frame, ms(1)), Fate::Dropped(DropReason::InvalidNeighborMessage), "{frame:02x?}");
        let mut foreign = frame.clone();
        foreign[6..12].copy_from_slice(&THERE.octets());
        assert_eq!(one.hear(&foreign, ms(1)), Err(DropReason::InvalidNeighborMessage), "{foreign:02x?}");
        let drops = one.endpoint.statistics(one.segment).unwrap().drops;
        assert_eq!(drops.get(DropReason::InvalidNeighborMessage), 2 * number);
    }
    assert_eq!(one.endpoint.neighbors(None, 10, ms(1)).len(), 1);
}

/// Whose MAC inside is not that of its frame may be a proxy for others: it goes on, and teaches nothing.
#[test]
fn who_speaks_for_others_is_not_learned_from() {
    let one = One::new(|_| {});
    let mut frame = is_at(2, THERE);
    frame[11] = 9;
    one.hear(&frame, ms(0)).unwrap();
    assert_eq!(one.known(v4(2)), None);
}

#[test]
fn without_suppression_nothing_is_learned_or_answered() {
    let one = One::new(|config| config.suppress = false);
    one.hear(&is_at(2, THERE), ms(0)).unwrap();
    assert_eq!(one.known(v4(2)), None);
    one.endpoint.add_neighbor(one.segment, v4(2).into(), THERE).unwrap();
    assert_eq!([one.ask(&who_has(2), ms(1)), one.ask(&who_has(2), ms(1))], [Fate::Flooded, Fate::Flooded]);
}

#[test]
fn without_learning_only_other_rows_are_answered_from() {
    let one = One::new(|config| config.learning = false);
    one.hear(&is_at(2, THERE), ms(0)).unwrap();
    assert_eq!((one.known(v4(2)), one.ask(&who_has(2), ms(1))), (None, Fate::Flooded));
    one.endpoint.add_neighbor(one.segment, v4(2).into(), THERE).unwrap();
    one.endpoint.add_forward(one.segment, THERE, peer(), ms(1)).unwrap();
    assert_eq!(told(one.ask(&who_has(2), ms(2))), THERE);
}

#[test]
fn behind_a_vlan_tag_nothing_is_answered() {
    let one = One::new(|config| config.vlan = vtep::Vlan::Carry);
    one.hear(&is_at(2, THERE), ms(0)).unwrap();
    let question = who_has(2);
    let tagged = [&question[..12], &[0x81, 0, 0, 5], &question[12..]].concat();
    assert_eq!([one.ask(&tagged, ms(1)), one.ask(&tagged, ms(1))], [Fate::Flooded, Fate::Flooded]);
}

#[test]
fn learned_neighbours_are_bounded_and_age() {
    let one = One::new(|config| {
        config.max_entries = 3;
        config.ageing = Some(Duration::from_secs(10));
    });
    for number in 1..=40 {
        one.hear(&is_at(number, THERE), ms(0)).unwrap();
    }
    let rows = || one.endpoint.neighbors(None, 100, ms(0)).len();
    assert_eq!(rows(), 12);
    assert_eq!(one.endpoint.statistics(one.segment).unwrap().neighbors.table_full, 28);
    one.endpoint.add_neighbor(one.segment, v4(1).into(), THERE).unwrap();
    one.endpoint.handle_timeout(Duration::from_secs(9));
    assert_eq!(rows(), 12);
    one.endpoint.handle_timeout(Duration::from_secs(10));
    assert_eq!(rows(), 1);
    assert_eq!(one.known(v4(1)), Some((THERE, NeighborState::Static)));
}

/// An address that a row has moves with its next frame only where both agree: what its own segment says.
#[test]
fn segments_answer_from_their_own_rows() {
    let one = One::new(|_| {});
    let mut config = SegmentConfig::new(Vni::new(43).unwrap());
    config.suppress = true;
    let other = one.endpoint.add_segment(config).unwrap();
    one.endpoint.add_flood(other, peer()).unwrap();
    one.endpoint.add_neighbor(other, v4(2).into(), THERE).unwrap();
    one.endpoint.add_forward(other, THERE, peer(), ms(0)).unwrap();
    assert_eq!(one.ask(&who_has(2), ms(1)), Fate::Flooded);
}

#[test]
fn what_would_be_answered_is_explained_and_nothing_comes_of_it() {
    let one = One::new(|config| config.storm = Some(vtep::Storm { broadcast: Some(0), ..Default::default() }));
    let explain = |frame: &[u8]| one.endpoint.explain_from_tap(one.segment, frame, ms(1)).unwrap().verdict;
    assert_eq!(explain(&who_has(2)), ExplainedFrame::Drop(DropReason::Storm));
    one.hear(&is_at(2, THERE), ms(0)).unwrap();
    let ExplainedFrame::Answer(answer) = explain(&who_has(2)) else { panic!("no answer") };
    assert_eq!((one.suppressed(), one.known(v4(1))), (0, None));
    assert_eq!(one.ask(&who_has(2), ms(1)), Fate::Answered(answer));
    let mut malformed = who_has(2);
    malformed[18] = 8;
    assert_eq!(explain(&malformed), ExplainedFrame::Drop(DropReason::InvalidNeighborMessage));
    malformed[6..12].copy_from_slice(&THERE.octets());
    let datagram = [&[8, 0, 0, 0, 0, 0, 42, 0], &malformed[..]].concat();
    let explained = one.endpoint.explain_from_underlay(&datagram, Received::vxlan(peer(), 4789), ms(1));
    assert_eq!(explained.verdict, Err(DropReason::Storm));
    assert_eq!(one.endpoint.statistics(one.segment).unwrap().drops.total(), 0);
}
