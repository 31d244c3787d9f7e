//! Frames of ARP and Neighbor Discovery, and such as look like them, into the neighbour table: what it answers is right,
//! what it learns is what the frame said, and it stays within its caps.

#![no_main]

use std::{net::IpAddr, time::Duration};

use arbitrary::Arbitrary;
use ether_wire::{
    EthernetHeader, Ipv6Header,
    arp::{ArpOperation, ArpPacket},
    nd::{self, NeighborAdvertisement, NeighborSolicitation},
};
use fdb::{Answer, LearnNeighbor, Neighbor, NeighborOptions, NeighborState, NeighborTable, Origin, SegmentId};
use libfuzzer_sys::fuzz_target;
use overlay_types::{EtherType, MacAddr};

const MAX: u32 = 12;
const HOLD: Duration = Duration::from_millis(500);

/// An address of few, so that questions meet answers; or any.
#[derive(Arbitrary, Debug)]
enum Mac {
    One(u8),
    Any(MacAddr),
    Broadcast,
}

#[derive(Arbitrary, Debug)]
enum V4 {
    One(u8),
    Any(u32),
}

#[derive(Arbitrary, Debug)]
enum V6 {
    One(u8),
    SolicitedNode(u8),
    Any(u128),
}

#[derive(Arbitrary, Debug)]
enum Frame<'a> {
    Bytes(&'a [u8]),
    /// The payload of this many EtherTypes, behind a header that leads to it.
    Payload(bool, Mac, Mac, &'a [u8]),
    Arp {
        destination: Mac,
        source: Option<Mac>,
        operation: u16,
        sender: (Mac, V4),
        target: (Mac, V4),
    },
    Solicitation {
        target: V6,
        from: (Mac, V6),
        to: (Mac, V6),
    },
    Advertisement {
        target: V6,
        from: (Mac, V6),
        to: (Mac, V6),
        flags: u8,
    },
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Answer(u8, Frame<'a>, Vec<(u8, u8)>),
    Learn(u8, Frame<'a>, Vec<(u8, u8)>),
    Insert(u8, bool, u8, u8, bool),
    Remove(u8, bool, u8),
    RemoveSegment(u8),
    Pass(u16),
    Age(u8),
}

fn station(number: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, number % 8])
}

fn v4(number: u8) -> std::net::Ipv4Addr {
    [10, 0, 0, number % 16].into()
}

fn v6(number: u8) -> std::net::Ipv6Addr {
    [0xfe80, 0, 0, 0, 0, 0, 0, u16::from(number % 16)].into()
}

fn segment(number: u8) -> SegmentId {
    SegmentId::new(u32::from(number % 3) * 70_000).expect("a small number")
}

impl Mac {
    fn get(&self) -> MacAddr {
        match *self {
            Self::One(number) => station(number),
            Self::Any(mac) => mac,
            Self::Broadcast => MacAddr::BROADCAST,
        }
    }
}

impl V4 {
    fn get(&self) -> std::net::Ipv4Addr {
        match *self {
            Self::One(number) => v4(number),
            Self::Any(bits) => bits.into(),
        }
    }
}

impl V6 {
    fn get(&self) -> std::net::Ipv6Addr {
        match *self {
            Self::One(number) => v6(number),
            Self::SolicitedNode(number) => nd::solicited_node(v6(number)),
            Self::Any(bits) => bits.into(),
        }
    }
}

/// The frame, with some of its bytes changed.
fn frame(frame: &Frame<'_>, edits: &[(u8, u8)]) -> Vec<u8> {
    let mut bytes = match frame {
        Frame::Bytes(bytes) => bytes.to_vec(),
        Frame::Payload(is_arp, destination, source, payload) => {
            let ether_type = if *is_arp { EtherType::ARP } else { EtherType::IPV6 };
            [&destination.get().octets()[..], &source.get().octets(), &ether_type.get().to_be_bytes(), payload].concat()
        }
        Frame::Arp { destination, source, operation, sender, target } => {
            let (sender, target) = ((sender.0.get(), sender.1.get()), (target.0.get(), target.1.get()));
            let packet = ArpPacket::new(ArpOperation::new(*operation % 4), sender, target);
            let mut bytes = packet.to_frame(destination.get()).to_vec();
            if let Some(source) = source {
                bytes[6..12].copy_from_slice(&source.get().octets());
            }
            bytes
        }
        Frame::Solicitation { target, from, to } => {
            let message = NeighborSolicitation::new(target.get());
            let frame = message.to_frame((from.0.get(), from.1.get()), (to.0.get(), to.1.get()));
            frame.map(Vec::from).unwrap_or_default()
        }
        Frame::Advertisement { target, from, to, flags } => {
            let mut message = NeighborAdvertisement::new(target.get());
            message.set_router(flags & 1 != 0);
            message.set_solicited(flags & 2 != 0);
            message.set_override(flags & 4 != 0);
            let frame = message.to_frame((from.0.get(), from.1.get()), (to.0.get(), to.1.get()));
            frame.map(Vec::from).unwrap_or_default()
        }
    };
    for &(at, with) in edits.iter().take(4) {
        if let Some(byte) = bytes.get_mut(usize::from(at)) {
            *byte = with;
        }
    }
    bytes
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let table = NeighborTable::new([7; 16], MAX);
    let mut now = Duration::ZERO;
    for step in &steps {
        match step {
            Step::Answer(segment, frame, edits) => {
                answer(&table, self::segment(*segment), &self::frame(frame, edits), now)
            }
            Step::Learn(segment, frame, edits) => {
                learn(&table, self::segment(*segment), &self::frame(frame, edits), now)
            }
            Step::Insert(segment, is_v4, address, mac, registry) => {
                let address: IpAddr = if *is_v4 { v4(*address).into() } else { v6(*address).into() };
                let origin = if *registry { Origin::Registry } else { Origin::Static };
                let neighbor = Neighbor::new(station(*mac), origin);
                if table.insert(self::segment(*segment), address, neighbor).is_ok() {
                    assert_eq!(table.lookup(self::segment(*segment), address), Some(neighbor));
                }
            }
            Step::Remove(segment, is_v4, address) => {
                let address: IpAddr = if *is_v4 { v4(*address).into() } else { v6(*address).into() };
                let known = table.lookup(self::segment(*segment), address);
                assert_eq!(table.remove(self::segment(*segment), address), known);
            }
            Step::RemoveSegment(segment) => table.remove_segment(self::segment(*segment)),
            Step::Pass(millis) => now += Duration::from_millis(u64::from(*millis)),
            Step::Age(seconds) => {
                let ageing = (*seconds < u8::MAX).then(|| Duration::from_secs(u64::from(*seconds)));
                for number in 0..3 {
                    table.add_segment(segment(number), NeighborOptions { ageing, ..NeighborOptions::default() });
                }
                table.age(now, usize::MAX);
            }
        }
        let rows = table.page(None, usize::MAX, now);
        let learned = rows.iter().filter(|row| row.neighbor.state == NeighborState::Learned).count();
        assert!(rows.len() <= MAX as usize && learned <= MAX as usize * 3 / 4);
        for row in rows {
            assert_eq!(table.lookup(row.segment, row.address), Some(row.neighbor));
            assert!(row.neighbor.mac.is_unicast() && row.age.is_none_or(|age| age <= now));
        }
    }
});

fn answer(table: &NeighborTable, segment: SegmentId, frame: &[u8], now: Duration) {
    let mut reply = [0xaa; NeighborTable::REPLY_LEN + 8];
    let before = table.counters(segment);
    let Ok(answer) = table.answer(segment, frame, &mut reply, now, HOLD, |_| true) else { return };
    let Answer::Reply { len } = answer else {
        assert!(reply.iter().all(|byte| *byte == 0xaa));
        return;
    };
    assert!(reply[len..].iter().all(|byte| *byte == 0xaa));
    let counters = table.counters(segment);
    assert_eq!((counters.answered, counters.flooded), (before.answered + 1, before.flooded));
    let (question, asked) = EthernetHeader::from_prefix(frame).expect("it was a frame");
    let (header, packet) = EthernetHeader::from_prefix(&reply[..len]).expect("a frame");
    assert!(question.destination().is_multicast() && question.source().is_unicast());
    assert_eq!((header.destination(), header.ether_type()), (question.source(), question.ether_type()));
    if header.ether_type() == EtherType::ARP {
        let (asked, _) = ArpPacket::decode(asked).expect("it was ARP");
        let (answer, rest) = ArpPacket::decode(packet).expect("ARP");
        assert!(rest.is_empty() && asked.operation() == ArpOperation::REQUEST && !asked.is_probe());
        let known = table.lookup(segment, asked.target_ip().into()).expect("a row");
        assert_eq!((answer.operation(), answer.sender_ip()), (ArpOperation::REPLY, asked.target_ip()));
        assert_eq!((answer.sender_mac(), header.source()), (known.mac, known.mac));
        assert_eq!((answer.target_mac(), answer.target_ip()), (asked.sender_mac(), asked.sender_ip()));
        assert_ne!(known.mac, question.source());
    } else {
        let asked = Ipv6Header::decode(asked).expect("it was IPv6");
        let asked = NeighborSolicitation::decode(&asked).expect("it was a solicitation");
        let packet = Ipv6Header::decode(packet).expect("IPv6");
        let answer = NeighborAdvertisement::decode(&packet).expect("an advertisement");
        let target = asked.message.target();
        let known = table.lookup(segment, target.into()).expect("a row");
        assert!(!asked.is_duplicate_address_detection() && known.mac != question.source());
        assert_eq!((answer.message.target(), answer.target_binding()), (target, Some((target, known.mac))));
        assert_eq!((packet.header.source(), packet.header.destination()), (target, asked.ip.source()));
        let message = answer.message;
        assert_eq!((message.is_override(), message.is_router()), (false, known.router));
        assert_eq!((message.is_solicited(), header.source()), (!asked.ip.source().is_multicast(), known.mac));
    }
}

fn learn(table: &NeighborTable, segment: SegmentId, frame: &[u8], now: Duration) {
    let before = table.page(None, usize::MAX, now);
    let learned = table.learn_from_frame(segment, frame, now);
    let after = table.page(None, usize::MAX, now);
    match learned {
        Ok(Some(LearnNeighbor::New)) => assert_eq!(after.len(), before.len() + 1),
        Ok(Some(LearnNeighbor::Moved { .. } | LearnNeighbor::Refreshed)) => assert_eq!(after.len(), before.len()),
        _ => {
            assert_eq!(after, before);
            return;
        }
    }
    // What is there now and was not so before says what the frame said: its source, in its segment.
    let (header, _) = EthernetHeader::from_prefix(frame).expect("it was a frame");
    for row in after.iter().filter(|row| {
        !before.iter().any(|old| (old.segment, old.address, old.neighbor) == (row.segment, row.address, row.neighbor))
    }) {
        assert_eq!(
            (row.segment, row.neighbor.mac, row.neighbor.state),
            (segment, header.source(), NeighborState::Learned)
        );
        assert_eq!(row.age, Some(Duration::ZERO));
    }
}
