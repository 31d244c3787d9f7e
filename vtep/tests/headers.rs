//! Tunnel headers in all that can be wrong with them, against the rules of the standards written down a second time.

use std::{net::IpAddr, time::Duration};

use overlay_types::{MacAddr, Vni};
use vtep::{
    DataLane, DropReason, Encapsulation, Endpoint, EndpointOptions, Received, ReservedBits, SegmentConfig,
    UnderlayVerdict,
};

/// A VSID, too.
const VNI: u32 = 5000;
const BRIDGED: u16 = 0x6558;
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

/// A segment of each policy for reserved bits.
struct Bed {
    encapsulation: Encapsulation,
    lanes: [(ReservedBits, Endpoint, DataLane); 2],
}

impl Bed {
    fn new(encapsulation: Encapsulation) -> Self {
        let lanes = [ReservedBits::Ignore, ReservedBits::Reject].map(|policy| {
            let endpoint = Endpoint::new(EndpointOptions::new([1; 16]));
            let mut config = SegmentConfig::with_encapsulation(encapsulation, Vni::new(VNI).unwrap());
            config.reserved_bits = policy;
            let segment = endpoint.add_segment(config).unwrap();
            endpoint.add_flood(segment, PEER).unwrap();
            let lane = endpoint.lane().unwrap();
            (policy, endpoint, lane)
        });
        Self { encapsulation, lanes }
    }

    /// What becomes of a datagram by both policies is what the standard says: where its frame begins, and whether a reserved bit
    /// is set; or why it is dropped.
    #[track_caller]
    fn expect(&self, datagram: &[u8], expected: Result<(usize, bool), DropReason>) {
        for (policy, _, lane) in &self.lanes {
            let expected = match expected {
                Ok((_, true)) if *policy == ReservedBits::Reject => Err(DropReason::ReservedBits),
                Ok((offset, _)) if datagram.len() < offset + 14 => Err(DropReason::Truncated),
                Ok((offset, _)) => Ok(&datagram[offset..]),
                Err(reason) => Err(reason),
            };
            let mut copy = datagram.to_vec();
            let result = match lane.from_underlay(&mut copy, Received::new(self.encapsulation, PEER), Duration::ZERO) {
                UnderlayVerdict::Deliver { frame, .. } => Ok(&*frame),
                UnderlayVerdict::Drop { reason, .. } => Err(reason),
            };
            assert_eq!(result, expected, "{policy:?}: {datagram:02x?}");
        }
    }
}

fn frame() -> Vec<u8> {
    [&MacAddr::BROADCAST.octets()[..], &[2, 0, 0, 0, 0, 2], &[0x88, 0xb5], &[0x5a; 46]].concat()
}

/// RFC 8926 §3.4 and §3.5, for an endpoint that knows no option.
fn geneve_rules(datagram: &[u8]) -> Result<(usize, bool), DropReason> {
    let Some((header, behind)) = datagram.split_first_chunk::<8>() else { return Err(DropReason::Truncated) };
    if header[0] >> 6 != 0 {
        return Err(DropReason::UnknownVersion);
    }
    if u32::from_be_bytes([0, header[4], header[5], header[6]]) != VNI {
        return Err(DropReason::UnknownVni);
    }
    let length = usize::from(header[0] & 0x3f) * 4;
    let Some(mut options) = behind.get(..length) else { return Err(DropReason::Truncated) };
    if header[1] & 0x80 != 0 {
        return Err(DropReason::ControlPacket);
    }
    if header[2..4] != BRIDGED.to_be_bytes() {
        return Err(DropReason::WrongProtocolType);
    }
    if header[1] & 0x40 != 0 && options.is_empty() {
        return Err(DropReason::InvalidOptions);
    }
    let (mut critical, mut reserved) = (false, header[1] & 0x3f != 0 || header[7] != 0);
    while !options.is_empty() {
        let word = options.get(..4).ok_or(DropReason::InvalidOptions)?;
        critical |= word[2] & 0x80 != 0;
        reserved |= word[3] & 0xe0 != 0;
        options = options.get(4 + usize::from(word[3] & 0x1f) * 4..).ok_or(DropReason::InvalidOptions)?;
    }
    if critical { Err(DropReason::UnknownCriticalOption) } else { Ok((8 + length, reserved)) }
}

/// RFC 7637 §3.2 and RFC 2784 §2.3.
fn nvgre_rules(datagram: &[u8]) -> Result<(usize, bool), DropReason> {
    let Some(header) = datagram.first_chunk::<8>() else { return Err(DropReason::Truncated) };
    let flags = u16::from_be_bytes([header[0], header[1]]);
    if flags & 0x0007 != 0 {
        return Err(DropReason::UnknownVersion);
    }
    // K set; C, S and the bits 1, 4 and 5 not.
    if flags & 0xfc00 != 0x2000 {
        return Err(DropReason::InvalidHeader);
    }
    if header[2..4] != BRIDGED.to_be_bytes() {
        return Err(DropReason::WrongProtocolType);
    }
    if u32::from_be_bytes([0, header[4], header[5], header[6]]) != VNI {
        return Err(DropReason::UnknownVni);
    }
    Ok((8, flags != 0x2000))
}

/// RFC 7348 §5.
fn vxlan_rules(datagram: &[u8]) -> Result<(usize, bool), DropReason> {
    let Some(header) = datagram.first_chunk::<8>() else { return Err(DropReason::Truncated) };
    if header[0] & 0x08 == 0 {
        return Err(DropReason::InvalidHeader);
    }
    if u32::from_be_bytes([0, header[4], header[5], header[6]]) != VNI {
        return Err(DropReason::UnknownVni);
    }
    Ok((8, header[0] != 8 || header[1..4] != [0; 3] || header[7] != 0))
}

fn geneve(first: u8, flags: u8, protocol: u16, behind: &[u8]) -> Vec<u8> {
    [&[first, flags][..], &protocol.to_be_bytes(), &(VNI << 8).to_be_bytes(), behind].concat()
}

fn gre(flags: u16, protocol: u16) -> Vec<u8> {
    [&flags.to_be_bytes()[..], &protocol.to_be_bytes(), &(VNI << 8 | 0x77).to_be_bytes(), &frame()].concat()
}

fn vxlan() -> Vec<u8> {
    [&[8, 0, 0, 0][..], &(VNI << 8).to_be_bytes(), &frame()].concat()
}

#[test]
fn geneve_of_every_options_length_and_every_packet_length() {
    let bed = Bed::new(Encapsulation::Geneve);
    // Zeros are options without data, and behind them a frame.
    let behind = [&[0; 252][..], &frame()].concat();
    for words in 0..64 {
        let packet = geneve(words, 0, BRIDGED, &behind);
        for length in 0..=packet.len() {
            let packet = &packet[..length];
            let rules = geneve_rules(packet);
            assert_eq!(rules.is_ok(), length >= 8 + usize::from(words) * 4);
            bed.expect(packet, rules);
        }
    }
}

#[test]
fn every_first_byte_and_every_flag_of_geneve() {
    let bed = Bed::new(Encapsulation::Geneve);
    let behind = [&[0; 252][..], &frame()].concat();
    for first in 0..=u8::MAX {
        for flags in 0..=u8::MAX {
            let packet = geneve(first, flags, BRIDGED, &behind);
            bed.expect(&packet, geneve_rules(&packet));
        }
    }
}

#[test]
fn every_protocol_type() {
    let (by_geneve, by_gre) = (Bed::new(Encapsulation::Geneve), Bed::new(Encapsulation::Nvgre));
    for protocol in 0..=u16::MAX {
        let packet = geneve(0, 0, protocol, &frame());
        assert_eq!(geneve_rules(&packet).is_ok(), protocol == BRIDGED);
        by_geneve.expect(&packet, geneve_rules(&packet));
        let packet = gre(0x2000, protocol);
        assert_eq!(nvgre_rules(&packet).is_ok(), protocol == BRIDGED);
        by_gre.expect(&packet, nvgre_rules(&packet));
    }
}

#[test]
fn each_byte_of_geneve_options_corrupted() {
    let bed = Bed::new(Encapsulation::Geneve);
    // Options of 0, 4, 12 and 24 bytes of data.
    let option = |words: u8| [&[1, 2, 3, words][..], &vec![0xa5; usize::from(words) * 4]].concat();
    let options = [option(0), option(1), option(3), option(6)].concat();
    let packet = geneve((options.len() / 4) as u8, 0, BRIDGED, &[&options[..], &frame()].concat());
    let whole = geneve_rules(&packet);
    assert_eq!(whole, Ok((8 + options.len(), false)));
    bed.expect(&packet, whole);
    let mut met = std::collections::BTreeSet::new();
    for at in 8..8 + options.len() {
        for value in 0..=u8::MAX {
            let mut packet = packet.clone();
            packet[at] = value;
            let rules = geneve_rules(&packet);
            met.extend(rules.err());
            bed.expect(&packet, rules);
        }
    }
    assert_eq!(met, [DropReason::InvalidOptions, DropReason::UnknownCriticalOption].into());
}

#[test]
fn all_flags_and_versions_of_gre() {
    let bed = Bed::new(Encapsulation::Nvgre);
    for flags in 0..=u16::MAX {
        for protocol in [BRIDGED, 0x0800] {
            let packet = gre(flags, protocol);
            bed.expect(&packet, nvgre_rules(&packet));
        }
    }
}

#[test]
fn each_byte_of_each_header_and_every_length() {
    type Rules = fn(&[u8]) -> Result<(usize, bool), DropReason>;
    let cases: [(Encapsulation, Vec<u8>, Rules); 3] = [
        (Encapsulation::Vxlan, vxlan(), vxlan_rules),
        (Encapsulation::Geneve, geneve(0, 0, BRIDGED, &frame()), geneve_rules),
        (Encapsulation::Nvgre, gre(0x2000, BRIDGED), nvgre_rules),
    ];
    for (encapsulation, packet, rules) in cases {
        let bed = Bed::new(encapsulation);
        assert_eq!(rules(&packet), Ok((8, false)), "{encapsulation}");
        for length in 0..=packet.len() {
            bed.expect(&packet[..length], rules(&packet[..length]));
        }
        for at in 0..8 {
            for value in 0..=u8::MAX {
                let mut packet = packet.clone();
                packet[at] = value;
                bed.expect(&packet, rules(&packet));
            }
        }
    }
}

/// A packet of one kind on the port of another, from the very peer: never decapsulated where a header can tell.
#[test]
fn what_is_of_another_kind_is_not_decapsulated() {
    let dropped = |bed: &Bed, policy: ReservedBits, mut packet: Vec<u8>| {
        let received = Received::new(bed.encapsulation, PEER);
        for (_, _, lane) in bed.lanes.iter().filter(|(other, ..)| *other == policy) {
            let verdict = lane.from_underlay(&mut packet, received, Duration::ZERO);
            assert!(matches!(verdict, UnderlayVerdict::Drop { .. }), "{}, {policy:?}", bed.encapsulation);
        }
    };
    let [by_vxlan, by_geneve] = [Encapsulation::Vxlan, Encapsulation::Geneve].map(Bed::new);
    for policy in [ReservedBits::Ignore, ReservedBits::Reject] {
        dropped(&by_geneve, policy, vxlan());
        dropped(&by_geneve, policy, gre(0x2000, BRIDGED));
        dropped(&by_vxlan, policy, gre(0x2000, BRIDGED));
        for words in 0..64 {
            // 32 bytes of options read as VXLAN's I flag, and the rest as bits that RFC 7348 §5 wants ignored: only the policy
            // that Linux and Open vSwitch have can tell.
            if words & 8 == 0 || policy == ReservedBits::Reject {
                let options = vec![0; usize::from(words) * 4];
                dropped(&by_vxlan, policy, geneve(words, 0, BRIDGED, &[&options[..], &frame()].concat()));
            }
        }
    }
}
