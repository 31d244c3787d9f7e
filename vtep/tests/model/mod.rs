//! A plain model of what an endpoint may deliver where: two endpoints, each the other's remote, three encapsulations, and
//! bytes that say what happens. Shared by a property test and a fuzz target.
//!
//! The model keeps no forwarding table. It knows what is certain (headers, sources, tags, static rows), and for what is
//! learned from where a station was ever heard: a frame that must go has to go, and a drop must have a cause.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use overlay_types::{MacAddr, Vni};
use vtep::{
    DataLane, DropReason, Ecn, Encapsulation, Endpoint, EndpointOptions, OptionClass, OptionType, REPLY_LEN, Received,
    ReservedBits, SegmentConfig, SegmentId, Sources, TapVerdict, TunnelOption, UnderlayVerdict, Vlan,
};

/// The inner MTU of all segments: small, so that frames are too big at times.
const MTU: usize = 600;
/// The data of the option that one of the segments sends; it is critical.
const OPTION: [u8; 8] = [0x01, 0x02, 0x81, 1, 7, 7, 7, 7];

/// Lets everything happen that these bytes say, on two endpoints, and checks each verdict.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut sides = [Side::new(0), Side::new(1)];
    let mut now = Duration::ZERO;
    while !script.0.is_empty() {
        let here = usize::from(script.byte() & 1);
        match script.byte() % 16 {
            0..=5 => {
                let (segment, frame) = (script.below(SEGMENTS.len()), script.frame());
                let arrivals = sides[here].take_frame(segment, &frame, now);
                for (mut datagram, mut received) in arrivals {
                    received.source = address(here);
                    sides[1 - here].take_datagram(&mut datagram, received, now);
                }
            }
            6..=11 => {
                let (mut datagram, received) = script.datagram();
                sides[here].take_datagram(&mut datagram, received, now);
            }
            12 => {
                now += Duration::from_secs(script.byte().into());
                for side in &sides {
                    side.endpoint.handle_timeout(now);
                }
            }
            13 => sides[here].flush(script.byte() & 1 == 0),
            14 => {
                let (segment, mac, remote) = (script.below(SEGMENTS.len()), script.mac(), script.below(4));
                sides[here].set_static(segment, mac, (script.byte() & 3 != 0).then_some(remote), now);
            }
            _ => {
                let (segment, remote) = (script.below(SEGMENTS.len()), script.below(4));
                sides[here].toggle_flood(segment, remote);
            }
        }
    }
    sides.iter().for_each(Side::expect_one_fate_each);
}

/// What happens, read from bytes; zeros when they are used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// One of a few stations most of the time.
    fn mac(&mut self) -> [u8; 6] {
        match self.byte() {
            number @ 0..=199 => [2, 0, 0, 0, 0, number % 6],
            200..=229 => [0xff; 6],
            230..=239 => [0x33, 0x33, 0, 0, 0, 1],
            240..=247 => [0; 6],
            number => [number; 6],
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut frame = [self.mac(), self.mac()].concat();
        let kind = self.byte();
        if kind & 0x80 != 0 {
            frame.extend([0x81, 0x00, 0, kind & 7]);
        }
        let traffic_class = self.byte();
        match kind % 4 {
            0 => {
                frame.extend([0x08, 0x00, 0x45, traffic_class, 0, 20, 0, 0, 0x40, 0, 64, 17, 0, 0]);
                frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            }
            1 => {
                frame.extend([0x86, 0xdd, 0x60 | traffic_class >> 4, traffic_class << 4, 0, 0, 0, 0, 17, 64]);
                frame.extend([0xfd; 32]);
            }
            2 => frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, traffic_class]),
            _ => frame.extend([traffic_class, kind]),
        }
        match self.byte() {
            fill @ 0..=199 => frame.extend(vec![fill; usize::from(fill)]),
            long @ 200..=229 => frame.extend(vec![long; usize::from(long - 200) * 40]),
            short => frame.truncate(usize::from(short - 230)),
        }
        frame
    }

    /// What some remote may send: whole, or with some bytes changed or cut.
    fn datagram(&mut self) -> (Vec<u8>, Received) {
        let spec = &SEGMENTS[self.below(SEGMENTS.len())];
        let mut datagram = spec.header(self.byte());
        datagram.extend(self.frame());
        match self.byte() % 8 {
            0 => {
                for _ in 0..=self.byte() % 4 {
                    let place = self.below(16).min(datagram.len() - 1);
                    datagram[place] ^= 1 << (self.byte() & 7);
                }
            }
            1 => datagram.truncate(self.below(24)),
            _ => {}
        }
        let other = &SEGMENTS[if self.below(8) == 0 { self.below(SEGMENTS.len()) } else { spec.index }];
        let mut received = Received::new(other.encapsulation, address(self.below(4)));
        received.ecn = Ecn::from_bits(self.byte() & 3);
        (datagram, received)
    }
}

/// Hosts 0 and 1 are the two endpoints.
fn address(number: usize) -> IpAddr {
    [192, 0, 2, number as u8 + 1].into()
}

/// What a segment is; both endpoints have all of them.
struct Spec {
    index: usize,
    encapsulation: Encapsulation,
    vni: u32,
    group_policy: Option<u16>,
    option: bool,
    learning: bool,
    sources: Sources,
    vlan: Vlan,
    reserved_bits: ReservedBits,
}

const SEGMENTS: [Spec; 5] = {
    const PLAIN: Spec = Spec {
        index: 0,
        encapsulation: Encapsulation::Vxlan,
        vni: 42,
        group_policy: None,
        option: false,
        learning: true,
        sources: Sources::Configured,
        vlan: Vlan::Drop,
        reserved_bits: ReservedBits::Ignore,
    };
    [
        PLAIN,
        Spec {
            index: 1,
            vni: 43,
            group_policy: Some(0x1234),
            sources: Sources::Any,
            reserved_bits: ReservedBits::Reject,
            ..PLAIN
        },
        Spec { index: 2, encapsulation: Encapsulation::Geneve, option: true, vlan: Vlan::Carry, ..PLAIN },
        Spec {
            index: 3,
            encapsulation: Encapsulation::Geneve,
            vni: 43,
            learning: false,
            reserved_bits: ReservedBits::Reject,
            ..PLAIN
        },
        Spec { index: 4, encapsulation: Encapsulation::Nvgre, vni: 4242, sources: Sources::Any, ..PLAIN },
    ]
};

impl Spec {
    fn config(&self, own: [u8; 6]) -> SegmentConfig {
        let mut config = SegmentConfig::with_encapsulation(self.encapsulation, Vni::new(self.vni).unwrap());
        config.group_policy = self.group_policy;
        if self.option {
            let [high, low, option_type, _, data @ ..] = OPTION;
            config.options.push(TunnelOption {
                class: OptionClass::new(u16::from_be_bytes([high, low])),
                option_type: OptionType::new(option_type),
                data: data.to_vec(),
            });
        }
        config.mtu = MTU as u16;
        config.mac = Some(own.into());
        config.learning = self.learning;
        config.max_entries = 4;
        config.sources = self.sources;
        config.reserved_bits = self.reserved_bits;
        config.vlan = self.vlan;
        config
    }

    fn rejects(&self) -> bool {
        self.reserved_bits == ReservedBits::Reject
    }

    /// The tunnel header on the wire, by the standard's figure. `flow` is NVGRE's last byte.
    fn header(&self, flow: u8) -> Vec<u8> {
        let [_, a, b, c] = self.vni.to_be_bytes();
        match self.encapsulation {
            Encapsulation::Vxlan => match self.group_policy {
                None => vec![0x08, 0, 0, 0, a, b, c, 0],
                Some(id) => vec![0x88, 0, (id >> 8) as u8, id as u8, a, b, c, 0],
            },
            Encapsulation::Geneve if self.option => [&[0x02, 0x40, 0x65, 0x58, a, b, c, 0][..], &OPTION].concat(),
            Encapsulation::Geneve => vec![0, 0, 0x65, 0x58, a, b, c, 0],
            _ => vec![0x20, 0, 0x65, 0x58, a, b, c, flow],
        }
    }
}

/// The segment that a header names and what is wrong with it; without a segment the reason for that.
fn read(encapsulation: Encapsulation, datagram: &[u8]) -> Result<(&'static Spec, usize, Causes, bool), DropReason> {
    let Some(&[first, second, third, fourth, a, b, c, last]) = datagram.first_chunk::<8>() else {
        return Err(DropReason::Truncated);
    };
    let mut causes = Causes::default();
    let protocol = u16::from_be_bytes([third, fourth]);
    let vni = u32::from_be_bytes([0, a, b, c]);
    let find = || {
        let spec = SEGMENTS.iter().find(|spec| (spec.encapsulation, spec.vni) == (encapsulation, vni));
        spec.ok_or(DropReason::UnknownVni)
    };
    let mut offset = 8;
    let mut dont_learn = false;
    let spec = match encapsulation {
        Encapsulation::Vxlan => {
            if first & 0x08 == 0 {
                return Err(DropReason::InvalidHeader);
            }
            let spec = find()?;
            let is_policy = spec.group_policy.is_some() && first & 0x80 != 0;
            // Without G everything that is the policy's is zero.
            let reserved = if is_policy {
                [first & !0x88, second & !0x48, last] != [0; 3]
            } else {
                [first & !0x08, second, third, fourth, last] != [0; 5]
            };
            causes.add_if(reserved && spec.rejects(), DropReason::ReservedBits);
            dont_learn = is_policy && second & 0x40 != 0;
            spec
        }
        Encapsulation::Geneve => {
            if first >> 6 != 0 {
                return Err(DropReason::UnknownVersion);
            }
            let spec = find()?;
            offset += usize::from(first & 0x3f) * 4;
            causes.add_if(second & 0x80 != 0, DropReason::ControlPacket);
            causes.add_if(protocol != 0x6558, DropReason::WrongProtocolType);
            let mut reserved = second & 0x3f != 0 || last != 0;
            match datagram.get(8..offset) {
                None => causes.add(DropReason::Truncated),
                Some(mut options) => {
                    causes.add_if(options.is_empty() && second & 0x40 != 0, DropReason::InvalidOptions);
                    while let Some(&[high, low, kind, length]) = options.first_chunk::<4>() {
                        reserved |= length & 0xe0 != 0;
                        let Some(rest) = options.get(4 + usize::from(length & 0x1f) * 4..) else {
                            causes.add(DropReason::InvalidOptions);
                            break;
                        };
                        let is_known = spec.option && [high, low, kind] == OPTION[..3];
                        causes.add_if(kind & 0x80 != 0 && !is_known, DropReason::UnknownCriticalOption);
                        options = rest;
                    }
                }
            }
            causes.add_if(reserved && spec.rejects(), DropReason::ReservedBits);
            spec
        }
        _ => {
            let flags = u16::from_be_bytes([first, second]);
            // What of several things is said first is not the model's affair.
            if flags & 7 != 0 || flags & 0xfc00 != 0x2000 || protocol != 0x6558 {
                let mut wrong = Causes::default();
                wrong.add_if(flags & 7 != 0, DropReason::UnknownVersion);
                wrong.add_if(flags & 0xfc00 != 0x2000, DropReason::InvalidHeader);
                wrong.add_if(protocol != 0x6558, DropReason::WrongProtocolType);
                let first = [DropReason::UnknownVersion, DropReason::InvalidHeader, DropReason::WrongProtocolType];
                return Err(first.into_iter().find(|reason| wrong.0.contains(reason)).unwrap());
            }
            let spec = find()?;
            causes.add_if(flags & 0x03f8 != 0 && spec.rejects(), DropReason::ReservedBits);
            spec
        }
    };
    Ok((spec, offset, causes, dont_learn))
}

/// Why a frame goes no further.
#[derive(Clone, Debug, Default)]
struct Causes(BTreeSet<DropReason>);

impl Causes {
    fn add(&mut self, reason: DropReason) {
        self.0.insert(reason);
    }

    fn add_if(&mut self, holds: bool, reason: DropReason) {
        if holds {
            self.add(reason);
        }
    }

    fn contains(&self, reason: DropReason) -> bool {
        self.0.contains(&reason)
    }
}

/// The ECN field of the IP packet in a frame, where there is a whole header behind at most one tag.
fn inner_ecn(frame: &[u8]) -> Option<Ecn> {
    let mut at = 12;
    if frame.get(at..at + 2)? == [0x81, 0x00] {
        at += 4;
    }
    let packet = frame.get(at + 2..)?;
    match frame.get(at..at + 2)? {
        [0x08, 0x00] if packet.len() >= 20 && packet[0] >> 4 == 4 => Some(Ecn::from_bits(packet[1] & 3)),
        [0x86, 0xdd] if packet.len() >= 40 && packet[0] >> 4 == 6 => Some(Ecn::from_bits(packet[1] >> 4 & 3)),
        _ => None,
    }
}

fn destination(frame: &[u8]) -> MacAddr {
    MacAddr::new(*frame.first_chunk().unwrap())
}

fn source(frame: &[u8]) -> MacAddr {
    MacAddr::new(*frame[6..].first_chunk().unwrap())
}

/// What the model knows of a segment.
#[derive(Default)]
struct Known {
    flood: Vec<usize>,
    statics: BTreeMap<MacAddr, usize>,
    /// From where each station was heard. It may have been forgotten since.
    heard: BTreeMap<MacAddr, BTreeSet<usize>>,
}

/// An endpoint, and what the model knows of it.
struct Side {
    endpoint: Endpoint,
    lane: DataLane,
    number: usize,
    ids: Vec<SegmentId>,
    own: MacAddr,
    known: Vec<Known>,
    /// Frames and datagrams that came in, and those that went on.
    taken: u64,
    went_on: u64,
}

impl Side {
    fn new(number: usize) -> Self {
        let mut options = EndpointOptions::new([number as u8 + 1; 16]);
        // Small tables are made quickly, and are full at times.
        (options.max_learned, options.max_remotes, options.max_neighbors) = (16, 64, 64);
        let endpoint = Endpoint::new(options);
        let own = [2, 0, 0, 0, 0, number as u8];
        let ids: Vec<_> = SEGMENTS.iter().map(|spec| endpoint.add_segment(spec.config(own)).unwrap()).collect();
        let lane = endpoint.lane().unwrap();
        let known = SEGMENTS.iter().map(|_| Known::default()).collect();
        let mut side = Self { endpoint, lane, number, ids, own: own.into(), known, taken: 0, went_on: 0 };
        (0..SEGMENTS.len()).for_each(|segment| side.toggle_flood(segment, 1 - number));
        side
    }

    fn toggle_flood(&mut self, segment: usize, remote: usize) {
        let flood = &mut self.known[segment].flood;
        if let Some(place) = flood.iter().position(|other| *other == remote) {
            flood.remove(place);
            assert_eq!(self.endpoint.remove_flood(self.ids[segment], address(remote)), Ok(true));
        } else {
            flood.push(remote);
            assert_eq!(self.endpoint.add_flood(self.ids[segment], address(remote)), Ok(true));
        }
        self.lane.refresh();
    }

    fn set_static(&mut self, segment: usize, mac: [u8; 6], remote: Option<usize>, now: Duration) {
        let (id, mac) = (self.ids[segment], MacAddr::new(mac));
        let known = &mut self.known[segment];
        if let Some(remote) = remote {
            let added = self.endpoint.add_forward(id, mac, address(remote), now);
            assert_eq!(added.is_ok(), mac.is_unicast(), "{added:?}");
            if added.is_ok() {
                known.statics.insert(mac, remote);
            }
        } else {
            let removed = self.endpoint.remove_forward(id, mac);
            assert!(removed.is_ok() || !known.statics.contains_key(&mac));
            known.statics.remove(&mac);
        }
        known.heard.remove(&mac);
        self.lane.refresh();
    }

    fn flush(&mut self, learned_only: bool) {
        self.endpoint.flush(None, None, learned_only).unwrap();
        for known in &mut self.known {
            known.heard.clear();
            if !learned_only {
                known.statics.clear();
            }
        }
        self.lane.refresh();
    }

    /// A frame from the TAP: what goes to the other endpoint.
    fn take_frame(&mut self, segment: usize, frame: &[u8], now: Duration) -> Vec<(Vec<u8>, Received)> {
        let (spec, known) = (&SEGMENTS[segment], &mut self.known[segment]);
        self.taken += 1;
        let mut reply = [0; REPLY_LEN];
        let verdict = self.lane.from_tap(self.ids[segment], frame, &mut reply, now);
        let mut causes = Causes::default();
        if frame.len() < 14 {
            causes.add(DropReason::Truncated);
        } else {
            let tagged = frame[12..14] == [0x81, 0x00];
            causes.add_if(!source(frame).is_unicast(), DropReason::SourceMac);
            causes.add_if(tagged && spec.vlan == Vlan::Drop, DropReason::VlanTag);
            causes.add_if(frame.len() > MTU + 14 + if tagged { 4 } else { 0 }, DropReason::TooBig);
        }
        let encapsulated = match verdict {
            TapVerdict::Send(encapsulated) => encapsulated,
            TapVerdict::Answer(answer) => {
                assert!(causes.contains(DropReason::TooBig), "nothing else is answered here: {answer:?}");
                return Vec::new();
            }
            TapVerdict::Held => panic!("no segment here suppresses"),
            TapVerdict::Drop(reason) => {
                let nobody = causes.0.is_empty() && known.flood.is_empty() && {
                    let to = destination(frame);
                    to.is_multicast() || !known.statics.contains_key(&to)
                };
                causes.add_if(nobody, DropReason::NoRemote);
                assert!(causes.contains(reason), "{reason} for {frame:x?}, of {causes:?}");
                return Vec::new();
            }
        };
        assert!(causes.0.is_empty(), "sent, and yet {causes:?}");
        self.went_on += 1;
        known.heard.remove(&source(frame));
        let to = destination(frame);
        let flow = encapsulated.header().last().copied().unwrap();
        assert_eq!(encapsulated.header(), spec.header(if spec.vni == 4242 { flow } else { 0 }));
        let mut destinations: Vec<_> = encapsulated.destinations().iter().map(|to| to.address).collect();
        destinations.sort_unstable();
        let mut flood: Vec<_> = known.flood.iter().copied().map(address).collect();
        flood.sort_unstable();
        if encapsulated.is_flooded() {
            assert!(to.is_multicast() || !known.statics.contains_key(&to), "a known one is flooded");
            assert_eq!(destinations, flood);
        } else {
            let [one] = destinations[..] else { panic!("{} remotes for one station", destinations.len()) };
            assert!(!to.is_multicast());
            let may = match known.statics.get(&to) {
                Some(remote) => BTreeSet::from([*remote]),
                None => known.heard.get(&to).cloned().unwrap_or_default(),
            };
            assert!(may.iter().any(|remote| address(*remote) == one), "{one} was never heard of");
        }
        let datagram = [encapsulated.header(), frame].concat();
        let mut received = Received::new(spec.encapsulation, address(self.number));
        received.ecn = Ecn::from_bits(encapsulated.traffic_class & 3);
        let arrives = destinations.contains(&address(1 - self.number));
        if arrives { vec![(datagram, received)] } else { Vec::new() }
    }

    fn take_datagram(&mut self, datagram: &mut [u8], received: Received, now: Duration) {
        self.taken += 1;
        let before = datagram.to_vec();
        let header = read(received.encapsulation, &before);
        let verdict = self.lane.from_underlay(datagram, received, now);
        let (spec, offset, mut causes, dont_learn) = match (header, &verdict) {
            (Ok(header), _) => header,
            (Err(expected), UnderlayVerdict::Drop { segment, reason }) => {
                return assert_eq!((*segment, *reason), (None, expected), "{before:x?}");
            }
            (Err(expected), verdict) => panic!("{verdict:?} and not {expected}: {before:x?}"),
        };
        let known = &mut self.known[spec.index];
        let from = (0..4).find(|number| address(*number) == received.source).unwrap();
        let configured = known.flood.contains(&from) || known.statics.values().any(|remote| *remote == from);
        causes.add_if(spec.sources == Sources::Configured && !configured, DropReason::UnknownSource);
        // What may be a cause, by what the endpoint may have learned.
        let mut possible = causes.clone();
        let frame = before.get(offset..).filter(|frame| frame.len() >= 14);
        match frame {
            None => causes.add(DropReason::Truncated),
            Some(frame) => {
                let (to, station) = (destination(frame), source(frame));
                causes.add_if(frame[12..14] == [0x81, 0x00] && spec.vlan == Vlan::Drop, DropReason::VlanTag);
                causes.add_if(station == self.own, DropReason::OwnMac);
                let ce_on_not_ect = received.ecn == Ecn::Ce && inner_ecn(frame) == Some(Ecn::NotEct);
                causes.add_if(ce_on_not_ect, DropReason::Ecn);
                let moved = known.statics.get(&station).is_some_and(|remote| *remote != from);
                causes.add_if(moved, DropReason::StaticMoved);
                if !to.is_multicast() && to != self.own {
                    let behind = known.statics.get(&to);
                    causes.add_if(behind.is_some_and(|remote| *remote != from), DropReason::SplitHorizon);
                    let heard = known.heard.get(&to).is_some_and(|heard| heard.iter().any(|remote| *remote != from));
                    possible.add_if(behind.is_none() && heard, DropReason::SplitHorizon);
                }
                // A station is learned before its frame is found to be for another remote.
                if spec.learning && !dont_learn && station.is_unicast() {
                    known.heard.entry(station).or_default().insert(from);
                }
            }
        }
        match verdict {
            UnderlayVerdict::Deliver { segment, frame } => {
                assert!(causes.0.is_empty(), "delivered, and yet {causes:?}: {before:x?}");
                assert_eq!(segment, self.ids[spec.index]);
                self.went_on += 1;
                // Only the ECN field, and the checksum over it, may have changed.
                let expected = &before[offset..];
                assert_eq!(frame.len(), expected.len());
                let changed = frame.iter().zip(expected).filter(|(now, before)| now != before).count();
                let may_change = received.ecn != Ecn::NotEct && inner_ecn(expected).is_some();
                assert!(changed <= if may_change { 3 } else { 0 }, "{frame:x?} was {expected:x?}");
            }
            UnderlayVerdict::Drop { segment, reason } => {
                assert_eq!(segment, Some(self.ids[spec.index]));
                let is_cause = causes.contains(reason) || possible.contains(reason);
                assert!(is_cause, "{reason} for {before:x?} from {from}, of {causes:?} {possible:?}");
            }
        }
    }

    /// Each frame and each datagram went on, or was counted as dropped under one reason.
    fn expect_one_fate_each(&self) {
        let dropped: u64 = self.ids.iter().map(|id| self.endpoint.statistics(*id).unwrap().drops.total()).sum();
        assert_eq!(self.taken, self.went_on + dropped + self.endpoint.drops().total());
    }
}
